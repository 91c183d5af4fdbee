/* Reserving spans of addresses. */
#define _GNU_SOURCE 1
#include "base/span.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

static const int span_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/* mmap aligns to pages and no further: ask for more than is needed, and give the ends back. */
void *span_reserve(uint64_t size, uint64_t align)
{
    uint64_t before;
    char *span;

    if (size > UINT64_MAX - align) {
        return NULL;
    }
    span = mmap(NULL, size + align, PROT_NONE, span_flags, -1, 0);
    if (span == MAP_FAILED) {
        return NULL;
    }
    before = -(uintptr_t)span & (align - 1);
    if (before > 0) {
        munmap(span, before);
    }
    munmap(span + before + size, align - before);
    return span + before;
}

int span_reserve_at(uint64_t start, uint64_t size)
{
    void *wanted = (void *)(uintptr_t)start;
    void *got = mmap(wanted, size, PROT_NONE, span_flags | MAP_FIXED_NOREPLACE, -1, 0);

    if (got == MAP_FAILED) {
        return -errno;
    }
    if (got != wanted) {
        munmap(got, size); /* a kernel that takes the address for a hint */
        return -EEXIST;
    }
    return 0;
}
