/* What reaches a running VM from outside: signals, stops, and how a run ends. */
#include "support/vm.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vm_util.h>

/* The guest spins until there is something in its memory. */
GUEST_CODE(spin, GUEST_KNOCK GUEST_AWAIT(0x5000) GUEST_EXIT);

/* What the notifications were, and what is done at them. */
struct listener {
    struct testvm *t;
    pthread_t runner; /* of vm_run */
    unsigned nr_calls;
    seL4_Word badges[4];
    int result;
    void (*act)(struct listener *listener, vm_t *vm); /* NULL: nothing */
};

static void let_guest_go(struct listener *listener, vm_t *vm)
{
    (void)vm;
    *(volatile uint32_t *)testvm_pointer(listener->t, DATA_GPA, 4) = 1;
}

static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    struct listener *listener = cookie;

    assert_ptr_equal(vm, &listener->t->vm);
    assert_int_equal(seL4_MessageInfo_get_length(tag), 0);
    assert_int_equal(seL4_MessageInfo_get_label(tag), 0);
    assert_true(pthread_equal(pthread_self(), listener->runner));
    assert_true(listener->nr_calls < 4);
    listener->badges[listener->nr_calls++] = badge;
    if (listener->act != NULL) {
        listener->act(listener, vm);
    }
    return listener->result;
}

static void listen_for(struct testvm *t, struct listener *listener)
{
    listener->t = t;
    listener->runner = pthread_self();
    assert_int_equal(vm_register_notification_callback(&t->vm, notified, listener), 0);
}

/* The VM's endpoint with a badge. */
static seL4_CPtr with_badge(struct testvm *t, seL4_Word badge)
{
    cspacepath_t from;
    cspacepath_t to;

    vka_cspace_make_path(&t->env.vka, t->env.endpoint, &from);
    assert_int_equal(vka_cspace_alloc_path(&t->env.vka, &to), 0);
    assert_int_equal(vka_cnode_mint(&to, &from, seL4_AllRights, badge), 0);
    return to.capPtr;
}

/* Another thread: does something as soon as the guest has knocked. */
struct helper {
    pthread_t thread;
    sem_t is_reached;
    void (*act)(struct helper *helper);
    struct testvm *t;
    seL4_CPtr cap;
    pthread_t runner;
};

static void *help(void *arg)
{
    struct helper *helper = arg;

    while (sem_wait(&helper->is_reached) != 0) {
    }
    helper->act(helper);
    return NULL;
}

static void reached(vm_vcpu_t *vcpu, void *cookie)
{
    struct helper *helper = cookie;

    (void)vcpu;
    assert_int_equal(sem_post(&helper->is_reached), 0);
}

static void start_helper(struct testvm *t, struct helper *helper)
{
    helper->t = t;
    helper->runner = pthread_self();
    assert_int_equal(sem_init(&helper->is_reached, 0, 0), 0);
    testvm_listen(t, reached, helper);
    assert_int_equal(pthread_create(&helper->thread, NULL, help, helper), 0);
}

static void end_helper(struct helper *helper)
{
    assert_int_equal(sem_post(&helper->is_reached), 0); /* if the guest never came so far */
    assert_int_equal(pthread_join(helper->thread, NULL), 0);
    assert_int_equal(sem_destroy(&helper->is_reached), 0);
}

static void signal_cap(struct helper *helper)
{
    seL4_Signal(helper->cap);
}

static void notify(struct helper *helper)
{
    (void)hostvm_notify(&helper->t->vm, 0x42);
}

static void stop(struct helper *helper)
{
    (void)hostvm_vm_stop(&helper->t->vm);
}

/* --- notifications --- */

static void test_a_signal_reaches_the_callback_while_the_guest_spins(void **state)
{
    static const int kick_signals[] = {0, SIGUSR2};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t =
            testvm_create_with((hostvm_env_config_t){.kick_signal = kick_signals[i]});
        struct listener listener = {.act = let_guest_go};
        struct helper helper = {.act = signal_cap};

        testvm_boot(t, &spin);
        listen_for(t, &listener);
        helper.cap = with_badge(t, 0x42);
        start_helper(t, &helper);
        testvm_run_to_exit(t);
        end_helper(&helper);
        assert_int_equal(listener.nr_calls, 1);
        assert_int_equal(listener.badges[0], 0x42);
        testvm_destroy(t);
    }
}

