/* A VM that is run by steps from an event loop of the caller's: what makes its descriptor readable,
 * what runs on which thread, and how such a run ends. */
#include "support/threads.h"
#include "support/vm.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/events.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"
#include "support/readable.h"

enum { PAGE = 4096 };

/* --- the caller's event loop --- */

static void start(struct testvm *t)
{
    assert_int_equal(vcpu_start(t->vcpu), 0);
}

static bool is_ready(struct testvm *t)
{
    int fd = hostvm_vm_fd(&t->vm);

    assert_true(fd >= 0);
    return is_readable_fd(fd);
}

/* Returns at once when a watchdog's signal came instead: the step finds the stop. */
static void await(struct testvm *t)
{
    struct pollfd poll_fd = {.fd = hostvm_vm_fd(&t->vm), .events = POLLIN};

    assert_true(poll_fd.fd >= 0);
    (void)poll(&poll_fd, 1, -1);
}

static int step_to_end(struct testvm *t)
{
    int r;

    watchdog_begin(&t->vm);
    while ((r = hostvm_vm_step(&t->vm)) == 1) {
        await(t);
    }
    watchdog_end();
    return r;
}

/* To the guest's nr_exits-th exit ever; it may be there already. */
static void step_to_exit(struct testvm *t, unsigned nr_exits)
{
    if (step_to_end(t) != 0) {
        fail_msg("%s", hostvm_last_error());
    }
    assert_int_equal(t->nr_exits, nr_exits);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_UNKNOWN_EXIT);
}

/* Steps until the guest is where it says so in memory. */
static void step_until(struct testvm *t, uintptr_t gpa)
{
    const volatile uint32_t *flag = testvm_pointer(t, gpa, 4);

    watchdog_begin(&t->vm);
    do {
        assert_int_equal(hostvm_vm_step(&t->vm), 1);
        (void)sched_yield();
    } while (*flag == 0);
    watchdog_end();
}

/* --- what callbacks do --- */

/* What a callback shall do, and what became of it. */
struct turn {
    struct testvm *t;
    int fd;
    unsigned nr_calls;
    pthread_t thread; /* of the last call */
    int (*act)(struct turn *turn);
    int result; /* of act */
    char reason[256];
    int verdict; /* what the callback returns, if anything */
};

static struct turn make_turn(struct testvm *t, int (*act)(struct turn *turn))
{
    struct turn turn = {.t = t, .act = act, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};

    assert_true(turn.fd >= 0);
    return turn;
}

static void take_turn(struct turn *turn)
{
    turn->nr_calls++;
    turn->thread = pthread_self();
    if (turn->act != NULL) {
        turn->result = turn->act(turn);
        (void)snprintf(turn->reason, sizeof(turn->reason), "%s", hostvm_last_error());
    }
}

static int ready(vm_t *vm, int fd, void *cookie)
{
    struct turn *turn = cookie;
    uint64_t count;

    (void)vm;
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    take_turn(turn);
    return turn->verdict;
}

static void knocked(vm_vcpu_t *vcpu, void *cookie)
{
    (void)vcpu;
    take_turn(cookie);
}

static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    struct turn *turn = cookie;

    (void)vm;
    (void)badge;
    (void)tag;
    take_turn(turn);
    return turn->verdict;
}

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu;
    (void)irq;
    take_turn(cookie);
}

static void add_event(struct turn *turn)
{
    assert_int_equal(hostvm_event_add(&turn->t->vm, turn->fd, ready, turn), 0);
}

static void end_turn(struct turn *turn)
{
    (void)hostvm_event_remove(&turn->t->vm, turn->fd);
    assert_int_equal(close(turn->fd), 0);
}

static int stop(struct turn *turn)
{
    return hostvm_vm_stop(&turn->t->vm);
}

static int let_go(struct turn *turn)
{
    *(volatile uint32_t *)testvm_pointer(turn->t, DATA_GPA, 4) = 1;
    return 0;
}

