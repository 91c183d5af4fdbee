/* A recursive lock, and waiting under it: cheaper than the C library's, which is made for more. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/futex.h"

/* Zero: free. */
struct lock {
    atomic_uint state;     /* enum lock_state */
    unsigned depth;        /* how often its owner has entered it again; the owner's */
    _Atomic(void *) owner; /* a thread's, see lock_self; NULL: none */
    atomic_uint round;     /* of lock_wake */
};

enum lock_state {
    LOCK_FREE,
    LOCK_HELD,
    LOCK_AWAITED, /* held, and somebody may sleep until it is free */
};

/* No two threads that live have the same. */
static inline void *lock_self(void)
{
    return __builtin_thread_pointer();
}

/* What lock_enter does when the lock is not free. */
void lock_await(struct lock *lock);

/* The owner's word needs no order: only this thread can have written its own there. */
static inline bool lock_is_mine(struct lock *lock)
{
    return atomic_load_explicit(&lock->owner, memory_order_relaxed) == lock_self();
}

/* For a thread that does not hold it: false when another one does. */
static inline bool lock_take(struct lock *lock)
{
    unsigned seen = LOCK_FREE;

    return atomic_compare_exchange_strong_explicit(&lock->state, &seen, LOCK_HELD,
                                                   memory_order_acquire, memory_order_relaxed);
}

static inline void lock_enter(struct lock *lock)
{
    if (lock_is_mine(lock)) {
        lock->depth++;
        return;
    }
    if (!lock_take(lock)) {
        lock_await(lock);
    }
    atomic_store_explicit(&lock->owner, lock_self(), memory_order_relaxed);
}

/* Returns at once: false when another thread holds it. */
static inline bool lock_try(struct lock *lock)
{
    if (lock_is_mine(lock)) {
        lock->depth++;
        return true;
    }
    if (!lock_take(lock)) {
        return false;
    }
    atomic_store_explicit(&lock->owner, lock_self(), memory_order_relaxed);
    return true;
}

static inline void lock_leave(struct lock *lock)
{
    if (lock->depth > 0) {
        lock->depth--;
        return;
    }
    atomic_store_explicit(&lock->owner, NULL, memory_order_relaxed);
    if (atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release) == LOCK_AWAITED) {
        futex_wake_one(&lock->state);
    }
}

/* Leaves the lock, entered once, until somebody wakes; may return for no reason. */
void lock_wait(struct lock *lock);

/* Wakes all who wait. Lock held. */
void lock_wake(struct lock *lock);

#endif
