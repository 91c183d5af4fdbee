/* Registers of vcpus that run, or sleep, as others see and set them. */
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>

GUEST_CODE(spin, GUEST_FOR_EVER(""));

/* Counts in RBX, until somebody sets R12. */
GUEST_CODE(count_until_told, "1: inc %rbx\n"
                             "test %r12, %r12\n"
                             "jz 1b\n" GUEST_EXIT);

static seL4_Word count_of(vm_vcpu_t *vcpu)
{
    seL4_Word count = 0;

    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &count), 0);
    return count;
}

static void *read_and_set(void *arg)
{
    struct testvm *t = arg;
    seL4_VCPUContext context;
    seL4_Word rip = 0;
    seL4_Word last = 0;

    for (int i = 0; i < 50;) {
        seL4_Word count = count_of(t->vcpu);

        assert_true(count >= last);
        i += count > last ? 1 : 0;
        last = count;
        assert_int_equal(vm_get_vmcs_field(t->vcpu, VMX_GUEST_RIP, &rip), 0);
        assert_in_range(rip, CODE_GPA, CODE_GPA + 8);
    }
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_true(context.ebx >= last);
    assert_int_equal(context.r12, 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, VCPU_CONTEXT_EBX, 1ull << 40), 0);
    assert_true(count_of(t->vcpu) >= 1ull << 40);
    assert_int_equal(vm_set_vmcs_field(t->vcpu, VMX_GUEST_SYSENTER_CS, 8), 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, VCPU_CONTEXT_R12, 1), 0);
    return NULL;
}

static void test_registers_of_a_running_vcpu_are_read_and_set_by_another_thread(void **state)
{
    struct testvm *t = *state;
    seL4_Word value = 0;
    pthread_t thread;

    testvm_boot(t, &count_until_told);
    assert_int_equal(pthread_create(&thread, NULL, read_and_set, t), 0);
    testvm_run_to_exit(t);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(testvm_reg(t, VCPU_CONTEXT_EBX) >= 1ull << 40);
    assert_int_equal(vm_get_vmcs_field(t->vcpu, VMX_GUEST_SYSENTER_CS, &value), 0);
    assert_int_equal(value, 8);
}

GUEST_CODE(tell_host, "1: out %al, $0x80\n"
                      "jmp 1b\n");

/* The other vcpu never leaves the guest by itself. */
static ioport_fault_result_t look_at_other(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                           unsigned size, unsigned value)
{
    vm_vcpu_t *other = vcpu->vm->vcpus[0];
    unsigned *nr_calls = cookie;

    (void)port;
    (void)size;
    (void)value;
    if (count_of(other) > 0 && ++*nr_calls == 10) {
        assert_int_equal(vm_set_thread_context_reg(other, VCPU_CONTEXT_R12, 1), 0);
    }
    return IO_FAULT_HANDLED;
}

static void test_a_callback_reads_and_sets_registers_of_another_vcpu(void **state)
{
    struct testvm *t = *state;
    unsigned nr_calls = 0;
    const vm_ioport_interface_t port = {&nr_calls, NULL, look_at_other, "look"};

    assert_int_equal(vcpu_start(testvm_boot_two(t, &count_until_told, &tell_host)), 0);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){0x80, 0x80}, port), 0);
    testvm_run_to_exit(t);
    assert_true(nr_calls >= 10);
}

GUEST_CODE(halt_and_count, "sti\n"
                           "hlt\n" GUEST_EXIT);
GUEST_CODE(take_interrupt, "inc %r15\n"
                           "iretq\n");

static void *interrupt_halted(void *arg)
{
    struct testvm *t = arg;
    seL4_Word state = 0;

    while (state == 0) {
        assert_int_equal(vm_get_vmcs_field(t->vcpu, VMX_GUEST_ACTIVITY, &state), 0);
        (void)sched_yield();
    }
    assert_int_equal(
        vm_set_vmcs_field(t->vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO, 1ul << 31 | 0x24), 0);
    return NULL;
}

static void test_an_interrupt_queued_by_another_thread_wakes_a_halted_vcpu(void **state)
{
    (void)state;
    for (int nr_vcpus = 1; nr_vcpus <= 2; nr_vcpus++) {
        struct testvm *t = testvm_create();
        pthread_t thread;

        if (nr_vcpus == 1) {
            testvm_boot(t, &halt_and_count);
        } else {
            assert_int_equal(vcpu_start(testvm_boot_two(t, &halt_and_count, &spin)), 0);
        }
        testvm_load(t, 0x2800, &take_interrupt);
        testvm_set_vector(t, 0x24, 0x2800);
        assert_int_equal(pthread_create(&thread, NULL, interrupt_halted, t), 0);
        testvm_run_to_exit(t);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
        testvm_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_registers_of_a_running_vcpu_are_read_and_set_by_another_thread),
        vm_test(test_a_callback_reads_and_sets_registers_of_another_vcpu),
        cmocka_unit_test(test_an_interrupt_queued_by_another_thread_wakes_a_halted_vcpu),
    };

    return run_vm_tests(tests);
}