static int step_once(struct turn *turn)
{
    return hostvm_vm_step(&turn->t->vm);
}

static int run_vm(struct turn *turn)
{
    return vm_run(&turn->t->vm);
}

static int destroy(struct turn *turn)
{
    return hostvm_vm_destroy(&turn->t->vm);
}

/* --- guests --- */

GUEST_CODE(leave, GUEST_STORE(0x5000, 42) GUEST_EXIT GUEST_STORE(0x5000, 43) GUEST_EXIT);
GUEST_CODE(spin, GUEST_STORE(0x5004, 1) GUEST_AWAIT(0x5000) GUEST_EXIT);
GUEST_CODE(ask_host, GUEST_KNOCK GUEST_EXIT);
GUEST_CODE(die, GUEST_DIE);

enum { IS_THERE = DATA_GPA + 4 };

/* --- the descriptor --- */

static void test_a_descriptor_or_step_without_vm_is_refused(void **state)
{
    vm_t none;

    (void)state;
    memset(&none, 0, sizeof(none));
    assert_int_equal(hostvm_vm_fd(NULL), -1);
    assert_reason("hostvm_vm_fd: no VM, or one without vm_init");
    assert_int_equal(hostvm_vm_fd(&none), -1);
    assert_int_equal(hostvm_vm_step(NULL), -1);
    assert_reason("hostvm_vm_step: no VM, or one without vm_init");
    assert_int_equal(hostvm_vm_step(&none), -1);
}

static void test_the_descriptor_is_always_the_same(void **state)
{
    struct testvm *t = *state;
    int fd = hostvm_vm_fd(&t->vm);

    assert_true(fd >= 0);
    testvm_boot(t, &leave);
    start(t);
    assert_int_equal(hostvm_vm_fd(&t->vm), fd);
    step_to_exit(t, 1);
    assert_int_equal(hostvm_vm_fd(&t->vm), fd);
}

static void test_a_vm_cannot_watch_its_own_descriptor(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, NULL);

    assert_int_equal(hostvm_event_add(&t->vm, hostvm_vm_fd(&t->vm), ready, &turn), -1);
    end_turn(&turn);
}

static void test_a_vm_whose_descriptor_was_asked_for_is_run_by_vm_run_as_well(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, let_go);

    testvm_boot(t, &spin);
    assert_true(hostvm_vm_fd(&t->vm) >= 0);
    add_event(&turn);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    testvm_run_to_exit(t);
    assert_int_equal(turn.nr_calls, 1);
    end_turn(&turn);
}

/* --- a run --- */

static void test_a_guest_is_stepped_to_its_end_and_goes_on(void **state)
{
    struct testvm *t = *state;
    const uint32_t *data;

    testvm_boot(t, &leave);
    data = testvm_pointer(t, DATA_GPA, 4);
    start(t);
    step_to_exit(t, 1);
    assert_int_equal(*data, 42);
    step_to_exit(t, 2);
    assert_int_equal(*data, 43);
}

static void test_steps_and_vm_run_take_turns(void **state)
{
    struct testvm *t = *state;
    const uint32_t *data;

    testvm_boot(t, &leave);
    data = testvm_pointer(t, DATA_GPA, 4);
    start(t);
    step_to_exit(t, 1);
    assert_int_equal(*data, 42);
    testvm_run_to_exit(t);
    assert_int_equal(*data, 43);
}

static void test_a_step_does_not_wait_for_the_guest(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_NONE);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_false(is_ready(t));
    *(volatile uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    step_to_exit(t, 1);
}

