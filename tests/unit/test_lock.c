/* The recursive lock: one thread at a time, as often as it likes; waiting under it. */
#include "base/lock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NR_THREADS = 4, NR_ROUNDS = 20000 };

struct shared {
    struct lock lock;
    unsigned counter; /* guarded by lock */
    unsigned nr_waiting;
    bool may_go;
};

static void *count_up(void *arg)
{
    struct shared *shared = arg;

    for (unsigned i = 0; i < NR_ROUNDS; i++) {
        lock_enter(&shared->lock);
        lock_enter(&shared->lock);
        shared->counter++;
        lock_leave(&shared->lock);
        shared->counter++;
        lock_leave(&shared->lock);
    }
    return NULL;
}

static void test_threads_exclude_each_other(void **state)
{
    struct shared shared = {.counter = 0};
    pthread_t threads[NR_THREADS];

    (void)state;
    for (unsigned i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &shared), 0);
    }
    for (unsigned i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared.counter, 2 * NR_THREADS * NR_ROUNDS);
    assert_int_equal(shared.lock.state, LOCK_FREE);
    assert_null(shared.lock.owner);
}

static void *try_it(void *arg)
{
    struct shared *shared = arg;

    if (!lock_try(&shared->lock)) {
        return NULL;
    }
    lock_leave(&shared->lock);
    return shared;
}

static void *tried_elsewhere(struct shared *shared)
{
    pthread_t thread;
    void *result;

    assert_int_equal(pthread_create(&thread, NULL, try_it, shared), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

static void test_try_succeeds_for_the_owner_and_when_free(void **state)
{
    struct shared shared = {.counter = 0};

    (void)state;
    assert_ptr_equal(tried_elsewhere(&shared), &shared);
    lock_enter(&shared.lock);
    assert_true(lock_try(&shared.lock));
    assert_null(tried_elsewhere(&shared));
    lock_leave(&shared.lock);
    assert_null(tried_elsewhere(&shared)); /* entered twice, left once */
    lock_leave(&shared.lock);
    assert_ptr_equal(tried_elsewhere(&shared), &shared);
}

static void *wait_for_go(void *arg)
{
    struct shared *shared = arg;

    lock_enter(&shared->lock);
    shared->nr_waiting++;
    lock_wake(&shared->lock);
    while (!shared->may_go) {
        lock_wait(&shared->lock);
    }
    shared->counter++;
    lock_leave(&shared->lock);
    return NULL;
}

static void test_all_who_wait_are_woken(void **state)
{
    struct shared shared = {.counter = 0};
    pthread_t threads[NR_THREADS];

    (void)state;
    for (unsigned i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_go, &shared), 0);
    }
    lock_enter(&shared.lock);
    while (shared.nr_waiting < NR_THREADS) {
        lock_wait(&shared.lock);
    }
    assert_int_equal(shared.counter, 0);
    shared.may_go = true;
    lock_wake(&shared.lock);
    lock_leave(&shared.lock);
    for (unsigned i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared.counter, NR_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_exclude_each_other),
        cmocka_unit_test(test_try_succeeds_for_the_owner_and_when_free),
        cmocka_unit_test(test_all_who_wait_are_woken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
