/*
 * The span of this process that mirrors a guest's memory: host address = base + guest-physical
 * address.
 */
#ifndef ENV_WINDOW_H
#define ENV_WINDOW_H

#include <sel4/sel4.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/range.h"

struct env;

struct window {
    struct env *env;
    uint64_t size; /* bytes mirrored: [0, size); chosen when the span is reserved */
    bool is_large; /* one of the few that may be */
    char *base;    /* NULL until the span is reserved, at first use */
    seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa);
    void *cookie;
    struct window
        *next; /* in env, guarded by the env lock; likewise base for others than the owner */
};

/*
 * Calls on one window must not overlap each other: its owner's lock sees to that. All addresses and
 * sizes are multiples of 4 KiB unless said; what lies outside is -ERANGE.
 */
int window_create(struct env *env, struct window **ret);
void window_destroy(struct window *window); /* with everything placed in it; NULL is fine */

/*
 * Who answers vspace_get_cap of the process for pointers into this window. Called without the env
 * lock.
 */
void window_set_owner(struct window *window, seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa),
                      void *cookie);

/* Shows [offset, offset + size) of fd at gpa, in place of what was there; prot as for mmap. */
int window_place(struct window *window, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
                 int prot);

/* Takes away what was there; accesses end in SIGSEGV. */
int window_empty(struct window *window, uint64_t gpa, uint64_t size);

/* base + gpa, unchecked: window_covers first. NULL while nothing was ever placed. */
static inline void *window_hva(const struct window *window, uint64_t gpa)
{
    return window->base == NULL ? NULL : window->base + gpa;
}

/*
 * The range, of any alignment, lies in what the window mirrors. False while nothing was ever
 * placed.
 */
static inline bool window_covers(const struct window *window, struct range range)
{
    return window->base != NULL && range_contains((struct range){0, window->size}, range);
}

/*
 * The capability of the page behind a pointer into one of env's windows, as its owner says; else
 * seL4_CapNull.
 */
seL4_CPtr window_find_cap(struct env *env, const void *pointer);

#endif
