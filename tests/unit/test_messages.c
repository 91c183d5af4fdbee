/* Messages through endpoints: sending, receiving, calling, answering. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "env/env.h"
#include "support/envs.h"

struct peer {
    pthread_t thread;
    hostvm_env_t *env;
    seL4_CPtr cptr;
    seL4_MessageInfo_t info;
    seL4_Word badge;
    seL4_Word words[4];
};

static seL4_CPtr new_endpoint(hostvm_env_t *env)
{
    vka_object_t object;

    assert_int_equal(vka_alloc_endpoint(&env->vka, &object), 0);
    return object.cptr;
}

static seL4_CPtr mint(hostvm_env_t *env, seL4_CPtr src, seL4_Word badge)
{
    cspacepath_t from;
    cspacepath_t to;

    vka_cspace_make_path(&env->vka, src, &from);
    assert_int_equal(vka_cspace_alloc_path(&env->vka, &to), 0);
    assert_int_equal(vka_cnode_mint(&to, &from, seL4_AllRights, badge), 0);
    return to.capPtr;
}

static void start(struct peer *peer, hostvm_env_t *env, seL4_CPtr cptr, void *(*run)(void *))
{
    *peer = (struct peer){.env = env, .cptr = cptr};
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
}

static void *send_three_words(void *cookie)
{
    struct peer *peer = cookie;

    for (int i = 0; i < 3; i++) {
        seL4_SetMR(i, 100 + (seL4_Word)i);
    }
    seL4_Send(peer->cptr, seL4_MessageInfo_new(7, 0, 0, 3));
    return NULL;
}

static void *call_and_keep_the_answer(void *cookie)
{
    struct peer *peer = cookie;

    seL4_SetMR(0, 20);
    peer->info = seL4_Call(peer->cptr, seL4_MessageInfo_new(1, 0, 0, 1));
    peer->words[0] = seL4_GetMR(0);
    return NULL;
}

static void *receive_once(void *cookie)
{
    struct peer *peer = cookie;

    peer->info = seL4_Recv(peer->cptr, &peer->badge);
    for (int i = 0; i < 4; i++) {
        peer->words[i] = seL4_GetMR(i);
    }
    return NULL;
}

static void wait_until_received_from(hostvm_env_t *env, seL4_CPtr cptr)
{
    struct ntfn *endpoint;

    assert_int_equal(ntfn_get(&env->priv->env, cptr, &endpoint, NULL), 0);
    while (atomic_load(&endpoint->nr_waiting) == 0) {
        sched_yield();
    }
    ntfn_put(endpoint);
}

static void wait_until_sent_to(hostvm_env_t *env, seL4_CPtr cptr)
{
    struct ntfn *endpoint;
    bool has_sender = false;

    assert_int_equal(ntfn_get(&env->priv->env, cptr, &endpoint, NULL), 0);
    while (!has_sender) {
        pthread_mutex_lock(&endpoint->lock);
        has_sender = endpoint->senders != NULL;
        pthread_mutex_unlock(&endpoint->lock);
        sched_yield();
    }
    ntfn_put(endpoint);
}

static void test_registers_are_the_threads_own_and_bounded(void **state)
{
    (void)state;
    seL4_SetMR(0, 5);
    seL4_SetMR(119, 6);
    seL4_SetMR(120, 7);
    seL4_SetMR(-1, 8);
    assert_int_equal(seL4_GetMR(0), 5);
    assert_int_equal(seL4_GetMR(119), 6);
    assert_int_equal(seL4_GetMR(120), 0);
    assert_int_equal(seL4_GetMR(-1), 0);
}

static void test_a_message_arrives_with_words_label_and_badge(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    seL4_MessageInfo_t info;
    struct peer peer;
    seL4_Word badge;

    (void)state;
    start(&peer, &env, mint(&env, endpoint, 33), send_three_words);
    info = seL4_Recv(endpoint, &badge);
    pthread_join(peer.thread, NULL);
    assert_int_equal(badge, 33);
    assert_int_equal(seL4_MessageInfo_get_label(info), 7);
    assert_int_equal(seL4_MessageInfo_get_length(info), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seL4_GetMR(i), 100 + i);
    }
    hostvm_env_destroy(&env);
}

static void test_a_receiver_that_came_first_gets_the_message(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    struct peer peer;

    (void)state;
    start(&peer, &env, endpoint, receive_once);
    wait_until_received_from(&env, endpoint);
    (void)send_three_words(&(struct peer){.cptr = endpoint});
    pthread_join(peer.thread, NULL);
    assert_int_equal(seL4_MessageInfo_get_length(peer.info), 3);
    assert_int_equal(peer.words[2], 102);
    hostvm_env_destroy(&env);
}

static void test_sending_without_waiting_needs_a_receiver(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    seL4_Word badge = 77;
    struct peer peer;

    (void)state;
    seL4_NBSend(endpoint, seL4_MessageInfo_new(1, 0, 0, 0));
    assert_int_equal(seL4_MessageInfo_get_label(seL4_NBRecv(endpoint, &badge)), 0);
    assert_int_equal(badge, 0);
    start(&peer, &env, endpoint, receive_once);
    wait_until_received_from(&env, endpoint);
    seL4_NBSend(endpoint, seL4_MessageInfo_new(9, 0, 0, 0));
    pthread_join(peer.thread, NULL);
    assert_int_equal(seL4_MessageInfo_get_label(peer.info), 9);
    hostvm_env_destroy(&env);
}

static void test_a_call_returns_with_its_answer(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    struct peer peer;
    seL4_Word badge;

    (void)state;
    start(&peer, &env, endpoint, call_and_keep_the_answer);
    (void)seL4_Recv(endpoint, &badge);
    seL4_SetMR(0, seL4_GetMR(0) * 2);
    seL4_Reply(seL4_MessageInfo_new(5, 0, 0, 1));
    pthread_join(peer.thread, NULL);
    assert_int_equal(seL4_MessageInfo_get_label(peer.info), 5);
    assert_int_equal(peer.words[0], 40);
    seL4_Reply(seL4_MessageInfo_new(0, 0, 0, 0));
    hostvm_env_destroy(&env);
}

static void test_a_call_that_is_passed_over_fails(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    struct peer peer;

    (void)state;
    start(&peer, &env, endpoint, call_and_keep_the_answer);
    (void)seL4_Recv(endpoint, NULL);
    (void)seL4_NBRecv(endpoint, NULL);
    pthread_join(peer.thread, NULL);
    assert_int_equal(seL4_MessageInfo_get_label(peer.info), seL4_FailedLookup);
    hostvm_env_destroy(&env);
}

static void test_deleting_an_endpoint_ends_all_waiting(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr for_sender = new_endpoint(&env);
    seL4_CPtr for_receiver = new_endpoint(&env);
    struct peer sender;
    struct peer receiver;

    (void)state;
    start(&sender, &env, for_sender, call_and_keep_the_answer);
    start(&receiver, &env, for_receiver, receive_once);
    wait_until_sent_to(&env, for_sender);
    wait_until_received_from(&env, for_receiver);
    envs_delete(&env, for_sender);
    envs_delete(&env, for_receiver);
    pthread_join(sender.thread, NULL);
    pthread_join(receiver.thread, NULL);
    assert_int_equal(seL4_MessageInfo_get_label(sender.info), seL4_FailedLookup);
    assert_int_equal(receiver.badge, 0);
    hostvm_env_destroy(&env);
}

static void test_a_receiver_hears_signals_too(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr endpoint = new_endpoint(&env);
    struct peer peer;
    seL4_Word badge = 0;

    (void)state;
    seL4_Signal(mint(&env, endpoint, 3));
    assert_int_equal(seL4_MessageInfo_get_length(seL4_Recv(endpoint, &badge)), 0);
    assert_int_equal(badge, 3);
    start(&peer, &env, endpoint, receive_once);
    wait_until_received_from(&env, endpoint);
    seL4_Signal(mint(&env, endpoint, 4));
    pthread_join(peer.thread, NULL);
    assert_int_equal(peer.badge, 4);
    hostvm_env_destroy(&env);
}

static void test_sending_to_a_notification_signals_it(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_Word badge = 0;

    (void)state;
    seL4_Send(mint(&env, env.endpoint, 8), seL4_MessageInfo_new(1, 0, 0, 0));
    (void)seL4_Recv(env.endpoint, &badge);
    assert_int_equal(badge, 8);
    (void)seL4_Call(mint(&env, env.endpoint, 9), seL4_MessageInfo_new(1, 0, 0, 0));
    (void)seL4_NBRecv(env.endpoint, &badge);
    assert_int_equal(badge, 9);
    hostvm_env_destroy(&env);
}

static void test_wrong_capabilities_return_at_once(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    seL4_Word badge = 77;

    (void)state;
    seL4_Send(0, seL4_MessageInfo_new(0, 0, 0, 0));
    seL4_Send(frame, seL4_MessageInfo_new(0, 0, 0, 0));
    (void)seL4_Recv(frame, &badge);
    assert_int_equal(badge, 0);
    (void)seL4_Recv(0, NULL);
    assert_int_equal(seL4_MessageInfo_get_label(seL4_Call(frame, seL4_MessageInfo_new(0, 0, 0, 0))),
                     seL4_FailedLookup);
    hostvm_env_destroy(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers_are_the_threads_own_and_bounded),
        cmocka_unit_test(test_a_message_arrives_with_words_label_and_badge),
        cmocka_unit_test(test_a_receiver_that_came_first_gets_the_message),
        cmocka_unit_test(test_sending_without_waiting_needs_a_receiver),
        cmocka_unit_test(test_a_call_returns_with_its_answer),
        cmocka_unit_test(test_a_call_that_is_passed_over_fails),
        cmocka_unit_test(test_deleting_an_endpoint_ends_all_waiting),
        cmocka_unit_test(test_a_receiver_hears_signals_too),
        cmocka_unit_test(test_sending_to_a_notification_signals_it),
        cmocka_unit_test(test_wrong_capabilities_return_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
