/* Reserving spans of addresses. */
#define _GNU_SOURCE 1
#include "base/span.h"

#include <stddef.h>
#include <sys/mman.h>

/* mmap aligns to pages and no further: ask for more than is needed, and give the ends back. */
void *span_reserve(uint64_t size, uint64_t align)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint64_t before;
    char *span;

    if (size > UINT64_MAX - align) {
        return NULL;
    }
    span = mmap(NULL, size + align, PROT_NONE, flags, -1, 0);
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
