/* What is attached to public windows on guest memory: how it comes and goes. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/reason.h"
#include "env/guest_window.h"

static const uint64_t page_size = UINT64_C(1) << seL4_PageBits;

static bool is_readable(seL4_CapRights_t rights)
{
    return seL4_CapRights_get_capAllowRead(rights) != 0;
}

/* --- attaching --- */

static int check_range(const struct hostvm_window *w, uint64_t offset, struct range range)
{
    const struct rangemap_entry *taken;

    if (range.size == 0 || (offset | range.start | range.size) % page_size != 0 ||
        offset > INT64_MAX || range.size > INT64_MAX - offset) {
        return fail(-EINVAL,
                    "cannot attach 0x%" PRIx64 " bytes from 0x%" PRIx64
                    " of a file at guest address 0x%" PRIx64 ": it must be whole pages of 4 KiB",
                    range.size, offset, range.start);
    }
    if (!range_contains((struct range){0, w->window->size}, range)) {
        return fail(-ERANGE,
                    "cannot attach 0x%" PRIx64 " bytes at guest address 0x%" PRIx64
                    ": the window ends at 0x%" PRIx64,
                    range.size, range.start, w->window->size);
    }
    taken = rangemap_first_overlap(&w->attachments, range);
    if (taken != NULL) {
        return fail(-EEXIST,
                    "cannot attach [0x%" PRIx64 "..0x%" PRIx64 "): [0x%" PRIx64 "..0x%" PRIx64
                    ") is attached; detach that first",
                    range.start, range_end(range), taken->range.start, range_end(taken->range));
    }
    return w->owner == NULL ? 0 : w->owner->check(w->cookie, range);
}

static int check_file(int fd, uint64_t offset, uint64_t size)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < offset + size) {
        return fail(-EINVAL,
                    "cannot attach 0x%" PRIx64 " bytes from 0x%" PRIx64
                    " of a file: it ends at 0x%" PRIx64,
                    size, offset, (uint64_t)st.st_size);
    }
    return 0; /* what is no descriptor at all, mmap says */
}

static void empty_parts(struct hostvm_window *w, struct range range)
{
    uint64_t gpa = range.start;

    while (gpa < range_end(range)) {
        struct window *part;
        struct range piece = guest_window_piece(w, range, gpa, &part);

        (void)window_empty(part, piece.start, piece.size); /* at worst it stays visible, unused */
        gpa = range_end(piece);
    }
}

static int place_parts(struct hostvm_window *w, int fd, uint64_t offset, struct range range)
{
    uint64_t gpa = range.start;
    int r = 0;

    while (r == 0 && gpa < range_end(range)) {
        struct window *part;
        struct range piece = guest_window_piece(w, range, gpa, &part);

        r = window_reserve_room(part, 1);
        if (r == 0) {
            r = window_place(part, piece.start, piece.size, fd, offset + (gpa - range.start),
                             PROT_READ | PROT_WRITE);
        }
        gpa = range_end(piece);
    }
    return r;
}

/* There is room. */
static void add_attachment(struct hostvm_window *w, struct range range, seL4_CapRights_t rights)
{
    (void)pthread_rwlock_wrlock(&w->window->copying);
    (void)rangemap_add(&w->attachments, range, (void *)(uintptr_t)rights.words[0]);
    (void)pthread_rwlock_unlock(&w->window->copying);
    if (!is_readable(rights)) {
        (void)atomic_fetch_add_explicit(&w->nr_unreadable, 1, memory_order_release);
    }
}

static void remove_attachment(struct hostvm_window *w, struct range range, seL4_CapRights_t rights)
{
    (void)pthread_rwlock_wrlock(&w->window->copying);
    (void)rangemap_remove(&w->attachments, range.start);
    (void)pthread_rwlock_unlock(&w->window->copying);
    if (!is_readable(rights)) {
        (void)atomic_fetch_sub_explicit(&w->nr_unreadable, 1, memory_order_release);
    }
}

/* What the guest may read is found by translation. */
static void show_parts(struct hostvm_window *w, struct range range, seL4_CapRights_t rights)
{
    uint64_t gpa = range.start;

    while (is_readable(rights) && gpa < range_end(range)) {
        struct window *part;
        struct range piece = guest_window_piece(w, range, gpa, &part);

        window_show(part, piece);
        gpa = range_end(piece);
    }
}

static void hide_parts(struct hostvm_window *w, struct range range)
{
    uint64_t gpa = range.start;

    while (gpa < range_end(range)) {
        struct window *part;
        struct range piece = guest_window_piece(w, range, gpa, &part);

        window_hide(part, piece);
        gpa = range_end(piece);
    }
}