static void test_between_steps_the_only_vcpu_has_a_thread_and_afterwards_none(void **state)
{
    struct testvm *t = *state;
    unsigned before = count_threads();

    testvm_boot(t, &spin);
    start(t);
    assert_threads(before);
    step_until(t, IS_THERE);
    assert_threads(before + 1);
    *(volatile uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    step_to_exit(t, 1);
    assert_threads(before);
}

static void test_a_step_leaves_the_callers_signal_mask_as_it_was(void **state)
{
    struct testvm *t = *state;
    sigset_t before;
    sigset_t after;

    memset(&before, 0, sizeof(before));
    memset(&after, 0, sizeof(after));
    testvm_boot(t, &spin);
    start(t);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    step_until(t, IS_THERE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(step_to_end(t), 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void *step_on_a_thread(void *cookie)
{
    struct testvm *t = cookie;

    return hostvm_vm_step(&t->vm) == 1 ? t : NULL;
}

static void test_steps_may_come_from_different_threads(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, let_go);
    void *result = NULL;
    pthread_t thread;

    testvm_boot(t, &spin);
    start(t);
    add_event(&turn);
    step_until(t, IS_THERE);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, step_on_a_thread, t), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, t);
    assert_int_equal(turn.nr_calls, 1);
    step_to_exit(t, 1);
    end_turn(&turn);
}

static void test_without_a_vcpu_events_are_served_and_a_later_vcpu_runs(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, NULL);

    add_event(&turn);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_false(is_ready(t));
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_true(is_ready(t));
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_int_equal(turn.nr_calls, 1);
    assert_false(is_ready(t));
    testvm_boot(t, &leave);
    start(t);
    assert_true(is_ready(t));
    step_to_exit(t, 1);
    end_turn(&turn);
}

/* A VM whose vcpus are interrupted by a signal that is given to hostvm for good. */
static struct testvm *create_with_kicks_by(int signal)
{
    return testvm_create_with(
        (hostvm_env_config_t){.kick_signal = signal, .log_fn = envs_ignore_log});
}

static void test_a_signal_of_the_programs_choice_interrupts_the_guest(void **state)
{
    struct testvm *t = create_with_kicks_by(SIGUSR1);

    (void)state;
    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 0);
    testvm_destroy(t);
}

static void test_a_signal_that_cannot_be_handled_keeps_a_run_from_beginning(void **state)
{
    struct testvm *t = create_with_kicks_by(SIGKILL);

    (void)state;
    testvm_boot(t, &leave);
    start(t);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hostvm_vm_step(&t->vm), -1);
        assert_reason("cannot interrupt guests by signal 9: there is no such signal, or it cannot "
                      "be handled; see hostvm_env_config_t.kick_signal");
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_HOST);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    }
    testvm_destroy(t);
}

/* --- what makes the descriptor readable --- */

static void test_a_notification_is_served_by_a_step_on_its_thread(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, let_go);

    testvm_boot(t, &spin);
    assert_int_equal(vm_register_notification_callback(&t->vm, notified, &turn), 0);
    start(t);
    step_until(t, IS_THERE);
    assert_false(is_ready(t));
    assert_int_equal(hostvm_notify(&t->vm, 1), 0);
    assert_true(is_ready(t));
    assert_int_equal(turn.nr_calls, 0);
    step_to_exit(t, 1);
    assert_int_equal(turn.nr_calls, 1);
    assert_true(pthread_equal(turn.thread, pthread_self()));
    end_turn(&turn);
}

static void test_a_notification_before_the_first_step_is_served_by_it(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, NULL);

    assert_int_equal(vm_register_notification_callback(&t->vm, notified, &turn), 0);
    assert_int_equal(hostvm_notify(&t->vm, 1), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_int_equal(turn.nr_calls, 1);
    end_turn(&turn);
}

/* The next signal comes when the last one was served: one that wakes nobody hangs the test. */
struct exchange {
    struct testvm *t;
    atomic_uint nr_served;
};

enum { NR_SIGNALS = 2000 };

static int count_served(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    struct exchange *exchange = cookie;

    (void)badge;
    (void)tag;
    return atomic_fetch_add(&exchange->nr_served, 1) + 1 < NR_SIGNALS ? 0 : hostvm_vm_stop(vm);
}

