/* The range map: a sorted array, because lookups are many and changes are few. */
#include "base/rangemap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/reason.h"

enum { FIRST_ROOM = 8 };

void rangemap_init(struct rangemap *map)
{
    *map = (struct rangemap){0};
}

void rangemap_fini(struct rangemap *map)
{
    free(map->entries);
    rangemap_init(map);
}

/* Index of the first entry that ends behind addr; nr_entries when there is none. */
static size_t lower_bound(const struct rangemap *map, uint64_t addr)
{
    size_t low = 0;
    size_t high = map->nr_entries;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (range_end(map->entries[middle].range) <= addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int rangemap_reserve(struct rangemap *map, size_t nr)
{
    size_t room = map->nr_room ? map->nr_room : FIRST_ROOM;
    struct rangemap_entry *entries;

    if (nr > SIZE_MAX / (2 * sizeof(*entries)) - map->nr_entries) {
        return fail(-ENOMEM, "cannot make room for %zu more ranges: too many", nr);
    }
    if (nr <= map->nr_room - map->nr_entries) {
        return 0;
    }
    while (room < map->nr_entries + nr) {
        room *= 2;
    }
    entries = realloc(map->entries, room * sizeof(*entries));
    if (entries == NULL) {
        return fail(-ENOMEM, "cannot make room for %zu more ranges: out of memory", nr);
    }
    map->entries = entries;
    map->nr_room = room;
    return 0;
}

int rangemap_add(struct rangemap *map, struct range range, void *value)
{
    struct rangemap_entry *entry;
    size_t index;
    int r;

    if (range.size == 0 || !range_is_valid(range.start, range.size)) {
        return fail(-EINVAL, "cannot add a range of 0x%" PRIx64 " bytes at 0x%" PRIx64 ": it is %s",
                    range.size, range.start, range.size == 0 ? "empty" : "past the last address");
    }
    if (rangemap_first_overlap(map, range) != NULL) {
        entry = rangemap_first_overlap(map, range);
        return fail(-EEXIST,
                    "cannot add [0x%" PRIx64 "..0x%" PRIx64 "): it overlaps [0x%" PRIx64
                    "..0x%" PRIx64 ")",
                    range.start, range_end(range), entry->range.start, range_end(entry->range));
    }
    r = rangemap_reserve(map, 1);
    if (r < 0) {
        return r;
    }
    index = lower_bound(map, range.start);
    entry = &map->entries[index];
    memmove(entry + 1, entry, (map->nr_entries - index) * sizeof(*entry));
    *entry = (struct rangemap_entry){range, value};
    map->nr_entries++;
    return 0;
}

void *rangemap_remove(struct rangemap *map, uint64_t start)
{
    struct rangemap_entry *entry = rangemap_find(map, start);
    size_t nr_behind;
    void *value;

    if (entry == NULL || entry->range.start != start) {
        return NULL;
    }
    value = entry->value;
    nr_behind = map->nr_entries - (size_t)(entry - map->entries) - 1;
    memmove(entry, entry + 1, nr_behind * sizeof(*entry));
    map->nr_entries--;
    return value;
}

struct rangemap_entry *rangemap_find(const struct rangemap *map, uint64_t addr)
{
    struct rangemap_entry *entry = rangemap_at_or_after(map, addr);

    return entry != NULL && range_has(entry->range, addr) ? entry : NULL;
}

struct rangemap_entry *rangemap_first_overlap(const struct rangemap *map, struct range range)
{
    struct rangemap_entry *entry = rangemap_at_or_after(map, range.start);

    return entry != NULL && range_overlaps(entry->range, range) ? entry : NULL;
}

struct rangemap_entry *rangemap_last_overlap(const struct rangemap *map, struct range range)
{
    size_t index = range.size == 0 ? 0 : lower_bound(map, range_end(range) - 1);

    /* index is of what holds the last address or lies behind it: else it is the one before */
    if (index < map->nr_entries && range_overlaps(map->entries[index].range, range)) {
        return &map->entries[index];
    }
    if (index > 0 && range_overlaps(map->entries[index - 1].range, range)) {
        return &map->entries[index - 1];
    }
    return NULL;
}

struct rangemap_entry *rangemap_at_or_after(const struct rangemap *map, uint64_t addr)
{
    size_t index = lower_bound(map, addr);

    return index < map->nr_entries ? &map->entries[index] : NULL;
}

struct rangemap_entry *rangemap_next(const struct rangemap *map, const struct rangemap_entry *entry)
{
    size_t index = (size_t)(entry - map->entries) + 1;

    return index < map->nr_entries ? &map->entries[index] : NULL;
}
