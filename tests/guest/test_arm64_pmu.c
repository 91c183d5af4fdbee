/* Performance counters of an Arm VM's vcpus: not there unless asked for. */
#include "support/vm.h"

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>

#include "support/inject.h"

/* ID_AA64DFR0_EL1.PMUVer (Arm ARM, D17.2.61): 0 where there are none. */
GUEST_CODE(tell_version, "mrs x1, id_aa64dfr0_el1\nubfx x1, x1, #8, #4\n" GUEST_EXIT);

/* All counters off: an undefined instruction where there are none. */
GUEST_CODE(use_counters, "msr pmcr_el0, xzr\nmrs x1, pmcr_el0\n" GUEST_EXIT);

/* False, and says so, where the host has none to give. */
static bool enable(struct testvm *t)
{
    if (hostvm_vm_enable_pmu(&t->vm) == 0) {
        return true;
    }
    assert_reason("cannot give vcpus performance counters: this host's KVM has none for guests; "
                  "its processor or kernel is without them");
    print_message("skipped - this host's KVM has no performance counters for guests\n");
    return false;
}

static void test_a_vcpu_has_no_counters_unless_asked_for(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &tell_version);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0);
}

static void test_counters_are_there_when_asked_for(void **state)
{
    struct testvm *t = *state;

    if (!enable(t)) {
        return;
    }
    testvm_boot(t, &tell_version);
    testvm_run_to_exit(t);
    assert_int_not_equal(testvm_reg(t, REG_B), 0);
}

static void test_counters_work_beside_an_interrupt_controller(void **state)
{
    struct testvm *t = *state;

    if (!enable(t)) {
        return;
    }
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, &use_counters);
    assert_non_null(vm_create_vcpu(&t->vm, 0));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B) & 1, 0);
}

static void test_after_the_first_start_it_is_too_late(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &tell_version);
    testvm_run_to_exit(t);
    assert_int_equal(hostvm_vm_enable_pmu(&t->vm), -1);
    assert_reason("cannot give vcpus performance counters: one was started already");
    assert_int_equal(hostvm_vm_enable_pmu(NULL), -1);
    assert_reason("hostvm_vm_enable_pmu: no VM given");
}

/* The n-th call fails, whichever it is: the same again succeeds, from where it stood. */
static void test_whatever_fails_of_it_can_be_tried_again(void **state)
{
    bool has_failed = true;
    unsigned n;

    (void)state;
    for (n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();

        if (!enable(t)) {
            testvm_destroy(t);
            return;
        }
        testvm_boot(t, &use_counters);
        assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        inject_fail_nth(n);
        (void)vcpu_start(t->vcpu);
        has_failed = inject_disarm();
        testvm_run_to_exit(t);
        testvm_destroy(t);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_vcpu_has_no_counters_unless_asked_for),
        vm_test(test_counters_are_there_when_asked_for),
        vm_test(test_counters_work_beside_an_interrupt_controller),
        vm_test(test_after_the_first_start_it_is_too_late),
        cmocka_unit_test(test_whatever_fails_of_it_can_be_tried_again),
    };

    return run_vm_tests(tests);
}