static void test_a_notification_needs_no_capability(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = let_guest_go};
    struct helper helper = {.act = notify};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    start_helper(t, &helper);
    testvm_run_to_exit(t);
    end_helper(&helper);
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(listener.badges[0], 0x42);
}

static void test_signals_before_delivery_are_one_with_their_badges_together(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = let_guest_go};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    seL4_Signal(with_badge(t, 0x1));
    seL4_Signal(with_badge(t, 0x4));
    assert_int_equal(hostvm_notify(&t->vm, 0x10), 0);
    testvm_run_to_exit(t);
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(listener.badges[0], 0x15);
}

static void test_a_signal_without_badge_reaches_the_callback(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = let_guest_go};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    seL4_Signal(t->env.endpoint);
    testvm_run_to_exit(t);
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(listener.badges[0], 0);
}

static void signal_once_more(struct listener *listener, vm_t *vm)
{
    if (listener->nr_calls < 3) {
        assert_int_equal(hostvm_notify(vm, listener->nr_calls), 0);
    } else {
        let_guest_go(listener, vm);
    }
}

static void test_a_callback_may_signal_its_own_vm(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = signal_once_more};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    seL4_Signal(t->env.endpoint);
    testvm_run_to_exit(t);
    assert_int_equal(listener.nr_calls, 3);
    assert_int_equal(listener.badges[2], 2);
}

static void test_a_callbacks_failure_ends_the_run_and_the_guest_can_go_on(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = let_guest_go, .result = -1};
    struct helper helper = {.act = notify};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    start_helper(t, &helper);
    assert_int_equal(testvm_run(t), -1);
    end_helper(&helper);
    assert_reason("the notification callback reported failure for badge 0x42");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(listener.nr_calls, 1);
    testvm_run_to_exit(t);
    assert_int_equal(listener.nr_calls, 1);
}

static void test_a_result_of_one_is_a_failure_where_libsel4vm_takes_it_for_one(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = let_guest_go, .result = 1};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    seL4_Signal(t->env.endpoint);
    assert_int_equal(testvm_run(t), NOTIFICATION_RESULT_OF_ONE);
    assert_int_equal(t->nr_exits, NOTIFICATION_RESULT_OF_ONE == 0 ? 1 : 0);
    assert_int_equal(listener.nr_calls, 1);
}

static void test_a_signal_without_a_callback_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct helper helper = {.act = notify};

    testvm_boot(t, &spin);
    start_helper(t, &helper);
    assert_int_equal(testvm_run(t), -1);
    end_helper(&helper);
    assert_reason("a notification with badge 0x42 arrived, but no callback is registered; see "
                  "vm_register_notification_callback");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
}

static void stop_vm(struct listener *listener, vm_t *vm)
{
    (void)listener;
    assert_int_equal(hostvm_vm_stop(vm), 0);
}

static void test_without_a_vcpu_notifications_are_served(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = stop_vm};

    listen_for(t, &listener);
    seL4_Signal(with_badge(t, 0x8));
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(listener.badges[0], 0x8);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
}

static void start_vcpu(struct listener *listener, vm_t *vm)
{
    (void)vm;
    assert_int_equal(vcpu_start(listener->t->vcpu), 0);
}

static void test_a_callback_may_start_the_vcpu(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = start_vcpu};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    *(uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    seL4_Signal(t->env.endpoint);
    watchdog_begin(&t->vm);
    assert_int_equal(vm_run(&t->vm), 0);
    watchdog_end();
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(t->nr_exits, 1);
}

/* --- guests that sleep --- */

GUEST_CODE(halt_for_good, GUEST_KNOCK GUEST_HALT GUEST_EXIT);

