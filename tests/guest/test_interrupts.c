/* Interrupts: raised by the VMM, delivered through the kernel's controllers, acknowledged back to
 * the VMM. */
#include "support/vm.h"

#include <pthread.h>
#include <stdio.h>

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>

enum { OTHER_GPA = 0x2000 }; /* code of a second vcpu */

/* What the acknowledgements were, and what is done at them. */
struct acks {
    struct testvm *t;
    unsigned nr[NR_IRQS];
    unsigned nr_wanted;   /* with this one the guest is told to go on, and the line is lowered */
    bool is_raised_again; /* at the first one */
    bool tries_to_end_vm; /* and to run it again, at each */
    pthread_t runner;     /* of vm_run */
    int (*act)(vm_vcpu_t *vcpu, int irq); /* at the knock */
    int irq;
    int result; /* act's */
};

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    struct acks *acks = cookie;

    assert_true(pthread_equal(pthread_self(), acks->runner));
    assert_ptr_equal(vcpu, acks->t->vm.vcpus[BOOT_VCPU]);
    assert_in_range(irq, 0, NR_IRQS - 1);
    acks->nr[irq]++;
    if (acks->tries_to_end_vm) {
        assert_int_equal(vm_run(vcpu->vm), -1);
        assert_reason("vm_run: the VM runs already");
        assert_int_equal(hostvm_vm_destroy(vcpu->vm), -1);
        assert_reason("cannot destroy a VM that is in vm_run: stop it first");
    }
    if (acks->is_raised_again && acks->nr[irq] == 1) {
        assert_int_equal(vm_inject_irq(vcpu, irq), 0);
    }
    if (acks->nr[irq] == acks->nr_wanted) {
        (void)vm_set_irq_level(vcpu, irq, 0);
        *(volatile uint32_t *)testvm_pointer(acks->t, DATA_GPA, 4) = 1;
    }
}

static void knocked(vm_vcpu_t *vcpu, void *cookie)
{
    struct acks *acks = cookie;

    acks->result = acks->act(vcpu, acks->irq);
}

static int raise_line(vm_vcpu_t *vcpu, int irq)
{
    return vm_set_irq_level(vcpu, irq, 1);
}

/* Boots a vcpu that takes the line's interrupts. */
static void boot_without_controllers(struct testvm *t, const struct guest_code *code,
                                     struct acks *acks)
{
    acks->t = t;
    acks->runner = pthread_self();
    testvm_boot(t, code);
    testvm_take_irqs(t, (unsigned)acks->irq);
    testvm_listen(t, knocked, acks);
}

static void boot(struct testvm *t, const struct guest_code *code, struct acks *acks)
{
    boot_without_controllers(t, code, acks);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_register_irq(t->vcpu, acks->irq, acknowledged, acks), 0);
}

/* --- what is refused --- */

static void test_there_are_so_many_interrupts(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.nr_wanted = 0};
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (int round = 0; round < 2; round++) {
        for (int irq = 0; irq < NR_IRQS; irq++) {
            assert_int_equal(vm_register_irq(vcpu, irq, acknowledged, &acks), 0);
            assert_int_equal(vm_register_irq(vcpu, irq, NULL, NULL), 0);
        }
        assert_int_equal(vm_register_irq(vcpu, -1, acknowledged, &acks), -1);
        assert_int_equal(vm_register_irq(vcpu, NR_IRQS, acknowledged, &acks), -1);
        assert_reason(NO_SUCH_IRQ);
        assert_int_equal(vm_register_irq(NULL, 1, acknowledged, &acks), -1);
        if (round == 0) {
            assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        }
    }
    assert_int_equal(vm_inject_irq(vcpu, NR_IRQS), -1);
    assert_int_equal(vm_inject_irq(vcpu, -1), -1);
    assert_int_equal(vm_set_irq_level(vcpu, NR_IRQS, 1), -1);
    assert_int_equal(vm_inject_irq(NULL, 1), -1);
    assert_int_equal(vm_set_irq_level(NULL, 1, 1), -1);
}

static void test_lines_need_a_controller(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    char reason[128];

    (void)snprintf(reason, sizeof(reason),
                   "cannot set interrupt line %d: the VM has no interrupt controller; call "
                   "vm_create_default_irq_controller first",
                   TEST_IRQ);
    assert_int_equal(vm_register_irq(vcpu, TEST_IRQ, acknowledged, NULL), 0);
    assert_int_equal(vm_inject_irq(vcpu, TEST_IRQ), -1);
    assert_reason(reason);
    assert_int_equal(vm_set_irq_level(vcpu, TEST_IRQ, 1), -1);
    assert_reason(reason);
}

