/* The recursive lock's slow half. */
#include "base/lock.h"

void lock_await(struct lock *lock)
{
    while (atomic_exchange_explicit(&lock->state, LOCK_AWAITED, memory_order_acquire) !=
           LOCK_FREE) {
        futex_wait(&lock->state, LOCK_AWAITED);
    }
}

/* The round is read under the lock: whoever wakes from now on changes it first. */
void lock_wait(struct lock *lock)
{
    unsigned round = atomic_load_explicit(&lock->round, memory_order_relaxed);

    lock_leave(lock);
    futex_wait(&lock->round, round);
    lock_enter(lock);
}

void lock_wake(struct lock *lock)
{
    atomic_fetch_add_explicit(&lock->round, 1, memory_order_relaxed);
    futex_wake_all(&lock->round);
}
