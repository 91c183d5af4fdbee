/*
 * A set of addresses that one thread at a time changes, while any number of others ask without a
 * lock.
 *
 * The set is a list of runs. Most questions end at the first look: for each power of two the set
 * knows how far the run that covers it reaches, in one word. A range that begins at or behind that
 * power, and before the next one, lies in the run if it ends within that reach. So an answer is one
 * load and two comparisons wherever a run begins at a power of two, or before it; and memory of
 * machines does. Everybody else searches the list.
 */
#ifndef BASE_COVER_H
#define BASE_COVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/range.h"

enum { COVER_GRAIN = 4096 }; /* runs begin and end at multiples of it */

struct cover_list;

/* All zeros is an empty set. */
struct cover {
    /*
     * By the logarithm of an address of 4095 or more: the end of the run that covers the power of
     * two; 0: there is none. The entry of 4095 speaks for address 0.
     */
    _Atomic uint64_t reach[64];

    /*
     * The list to search is lists[version % 2]. A change writes all of the other one, and counts:
     * who finds the version he began with has read what no change has touched.
     */
    _Atomic uint64_t version;
    _Atomic(struct cover_list *) lists[2];

    _Atomic uint64_t nr_runs; /* in the list to search, for a glance */
};

void cover_fini(struct cover *cover); /* nobody asks any more */

/* --- one thread at a time --- */

/*
 * Makes room, so that the next nr calls of cover_add and cover_remove find it: 0, or -ENOMEM with
 * its reason.
 */
int cover_reserve(struct cover *cover, size_t nr);

/*
 * There is room for one more run. Runs that touch become one; what was there already stays. Who
 * sees the range in the set sees what the caller wrote before.
 */
void cover_add(struct cover *cover, struct range range);

/* There is room for one more run. What was not there is passed over. */
void cover_remove(struct cover *cover, struct range range);

/* --- any thread --- */

/* The run that covers addr. */
bool cover_find(const struct cover *cover, uint64_t addr, struct range *ret);

/* The first run that ends behind addr. */
bool cover_at_or_after(const struct cover *cover, uint64_t addr, struct range *ret);

/* The first address of a range, and all of the range, are in the set. */
bool cover_has(const struct cover *cover, struct range range);

/* Whether there is anything in the set. */
static inline bool cover_is_empty(const struct cover *cover)
{
    return atomic_load_explicit(&cover->nr_runs, memory_order_acquire) == 0;
}

/* As cover_has, at a glance: true is certain; false may be wrong. */
static inline bool cover_seems_to_have(const struct cover *cover, uint64_t addr, uint64_t size)
{
    unsigned power = 63u - (unsigned)__builtin_clzll(addr | (COVER_GRAIN - 1));
    uint64_t end = atomic_load_explicit(&cover->reach[power], memory_order_acquire);

    return end > addr && end - addr >= size;
}

#endif
