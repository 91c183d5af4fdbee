/* Spans: addresses of this process that are reserved without memory behind them. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdint.h>

/*
 * Reserves size bytes at a multiple of align, a power of two; both are whole pages. An access to
 * them ends in SIGSEGV. NULL when no such span is free. munmap gives it back.
 */
void *span_reserve(uint64_t size, uint64_t align);

/* Reserves [start, start + size), whole pages: 0; -EEXIST when part of it is in use; -errno. */
int span_reserve_at(uint64_t start, uint64_t size);

#endif
