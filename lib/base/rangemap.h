/* A map from non-overlapping address ranges to pointers. */
#ifndef BASE_RANGEMAP_H
#define BASE_RANGEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/range.h"

struct rangemap_entry {
    struct range range; /* valid, not empty */
    void *value;
};

struct rangemap {
    struct rangemap_entry *entries; /* sorted by start, none overlaps another */
    size_t nr_entries;
    size_t nr_room; /* entries allocated */
};

/* All zeros is an empty map as well. The values stay the caller's. */
void rangemap_init(struct rangemap *map);
void rangemap_fini(struct rangemap *map);

/* 0; -EINVAL for an empty or wrapping range, -EEXIST for an overlap, -ENOMEM. */
int rangemap_add(struct rangemap *map, struct range range, void *value);

/* Makes room, so that the next nr adds cannot fail for memory: 0 or -ENOMEM. */
int rangemap_reserve(struct rangemap *map, size_t nr);

/* Takes out the entry that begins exactly at start; its value, or NULL when none begins there. */
void *rangemap_remove(struct rangemap *map, uint64_t start);

/*
 * NULL when there is none. An entry stays where it is until the next add, reserve or remove.
 * Iterate with at_or_after() and next().
 */
struct rangemap_entry *rangemap_find(const struct rangemap *map, uint64_t addr);
struct rangemap_entry *rangemap_first_overlap(const struct rangemap *map, struct range range);

/* Removing many is cheap from the end. */
struct rangemap_entry *rangemap_last_overlap(const struct rangemap *map, struct range range);

/* The first entry that contains addr or lies behind it. */
struct rangemap_entry *rangemap_at_or_after(const struct rangemap *map, uint64_t addr);

/* The entry that follows; NULL behind the last. */
struct rangemap_entry *rangemap_next(const struct rangemap *map,
                                     const struct rangemap_entry *entry);

#endif