static void *signal_again_and_again(void *cookie)
{
    struct exchange *exchange = cookie;

    for (unsigned i = 0; i < NR_SIGNALS; i++) {
        (void)hostvm_notify(&exchange->t->vm, 1);
        while (atomic_load(&exchange->nr_served) == i) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void test_no_signal_is_lost_while_a_step_ends(void **state)
{
    struct testvm *t = *state;
    struct exchange exchange = {.t = t};
    pthread_t thread;

    assert_int_equal(vm_register_notification_callback(&t->vm, count_served, &exchange), 0);
    assert_int_equal(pthread_create(&thread, NULL, signal_again_and_again, &exchange), 0);
    assert_int_equal(step_to_end(t), 0);
    assert_int_equal(atomic_load(&exchange.nr_served), NR_SIGNALS);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_an_event_is_served_by_a_step_on_its_thread(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, let_go);

    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    add_event(&turn);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_false(is_ready(t));
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_true(is_ready(t));
    step_to_exit(t, 1);
    assert_int_equal(turn.nr_calls, 1);
    assert_true(pthread_equal(turn.thread, pthread_self()));
    end_turn(&turn);
}

static void test_events_beyond_one_steps_worth_keep_the_descriptor_readable(void **state)
{
    enum { NR = 200 };
    struct testvm *t = *state;
    struct turn turns[NR];
    unsigned nr_steps = 0;
    unsigned nr_calls = 0;

    for (int i = 0; i < NR; i++) {
        turns[i] = make_turn(t, NULL);
        add_event(&turns[i]);
        assert_int_equal(eventfd_write(turns[i].fd, 1), 0);
    }
    do {
        assert_int_equal(hostvm_vm_step(&t->vm), 1);
        nr_steps++;
    } while (is_ready(t));
    assert_in_range(nr_steps, 2, NR);
    for (int i = 0; i < NR; i++) {
        nr_calls += turns[i].nr_calls;
        end_turn(&turns[i]);
    }
    assert_int_equal(nr_calls, NR);
}

GUEST_CODE(await_interrupt, GUEST_IRQ_SET_UP GUEST_IRQ_UNMASK GUEST_IRQS_ON GUEST_STORE(0x5004, 1)
                                GUEST_AWAIT(0x5000) GUEST_EXIT);

static void test_an_acknowledged_interrupt_is_served_by_a_step(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, let_go);

    testvm_boot(t, &await_interrupt);
    testvm_take_irqs(t, TEST_IRQ);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, acknowledged, &turn), 0);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(vm_inject_irq(t->vcpu, TEST_IRQ), 0);
    step_to_exit(t, 1);
    assert_int_equal(turn.nr_calls, 1);
    assert_true(pthread_equal(turn.thread, pthread_self()));
    end_turn(&turn);
}

static void test_a_stop_ends_the_run_with_the_next_step(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_true(is_ready(t));
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_NONE);
    assert_int_equal(hostvm_vm_step(&t->vm), 0);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
}

static void test_a_stop_before_the_first_step_keeps_the_guest_out(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &leave);
    start(t);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 0);
    assert_int_equal(*(uint32_t *)testvm_pointer(t, DATA_GPA, 4), 0);
    step_to_exit(t, 1);
}

static void test_a_crash_ends_the_run_with_its_reason(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &die);
    start(t);
    assert_int_equal(step_to_end(t), -1);
    assert_reason(DIE_REASON);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_false(is_vcpu_online(t->vcpu));
}

static void test_an_event_callbacks_failure_ends_the_run_and_the_guest_can_go_on(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, NULL);

    turn.verdict = 7;
    testvm_boot(t, &spin);
    start(t);
    add_event(&turn);
    step_until(t, IS_THERE);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_int_equal(step_to_end(t), -1);
    assert_reason("an event callback reported failure");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
    *(volatile uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    step_to_exit(t, 1);
    end_turn(&turn);
}

