/* Half-open ranges of 64-bit addresses, and every bounds question that is asked about them. */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* [start, start + size); empty when size is 0 */
struct range {
    uint64_t start;
    uint64_t size;
};

/* The end can be written down as a 64-bit number. */
static inline bool range_is_valid(uint64_t start, uint64_t size)
{
    return size <= UINT64_MAX - start;
}

/* First address behind a valid range. */
static inline uint64_t range_end(struct range r)
{
    return r.start + r.size;
}

/* The next multiple of align, a power of two; 0 when there is none. */
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline bool range_has(struct range r, uint64_t addr)
{
    return addr >= r.start && addr - r.start < r.size;
}

/* All of inner lies in outer. An empty inner may stand at either border. Wrapping is no danger. */
static inline bool range_contains(struct range outer, struct range inner)
{
    uint64_t skip = inner.start - outer.start;

    return inner.start >= outer.start && skip <= outer.size && inner.size <= outer.size - skip;
}

/* They have an address in common. An empty range overlaps nothing. Wrapping is no danger. */
static inline bool range_overlaps(struct range a, struct range b)
{
    if (a.size == 0 || b.size == 0) {
        return false;
    }
    return a.start <= b.start ? b.start - a.start < a.size : a.start - b.start < b.size;
}

/*
 * The smallest range of whole pages around a valid one; page is a power of two. What would reach
 * the very top of the address space comes out empty or invalid, never as something smaller.
 */
static inline struct range range_round_out(struct range r, uint64_t page)
{
    uint64_t start = r.start & ~(page - 1);
    uint64_t end = align_up(range_end(r), page);

    return (struct range){start, end - start};
}

/* The whole pages that lie in a range for which range_round_out is valid; none: it is empty. */
static inline struct range range_round_in(struct range r, uint64_t page)
{
    uint64_t start = align_up(r.start, page);
    uint64_t end = range_end(r) & ~(page - 1);

    return (struct range){start, end > start ? end - start : 0};
}

#endif