static void test_a_halted_guest_does_not_end_the_run(void **state)
{
    static const bool has_controller[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct listener listener = {.act = stop_vm};
        struct helper helper = {.act = signal_cap};

        testvm_boot(t, &halt_for_good);
        if (has_controller[i]) {
            assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        }
        listen_for(t, &listener);
        helper.cap = with_badge(t, 0x42);
        start_helper(t, &helper);
        assert_int_equal(testvm_run(t), 0);
        end_helper(&helper);
        assert_int_equal(listener.badges[0], 0x42);
        assert_int_equal(t->nr_exits, 0);
        assert_true(is_vcpu_online(t->vcpu));
        assert_int_equal(hostvm_notify(&t->vm, 1), 0);
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(listener.nr_calls, 2);
        assert_int_equal(t->nr_exits, 0);
        testvm_destroy(t);
    }
}

GUEST_CODE(sleep_until_interrupt,
           GUEST_IRQ_SET_UP GUEST_IRQ_UNMASK GUEST_KNOCK GUEST_SLEEP_UNTIL_IRQ GUEST_SET_B(7)
               GUEST_EXIT);

static void ignore_end(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu;
    (void)irq;
    (void)cookie;
}

static void inject(struct listener *listener, vm_t *vm)
{
    (void)vm;
    assert_int_equal(vm_inject_irq(listener->t->vcpu, TEST_IRQ), 0);
}

static void test_an_interrupt_from_the_callback_wakes_a_halted_guest(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = inject};
    struct helper helper = {.act = signal_cap};

    testvm_boot(t, &sleep_until_interrupt);
    testvm_take_irqs(t, TEST_IRQ);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, ignore_end, NULL), 0);
    listen_for(t, &listener);
    helper.cap = with_badge(t, 0x42);
    start_helper(t, &helper);
    testvm_run_to_exit(t);
    end_helper(&helper);
    assert_int_equal(testvm_reg(t, REG_NR_IRQS), 1);
    assert_int_equal(testvm_reg(t, REG_B), 7);
}

/* --- stopping --- */

static void test_a_stopped_guest_goes_on_in_the_next_run(void **state)
{
    struct testvm *t = *state;
    struct helper helper = {.act = stop};

    testvm_boot(t, &spin);
    start_helper(t, &helper);
    assert_int_equal(testvm_run(t), 0);
    end_helper(&helper);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
    assert_int_equal(t->nr_exits, 0);
    assert_true(is_vcpu_online(t->vcpu));
    *(uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    testvm_run_to_exit(t);
}

static void test_a_stop_before_the_run_ends_it_before_the_guest_enters(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    *(uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(t->nr_exits, 0);
    testvm_run_to_exit(t);
}

static void test_no_notification_is_lost_to_a_stop(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.nr_calls = 0};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    assert_int_equal(hostvm_notify(&t->vm, 0x2), 0);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(listener.nr_calls, 1);
    assert_int_equal(listener.badges[0], 0x2);
}

static vm_t *vm_of_handler;

static void stop_in_handler(int signal)
{
    (void)signal;
    (void)hostvm_vm_stop(vm_of_handler);
}

static void send_signal(struct helper *helper)
{
    (void)pthread_kill(helper->runner, SIGUSR1);
}

static void test_a_signal_handler_may_stop_the_vm(void **state)
{
    const struct sigaction action = {.sa_handler = stop_in_handler};
    struct sigaction old;
    struct testvm *t = *state;
    struct helper helper = {.act = send_signal};

    vm_of_handler = &t->vm;
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    testvm_boot(t, &spin);
    start_helper(t, &helper);
    assert_int_equal(testvm_run(t), 0);
    end_helper(&helper);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
    assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

static void test_a_run_leaves_signals_as_they_were(void **state)
{
    struct testvm *t = *state;
    struct helper helper = {.act = stop};
    struct sigaction action;
    sigset_t before;
    sigset_t after;

    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    testvm_boot(t, &spin);
    start_helper(t, &helper);
    assert_int_equal(testvm_run(t), 0);
    end_helper(&helper);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        assert_int_equal(sigismember(&after, signal), sigismember(&before, signal));
    }
    assert_int_equal(sigaction(SIGRTMIN + 3, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

static void test_a_kick_signal_that_cannot_be_handled_is_refused(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.kick_signal = SIGKILL});

    (void)state;
    testvm_boot(t, &spin);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_HOST);
    testvm_destroy(t);
}

/* --- what a callback must not do --- */

static void run_again(struct listener *listener, vm_t *vm)
{
    assert_int_equal(vm_run(vm), -1);
    assert_reason("vm_run: the VM runs already");
    assert_int_equal(hostvm_vm_destroy(vm), -1);
    assert_reason("cannot destroy a VM that is in vm_run: stop it first");
    let_guest_go(listener, vm);
}

static void test_a_callback_can_neither_run_nor_destroy_its_vm(void **state)
{
    struct testvm *t = *state;
    struct listener listener = {.act = run_again};

    testvm_boot(t, &spin);
    listen_for(t, &listener);
    seL4_Signal(t->env.endpoint);
    testvm_run_to_exit(t);
    assert_int_equal(listener.nr_calls, 1);
}

/* --- guests that die --- */

GUEST_CODE(die, GUEST_DIE);

static void test_a_crash_ends_the_run_and_the_vcpu(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &die);
    assert_int_equal(testvm_run(t), -1);
    assert_reason(DIE_REASON);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_false(is_vcpu_online(t->vcpu));
}