static void test_a_vm_has_one_controller(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(NULL), -1);
    assert_reason("vm_create_default_irq_controller: no VM given");
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
    assert_reason("cannot create interrupt controllers: the VM has them already");
}

static void test_a_controller_comes_before_the_first_start(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vcpu_start(vm_create_vcpu(&t->vm, 0)), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
    assert_reason("cannot create interrupt controllers: a vcpu was started already; create them "
                  "first");
}

/* Returns the version of Arm's controller. */
static int check_controller_address(uintptr_t addr)
{
    struct testvm *t = testvm_create();
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, addr, 0x400, default_error_fault_callback, NULL);
    int version;

    assert_non_null(r);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_null(vm_reserve_memory_at(&t->vm, addr, 0x400, default_error_fault_callback, NULL));
    version = hostvm_vm_gic_version(&t->vm);
    testvm_destroy(t);
    return version;
}

static void test_the_controllers_addresses_are_theirs(void **state)
{
    int version = check_controller_address(IRQ_CONTROLLER_GPA);

    (void)state;
    (void)check_controller_address(OTHER_IRQ_CONTROLLER_GPA(version));
}

/* --- injected --- */

#define SET_UP GUEST_IRQ_SET_UP GUEST_IRQ_UNMASK GUEST_IRQS_ON

GUEST_CODE(take_one, SET_UP GUEST_KNOCK GUEST_AWAIT_IRQS(1) GUEST_AWAIT(0x5000) GUEST_EXIT);

static void test_an_injected_interrupt_is_delivered_once_and_acknowledged_once(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 1};

    boot(t, &take_one, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_int_equal(acks.nr[TEST_IRQ], 1);
    assert_int_equal(testvm_reg(t, REG_NR_IRQS), 1);
}

static void test_an_acknowledgement_can_neither_run_nor_destroy_its_vm(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {
        .irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 1, .tries_to_end_vm = true};

    boot(t, &take_one, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[TEST_IRQ], 1);
}

static void test_a_line_registered_before_the_controller_is_acknowledged(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 1};

    boot_without_controllers(t, &take_one, &acks);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, acknowledged, &acks), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[TEST_IRQ], 1);
}

static void test_the_last_registration_of_a_line_counts(void **state)
{
    struct testvm *t = *state;
    struct acks old = {.t = t};
    struct acks acks = {.irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 1};

    boot(t, &take_one, &acks);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, acknowledged, &old), 0);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, NULL, NULL), 0);
    assert_int_equal(vm_register_irq(t->vcpu, TEST_IRQ, acknowledged, &acks), 0);
    testvm_run_to_exit(t);
    assert_int_equal(old.nr[TEST_IRQ], 0);
    assert_int_equal(acks.nr[TEST_IRQ], 1);
}

GUEST_CODE(take_two, SET_UP GUEST_KNOCK GUEST_AWAIT_IRQS(2) GUEST_AWAIT(0x5000) GUEST_EXIT);

static void test_an_acknowledgement_may_raise_the_line_again(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {
        .irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 2, .is_raised_again = true};

    boot(t, &take_two, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[TEST_IRQ], 2);
    assert_int_equal(testvm_reg(t, REG_NR_IRQS), 2);
}

GUEST_CODE(take_masked, GUEST_IRQ_SET_UP GUEST_IRQS_ON GUEST_KNOCK
           "nop\n" GUEST_STORE_NR_IRQS_TO_E GUEST_IRQ_UNMASK GUEST_AWAIT_IRQS(1) GUEST_AWAIT(0x5000)
               GUEST_EXIT);

static void test_what_is_raised_on_a_masked_line_is_delivered_after_unmasking(void **state)
{
    static const struct {
        int (*act)(vm_vcpu_t *vcpu, int irq);
        int result;
    } cases[] = {{raise_line, MASKED_RESULT}, {vm_inject_irq, 0}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct acks acks = {.irq = TEST_IRQ, .act = cases[i].act, .nr_wanted = 1};

        boot(t, &take_masked, &acks);
        testvm_run_to_exit(t);
        assert_int_equal(acks.result, cases[i].result);
        assert_int_equal(testvm_reg(t, REG_E), 0);
        assert_int_equal(testvm_reg(t, REG_NR_IRQS), 1);
        assert_int_equal(acks.nr[TEST_IRQ], 1);
        testvm_destroy(t);
    }
}