static int show_in_guest(struct hostvm_window *w, struct range range, seL4_CapRights_t rights)
{
    return w->owner == NULL ? 0 : w->owner->show(w->cookie, range, rights);
}

static int reserve_attachment(struct hostvm_window *w)
{
    int r;

    (void)pthread_rwlock_wrlock(&w->window->copying);
    r = rangemap_reserve(&w->attachments, 1);
    (void)pthread_rwlock_unlock(&w->window->copying);
    return r < 0 ? fail(r, "cannot attach memory: out of memory for its list") : 0;
}

static int attach(struct hostvm_window *w, int fd, uint64_t offset, struct range range,
                  seL4_CapRights_t rights)
{
    char reason[REASON_SIZE];
    int r = check_range(w, offset, range);

    if (r == 0) {
        r = check_file(fd, offset, range.size);
    }
    if (r == 0) {
        r = reserve_attachment(w);
    }
    if (r < 0) {
        return r;
    }
    r = place_parts(w, fd, offset, range);
    if (r == 0) {
        r = show_in_guest(w, range, rights);
    }
    if (r < 0) {
        (void)snprintf(reason, sizeof(reason), "%s", reason_last());
        empty_parts(w, range);
        return fail_text(r, reason);
    }
    add_attachment(w, range, rights);
    show_parts(w, range, rights);
    return 0;
}

int hostvm_window_attach(hostvm_window_t *w, int fd, off_t off, uintptr_t gpa, size_t len,
                         seL4_CapRights_t guest_rights)
{
    int r;

    if (w == NULL) {
        return guest_window_report(NULL, fail(-EINVAL, "hostvm_window_attach: no window given"));
    }
    guest_window_enter(w);
    r = attach(w, fd, (uint64_t)off, (struct range){gpa, len}, guest_rights);
    guest_window_leave(w);
    return guest_window_report(w, r);
}

/* --- detaching --- */

static int reserve_parts(struct hostvm_window *w)
{
    int r = window_reserve_room(w->window, 2);

    return r < 0 || w->low == NULL ? r : window_reserve_room(w->low, 2);
}

/* All of it, or nothing. */
static int take_parts(struct hostvm_window *w, struct range range)
{
    struct range low = guest_window_low_piece(w, range);
    int r = 0;

    if (low.size < range.size) {
        r = window_empty(w->window, range.start + low.size, range.size - low.size);
    }
    if (r == 0 && low.size > 0 && window_empty(w->low, low.start, low.size) < 0 &&
        low.size == range.size) {
        r = -ENOMEM; /* else it stays, where no pointer leads, until the next use of the range */
    }
    return r;
}

/* The guest loses it before this process does. */
static int take_attachment(struct hostvm_window *w, struct range range, seL4_CapRights_t rights)
{
    char reason[REASON_SIZE];
    int r;

    hide_parts(w, range);
    r = w->owner == NULL ? 0 : w->owner->hide(w->cookie, range);
    if (r == 0) {
        r = take_parts(w, range);
        if (r < 0) {
            (void)snprintf(reason, sizeof(reason), "%s", reason_last());
            (void)guest_window_report(
                w, show_in_guest(w, range, rights)); /* it stays attached, if not there */
            r = fail_text(r, reason);
        }
    }
    if (r < 0) {
        show_parts(w, range, rights);
    }
    return r;
}

static int detach(struct hostvm_window *w, struct range range)
{
    const struct rangemap_entry *entry = rangemap_find(&w->attachments, range.start);
    seL4_CapRights_t rights;
    int r;

    if (entry == NULL || entry->range.start != range.start || entry->range.size != range.size) {
        return fail(-ENOENT,
                    "cannot detach 0x%" PRIx64 " bytes at guest address 0x%" PRIx64
                    ": nothing is attached exactly there",
                    range.size, range.start);
    }
    rights = guest_window_rights(entry);
    r = reserve_parts(w);
    if (r == 0) {
        r = take_attachment(w, range, rights);
    }
    if (r == 0) {
        remove_attachment(w, range, rights);
    }
    return r;
}

int hostvm_window_detach(hostvm_window_t *w, uintptr_t gpa, size_t len)
{
    int r;

    if (w == NULL) {
        return guest_window_report(NULL, fail(-EINVAL, "hostvm_window_detach: no window given"));
    }
    guest_window_enter(w);
    r = detach(w, (struct range){gpa, len});
    guest_window_leave(w);
    return guest_window_report(w, r);
}
