/* Public windows on guest memory: making them, and access to what is attached to them. */
#define _GNU_SOURCE 1
#include "env/guest_window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/reason.h"

static const uint64_t page_size = UINT64_C(1) << seL4_PageBits;
static const char conflict[] = "region conflict while attaching guest-physical memory";

/* At the public border: says the reason of a failure once. */
int guest_window_report(const struct hostvm_window *w, int r)
{
    if (r < 0 && w != NULL && w->owner != NULL) {
        w->owner->log(w->cookie, reason_last());
    } else if (r < 0) {
        log_at(NULL, HOSTVM_LOG_ERROR, "%s", reason_last());
    }
    return r;
}

void guest_window_enter(const struct hostvm_window *w)
{
    if (w->owner != NULL) {
        w->owner->enter(w->cookie);
    }
}

void guest_window_leave(const struct hostvm_window *w)
{
    if (w->owner != NULL) {
        w->owner->leave(w->cookie);
    }
}

struct window *guest_window_part(const struct hostvm_window *w, uint64_t gpa, uint64_t *ret_end)
{
    bool is_low = gpa < w->window->first;

    *ret_end = is_low ? w->window->first : w->window->size;
    return is_low ? w->low : w->window;
}

seL4_CapRights_t guest_window_rights(const struct rangemap_entry *attachment)
{
    return (seL4_CapRights_t){{(uintptr_t)attachment->value}};
}

/* What of a range, from gpa on, lies in one part. */
struct range guest_window_piece(const struct hostvm_window *w, struct range range, uint64_t gpa,
                                struct window **ret_part)
{
    uint64_t end;

    *ret_part = guest_window_part(w, gpa, &end);
    return (struct range){gpa, (end < range_end(range) ? end : range_end(range)) - gpa};
}

/* What of a range lies in the low part; the rest does in the other. */
struct range guest_window_low_piece(const struct hostvm_window *w, struct range range)
{
    uint64_t first = w->window->first;

    if (range.start >= first) {
        return (struct range){range.start, 0};
    }
    return (struct range){range.start,
                          range.size < first - range.start ? range.size : first - range.start};
}

/* --- creating --- */

/* The kernel's lowest address for a process without privileges; what Linux has where it does not
 * say. */
static uint64_t lowest_address(void)
{
    uint64_t lowest = UINT64_C(1) << 16;
    char text[32] = "";
    int fd = open("/proc/sys/vm/mmap_min_addr", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) > 0) {
            lowest = strtoull(text, NULL, 10);
        }
        close(fd);
    }
    lowest = align_up(lowest, page_size);
    return lowest < page_size ? page_size : lowest;
}

/* Begins at one page, or where the kernel lets it. */
static int create_identity(struct hostvm_window *w, uint64_t size)
{
    uint64_t first = page_size;
    int r = -EPERM;

    if (size > first) {
        r = window_create_identity(first, size, &w->window);
    }
    if (r == -EPERM || r == -EACCES) {
        first = lowest_address();
        if (size <= first) {
            return fail(-EINVAL,
                        "cannot create an identity window of 0x%" PRIx64
                        " bytes: addresses of this process begin at 0x%" PRIx64,
                        size, first);
        }
        r = window_create_identity(first, size, &w->window);
    }
    w->first_gpa = first;
    if (r == -EEXIST) {
        return fail(r,
                    "%s: part of [0x%" PRIx64 "..0x%" PRIx64
                    ") of this process is in use; create the window earlier, or smaller",
                    conflict, first, size);
    }
    return r < 0 ? r : window_create_anywhere(first, &w->low);
}

static int create_windows(struct hostvm_window *w, uint64_t size, unsigned flags)
{
    int r;

    if ((flags & HOSTVM_WINDOW_IDENTITY) == 0) {
        return window_create_anywhere(size, &w->window);
    }
    r = create_identity(w, size);
    if (r != -EEXIST || (flags & HOSTVM_WINDOW_TOLERATE_CONFLICT) == 0) {
        return r;
    }
    (void)guest_window_report(NULL, r);
    w->is_hidden = true;
    return window_create_anywhere(size, &w->window);
}

static void free_window(struct hostvm_window *w)
{
    window_destroy(w->low);
    window_destroy(w->window);
    rangemap_fini(&w->attachments);
    free(w);
}

static int create(uint64_t vm_size, unsigned flags, struct hostvm_window **ret)
{
    uint64_t size = align_up(vm_size, page_size);
    struct hostvm_window *w;
    int r;

    if ((flags & ~(unsigned)(HOSTVM_WINDOW_IDENTITY | HOSTVM_WINDOW_TOLERATE_CONFLICT)) != 0) {
        return fail(-EINVAL, "hostvm_window_create: there are no flags 0x%x", flags);
    }
    if (vm_size == 0) {
        return fail(-EINVAL, "cannot create a window on guest memory of 0 bytes");
    }
    if (size == 0) {
        return fail(-ENOMEM,
                    "cannot create a window on guest memory of 0x%" PRIx64
                    " bytes: there are not that many addresses",
                    vm_size);
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return fail(-ENOMEM, "cannot create a window on guest memory: out of memory");
    }
    r = create_windows(w, size, flags);
    if (r < 0) {
        free_window(w);
        return r;
    }
    *ret = w;
    return 0;
}

