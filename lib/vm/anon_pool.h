/* Regions that anonymous reservations are taken from, and given back to. */
#ifndef VM_ANON_POOL_H
#define VM_ANON_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/range.h"
#include "base/rangemap.h"

struct space_reservation;

/* A cursor that moves up, and what was given back below it. */
struct anon_pool {
    struct range range;              /* the whole pages of the region; may be empty */
    uint64_t cursor;                 /* first address never handed out */
    struct rangemap freed;           /* below the cursor; neighbours are joined */
    size_t nr_taken;                 /* reservations; freed has room for each of them, and one */
    struct space_reservation *claim; /* all of it, in the guest's address space */
};

/* Of the region's whole pages. NULL: out of memory, without a reason. */
struct anon_pool *anon_pool_create(struct range region);
void anon_pool_destroy(struct anon_pool *pool); /* NULL is fine */

/* The lowest free pages that fit; align is not 0. -ENOSPC, without a reason; -ENOMEM. */
int anon_pool_take(struct anon_pool *pool, uint64_t size, uint64_t align, uint64_t *ret_start);
void anon_pool_give(struct anon_pool *pool,
                    struct range range); /* all of what was taken; cannot fail */

#endif
