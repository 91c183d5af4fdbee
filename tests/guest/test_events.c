/* Descriptors that the VM's event loop watches: when callbacks run, and when no more. */
#include "support/vm.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/events.h>

/* The guest spins until there is something in its memory; before that it tells the host that it is
 * there. */
GUEST_CODE(spin, GUEST_KNOCK GUEST_AWAIT(0x5000) GUEST_EXIT);

struct watch {
    struct testvm *t;
    pthread_t runner; /* of vm_run */
    int fd;
    unsigned nr_calls;
    unsigned nr_wanted; /* with this one the guest is told to go on */
    bool is_greedy;     /* leaves the descriptor readable */
    int result;
    void (*act)(struct watch *watch);
    struct watch *other;
};

static struct watch make_watch(struct testvm *t)
{
    struct watch watch = {.t = t, .runner = pthread_self(), .nr_wanted = 1};

    watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(watch.fd >= 0);
    return watch;
}

static int ready(vm_t *vm, int fd, void *cookie)
{
    struct watch *watch = cookie;
    uint64_t count;

    assert_ptr_equal(vm, &watch->t->vm);
    assert_int_equal(fd, watch->fd);
    assert_true(pthread_equal(pthread_self(), watch->runner));
    if (!watch->is_greedy) {
        assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    }
    watch->nr_calls++;
    if (watch->act != NULL) {
        watch->act(watch);
    }
    if (watch->nr_calls == watch->nr_wanted) {
        *(volatile uint32_t *)testvm_pointer(watch->t, DATA_GPA, 4) = 1;
    }
    return watch->result;
}

static void signal_fd(int fd)
{
    assert_int_equal(eventfd_write(fd, 1), 0);
}

/* The guest's knock: whatever the test wants to happen while it spins. */
static void knocked(vm_vcpu_t *vcpu, void *cookie)
{
    struct watch *watch = cookie;

    (void)vcpu;
    watch->act(watch);
}

static void end_watch(struct watch *watch)
{
    assert_int_equal(hostvm_event_remove(&watch->t->vm, watch->fd), 0);
    assert_int_equal(close(watch->fd), 0);
}

/* --- what is refused --- */

static void test_a_watch_without_vm_or_function_is_refused(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    assert_int_equal(hostvm_event_add(NULL, watch.fd, ready, &watch), -1);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, NULL, &watch), -1);
    assert_reason("hostvm_event_add: no VM or no function given");
    assert_int_equal(hostvm_event_remove(NULL, watch.fd), -1);
    assert_int_equal(hostvm_event_remove(&t->vm, watch.fd), -1);
    assert_int_equal(close(watch.fd), 0);
}

static void test_a_descriptor_is_watched_once(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    end_watch(&watch);
    assert_int_equal(hostvm_event_remove(&t->vm, watch.fd), -1);
}

static void test_what_cannot_be_polled_is_refused(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);
    char name[] = "/tmp/hostvm-test-XXXXXX";
    int file = mkstemp(name);

    assert_true(file >= 0);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(hostvm_event_add(&t->vm, file, ready, &watch), -1);
    assert_int_equal(hostvm_event_add(&t->vm, -1, ready, &watch), -1);
    assert_int_equal(close(file), 0);
    assert_int_equal(hostvm_event_add(&t->vm, file, ready, &watch), -1);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    end_watch(&watch);
}

static void test_a_vm_may_be_destroyed_with_its_watches(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_int_equal(watch.nr_calls, 0);
    assert_int_equal(close(watch.fd), 0);
}

/* --- calls --- */

static void test_a_descriptor_that_is_ready_calls_while_the_guest_spins(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

static void signal_other(struct watch *watch)
{
    signal_fd(watch->other->fd);
}

static void test_a_descriptor_that_becomes_ready_calls_while_the_guest_spins(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);
    struct watch port = {.act = signal_other, .other = &watch};

    testvm_boot(t, &spin);
    testvm_listen(t, knocked, &port);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

static void signal_itself(struct watch *watch)
{
    if (watch->nr_calls < watch->nr_wanted) {
        signal_fd(watch->fd);
    }
}

static void test_every_signal_that_follows_calls_again(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    watch.nr_wanted = 200;
    watch.act = signal_itself;
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 200);
    end_watch(&watch);
}

static void test_what_is_left_readable_calls_again(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    watch.is_greedy = true;
    watch.nr_wanted = 3;
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_true(watch.nr_calls >= 3);
    end_watch(&watch);
}

static void test_a_pipe_whose_writer_is_gone_calls(void **state)
{
    struct testvm *t = *state;
    struct watch watch = {.t = t, .runner = pthread_self(), .nr_wanted = 1, .is_greedy = true};
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    watch.fd = fds[0];
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    assert_int_equal(close(fds[1]), 0);
    testvm_run_to_exit(t);
    assert_true(watch.nr_calls >= 1);
    end_watch(&watch);
}

static void stop_vm(struct watch *watch)
{
    assert_int_equal(hostvm_vm_stop(&watch->t->vm), 0);
}