int hostvm_window_create(size_t vm_size, unsigned int flags, hostvm_window_t **out)
{
    if (out == NULL) {
        return guest_window_report(NULL, fail(-EINVAL, "hostvm_window_create: no result given"));
    }
    *out = NULL;
    return guest_window_report(NULL, create(vm_size, flags, out));
}

void hostvm_window_destroy(hostvm_window_t *w)
{
    const struct guest_window_owner *owner;

    if (w == NULL) {
        return;
    }
    owner = w->owner;
    if (owner != NULL) {
        owner->enter(w->cookie);
        owner->release(w->cookie, w); /* keeps the windows */
        owner->leave(w->cookie);
        w->window = NULL;
        w->low = NULL;
    }
    free_window(w);
}

/* --- asking --- */

void *hostvm_window_base(const hostvm_window_t *w)
{
    return w == NULL || w->is_hidden ? NULL : w->window->base;
}

bool hostvm_window_attached(const hostvm_window_t *w)
{
    return w != NULL && !w->is_hidden;
}

size_t hostvm_window_size(const hostvm_window_t *w)
{
    return w == NULL ? 0 : w->window->size;
}

uintptr_t hostvm_window_first_gpa(const hostvm_window_t *w)
{
    return w == NULL ? 0 : w->first_gpa;
}

/* The end of what is there at gpa, readable by the guest or not; gpa itself: nothing. */
static uint64_t end_of_memory(const struct hostvm_window *w, uint64_t gpa)
{
    const struct rangemap_entry *entry = rangemap_find(&w->attachments, gpa);
    struct range run;

    if (cover_find(&w->window->memory, gpa, &run)) {
        return range_end(run);
    }
    return entry != NULL ? range_end(entry->range) : gpa;
}

static bool is_all_there(struct hostvm_window *w, struct range range)
{
    uint64_t gpa = range.start;
    bool is_there;

    if (!window_covers(w->window, range)) {
        return false;
    }
    (void)pthread_rwlock_rdlock(&w->window->copying);
    do {
        uint64_t end = end_of_memory(w, gpa);

        is_there = end > gpa;
        gpa = end;
    } while (is_there && gpa < range_end(range));
    (void)pthread_rwlock_unlock(&w->window->copying);
    return is_there;
}

static __attribute__((noinline)) void *search_pointer(struct hostvm_window *w, uint64_t gpa,
                                                      uint64_t size)
{
    struct range range = {gpa, size};

    if (window_pointer(w->window, range) == NULL &&
        (atomic_load_explicit(&w->nr_unreadable, memory_order_acquire) == 0 ||
         !is_all_there(w, range))) {
        return NULL;
    }
    return window_at(w->window, gpa);
}

void *hostvm_window_ptr(hostvm_window_t *w, uintptr_t gpa, size_t len)
{
    if (w == NULL || w->is_hidden) {
        return NULL;
    }
    if (cover_seems_to_have(&w->window->memory, gpa, len)) {
        return window_at(w->window, gpa);
    }
    return search_pointer(w, gpa, len);
}

/* --- access --- */

static int no_memory_at(struct range range)
{
    return fail(-EFAULT,
                "cannot access 0x%" PRIx64 " bytes at guest address 0x%" PRIx64
                ": they are not all memory of the guest in this window",
                range.size, range.start);
}

static int copy(struct hostvm_window *w, struct range range, void *to, const void *from)
{
    struct range low = guest_window_low_piece(w, range);
    struct range high = {range.start + low.size, range.size - low.size};
    int r = 0;

    if (low.size > 0 && high.size > 0 && !cover_has(&w->window->memory, high)) {
        return no_memory_at(range);
    }
    if (range.start < w->window->first) {
        r = to != NULL ? window_read(w->low, low, to) : window_write(w->low, low, from);
    }
    if (r == 0 && (range.start >= w->window->first || high.size > 0)) {
        r = to != NULL ? window_read(w->window, high, (uint8_t *)to + low.size)
                       : window_write(w->window, high, (const uint8_t *)from + low.size);
    }
    return r < 0 ? no_memory_at(range) : 0;
}

int hostvm_window_read(hostvm_window_t *w, uintptr_t gpa, void *buf, size_t len)
{
    if (w == NULL || buf == NULL) {
        return fail(-EINVAL, "hostvm_window_read: no window or no buffer given");
    }
    return copy(w, (struct range){gpa, len}, buf, NULL);
}

int hostvm_window_write(hostvm_window_t *w, uintptr_t gpa, const void *buf, size_t len)
{
    if (w == NULL || buf == NULL) {
        return fail(-EINVAL, "hostvm_window_write: no window or no buffer given");
    }
    return copy(w, (struct range){gpa, len}, NULL, buf);
}
