/* Notifications: badges, waiting, descriptors, watchers; none is lost, none arrives twice. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "env/env.h"
#include "env/ipc.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"
#include "support/readable.h"

static seL4_CPtr mint(hostvm_env_t *env, seL4_CPtr src, seL4_Word badge)
{
    cspacepath_t from;
    cspacepath_t to;

    vka_cspace_make_path(&env->vka, src, &from);
    assert_int_equal(vka_cspace_alloc_path(&env->vka, &to), 0);
    assert_int_equal(vka_cnode_mint(&to, &from, seL4_AllRights, badge), 0);
    return to.capPtr;
}

static struct ntfn *get(hostvm_env_t *env)
{
    struct ntfn *ntfn;

    assert_int_equal(ntfn_get(&env->priv->env, env->endpoint, &ntfn, NULL), 0);
    return ntfn;
}

static void test_signals_between_two_takes_arrive_as_one(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    seL4_Word badge = 0;

    (void)state;
    assert_false(ntfn_take(ntfn, &badge));
    seL4_Signal(mint(&env, env.endpoint, 0x8000001));
    seL4_Signal(mint(&env, env.endpoint, 1ul << 63));
    assert_true(ntfn_is_pending(ntfn));
    assert_true(ntfn_take(ntfn, &badge));
    assert_int_equal(badge, 1ul << 63 | 0x8000001);
    assert_false(ntfn_take(ntfn, &badge));
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void test_a_badge_of_zero_arrives(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    seL4_Word badge = 77;

    (void)state;
    seL4_Signal(env.endpoint);
    assert_true(ntfn_is_pending(ntfn));
    assert_true(ntfn_take(ntfn, &badge));
    assert_int_equal(badge, 0);
    assert_false(ntfn_take(ntfn, &badge));
    ntfn_signal(ntfn, 0);
    ntfn_signal(ntfn, 4);
    assert_true(ntfn_take(ntfn, &badge));
    assert_int_equal(badge, 4);
    assert_false(ntfn_take(ntfn, &badge));
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void test_polling_and_waiting_take_what_is_pending(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr badged = mint(&env, env.endpoint, 6);
    seL4_Word badge = 77;

    (void)state;
    (void)seL4_Poll(env.endpoint, &badge);
    assert_int_equal(badge, 0);
    seL4_Signal(badged);
    (void)seL4_Poll(badged, &badge);
    assert_int_equal(badge, 6);
    seL4_Signal(badged);
    seL4_Wait(env.endpoint, &badge);
    assert_int_equal(badge, 6);
    seL4_Signal(badged);
    seL4_Wait(env.endpoint, NULL);
    (void)seL4_Poll(env.endpoint, NULL);
    hostvm_env_destroy(&env);
}

static void test_the_descriptor_is_readable_while_something_is_pending(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    seL4_Word badge;
    int fd;

    (void)state;
    seL4_Signal(env.endpoint);
    fd = ntfn_fd(ntfn);
    assert_true(fd >= 0);
    assert_int_equal(ntfn_fd(ntfn), fd);
    assert_true(is_readable_fd(fd));
    assert_true(ntfn_take(ntfn, &badge));
    assert_false(is_readable_fd(fd));
    for (int i = 0; i < 3; i++) {
        seL4_Signal(env.endpoint);
        assert_true(is_readable_fd(fd));
    }
    assert_true(ntfn_take(ntfn, &badge));
    assert_false(is_readable_fd(fd));
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void test_no_descriptor_is_made_before_it_is_asked_for(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    struct leak_state before;
    seL4_Word badge;

    (void)state;
    leak_begin(&before);
    seL4_Signal(env.endpoint);
    seL4_Wait(env.endpoint, &badge);
    leak_check(&before);
    inject_fail_nth(1);
    assert_int_equal(ntfn_fd(ntfn), -EMFILE);
    inject_disarm();
    leak_check(&before);
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void count_wake(void *cookie)
{
    atomic_fetch_add((atomic_int *)cookie, 1);
}

static int watch(struct env *env, seL4_CPtr cptr, void (*wake)(void *cookie), void *cookie)
{
    struct ntfn *ntfn;
    int r = ntfn_get(env, cptr, &ntfn, NULL);

    if (r == 0) {
        r = ntfn_set_wake(ntfn, wake, cookie);
        ntfn_put(ntfn);
    }
    return r;
}

static int unwatch(struct env *env, seL4_CPtr cptr)
{
    struct ntfn *ntfn;
    int r = ntfn_get(env, cptr, &ntfn, NULL);

    if (r == 0) {
        ntfn_clear_wake(ntfn);
        ntfn_put(ntfn);
    }
    return r;
}

static void test_a_watcher_hears_every_signal_and_what_was_pending(void **state)
{
    hostvm_env_t env = envs_create();
    struct env *inner = &env.priv->env;
    atomic_int nr_wakes = 0;

    (void)state;
    seL4_Signal(env.endpoint);
    assert_int_equal(watch(inner, env.endpoint, count_wake, &nr_wakes), 0);
    assert_int_equal(nr_wakes, 1);
    seL4_Signal(env.endpoint);
    seL4_Signal(env.endpoint);
    assert_int_equal(nr_wakes, 3);
    assert_int_equal(watch(inner, env.endpoint, count_wake, &nr_wakes), -EBUSY);
    assert_reason("cannot watch the notification: somebody else does; one VM is the most");
    assert_int_equal(unwatch(inner, env.endpoint), 0);
    seL4_Signal(env.endpoint);
    assert_int_equal(nr_wakes, 3);
    assert_int_equal(watch(inner, 0, count_wake, &nr_wakes), -ENOENT);
    assert_int_equal(unwatch(inner, 0), -ENOENT);
    hostvm_env_destroy(&env);
}

static void test_a_held_notification_survives_its_capabilities(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    atomic_int nr_wakes = 0;
    seL4_Word badge = 0;

    (void)state;
    assert_int_equal(ntfn_set_wake(ntfn, count_wake, &nr_wakes), 0);
    envs_delete(&env, env.endpoint);
    seL4_Signal(env.endpoint);
    assert_int_equal(nr_wakes, 0);
    ntfn_signal(ntfn, 3);
    assert_int_equal(nr_wakes, 1);
    assert_true(ntfn_take(ntfn, &badge));
    assert_int_equal(badge, 3);
    ntfn_clear_wake(ntfn);
    ntfn_put(ntfn);
    ntfn_put(NULL);
    hostvm_env_destroy(&env);
}

static void test_a_recycled_notification_starts_afresh(void **state)
{
    hostvm_env_t env = envs_create();
    atomic_int nr_wakes = 0;
    vka_object_t object;
    struct ntfn *ntfn;
    seL4_Word badge;

    (void)state;
    assert_int_equal(vka_alloc_notification(&env.vka, &object), 0);
    assert_int_equal(watch(&env.priv->env, object.cptr, count_wake, &nr_wakes), 0);
    seL4_Signal(object.cptr);
    assert_int_equal(ntfn_get(&env.priv->env, object.cptr, &ntfn, NULL), 0);
    assert_true(ntfn_fd(ntfn) >= 0);
    ntfn_put(ntfn);
    vka_free_object(&env.vka, &object);
    assert_int_equal(vka_alloc_endpoint(&env.vka, &object), 0);
    assert_int_equal(ntfn_get(&env.priv->env, object.cptr, &ntfn, NULL), 0);
    assert_false(ntfn_take(ntfn, &badge));
    assert_int_equal(ntfn->fd, -1);
    seL4_Signal(object.cptr);
    assert_int_equal(nr_wakes, 1);
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void test_waiting_ends_when_the_last_capability_goes(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    seL4_Word badge = 0;

    (void)state;
    envs_delete(&env, env.endpoint);
    assert_int_equal(ntfn_wait(ntfn, &badge), -ECANCELED);
    assert_reason("the notification was deleted while it was waited for");
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

static void test_a_signal_to_the_wrong_type_is_an_error(void **state)
{
    hostvm_env_t env = envs_create();

    (void)state;
    seL4_Signal(envs_frame(&env, 12));
    assert_reason("cannot signal: the capability names no notification or endpoint");
    hostvm_env_destroy(&env);
}

/* --- from a signal handler --- */

