/* VMs that KVM creates while their memory is filled. */
#include "support/vm.h"

#include <hostvm/error.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "support/device.h"
#include "support/inject.h"

static const hostvm_env_config_t in_background = {.creates_vm_in_background = true};

GUEST_CODE(store_and_exit, GUEST_STORE(0x200000, 1) GUEST_LOAD_B(0x200000) GUEST_EXIT);

static int set_up(void **state)
{
    *state = testvm_create_with(in_background);
    return 0;
}

#define background_test(f) cmocka_unit_test_setup_teardown(f, set_up, testvm_tear_down)

static void test_guest_runs_in_a_vm_created_in_the_background(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 42};

    testvm_boot(t, &store_and_exit);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, 4096, device_fault, &device));
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, REG_B), 42);
}

static void test_interrupt_controllers_wait_for_the_vm(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, &store_and_exit);
    assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA, 4096, false), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 1);
}

/* The fixture looks for what stays: the thread's descriptor, or its stack. */
static void test_a_vm_may_be_destroyed_before_it_is_there(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
}

static void test_memory_may_come_and_go_before_the_vm_is_there(void **state)
{
    struct testvm *t = *state;
    seL4_CPtr frame = envs_frame(&t->env, 12);

    for (int i = 0; i < 3; i++) {
        vm_memory_reservation_t *r =
            vm_reserve_memory_at(&t->vm, DEVICE_GPA, 4096, device_fault, NULL);

        assert_non_null(r);
        assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
        assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 4096));
        assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
        assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 4096));
    }
}

/* --- KVM refuses --- */

static void test_first_call_that_needs_kvm_reports_its_refusal(void **state)
{
    static const char reason[] = "cannot create a KVM virtual machine: Device or resource busy";
    struct testvm *t;

    (void)state;
    vm_creations_refuse(2);
    t = testvm_create_with(in_background);
    testvm_boot(t, &store_and_exit);
    assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA, 4096, false), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
    assert_reason(reason);
    assert_int_equal(vcpu_start(t->vcpu), -1);
    assert_reason(reason);
    assert_false(t->vcpu->vcpu_online);
    testvm_run_to_exit(t); /* what was refused is asked for again */
    assert_int_equal(testvm_reg(t, REG_B), 1);
    testvm_destroy(t);
    assert_int_equal(vm_creations_refuse(0), 0);
}

static void test_destroying_a_refused_vm_leaves_nothing(void **state)
{
    (void)state;
    vm_creations_refuse(1);
    testvm_destroy(testvm_create_with(in_background));
    (void)vm_creations_refuse(0); /* on one processor nobody has asked yet */
}

/* Each allocation and system call of the way to a started vcpu, the start of the thread among them.
 * What failed is done when it is asked for again. */
static void test_every_failure_is_survived(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        hostvm_env_t env;
        struct leak_state held;
        vm_vcpu_t *vcpu;
        vm_t vm;
        int r;

        leak_begin(&held);
        env = envs_create_with(in_background);
        inject_fail_nth(n);
        r = vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "vm");
        vcpu = r == 0 ? vm_create_vcpu(&vm, 0) : NULL;
        if (vcpu != NULL) {
            (void)vcpu_start(vcpu);
        }
        has_failed = inject_disarm();
        if (vcpu != NULL) {
            assert_int_equal(vcpu_start(vcpu), 0);
        }
        assert_int_equal(hostvm_vm_destroy(&vm), 0);
        hostvm_env_destroy(&env);
        leak_check(&held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        background_test(test_guest_runs_in_a_vm_created_in_the_background),
        background_test(test_interrupt_controllers_wait_for_the_vm),
        background_test(test_a_vm_may_be_destroyed_before_it_is_there),
        background_test(test_memory_may_come_and_go_before_the_vm_is_there),
        cmocka_unit_test(test_first_call_that_needs_kvm_reports_its_refusal),
        cmocka_unit_test(test_destroying_a_refused_vm_leaves_nothing),
        cmocka_unit_test(test_every_failure_is_survived),
    };

    return run_vm_tests(tests);
}
