/* Registers of vcpus that run, or sleep, as others see and set them. */
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>

/* Counts in B, until somebody sets D. */
GUEST_CODE(count_until_told,
           GUEST_MARK(counting) GUEST_UNTIL_D(GUEST_ADD_1_TO_B) GUEST_MARK(counted) GUEST_EXIT);
GUEST_MARK_DECLARE(counting);
GUEST_MARK_DECLARE(counted);

static seL4_Word count_of(vm_vcpu_t *vcpu)
{
    seL4_Word count = 0;

    assert_int_equal(vm_get_thread_context_reg(vcpu, REG_B, &count), 0);
    return count;
}

static void *read_and_set(void *arg)
{
    struct testvm *t = arg;
    seL4_Word last = 0;

    for (int i = 0; i < 50;) {
        seL4_Word count = count_of(t->vcpu);

        assert_true(count >= last);
        i += count > last ? 1 : 0;
        last = count;
        assert_in_range(testvm_pc(t->vcpu), CODE_GPA + guest_mark(count_until_told, counting),
                        CODE_GPA + guest_mark(count_until_told, counted) - 1);
    }
    assert_true(testvm_context_reg(t->vcpu, REG_B) >= last);
    assert_int_equal(testvm_context_reg(t->vcpu, REG_D), 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, REG_B, 1ull << 40), 0);
    assert_true(count_of(t->vcpu) >= 1ull << 40);
    assert_int_equal(testvm_set_system_reg(t->vcpu, kept_regs[0].reg, kept_regs[0].value), 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, REG_D, 1), 0);
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
    assert_true(testvm_reg(t, REG_B) >= 1ull << 40);
    assert_int_equal(testvm_get_system_reg(t->vcpu, kept_regs[0].reg, &value), 0);
    assert_int_equal(value, kept_regs[0].value);
}

GUEST_CODE(tell_host, GUEST_FOR_EVER(GUEST_KNOCK));

/* The other vcpu never leaves the guest by itself. */
static void look_at_other(vm_vcpu_t *vcpu, void *cookie)
{
    vm_vcpu_t *other = vcpu->vm->vcpus[0];
    unsigned *nr_calls = cookie;

    if (count_of(other) > 0 && ++*nr_calls == 10) {
        assert_int_equal(vm_set_thread_context_reg(other, REG_D, 1), 0);
    }
}

static void test_a_callback_reads_and_sets_registers_of_another_vcpu(void **state)
{
    struct testvm *t = *state;
    unsigned nr_calls = 0;

    assert_int_equal(vcpu_start(testvm_boot_two(t, &count_until_told, &tell_host)), 0);
    testvm_listen(t, look_at_other, &nr_calls);
    testvm_run_to_exit(t);
    assert_true(nr_calls >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_registers_of_a_running_vcpu_are_read_and_set_by_another_thread),
        vm_test(test_a_callback_reads_and_sets_registers_of_another_vcpu),
    };

    return run_vm_tests(tests);
}
