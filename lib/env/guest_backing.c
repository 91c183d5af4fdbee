/* Windows that come with memory, which is handed out from them piece by piece. */
#include <hostvm/guest_window.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/range.h"
#include "base/reason.h"

static const uint64_t page_size = UINT64_C(1) << seL4_PageBits;

struct hostvm_guest_memory {
    hostvm_window_t *window;
    uint64_t size;   /* of what is attached, from the window's first address on */
    uint64_t cursor; /* bytes of it that are handed out, or skipped */
};

/* At the public border: says the reason once. */
static int refuse(int r)
{
    log_at(NULL, HOSTVM_LOG_ERROR, "%s", reason_last());
    return r;
}

/* The file is the window's alone afterwards. */
static int attach_memory(const struct hostvm_guest_memory *m)
{
    int fd = io_memfd("hostvm-guest-memory", m->size);
    int r;

    if (fd < 0) {
        return refuse(fd);
    }
    r = hostvm_window_attach(m->window, fd, 0, hostvm_window_first_gpa(m->window), m->size,
                             seL4_AllRights);
    io_close(&fd);
    return r;
}

int hostvm_guest_memory_create(size_t backing, size_t vm_size, hostvm_guest_memory_t **out)
{
    struct hostvm_guest_memory *m;
    int r;

    if (out == NULL) {
        return refuse(fail(-EINVAL, "hostvm_guest_memory_create: no result given"));
    }
    *out = NULL;
    if (align_up(backing, page_size) == 0) {
        return refuse(fail(-EINVAL, "cannot create guest memory of 0x%zx bytes", backing));
    }
    m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return refuse(fail(-ENOMEM, "cannot create guest memory: out of memory"));
    }
    m->size = align_up(backing, page_size);
    r = hostvm_window_create(vm_size, 0, &m->window);
    if (r == 0) {
        r = attach_memory(m);
    }
    if (r < 0) {
        hostvm_guest_memory_destroy(m);
        return r;
    }
    *out = m;
    return 0;
}

void hostvm_guest_memory_destroy(hostvm_guest_memory_t *m)
{
    if (m != NULL) {
        hostvm_window_destroy(m->window);
        free(m);
    }
}

hostvm_window_t *hostvm_guest_memory_window(hostvm_guest_memory_t *m)
{
    return m == NULL ? NULL : m->window;
}

void *hostvm_guest_memory_local_base(const hostvm_guest_memory_t *m)
{
    return m == NULL ? NULL
                     : (char *)hostvm_window_base(m->window) + hostvm_window_first_gpa(m->window);
}

size_t hostvm_guest_memory_remaining(const hostvm_guest_memory_t *m)
{
    return m == NULL ? 0 : m->size - m->cursor;
}

int hostvm_guest_memory_alloc(hostvm_guest_memory_t *m, size_t bytes, size_t align, uintptr_t *gpa)
{
    struct range memory;
    struct range wanted;

    if (m == NULL || gpa == NULL || bytes == 0 || (align & (align - 1)) != 0) {
        return refuse(fail(-EINVAL,
                           "cannot hand out 0x%zx bytes of guest memory at a "
                           "multiple of 0x%zx: no memory, no result or no size "
                           "given, or not a power of two",
                           bytes, align));
    }
    memory = (struct range){hostvm_window_first_gpa(m->window), m->size};
    wanted = (struct range){align_up(memory.start + m->cursor, align == 0 ? 1 : align), bytes};
    if (wanted.start < memory.start + m->cursor || !range_contains(memory, wanted)) {
        return refuse(fail(-ENOSPC,
                           "cannot hand out 0x%zx bytes of guest memory: 0x%" PRIx64 " are left",
                           bytes, m->size - m->cursor));
    }
    m->cursor = range_end(wanted) - memory.start;
    *gpa = wanted.start;
    return 0;
}