GUEST_CODE(sleep_for_good, GUEST_FOR_EVER(GUEST_HALT));

/* Three in a row, and the guest ends without waiting for the acknowledgements. */
GUEST_CODE(take_three_and_leave,
           SET_UP GUEST_KNOCK GUEST_AWAIT_IRQS(1) GUEST_KNOCK GUEST_AWAIT_IRQS(2)
               GUEST_KNOCK GUEST_AWAIT_IRQS(3) GUEST_IRQS_OFF GUEST_EXIT);

static void test_each_end_of_interrupt_is_told_of_before_a_stop_returns(void **state)
{
    (void)state;
    for (unsigned nr_vcpus = 1; nr_vcpus <= 2; nr_vcpus++) {
        struct testvm *t = testvm_create();
        struct acks acks = {.irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 3};

        boot(t, &take_three_and_leave, &acks);
        if (nr_vcpus == 2) {
            vm_vcpu_t *other = vm_create_vcpu(&t->vm, 0);

            testvm_load(t, OTHER_GPA, &sleep_for_good);
            testvm_boot_vcpu(t, other, OTHER_GPA, STACK_GPA - 0x1000);
            assert_int_equal(vcpu_start(other), 0);
        }
        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, REG_NR_IRQS), 3);
        assert_int_equal(acks.nr[TEST_IRQ], 3);
        testvm_destroy(t);
    }
}

static void test_setting_the_level_of_an_open_line_succeeds(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = TEST_IRQ, .act = raise_line, .nr_wanted = 1};

    boot(t, &take_one, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_int_equal(testvm_reg(t, REG_NR_IRQS), 1);
}

/* --- levels --- */

GUEST_CODE(take_level,
           GUEST_IRQ_SET_UP GUEST_LEVEL_IRQ_UNMASK GUEST_IRQS_ON GUEST_KNOCK GUEST_AWAIT(0x5000)
               GUEST_IRQS_OFF GUEST_EXIT);

static void test_a_level_interrupts_until_an_acknowledgement_lowers_it(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = TEST_LEVEL_IRQ, .act = raise_line, .nr_wanted = 3};

    boot(t, &take_level, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_true(acks.nr[TEST_LEVEL_IRQ] >= 3);
    assert_true(testvm_reg(t, REG_NR_IRQS) >= 3);
}

/* --- several VMs --- */

static void test_acknowledgements_go_to_the_vm_of_the_line(void **state)
{
    struct testvm *t = *state;
    struct testvm *other = testvm_create();
    struct acks acks = {.irq = TEST_IRQ, .act = vm_inject_irq, .nr_wanted = 1};
    struct acks others = {.t = other, .irq = TEST_IRQ};

    assert_non_null(vm_create_vcpu(&other->vm, 0));
    assert_int_equal(vm_create_default_irq_controller(&other->vm), 0);
    assert_int_equal(vm_register_irq(other->vm.vcpus[0], TEST_IRQ, acknowledged, &others), 0);
    boot(t, &take_one, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[TEST_IRQ], 1);
    assert_int_equal(others.nr[TEST_IRQ], 0);
    testvm_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_there_are_so_many_interrupts),
        vm_test(test_lines_need_a_controller),
        vm_test(test_a_vm_has_one_controller),
        vm_test(test_a_controller_comes_before_the_first_start),
        cmocka_unit_test(test_the_controllers_addresses_are_theirs),
        vm_test(test_an_injected_interrupt_is_delivered_once_and_acknowledged_once),
        vm_test(test_an_acknowledgement_can_neither_run_nor_destroy_its_vm),
        vm_test(test_a_line_registered_before_the_controller_is_acknowledged),
        vm_test(test_the_last_registration_of_a_line_counts),
        vm_test(test_an_acknowledgement_may_raise_the_line_again),
        cmocka_unit_test(test_what_is_raised_on_a_masked_line_is_delivered_after_unmasking),
        cmocka_unit_test(test_each_end_of_interrupt_is_told_of_before_a_stop_returns),
        vm_test(test_setting_the_level_of_an_open_line_succeeds),
        vm_test(test_a_level_interrupts_until_an_acknowledgement_lowers_it),
        vm_test(test_acknowledgements_go_to_the_vm_of_the_line),
    };

    return run_vm_tests(tests);
}