static void test_a_notification_without_a_callback_ends_the_run(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(hostvm_notify(&t->vm, 2), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), -1);
    assert_reason("a notification with badge 0x2 arrived, but no callback is registered; see "
                  "vm_register_notification_callback");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
}

/* --- several vcpus --- */

GUEST_CODE(meet_first, GUEST_STORE(0x5010, 1) GUEST_AWAIT(0x5014) GUEST_EXIT);
GUEST_CODE(meet_second, GUEST_STORE(0x5014, 1) GUEST_AWAIT(0x5010) GUEST_HALT);

static void test_two_vcpus_run_side_by_side_between_steps(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vcpu_start(testvm_boot_two(t, &meet_first, &meet_second)), 0);
    start(t);
    step_to_exit(t, 1);
}

static void test_a_vcpu_started_between_steps_runs(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second;

    second = testvm_boot_two(t, &meet_first, &meet_second);
    start(t);
    step_until(t, DATA_GPA + 0x10);
    assert_false(is_ready(t));
    assert_int_equal(vcpu_start(second), 0);
    assert_true(is_ready(t));
    step_to_exit(t, 1);
}

static void test_a_crash_of_one_vcpu_ends_the_run_of_all(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second;

    second = testvm_boot_two(t, &spin, &die);
    assert_int_equal(vcpu_start(second), 0);
    start(t);
    assert_int_equal(step_to_end(t), -1);
    assert_reason(DIE_REASON);
    assert_true(is_vcpu_online(t->vcpu));
    assert_false(is_vcpu_online(second));
}

/* --- callbacks --- */

static void test_callbacks_of_accesses_run_on_the_vcpus_thread(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, NULL);

    testvm_boot(t, &ask_host);
    testvm_listen(t, knocked, &turn);
    start(t);
    step_to_exit(t, 1);
    assert_int_equal(turn.nr_calls, 1);
    assert_false(pthread_equal(turn.thread, pthread_self()));
    end_turn(&turn);
}

/* Each write to the device signals the event: the two callbacks have every chance to overlap. */
struct crossing {
    atomic_int nr_inside;
    atomic_bool has_overlapped;
    int fd;
    unsigned nr_faults;
    unsigned nr_events;
};

static void cross(struct crossing *crossing)
{
    if (atomic_fetch_add(&crossing->nr_inside, 1) != 0) {
        atomic_store(&crossing->has_overlapped, true);
    }
    for (int i = 0; i < 5; i++) {
        (void)sched_yield();
    }
    (void)atomic_fetch_sub(&crossing->nr_inside, 1);
}

static memory_fault_result_t crossing_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                            void *cookie)
{
    struct crossing *crossing = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    crossing->nr_faults++;
    assert_int_equal(eventfd_write(crossing->fd, 1), 0);
    cross(crossing);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static int crossing_event(vm_t *vm, int fd, void *cookie)
{
    struct crossing *crossing = cookie;
    uint64_t count;

    (void)vm;
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    crossing->nr_events++;
    cross(crossing);
    return 0;
}

GUEST_CODE(write_often, GUEST_REPEAT(200, GUEST_STORE_C(0x200000)) GUEST_EXIT);

static void test_callbacks_of_vcpus_and_of_steps_never_overlap(void **state)
{
    struct testvm *t = *state;
    struct crossing crossing = {.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};

    assert_true(crossing.fd >= 0);
    testvm_boot(t, &write_often);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, crossing_fault, &crossing));
    assert_int_equal(hostvm_event_add(&t->vm, crossing.fd, crossing_event, &crossing), 0);
    start(t);
    step_to_exit(t, 1);
    assert_false(crossing.has_overlapped);
    assert_int_equal(crossing.nr_faults, 200);
    assert_true(crossing.nr_events > 0);
    assert_int_equal(hostvm_event_remove(&t->vm, crossing.fd), 0);
    assert_int_equal(close(crossing.fd), 0);
}

