/* x86: what only a PC-like machine asks for: the processor model as CPUID shows it, the timer chip.
 */
#include "support/vm.h"

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>

#include "support/operation.h"

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

GUEST_CODE(leave, GUEST_EXIT);

static void have_controller(struct scene *scene)
{
    testvm_boot(scene->t, &leave);
    assert_int_equal(vm_create_default_irq_controller(&scene->t->vm), 0);
}

static int create_timer(struct scene *scene)
{
    return hostvm_vm_create_pit(&scene->t->vm);
}

static void check_exit(struct scene *scene)
{
    testvm_run_to_exit(scene->t);
}

static void test_a_timer_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {have_controller, create_timer, NULL, check_exit, NULL};

    (void)state;
    operation_fail_each(&op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_guest_sees_sel4s_processor_by_default),
        vm_test(test_a_guest_may_be_shown_the_hosts_processor),
        cmocka_unit_test(test_a_timer_that_the_host_refuses_can_be_tried_again),
    };

    return run_vm_tests(tests);
}
