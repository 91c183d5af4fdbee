/* What a PC-like machine asks for beyond libsel4vm: the processor model, every interrupt line,
 * vcpus that wait for their start-up interrupt. */
#include "support/vm.h"

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>

/* ecx of leaf 1 (Intel SDM 2A, CPUID): bit 31 is a hypervisor's, 21 x2APIC. */
enum { HYPERVISOR = 1u << 31, X2APIC = 1u << 21 };

GUEST_CODE(ask_features, "mov $1, %eax\n"
                         "xor %ecx, %ecx\n"
                         "cpuid\n" GUEST_EXIT);

static uint32_t features(struct testvm *t)
{
    testvm_run_to_exit(t);
    return (uint32_t)testvm_reg(t, VCPU_CONTEXT_ECX);
}

static void test_a_guest_sees_sel4s_processor_by_default(void **state)
{
    testvm_boot(*state, &ask_features);
    assert_int_equal(features(*state) & (HYPERVISOR | X2APIC), 0);
}

static void test_a_guest_may_be_shown_the_hosts_processor(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, HOSTVM_CPU_HOST), 0);
    testvm_boot(t, &ask_features);
    assert_int_equal(features(t) & HYPERVISOR, HYPERVISOR);
}

static void test_a_model_that_is_unknown_or_too_late_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_set_cpu_model(NULL, HOSTVM_CPU_HOST), -1);
    assert_reason("hostvm_vm_set_cpu_model: no VM given");
    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, (hostvm_cpu_model_t)7), -1);
    assert_reason("there is no processor model 7");
    testvm_boot(t, &ask_features);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, HOSTVM_CPU_HOST), -1);
    assert_reason("cannot change the processor model: a vcpu was started already");
    assert_int_equal(features(t) & HYPERVISOR, 0);
}

static void test_every_line_of_the_controllers_can_be_set(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    for (unsigned gsi = 0; gsi < 24; gsi++) {
        assert_int_equal(hostvm_irq_line(&t->vm, gsi, 1), 0);
        assert_int_equal(hostvm_irq_line(&t->vm, gsi, 0), 0);
    }
}

static void test_a_line_that_is_not_there_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_irq_line(NULL, 4, 1), -1);
    assert_reason("hostvm_irq_line: no VM given");
    assert_int_equal(hostvm_irq_line(&t->vm, 4, 1), -1);
    assert_reason("cannot set interrupt line 4: the VM has no interrupt controller; call "
                  "vm_create_default_irq_controller first");
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(hostvm_irq_line(&t->vm, 24, 1), -1);
    assert_reason("there is no interrupt line 24: the controllers have 0 to 23");
}

GUEST_CODE(leave, GUEST_EXIT);

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
    assert_reason("vcpu 1 cannot wait for a start-up interrupt: it is the boot vcpu, was started "
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
        vm_test(test_a_guest_sees_sel4s_processor_by_default),
        vm_test(test_a_guest_may_be_shown_the_hosts_processor),
        vm_test(test_a_model_that_is_unknown_or_too_late_is_refused),
        vm_test(test_every_line_of_the_controllers_can_be_set),
        vm_test(test_a_line_that_is_not_there_is_refused),
        vm_test(test_only_a_second_vcpu_may_wait_for_its_start_up),
    };

    return run_vm_tests(tests);
}
