/* Secure monitor and hypervisor calls that KVM hands over: who is asked, and what comes of it. */
#include "support/vm.h"

#include <errno.h>

#include <sel4vm/arch/processor.h>
#include <sel4vm/guest_vm_util.h>

#include "support/arm64/calls.h"

GUEST_CODE(call_smc,
           "ldr w0, =0xc2000001\nmov x1, #5\n" GUEST_SMC "mov x6, x0\nmov w0, #0\n" GUEST_EXIT);
GUEST_CODE(call_hvc, "ldr w0, =0xc2000001\n" GUEST_HVC "mov x6, x0\nmov w0, #0\n" GUEST_EXIT);

enum { CALL_PC = CODE_GPA + 12 }; /* of the store that is the call */

static seL4_Word called_at;
static int handler_result;

static int double_x1(vm_vcpu_t *vcpu, seL4_UserContext *regs)
{
    (void)vcpu;
    called_at = regs->pc;
    regs->x0 = 2 * regs->x1;
    return handler_result;
}

static uint32_t asked_hsr;
static int callback_result;

static int vcpu_fault(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie)
{
    (void)vcpu;
    (void)cookie;
    asked_hsr = hsr;
    return callback_result;
}

static int begin(void **state)
{
    called_at = 0;
    handler_result = 0;
    asked_hsr = 0;
    callback_result = 0;
    calls_begin(true, 0);
    return testvm_set_up(state);
}

static int end(void **state)
{
    int r = testvm_tear_down(state);

    calls_end();
    return r;
}

#define calls_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

static void test_a_handler_answers_secure_monitor_calls(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &call_smc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    testvm_run_to_exit(t);
    assert_int_equal(called_at, CALL_PC);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x6)), 10);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), -1);
    assert_reason("cannot register a handler of secure monitor calls: a vcpu was started already");
}

/* Owners 1 to 3 and 7 to 63, in both conventions; PSCI (4) and KVM's own stay where they are. */
static void test_kvm_is_asked_for_the_calls_that_are_not_its_own(void **state)
{
    static const uint32_t wanted[][2] = {
        {0x81000000, 0x3000000},
        {0x87000000, 0x39000000},
        {0xc1000000, 0x3000000},
        {0xc7000000, 0x39000000},
    };
    struct call_range ranges[MAX_CALL_RANGES];
    struct testvm *t = *state;

    testvm_boot(t, &call_smc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    testvm_run_to_exit(t);
    assert_int_equal(calls_ranges(ranges), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ranges[i].first, wanted[i][0]);
        assert_int_equal(ranges[i].nr, wanted[i][1]);
        assert_int_equal(ranges[i].action, 2);
    }
}

static void test_without_a_handler_kvm_is_asked_for_none(void **state)
{
    struct call_range ranges[MAX_CALL_RANGES];
    struct testvm *t = *state;

    testvm_boot(t, &call_hvc);
    testvm_run_to_exit(t);
    assert_int_equal(calls_ranges(ranges), 0);
}

static void test_a_kvm_without_a_filter_is_fine(void **state)
{
    struct testvm *t = *state;

    calls_begin(false, 0);
    testvm_boot(t, &call_hvc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    testvm_run_to_exit(t);
}

static void test_a_filter_that_fails_keeps_the_vcpu_from_starting(void **state)
{
    struct testvm *t = *state;

    calls_begin(true, EIO);
    testvm_boot(t, &call_smc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    assert_int_equal(vcpu_start(t->vcpu), -1);
    assert_reason("cannot have the guest's calls from 0x81000000 on handed over: Input/output "
                  "error");
    calls_begin(true, 0);
    testvm_run_to_exit(t);
}

static void test_a_call_that_the_handler_refuses_is_a_vcpu_fault(void **state)
{
    struct testvm *t = *state;

    handler_result = 1;
    testvm_boot(t, &call_smc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, vcpu_fault, NULL), 0);
    testvm_run_to_exit(t);
    assert_int_equal(HSR_EXCEPTION_CLASS(asked_hsr), HSR_SMC_64_EXCEPTION);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x6)), 0xc2000001);
}

static void test_a_call_that_everybody_refuses_ends_the_run(void **state)
{
    struct testvm *t = *state;

    handler_result = 1;
    testvm_boot(t, &call_smc);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, double_x1), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("nobody handled the guest's call 0xc2000001");
    assert_false(is_vcpu_online(t->vcpu));
}

static void test_a_hypervisor_call_goes_to_the_vcpu_fault_callback(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &call_hvc);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, vcpu_fault, NULL), 0);
    testvm_run_to_exit(t);
    assert_int_equal(HSR_EXCEPTION_CLASS(asked_hsr), HSR_HVC_64_EXCEPTION);
}

static void test_a_hypervisor_call_that_nobody_takes_is_not_supported(void **state)
{
    struct testvm *t = *state;

    callback_result = 1;
    testvm_boot(t, &call_hvc);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, vcpu_fault, NULL), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x6)), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        calls_test(test_a_handler_answers_secure_monitor_calls),
        calls_test(test_kvm_is_asked_for_the_calls_that_are_not_its_own),
        calls_test(test_without_a_handler_kvm_is_asked_for_none),
        calls_test(test_a_kvm_without_a_filter_is_fine),
        calls_test(test_a_filter_that_fails_keeps_the_vcpu_from_starting),
        calls_test(test_a_call_that_the_handler_refuses_is_a_vcpu_fault),
        calls_test(test_a_call_that_everybody_refuses_ends_the_run),
        calls_test(test_a_hypervisor_call_goes_to_the_vcpu_fault_callback),
        calls_test(test_a_hypervisor_call_that_nobody_takes_is_not_supported),
    };

    return run_vm_tests(tests);
}
