/* Sets of addresses: changing them without disturbing those who ask. */
#include "base/cover.h"

#include <errno.h>
#include <stdlib.h>

#include "base/reason.h"

enum { FIRST_ROOM = 4, FIRST_POWER = 11 };

/* Sorted, none touches the next. Words of their own: a reader may see a list that is written. */
struct cover_run {
    _Atomic uint64_t start;
    _Atomic uint64_t end;
};

struct cover_list {
    struct cover_list *older; /* what it took the place of; somebody may still be reading it */
    size_t room;
    _Atomic size_t nr_runs; /* never more than room */
    struct cover_run runs[];
};

/*
 * Loads acquire and stores release, so that a reader who has seen one word of a change also sees
 * the version that went before it.
 */
static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static struct cover_list *list_of(const struct cover *cover, uint64_t version)
{
    return atomic_load_explicit(&cover->lists[version % 2], memory_order_acquire);
}

static struct range run_range(const struct cover_run *run)
{
    uint64_t start = load(&run->start);

    return (struct range){start, load(&run->end) - start};
}

static size_t count(const struct cover_list *list)
{
    return list == NULL ? 0 : atomic_load_explicit(&list->nr_runs, memory_order_acquire);
}

/* Index of the first run that ends behind addr. */
static size_t lower_bound(const struct cover_list *list, uint64_t addr)
{
    size_t low = 0;
    size_t high = count(list);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (load(&list->runs[middle].end) <= addr) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- asking --- */

bool cover_at_or_after(const struct cover *cover, uint64_t addr, struct range *ret)
{
    uint64_t version;
    bool is_found;

    do {
        const struct cover_list *list;
        size_t at;

        version = load(&cover->version);
        list = list_of(cover, version);
        at = lower_bound(list, addr);
        is_found = at < count(list);
        if (is_found) {
            *ret = run_range(&list->runs[at]);
        }
    } while (atomic_load_explicit(&cover->version, memory_order_relaxed) != version);
    return is_found;
}

bool cover_find(const struct cover *cover, uint64_t addr, struct range *ret)
{
    struct range run;

    if (!cover_at_or_after(cover, addr, &run) || !range_has(run, addr)) {
        return false;
    }
    *ret = run;
    return true;
}

/* The last run that begins at or before addr, or the first one; there is one. */
static const struct cover_run *last_from(const struct cover_list *list, size_t nr, uint64_t addr)
{
    const struct cover_run *run = list->runs;

    while (nr > 1) {
        size_t half = nr / 2;

        run += load(&run[half].start) <= addr ? half : 0;
        nr -= half;
    }
    return run;
}

bool cover_has(const struct cover *cover, struct range range)
{
    uint64_t version;
    bool is_there;

    do {
        const struct cover_list *list;
        size_t nr;

        version = load(&cover->version);
        list = list_of(cover, version);
        nr = count(list);
        is_there = false;
        if (nr > 0) {
            const struct cover_run *run = last_from(list, nr, range.start);
            uint64_t start = load(&run->start);
            uint64_t end = load(&run->end);

            is_there = range.start >= start && range.start < end && range.size <= end - range.start;
        }
    } while (atomic_load_explicit(&cover->version, memory_order_relaxed) != version);
    return is_there;
}

/* --- changing --- */

void cover_fini(struct cover *cover)
{
    for (int i = 0; i < 2; i++) {
        struct cover_list *list = list_of(cover, (uint64_t)i);

        while (list != NULL) {
            struct cover_list *older = list->older;

            free(list);
            list = older;
        }
        atomic_store_explicit(&cover->lists[i], NULL, memory_order_relaxed);
    }
    store(&cover->nr_runs, 0);
}

static void append(struct cover_list *list, struct range range)
{
    size_t nr = count(list);

    store(&list->runs[nr].start, range.start);
    store(&list->runs[nr].end, range_end(range));
    atomic_store_explicit(&list->nr_runs, nr + 1, memory_order_release);
}

/* Rooms double: what was outgrown is less than what is in use, and may wait for the end. */
static int grow(struct cover *cover, int i, size_t room)
{
    struct cover_list *old = list_of(cover, (uint64_t)i);
    struct cover_list *list;

    if (old != NULL && old->room >= room) {
        return 0;
    }
    room = old != NULL && old->room * 2 > room ? old->room * 2 : room;
    room = room < FIRST_ROOM ? FIRST_ROOM : room;
    list = calloc(1, sizeof(*list) + room * sizeof(list->runs[0]));
    if (list == NULL) {
        return fail(-ENOMEM, "cannot change guest memory: out of memory for its list");
    }
    list->older = old;
    list->room = room;
    for (size_t at = 0; at < count(old); at++) {
        append(list, run_range(&old->runs[at]));
    }
    atomic_store_explicit(&cover->lists[i], list, memory_order_release);
    return 0;
}

int cover_reserve(struct cover *cover, size_t nr)
{
    size_t room = count(list_of(cover, load(&cover->version))) + nr;
    int r = grow(cover, 0, room);

    return r < 0 ? r : grow(cover, 1, room);
}

/* What the set knows of the powers of two in a range, which a change of that range may have
 * altered. */
static void refresh_reach(struct cover *cover, struct range changed)
{
    unsigned power =
        changed.start == 0 ? FIRST_POWER : 64u - (unsigned)__builtin_clzll(changed.start - 1);

    for (; power < 64; power++) {
        uint64_t addr = power == FIRST_POWER ? 0 : UINT64_C(1) << power;
        struct range run;

        if (!range_has(changed, addr)) {
            return;
        }
        store(&cover->reach[power], cover_find(cover, addr, &run) ? range_end(run) : 0);
    }
}

/* The list that the next version is to be, empty. */
static struct cover_list *begin_change(struct cover *cover, const struct cover_list **ret_old)
{
    uint64_t version = load(&cover->version);
    struct cover_list *list = list_of(cover, version + 1);

    *ret_old = list_of(cover, version);
    atomic_store_explicit(&list->nr_runs, 0, memory_order_release);
    return list;
}

static void end_change(struct cover *cover, struct range changed)
{
    uint64_t version = load(&cover->version) + 1;

    store(&cover->version, version);
    store(&cover->nr_runs, count(list_of(cover, version)));
    refresh_reach(cover, changed);
}

void cover_add(struct cover *cover, struct range range)
{
    const struct cover_list *old;
    struct cover_list *list = begin_change(cover, &old);
    size_t nr = count(old);
    size_t at = 0;

    for (; at < nr && load(&old->runs[at].end) < range.start; at++) {
        append(list, run_range(&old->runs[at]));
    }
    for (; at < nr && load(&old->runs[at].start) <= range_end(range); at++) {
        struct range run = run_range(&old->runs[at]);
        uint64_t end = range_end(run) > range_end(range) ? range_end(run) : range_end(range);

        range.start = run.start < range.start ? run.start : range.start;
        range.size = end - range.start;
    }
    append(list, range);
    for (; at < nr; at++) {
        append(list, run_range(&old->runs[at]));
    }
    end_change(cover, range);
}

void cover_remove(struct cover *cover, struct range range)
{
    struct range changed = range;
    const struct cover_list *old;
    struct cover_list *list;

    if (!cover_at_or_after(cover, range.start, &(struct range){0, 0})) {
        return; /* also where there is no list yet */
    }
    list = begin_change(cover, &old);
    for (size_t at = 0; at < count(old); at++) {
        struct range run = run_range(&old->runs[at]);

        if (!range_overlaps(run, range)) {
            append(list, run);
            continue;
        }
        if (run.start < range.start) {
            append(list, (struct range){run.start, range.start - run.start});
            changed = (struct range){run.start, range_end(range) - run.start};
        }
        if (range_end(run) > range_end(range)) {
            append(list, (struct range){range_end(range), range_end(run) - range_end(range)});
        }
    }
    end_change(cover, changed);
}