static atomic_ulong handler_target;

static void signal_from_handler(int number)
{
    (void)number;
    seL4_Signal(atomic_load(&handler_target));
}

static void test_signalling_works_in_a_signal_handler(void **state)
{
    struct sigaction action = {.sa_handler = signal_from_handler};
    struct sigaction old;
    hostvm_env_t env = envs_create();
    seL4_Word badge = 0;

    (void)state;
    handler_target = mint(&env, env.endpoint, 12);
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    env_lock(&env.priv->env); /* whatever the thread holds */
    errno = 77;
    raise(SIGUSR1);
    assert_int_equal(errno, 77);
    env_unlock(&env.priv->env);
    seL4_Wait(env.endpoint, &badge);
    assert_int_equal(badge, 12);
    assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
    hostvm_env_destroy(&env);
}

/* --- between threads --- */

enum { NR_SENDERS = 3, NR_SIGNALS = 3000 };

struct sender {
    pthread_t thread;
    seL4_CPtr badged;
    atomic_uint *nr_taken; /* of this sender's badge */
};

static void *send_many(void *cookie)
{
    struct sender *sender = cookie;

    /* every signal is taken before the next, so that each must arrive by itself */
    for (unsigned i = 0; i < NR_SIGNALS; i++) {
        seL4_Signal(sender->badged);
        while (atomic_load(sender->nr_taken) <= i) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_no_signal_is_lost_or_doubled_between_threads(void **state)
{
    hostvm_env_t env = envs_create();
    atomic_uint nr_taken[NR_SENDERS] = {0};
    struct sender senders[NR_SENDERS];
    unsigned nr_left = NR_SENDERS * NR_SIGNALS;
    seL4_Word badge;

    (void)state;
    for (unsigned i = 0; i < NR_SENDERS; i++) {
        senders[i] =
            (struct sender){.badged = mint(&env, env.endpoint, 1ul << i), .nr_taken = &nr_taken[i]};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    while (nr_left > 0) {
        seL4_Wait(env.endpoint, &badge);
        assert_int_not_equal(badge, 0);
        for (unsigned i = 0; i < NR_SENDERS; i++) {
            if ((badge >> i & 1) != 0) {
                atomic_fetch_add(&nr_taken[i], 1);
                nr_left--;
            }
        }
    }
    for (unsigned i = 0; i < NR_SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    (void)seL4_Poll(env.endpoint, &badge);
    assert_int_equal(badge, 0);
    hostvm_env_destroy(&env);
}

struct race {
    hostvm_env_t env;
    _Atomic seL4_CPtr cptr;
    atomic_bool is_over;
};

static void *signal_on_and_on(void *cookie)
{
    struct race *race = cookie;

    while (!atomic_load(&race->is_over)) {
        seL4_Signal(atomic_load(&race->cptr));
    }
    return NULL;
}

static void test_signalling_races_with_deletion_harmlessly(void **state)
{
    struct race race = {.env = envs_create()};
    pthread_t thread;

    (void)state;
    race.cptr = race.env.endpoint;
    assert_int_equal(pthread_create(&thread, NULL, signal_on_and_on, &race), 0);
    for (int i = 0; i < 5000; i++) {
        atomic_int nr_wakes = 0;
        vka_object_t object;

        assert_int_equal(vka_alloc_notification(&race.env.vka, &object), 0);
        atomic_store(&race.cptr, object.cptr);
        assert_int_equal(watch(&race.env.priv->env, object.cptr, count_wake, &nr_wakes), 0);
        if (i % 2 == 0) {
            assert_int_equal(unwatch(&race.env.priv->env, object.cptr), 0);
        }
        vka_free_object(&race.env.vka, &object);
    }
    atomic_store(&race.is_over, true);
    pthread_join(thread, NULL);
    hostvm_env_destroy(&race.env);
}

static void *wait_once(void *cookie)
{
    seL4_Word badge = 77;

    seL4_Wait(*(seL4_CPtr *)cookie, &badge);
    return (void *)badge;
}

static void test_deleting_wakes_a_waiting_thread(void **state)
{
    hostvm_env_t env = envs_create();
    struct ntfn *ntfn = get(&env);
    pthread_t thread;
    void *badge;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, wait_once, &env.endpoint), 0);
    while (atomic_load(&ntfn->nr_waiting) == 0) {
        sched_yield();
    }
    envs_delete(&env, env.endpoint);
    pthread_join(thread, &badge);
    assert_null(badge);
    ntfn_put(ntfn);
    hostvm_env_destroy(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_between_two_takes_arrive_as_one),
        cmocka_unit_test(test_a_badge_of_zero_arrives),
        cmocka_unit_test(test_polling_and_waiting_take_what_is_pending),
        cmocka_unit_test(test_the_descriptor_is_readable_while_something_is_pending),
        cmocka_unit_test(test_no_descriptor_is_made_before_it_is_asked_for),
        cmocka_unit_test(test_a_watcher_hears_every_signal_and_what_was_pending),
        cmocka_unit_test(test_a_held_notification_survives_its_capabilities),
        cmocka_unit_test(test_a_recycled_notification_starts_afresh),
        cmocka_unit_test(test_waiting_ends_when_the_last_capability_goes),
        cmocka_unit_test(test_a_signal_to_the_wrong_type_is_an_error),
        cmocka_unit_test(test_signalling_works_in_a_signal_handler),
        cmocka_unit_test(test_no_signal_is_lost_or_doubled_between_threads),
        cmocka_unit_test(test_signalling_races_with_deletion_harmlessly),
        cmocka_unit_test(test_deleting_wakes_a_waiting_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