static void test_without_a_vcpu_events_are_served(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    watch.act = stop_vm;
    watch.nr_wanted = 0;
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

GUEST_CODE(halt, GUEST_KNOCK GUEST_HALT);

static void test_while_the_guest_is_halted_events_are_served(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);
    struct watch port = {.act = signal_other, .other = &watch};

    watch.act = stop_vm;
    testvm_boot(t, &halt);
    testvm_listen(t, knocked, &port);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

static void test_a_callbacks_failure_ends_the_run_and_the_guest_can_go_on(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    watch.result = 7;
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("an event callback reported failure");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
    assert_int_equal(watch.nr_calls, 1);
    testvm_run_to_exit(t);
    end_watch(&watch);
}

/* --- changes while the VM runs --- */

static void add_other(struct watch *watch)
{
    assert_int_equal(hostvm_event_add(&watch->other->t->vm, watch->other->fd, ready, watch->other),
                     0);
}

static void test_a_watch_added_while_the_vm_runs_calls(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);
    struct watch port = {.act = add_other, .other = &watch};

    testvm_boot(t, &spin);
    testvm_listen(t, knocked, &port);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

static void *add_from_thread(void *arg)
{
    add_other(arg);
    return NULL;
}

static void start_adding(struct watch *watch)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, add_from_thread, watch), 0);
    assert_int_equal(pthread_detach(thread), 0);
}

static void test_a_watch_added_by_another_thread_calls(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);
    struct watch port = {.act = start_adding, .other = &watch};

    testvm_boot(t, &spin);
    testvm_listen(t, knocked, &port);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 1);
    end_watch(&watch);
}

static void remove_itself(struct watch *watch)
{
    assert_int_equal(hostvm_event_remove(&watch->t->vm, watch->fd), 0);
}

static void test_a_callback_may_remove_itself(void **state)
{
    struct testvm *t = *state;
    struct watch watch = make_watch(t);

    watch.act = remove_itself;
    watch.is_greedy = true;
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, watch.fd, ready, &watch), 0);
    signal_fd(watch.fd);
    testvm_run_to_exit(t);
    assert_int_equal(watch.nr_calls, 1);
    assert_int_equal(hostvm_event_remove(&t->vm, watch.fd), -1);
    assert_int_equal(close(watch.fd), 0);
}

static void remove_other(struct watch *watch)
{
    assert_int_equal(hostvm_event_remove(&watch->t->vm, watch->other->fd), 0);
}

/* Both are ready: whoever comes first removes the other, who is never called. */
static void test_a_callback_may_remove_another_that_is_ready(void **state)
{
    struct testvm *t = *state;
    struct watch a = make_watch(t);
    struct watch b = make_watch(t);

    a.act = b.act = remove_other;
    a.other = &b;
    b.other = &a;
    testvm_boot(t, &spin);
    assert_int_equal(hostvm_event_add(&t->vm, a.fd, ready, &a), 0);
    assert_int_equal(hostvm_event_add(&t->vm, b.fd, ready, &b), 0);
    signal_fd(a.fd);
    signal_fd(b.fd);
    testvm_run_to_exit(t);
    assert_int_equal(a.nr_calls + b.nr_calls, 1);
    assert_int_equal(close(a.fd), 0);
    assert_int_equal(close(b.fd), 0);
}

static void test_many_descriptors_are_all_served(void **state)
{
    enum { NR = 200 };
    struct testvm *t = *state;
    struct watch watches[NR];
    struct watch last = make_watch(t);

    testvm_boot(t, &spin);
    for (int i = 0; i < NR; i++) {
        watches[i] = make_watch(t);
        watches[i].nr_wanted = 0;
        watches[i].other = i + 1 < NR ? &watches[i + 1] : &last;
        watches[i].act = signal_other;
        assert_int_equal(hostvm_event_add(&t->vm, watches[i].fd, ready, &watches[i]), 0);
    }
    assert_int_equal(hostvm_event_add(&t->vm, last.fd, ready, &last), 0);
    signal_fd(watches[0].fd);
    testvm_run_to_exit(t);
    for (int i = 0; i < NR; i++) {
        assert_int_equal(watches[i].nr_calls, 1);
        end_watch(&watches[i]);
    }
    end_watch(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_watch_without_vm_or_function_is_refused),
        vm_test(test_a_descriptor_is_watched_once),
        vm_test(test_what_cannot_be_polled_is_refused),
        vm_test(test_a_vm_may_be_destroyed_with_its_watches),
        vm_test(test_a_descriptor_that_is_ready_calls_while_the_guest_spins),
        vm_test(test_a_descriptor_that_becomes_ready_calls_while_the_guest_spins),
        vm_test(test_every_signal_that_follows_calls_again),
        vm_test(test_what_is_left_readable_calls_again),
        vm_test(test_a_pipe_whose_writer_is_gone_calls),
        vm_test(test_without_a_vcpu_events_are_served),
        vm_test(test_while_the_guest_is_halted_events_are_served),
        vm_test(test_a_callbacks_failure_ends_the_run_and_the_guest_can_go_on),
        vm_test(test_a_watch_added_while_the_vm_runs_calls),
        vm_test(test_a_watch_added_by_another_thread_calls),
        vm_test(test_a_callback_may_remove_itself),
        vm_test(test_a_callback_may_remove_another_that_is_ready),
        vm_test(test_many_descriptors_are_all_served),
    };

    return run_vm_tests(tests);
}
