/* x86: interrupts that the VMM queues in a vcpu's control fields, as seL4's VMMs do without the
 * kernel's controllers: only these wake such a vcpu when it is halted. */
#include "support/vm.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/events.h>

enum { VECTOR = 0x24, HANDLER_GPA = 0x2800, HALTS_GPA = DATA_GPA + 4 };

GUEST_CODE(halt, "movl $1, 0x5004\n"
                 "sti\n"
                 "hlt\n"
                 "mov $7, %r14d\n" GUEST_EXIT);
GUEST_CODE(spin, GUEST_FOR_EVER(""));
GUEST_CODE(take_interrupt, "inc %r15\n"
                           "iretq\n");

/* An external interrupt (Intel SDM 3C, 24.8.3). */
static int queue_interrupt(vm_vcpu_t *vcpu)
{
    return vm_set_vmcs_field(vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO, 1ul << 31 | VECTOR);
}

/* With a second vcpu that spins, if so many. */
static void boot(struct testvm *t, int nr_vcpus)
{
    if (nr_vcpus == 1) {
        testvm_boot(t, &halt);
    } else {
        assert_int_equal(vcpu_start(testvm_boot_two(t, &halt, &spin)), 0);
    }
    testvm_load(t, HANDLER_GPA, &take_interrupt);
    testvm_set_vector(t, VECTOR, HANDLER_GPA);
}

static void check_woken(struct testvm *t)
{
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R14), 7);
}

/* --- from a notification callback --- */

static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)badge;
    (void)tag;
    (void)cookie;
    return queue_interrupt(vm->vcpus[BOOT_VCPU]);
}

/* The library says so when a guest halts that only a callback can wake. */
static void await_halt(void *cookie, enum hostvm_log_level level, const char *message)
{
    struct testvm *const *t = cookie;

    (void)level;
    if (strcmp(message, "vcpu 0 halted; the VM has no interrupt controller that could wake it") ==
        0) {
        seL4_Signal((*t)->env.endpoint);
    }
}

static void test_a_notification_callback_wakes_a_halted_vcpu(void **state)
{
    struct testvm *t = NULL;

    (void)state;
    t = testvm_create_with((hostvm_env_config_t){
        .log_fn = await_halt, .log_cookie = &t, .log_level = HOSTVM_LOG_INFO});
    boot(t, 1);
    assert_int_equal(vm_register_notification_callback(&t->vm, notified, NULL), 0);
    testvm_run_to_exit(t);
    check_woken(t);
    testvm_destroy(t);
}

/* --- from an event callback of a run by steps --- */

static int ready(vm_t *vm, int fd, void *cookie)
{
    uint64_t count;

    (void)cookie;
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    return queue_interrupt(vm->vcpus[BOOT_VCPU]);
}

static void step_to_exit(struct testvm *t)
{
    int r;

    watchdog_begin(&t->vm);
    while ((r = hostvm_vm_step(&t->vm)) == 1) {
        struct pollfd poll_fd = {.fd = hostvm_vm_fd(&t->vm), .events = POLLIN};

        (void)poll(&poll_fd, 1, -1);
    }
    watchdog_end();
    assert_int_equal(r, 0);
    assert_int_equal(t->nr_exits, 1);
}

/* The guest is where it says so in memory. */
static void step_until_halt(struct testvm *t)
{
    const volatile uint32_t *flag = testvm_pointer(t, HALTS_GPA, 4);

    watchdog_begin(&t->vm);
    do {
        assert_int_equal(hostvm_vm_step(&t->vm), 1);
        (void)sched_yield();
    } while (*flag == 0);
    watchdog_end();
}

static void test_an_event_callback_of_a_step_wakes_a_halted_vcpu(void **state)
{
    (void)state;
    for (int nr_vcpus = 1; nr_vcpus <= 2; nr_vcpus++) {
        struct testvm *t = testvm_create();
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

        assert_true(fd >= 0);
        boot(t, nr_vcpus);
        assert_int_equal(hostvm_event_add(&t->vm, fd, ready, NULL), 0);
        assert_int_equal(vcpu_start(t->vcpu), 0);
        step_until_halt(t);
        assert_int_equal(eventfd_write(fd, 1), 0);
        step_to_exit(t);
        check_woken(t);
        assert_int_equal(hostvm_event_remove(&t->vm, fd), 0);
        assert_int_equal(close(fd), 0);
        testvm_destroy(t);
    }
}

/* --- from another thread --- */

static void *interrupt_halted(void *arg)
{
    struct testvm *t = arg;
    seL4_Word state = 0;

    while (state == 0) {
        assert_int_equal(vm_get_vmcs_field(t->vcpu, VMX_GUEST_ACTIVITY, &state), 0);
        (void)sched_yield();
    }
    assert_int_equal(queue_interrupt(t->vcpu), 0);
    return NULL;
}

static void test_another_thread_wakes_a_halted_vcpu(void **state)
{
    (void)state;
    for (int nr_vcpus = 1; nr_vcpus <= 2; nr_vcpus++) {
        struct testvm *t = testvm_create();
        pthread_t thread;

        boot(t, nr_vcpus);
        assert_int_equal(pthread_create(&thread, NULL, interrupt_halted, t), 0);
        testvm_run_to_exit(t);
        assert_int_equal(pthread_join(thread, NULL), 0);
        check_woken(t);
        testvm_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_notification_callback_wakes_a_halted_vcpu),
        cmocka_unit_test(test_an_event_callback_of_a_step_wakes_a_halted_vcpu),
        cmocka_unit_test(test_another_thread_wakes_a_halted_vcpu),
    };

    return run_vm_tests(tests);
}