/* What a callback may not do, from a step's and from a vcpu's; the run goes on all the same. */
static void check_refused(struct testvm *t, int (*act)(struct turn *turn), const char *in_step,
                          const char *on_vcpu)
{
    struct turn event = make_turn(t, act);
    struct turn port = make_turn(t, act);

    testvm_boot(t, &ask_host);
    add_event(&event);
    testvm_listen(t, knocked, &port);
    assert_int_equal(eventfd_write(event.fd, 1), 0);
    start(t);
    step_to_exit(t, 1);
    assert_int_equal(event.nr_calls, 1);
    assert_int_equal(event.result, -1);
    assert_string_equal(event.reason, in_step);
    assert_int_equal(port.nr_calls, 1);
    assert_int_equal(port.result, -1);
    assert_string_equal(port.reason, on_vcpu);
    end_turn(&event);
    end_turn(&port);
}

static void test_a_callback_cannot_step_its_vm(void **state)
{
    check_refused(*state, step_once, "hostvm_vm_step: another step is under way",
                  "hostvm_vm_step: a callback cannot step the VM that called it");
}

static void test_a_callback_of_a_run_by_steps_cannot_call_vm_run(void **state)
{
    check_refused(*state, run_vm, "vm_run: the VM runs already", "vm_run: the VM runs already");
}

static void test_a_callback_of_a_run_by_steps_cannot_destroy_its_vm(void **state)
{
    check_refused(*state, destroy, "cannot destroy a VM in the midst of a step: stop it first",
                  "cannot destroy a VM from a callback of its own: stop it first");
}

static void test_vm_run_between_steps_is_refused(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(vm_run(&t->vm), -1);
    assert_reason("vm_run: the VM runs already");
    *(volatile uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    step_to_exit(t, 1);
}

static void test_a_step_while_vm_run_runs_is_refused(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, step_once);

    testvm_boot(t, &ask_host);
    testvm_listen(t, knocked, &turn);
    testvm_run_to_exit(t);
    assert_int_equal(turn.result, -1);
    assert_string_equal(turn.reason, "hostvm_vm_step: the VM is in vm_run");
    end_turn(&turn);
}

static void *step_and_keep_the_reason(void *cookie)
{
    struct turn *turn = cookie;

    turn->result = hostvm_vm_step(&turn->t->vm);
    (void)snprintf(turn->reason, sizeof(turn->reason), "%s", hostvm_last_error());
    return NULL;
}

static int step_on_another_thread(struct turn *turn)
{
    struct turn other = {.t = turn->t};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, step_and_keep_the_reason, &other), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(other.reason, "hostvm_vm_step: another step is under way");
    return other.result;
}

static void test_a_step_while_another_thread_steps_is_refused(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, step_on_another_thread);

    add_event(&turn);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_int_equal(turn.result, -1);
    end_turn(&turn);
}

static void test_a_callback_stops_the_run(void **state)
{
    struct testvm *t = *state;
    struct turn turn = make_turn(t, stop);

    testvm_boot(t, &spin);
    add_event(&turn);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_int_equal(step_to_end(t), 0);
    assert_int_equal(turn.nr_calls, 1);
    end_turn(&turn);
}

/* --- the way back --- */

static void test_a_vm_may_be_destroyed_between_steps(void **state)
{
    struct testvm *t = *state;
    unsigned before = count_threads();

    assert_int_equal(vcpu_start(testvm_boot_two(t, &spin, &meet_second)), 0);
    start(t);
    step_until(t, IS_THERE);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_threads(before);
    assert_int_equal(hostvm_vm_step(&t->vm), -1);
    assert_int_equal(hostvm_vm_fd(&t->vm), -1);
}

/* --- one VM in the event loop of another --- */

static int step_inner(vm_t *outer, int fd, void *cookie)
{
    struct testvm *inner = cookie;
    int r = hostvm_vm_step(&inner->vm);

    (void)fd;
    return r == 0 ? hostvm_vm_stop(outer) : r < 0;
}

