/* What a machine asks for beyond libsel4vm: the processor model, every interrupt line, vcpus that
 * wait until the guest starts them. */
#include "support/vm.h"

#include <stdio.h>

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>

GUEST_CODE(leave, GUEST_EXIT);

static void test_a_model_that_is_unknown_or_too_late_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_set_cpu_model(NULL, HOSTVM_CPU_HOST), -1);
    assert_reason("hostvm_vm_set_cpu_model: no VM given");
    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, (hostvm_cpu_model_t)7), -1);
    assert_reason("there is no processor model 7");
    testvm_boot(t, &leave);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, HOSTVM_CPU_HOST), -1);
    assert_reason("cannot change the processor model: a vcpu was started already");
    testvm_run_to_exit(t);
}

static void test_every_line_of_the_controllers_can_be_set(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    for (unsigned gsi = FIRST_LINE; gsi <= LAST_LINE; gsi++) {
        assert_int_equal(hostvm_irq_line(&t->vm, gsi, 1), 0);
        assert_int_equal(hostvm_irq_line(&t->vm, gsi, 0), 0);
    }
}

static void test_a_line_that_is_not_there_is_refused(void **state)
{
    struct testvm *t = *state;

    char reason[128];

    (void)snprintf(reason, sizeof(reason),
                   "cannot set interrupt line %d: the VM has no interrupt controller; call "
                   "vm_create_default_irq_controller first",
                   TEST_IRQ);
    assert_int_equal(hostvm_irq_line(NULL, TEST_IRQ, 1), -1);
    assert_reason("hostvm_irq_line: no VM given");
    assert_int_equal(hostvm_irq_line(&t->vm, TEST_IRQ, 1), -1);
    assert_reason(reason);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(hostvm_irq_line(&t->vm, LAST_LINE + 1, 1), -1);
    assert_reason(NO_SUCH_LINE);
}

static void test_only_a_second_vcpu_may_wait_for_its_start_up(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second;

    assert_int_equal(hostvm_vcpu_wait_for_startup(NULL), -1);
    assert_reason("hostvm_vcpu_wait_for_startup: no vcpu given");
    testvm_boot(t, &leave);
    second = vm_create_vcpu(&t->vm, 0);
    assert_non_null(second);
    assert_int_equal(hostvm_vcpu_wait_for_startup(second), -1);
    assert_reason("vcpu 1 cannot wait until the guest starts it: it is the boot vcpu, was started "
                  "already, or the VM has no interrupt controller");
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(hostvm_vcpu_wait_for_startup(t->vcpu), -1);
    assert_int_equal(hostvm_vcpu_wait_for_startup(second), 0);
    assert_int_equal(vcpu_start(second), 0);
    assert_int_equal(hostvm_vcpu_wait_for_startup(second), -1);
    testvm_run_to_exit(t); /* nobody has started the second: it has run nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_model_that_is_unknown_or_too_late_is_refused),
        vm_test(test_every_line_of_the_controllers_can_be_set),
        vm_test(test_a_line_that_is_not_there_is_refused),
        vm_test(test_only_a_second_vcpu_may_wait_for_its_start_up),
    };

    return run_vm_tests(tests);
}
