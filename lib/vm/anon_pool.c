/* Pools: first fit, below a cursor that moves up. */
#include "vm/anon_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/reason.h"

enum { PAGE = 4096 };

struct anon_pool *anon_pool_create(struct range region)
{
    struct anon_pool *pool = calloc(1, sizeof(*pool));

    if (pool != NULL) {
        pool->range = range_round_in(region, PAGE);
        pool->cursor = pool->range.start;
        rangemap_init(&pool->freed);
    }
    return pool;
}

void anon_pool_destroy(struct anon_pool *pool)
{
    if (pool != NULL) {
        rangemap_fini(&pool->freed);
        free(pool);
    }
}

static uint64_t round_up(uint64_t value, uint64_t align)
{
    uint64_t rest = value % align;

    if (rest == 0) {
        return value;
    }
    return value > UINT64_MAX - (align - rest) ? UINT64_MAX : value + (align - rest);
}

/* Where size bytes of whole pages, aligned, fit into a range. */
static bool fits(struct range room, uint64_t size, uint64_t align, uint64_t *ret_start)
{
    uint64_t start = round_up(room.start, align);

    /* An alignment below a page may ask for the middle of one; pages are handed out whole. */
    while (start % PAGE != 0 && start < range_end(room)) {
        start = round_up(start + 1, align);
    }
    if (start % PAGE != 0 || !range_is_valid(start, size) ||
        !range_contains(room, (struct range){start, size})) {
        return false;
    }
    *ret_start = start;
    return true;
}

/* Takes [start, start + size) out of a freed piece, which it lies in; there is room for one more.
 */
static void take_freed(struct anon_pool *pool, struct range piece, uint64_t start, uint64_t size)
{
    int r = 0;

    (void)rangemap_remove(&pool->freed, piece.start);
    if (start > piece.start) {
        r |= rangemap_add(&pool->freed, (struct range){piece.start, start - piece.start}, pool);
    }
    if (start + size < range_end(piece)) {
        r |= rangemap_add(&pool->freed,
                          (struct range){start + size, range_end(piece) - (start + size)}, pool);
    }
    assert(r == 0);
}

int anon_pool_take(struct anon_pool *pool, uint64_t size, uint64_t align, uint64_t *ret_start)
{
    struct range rest = {pool->cursor, range_end(pool->range) - pool->cursor};
    uint64_t start;
    int r = rangemap_reserve(&pool->freed, pool->nr_taken + 2);

    if (r < 0) {
        return fail(r, "cannot reserve anonymous guest memory: out of memory");
    }
    for (size_t i = 0; i < pool->freed.nr_entries; i++) {
        struct range piece = pool->freed.entries[i].range;

        if (fits(piece, size, align, &start)) {
            take_freed(pool, piece, start, size);
            pool->nr_taken++;
            *ret_start = start;
            return 0;
        }
    }
    if (!fits(rest, size, align, &start)) {
        return -ENOSPC;
    }
    pool->cursor = start + size;
    pool->nr_taken++;
    *ret_start = start;
    return 0;
}

/* Room for it was made when the range was taken. */
void anon_pool_give(struct anon_pool *pool, struct range range)
{
    struct rangemap_entry *entry = rangemap_at_or_after(&pool->freed, range_end(range));
    int r;

    pool->nr_taken--;
    if (entry != NULL && entry->range.start == range_end(range)) {
        range.size += entry->range.size;
        (void)rangemap_remove(&pool->freed, entry->range.start);
    }
    entry = range.start > 0 ? rangemap_find(&pool->freed, range.start - 1) : NULL;
    if (entry != NULL) {
        range = (struct range){entry->range.start, entry->range.size + range.size};
        (void)rangemap_remove(&pool->freed, range.start);
    }
    if (range_end(range) == pool->cursor) {
        pool->cursor = range.start;
        return;
    }
    r = rangemap_add(&pool->freed, range, pool);
    assert(r == 0);
}