static void test_a_vm_may_be_stepped_by_the_event_loop_of_another(void **state)
{
    struct testvm *outer = *state;
    struct testvm *inner = testvm_create();
    struct turn turn = make_turn(inner, let_go);
    int fd = hostvm_vm_fd(&inner->vm);

    testvm_boot(inner, &spin);
    start(inner);
    add_event(&turn);
    assert_int_equal(hostvm_vm_step(&inner->vm), 1);
    assert_int_equal(hostvm_event_add(&outer->vm, fd, step_inner, inner), 0);
    assert_int_equal(eventfd_write(turn.fd, 1), 0);
    assert_int_equal(testvm_run(outer), 0);
    assert_int_equal(inner->nr_exits, 1);
    assert_int_equal(hostvm_event_remove(&outer->vm, fd), 0);
    end_turn(&turn);
    testvm_destroy(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_descriptor_or_step_without_vm_is_refused),
        vm_test(test_the_descriptor_is_always_the_same),
        vm_test(test_a_vm_cannot_watch_its_own_descriptor),
        vm_test(test_a_vm_whose_descriptor_was_asked_for_is_run_by_vm_run_as_well),
        vm_test(test_a_guest_is_stepped_to_its_end_and_goes_on),
        vm_test(test_steps_and_vm_run_take_turns),
        vm_test(test_a_step_does_not_wait_for_the_guest),
        vm_test(test_between_steps_the_only_vcpu_has_a_thread_and_afterwards_none),
        vm_test(test_a_step_leaves_the_callers_signal_mask_as_it_was),
        vm_test(test_steps_may_come_from_different_threads),
        vm_test(test_without_a_vcpu_events_are_served_and_a_later_vcpu_runs),
        cmocka_unit_test(test_a_signal_of_the_programs_choice_interrupts_the_guest),
        cmocka_unit_test(test_a_signal_that_cannot_be_handled_keeps_a_run_from_beginning),
        vm_test(test_a_notification_is_served_by_a_step_on_its_thread),
        vm_test(test_a_notification_before_the_first_step_is_served_by_it),
        vm_test(test_no_signal_is_lost_while_a_step_ends),
        vm_test(test_an_event_is_served_by_a_step_on_its_thread),
        vm_test(test_events_beyond_one_steps_worth_keep_the_descriptor_readable),
        vm_test(test_an_acknowledged_interrupt_is_served_by_a_step),
        vm_test(test_a_stop_ends_the_run_with_the_next_step),
        vm_test(test_a_stop_before_the_first_step_keeps_the_guest_out),
        vm_test(test_a_crash_ends_the_run_with_its_reason),
        vm_test(test_an_event_callbacks_failure_ends_the_run_and_the_guest_can_go_on),
        vm_test(test_a_notification_without_a_callback_ends_the_run),
        vm_test(test_two_vcpus_run_side_by_side_between_steps),
        vm_test(test_a_vcpu_started_between_steps_runs),
        vm_test(test_a_crash_of_one_vcpu_ends_the_run_of_all),
        vm_test(test_callbacks_of_accesses_run_on_the_vcpus_thread),
        vm_test(test_callbacks_of_vcpus_and_of_steps_never_overlap),
        vm_test(test_a_callback_cannot_step_its_vm),
        vm_test(test_a_callback_of_a_run_by_steps_cannot_call_vm_run),
        vm_test(test_a_callback_of_a_run_by_steps_cannot_destroy_its_vm),
        vm_test(test_vm_run_between_steps_is_refused),
        vm_test(test_a_step_while_vm_run_runs_is_refused),
        vm_test(test_a_step_while_another_thread_steps_is_refused),
        vm_test(test_a_callback_stops_the_run),
        vm_test(test_a_vm_may_be_destroyed_between_steps),
        vm_test(test_a_vm_may_be_stepped_by_the_event_loop_of_another),
    };

    return run_vm_tests(tests);
}