/* A log that looks for a text. */
struct searched_log {
    const char *text;
    unsigned nr_found;
};

static void search_log(void *cookie, enum hostvm_log_level level, const char *message)
{
    struct searched_log *log = cookie;

    (void)level;
    log->nr_found += strstr(message, log->text) != NULL ? 1 : 0;
}

GUEST_CODE(load_from_nowhere, GUEST_LOAD_B(0x200004));

static void test_a_crash_is_reported_with_registers_code_exits_and_neighbours(void **state)
{
    static const char *const texts[] = {
        "test: vcpu 0 cannot go on: read of 4 bytes at 0x200004: nothing is there and nobody "
        "handled it",
        CRASH_TEXTS,
        "  exit -0: memory read of 4 bytes at 0x200004",
        "  reserved below: [0x0..0x100000)",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct searched_log log = {.text = texts[i]};
        struct testvm *t =
            testvm_create_with((hostvm_env_config_t){.log_fn = search_log, .log_cookie = &log});

        testvm_boot(t, &load_from_nowhere);
        assert_int_equal(testvm_run(t), -1);
        if (log.nr_found == 0) {
            fail_msg("no word of '%s'", texts[i]);
        }
        testvm_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_reaches_the_callback_while_the_guest_spins),
        vm_test(test_a_notification_needs_no_capability),
        vm_test(test_signals_before_delivery_are_one_with_their_badges_together),
        vm_test(test_a_signal_without_badge_reaches_the_callback),
        vm_test(test_a_callback_may_signal_its_own_vm),
        vm_test(test_a_callbacks_failure_ends_the_run_and_the_guest_can_go_on),
        vm_test(test_a_result_of_one_is_a_failure_where_libsel4vm_takes_it_for_one),
        vm_test(test_a_signal_without_a_callback_ends_the_run),
        vm_test(test_without_a_vcpu_notifications_are_served),
        vm_test(test_a_callback_may_start_the_vcpu),
        cmocka_unit_test(test_a_halted_guest_does_not_end_the_run),
        vm_test(test_an_interrupt_from_the_callback_wakes_a_halted_guest),
        vm_test(test_a_stopped_guest_goes_on_in_the_next_run),
        vm_test(test_a_stop_before_the_run_ends_it_before_the_guest_enters),
        vm_test(test_no_notification_is_lost_to_a_stop),
        vm_test(test_a_signal_handler_may_stop_the_vm),
        vm_test(test_a_run_leaves_signals_as_they_were),
        cmocka_unit_test(test_a_kick_signal_that_cannot_be_handled_is_refused),
        vm_test(test_a_callback_can_neither_run_nor_destroy_its_vm),
        vm_test(test_a_crash_ends_the_run_and_the_vcpu),
        cmocka_unit_test(test_a_crash_is_reported_with_registers_code_exits_and_neighbours),
    };

    return run_vm_tests(tests);
}
