/*
 * The span of this process that mirrors a guest's memory: host address = base + guest-physical
 * address.
 */
#ifndef ENV_WINDOW_H
#define ENV_WINDOW_H

#include <pthread.h>
#include <sel4/sel4.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cover.h"
#include "base/range.h"

struct env;

struct window {
    struct cover memory; /* what translation gives out: placed, and shown */
    char *base;          /* of guest address 0, which in an identity window is NULL */
    struct env *env;     /* that knows the window, or NULL */
    uint64_t first;      /* bytes mirrored: [first, size) */
    uint64_t size;       /* chosen when the span is reserved */
    bool is_large;       /* one of the few that may be */
    bool is_reserved;    /* the span is there, and base with it; a window of env's: at first use */
    seL4_CPtr (*get_cap)(void *cookie, uint64_t gpa);
    void *cookie;
    struct window
        *next; /* in env, guarded by the env lock; likewise is_reserved for others than the owner */

    /* Held shared while bytes are copied, alone while memory is hidden. No other comes after it. */
    pthread_rwlock_t copying;
};

/*
 * Calls on one window must not overlap each other: its owner's lock sees to that. All addresses and
 * sizes are multiples of 4 KiB unless said; what lies outside is -ERANGE.
 */
int window_create(struct env *env, struct window **ret);
void window_destroy(struct window *window); /* with everything placed in it; NULL is fine */

/*
 * A window that no environment knows, reserved at once: size bytes from 0 on, anywhere; or those
 * from first on, at the very addresses that the guest has. -EEXIST, -EPERM or -EACCES when those
 * addresses are not free, or not to be had; -ENOMEM.
 */
int window_create_anywhere(uint64_t size, struct window **ret);
int window_create_identity(uint64_t first, uint64_t size, struct window **ret);

/* From now on the environment knows it, or no longer does. */
void window_join(struct window *window, struct env *env);
void window_leave(struct window *window);

/* Gives the span back, and keeps the rest for those who may still ask it. */
void window_close(struct window *window);

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

/*
 * What was placed is found by translation from show to hide; there is room for it since
 * window_reserve_room. hide returns when no copy is under way that could have found it.
 */
int window_reserve_room(struct window *window, size_t nr_changes);
void window_show(struct window *window, struct range range);
void window_hide(struct window *window, struct range range);

/* base + gpa; base may be a null pointer, with which the language allows no arithmetic. */
static inline void *window_at(const struct window *window, uint64_t gpa)
{
    return (void *)((uintptr_t)window->base + gpa);
}

/*
 * Translation: the address of a range of any alignment and size, or NULL where not all of it is
 * shown. From any thread, without a lock. cover_seems_to_have answers most questions before.
 */
static inline void *window_pointer(const struct window *window, struct range range)
{
    return cover_has(&window->memory, range) ? window_at(window, range.start) : NULL;
}

/*
 * Copies a range of any alignment if all of it is shown: 0, or -EFAULT without a reason. From any
 * thread; memory is not taken away meanwhile. What is naturally aligned and has 1, 2, 4 or 8 bytes
 * is accessed as a whole.
 */
int window_read(struct window *window, struct range range, void *buf);
int window_write(struct window *window, struct range range, const void *buf);

/* As window_at, but NULL while nothing was ever placed. */
static inline void *window_hva(const struct window *window, uint64_t gpa)
{
    return window->is_reserved ? window_at(window, gpa) : NULL;
}

/*
 * The range, of any alignment, lies in what the window mirrors. False while nothing was ever
 * placed.
 */
static inline bool window_covers(const struct window *window, struct range range)
{
    return window->is_reserved &&
           range_contains((struct range){window->first, window->size - window->first}, range);
}

/*
 * The capability of the page behind a pointer into one of env's windows, as its owner says; else
 * seL4_CapNull.
 */
seL4_CPtr window_find_cap(struct env *env, const void *pointer);

#endif
