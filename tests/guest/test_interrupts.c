/* Interrupt lines: raised by the VMM, delivered through the 8259 pair, acknowledged back to the
 * VMM. */
#include "support/vm.h"

#include <pthread.h>
#include <string.h>

#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>

enum {
    HANDLER_GPA = 0x2000,
    OTHER_GPA = 0x6000, /* code of a second vcpu */
    HOST_PORT = 0x80,   /* the test's turn */
    NR_LINES = 16,
};

/* Vectors 0x20 to 0x27 for the first chip, 0x28 to 0x2f for the second; all lines masked (8259A
 * data sheet). */
#define INIT_8259                                                                                  \
    "mov $0x11, %al\nout %al, $0x20\nout %al, $0xa0\n"                                             \
    "mov $0x20, %al\nout %al, $0x21\nmov $0x28, %al\nout %al, $0xa1\n"                             \
    "mov $4, %al\nout %al, $0x21\nmov $2, %al\nout %al, $0xa1\n"                                   \
    "mov $1, %al\nout %al, $0x21\nout %al, $0xa1\n"                                                \
    "mov $0xff, %al\nout %al, $0x21\nout %al, $0xa1\n"
#define UNMASK_4     "mov $0xef, %al\nout %al, $0x21\n"
#define ASK_HOST     "out %al, $0x80\n"
#define AWAIT_VECTOR "1: test %r15, %r15\njz 1b\n"
#define AWAIT_FLAG   "2: cmpl $0, 0x5000\nje 2b\n"

/* Interrupt handlers: count in R15, tell the chips. */
GUEST_CODE(handle_first_chip, "inc %r15\n"
                              "mov $0x20, %al\n"
                              "out %al, $0x20\n"
                              "iretq\n");
GUEST_CODE(handle_both_chips, "inc %r15\n"
                              "mov $0x20, %al\n"
                              "out %al, $0xa0\n"
                              "out %al, $0x20\n"
                              "iretq\n");

/* What the acknowledgements were, and what is done at them. */
struct acks {
    struct testvm *t;
    unsigned nr[NR_LINES];
    unsigned nr_wanted;   /* with this one the guest is told to go on, and the line is lowered */
    bool is_raised_again; /* at the first one */
    bool tries_to_end_vm; /* and to run it again, at each */
    pthread_t runner;     /* of vm_run */
    int (*act)(vm_vcpu_t *vcpu, int irq); /* at HOST_PORT */
    int irq;
    int result; /* act's */
};

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    struct acks *acks = cookie;

    assert_true(pthread_equal(pthread_self(), acks->runner));
    assert_ptr_equal(vcpu, acks->t->vm.vcpus[BOOT_VCPU]);
    assert_in_range(irq, 0, NR_LINES - 1);
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

static ioport_fault_result_t host_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                       unsigned value)
{
    struct acks *acks = cookie;

    (void)port;
    (void)size;
    (void)value;
    acks->result = acks->act(vcpu, acks->irq);
    return IO_FAULT_HANDLED;
}

static int raise_line(vm_vcpu_t *vcpu, int irq)
{
    return vm_set_irq_level(vcpu, irq, 1);
}

/* Boots with interrupt controllers; the line's vector leads to the handler. */
static void boot(struct testvm *t, const struct guest_code *code, const struct guest_code *handler,
                 struct acks *acks)
{
    const vm_ioport_interface_t port = {acks, NULL, host_port, "host"};

    acks->t = t;
    acks->runner = pthread_self();
    testvm_boot(t, code);
    testvm_load(t, HANDLER_GPA, handler);
    testvm_set_vector(t, 0x20 + (unsigned)acks->irq, HANDLER_GPA);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){HOST_PORT, HOST_PORT}, port), 0);
    assert_int_equal(vm_register_irq(t->vcpu, acks->irq, acknowledged, acks), 0);
}

/* --- what is refused --- */

static void test_there_are_sixteen_lines(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.nr_wanted = 0};
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (int round = 0; round < 2; round++) {
        for (int irq = 0; irq < NR_LINES; irq++) {
            assert_int_equal(vm_register_irq(vcpu, irq, acknowledged, &acks), 0);
            assert_int_equal(vm_register_irq(vcpu, irq, NULL, NULL), 0);
        }
        assert_int_equal(vm_register_irq(vcpu, -1, acknowledged, &acks), -1);
        assert_int_equal(vm_register_irq(vcpu, NR_LINES, acknowledged, &acks), -1);
        assert_reason("there is no interrupt line 16: lines are 0 to 15");
        assert_int_equal(vm_register_irq(NULL, 1, acknowledged, &acks), -1);
        if (round == 0) {
            assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        }
    }
    assert_int_equal(vm_inject_irq(vcpu, NR_LINES), -1);
    assert_int_equal(vm_inject_irq(vcpu, -1), -1);
    assert_int_equal(vm_set_irq_level(vcpu, NR_LINES, 1), -1);
    assert_int_equal(vm_inject_irq(NULL, 1), -1);
    assert_int_equal(vm_set_irq_level(NULL, 1, 1), -1);
}

static void test_lines_need_a_controller(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    assert_int_equal(vm_inject_irq(vcpu, 4), -1);
    assert_reason("cannot set interrupt line 4: the VM has no interrupt controller; call "
                  "vm_create_default_irq_controller first");
    assert_int_equal(vm_set_irq_level(vcpu, 4, 1), -1);
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

static void test_the_controllers_addresses_are_theirs(void **state)
{
    static const uintptr_t addrs[] = {IO_APIC_DEFAULT_PHYS_BASE, APIC_DEFAULT_PHYS_BASE};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        vm_memory_reservation_t *r =
            vm_reserve_memory_at(&t->vm, addrs[i], 0x400, default_error_fault_callback, NULL);

        assert_non_null(r);
        assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
        assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
        assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        assert_null(
            vm_reserve_memory_at(&t->vm, addrs[i], 0x400, default_error_fault_callback, NULL));
        testvm_destroy(t);
    }
}

/* --- edges --- */

GUEST_CODE(take_one, INIT_8259 UNMASK_4 "sti\n" ASK_HOST AWAIT_VECTOR AWAIT_FLAG GUEST_EXIT);

static void test_an_edge_is_delivered_once_and_acknowledged_once(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 1};

    boot(t, &take_one, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_int_equal(acks.nr[4], 1);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
}

static void test_an_acknowledgement_can_neither_run_nor_destroy_its_vm(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 1, .tries_to_end_vm = true};

    boot(t, &take_one, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[4], 1);
}

static void test_a_line_registered_before_the_controller_is_acknowledged(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.t = t, .irq = 4, .act = vm_inject_irq, .nr_wanted = 1};
    const vm_ioport_interface_t port = {&acks, NULL, host_port, "host"};

    acks.runner = pthread_self();
    testvm_boot(t, &take_one);
    testvm_load(t, HANDLER_GPA, &handle_first_chip);
    testvm_set_vector(t, 0x24, HANDLER_GPA);
    assert_int_equal(vm_register_irq(t->vcpu, 4, acknowledged, &acks), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){HOST_PORT, HOST_PORT}, port), 0);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[4], 1);
}

static void test_the_last_registration_of_a_line_counts(void **state)
{
    struct testvm *t = *state;
    struct acks old = {.t = t};
    struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 1};

    boot(t, &take_one, &handle_first_chip, &acks);
    assert_int_equal(vm_register_irq(t->vcpu, 4, acknowledged, &old), 0);
    assert_int_equal(vm_register_irq(t->vcpu, 4, NULL, NULL), 0);
    assert_int_equal(vm_register_irq(t->vcpu, 4, acknowledged, &acks), 0);
    testvm_run_to_exit(t);
    assert_int_equal(old.nr[4], 0);
    assert_int_equal(acks.nr[4], 1);
}

GUEST_CODE(take_two, INIT_8259 UNMASK_4 "sti\n" ASK_HOST "1: cmp $2, %r15\n"
                                        "jne 1b\n" AWAIT_FLAG GUEST_EXIT);

static void test_an_acknowledgement_may_raise_the_line_again(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 2, .is_raised_again = true};

    boot(t, &take_two, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[4], 2);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 2);
}

GUEST_CODE(take_masked, INIT_8259 "sti\n" ASK_HOST "nop\n"
                                  "mov %r15, %r14\n" UNMASK_4 AWAIT_VECTOR AWAIT_FLAG GUEST_EXIT);

static void test_an_edge_on_a_masked_line_is_delivered_after_unmasking(void **state)
{
    static const struct {
        int (*act)(vm_vcpu_t *vcpu, int irq);
        int result;
    } cases[] = {{raise_line, -1}, {vm_inject_irq, 0}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct acks acks = {.irq = 4, .act = cases[i].act, .nr_wanted = 1};

        boot(t, &take_masked, &handle_first_chip, &acks);
        testvm_run_to_exit(t);
        assert_int_equal(acks.result, cases[i].result);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R14), 0);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
        assert_int_equal(acks.nr[4], 1);
        testvm_destroy(t);
    }
}

GUEST_CODE(sleep_for_good, "1: hlt\njmp 1b\n");

/* Three in a row, and the guest ends without waiting for the acknowledgements. */
GUEST_CODE(take_three_and_leave,
           INIT_8259 UNMASK_4 "sti\n" ASK_HOST "1: cmp $1, %r15\njne 1b\n" ASK_HOST
                              "1: cmp $2, %r15\njne 1b\n" ASK_HOST "1: cmp $3, %r15\njne 1b\n"
                              "cli\n" GUEST_EXIT);

static void test_each_end_of_interrupt_is_told_of_before_a_stop_returns(void **state)
{
    (void)state;
    for (unsigned nr_vcpus = 1; nr_vcpus <= 2; nr_vcpus++) {
        struct testvm *t = testvm_create();
        struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 3};

        boot(t, &take_three_and_leave, &handle_first_chip, &acks);
        if (nr_vcpus == 2) {
            vm_vcpu_t *other = vm_create_vcpu(&t->vm, 0);

            testvm_load(t, OTHER_GPA, &sleep_for_good);
            assert_int_equal(vm_set_vmcs_field(other, VMX_GUEST_RIP, OTHER_GPA), 0);
            assert_int_equal(vcpu_start(other), 0);
        }
        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 3);
        assert_int_equal(acks.nr[4], 3);
        testvm_destroy(t);
    }
}

/* End of interrupt for line 4 (specific, 8259A data sheet), many times, of none. */
GUEST_CODE(end_without_end, INIT_8259 UNMASK_4 "mov $1000, %ecx\n"
                                               "mov $0x64, %al\n"
                                               "3: out %al, $0x20\n"
                                               "dec %ecx\n"
                                               "jnz 3b\n" GUEST_EXIT);

static void test_a_guest_that_acknowledges_without_end_does_not_keep_the_vmm(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 4, .act = vm_inject_irq};

    boot(t, &end_without_end, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_in_range(acks.nr[4], 1, 1000);
}

static int raise_and_lower(vm_vcpu_t *vcpu, int irq)
{
    assert_int_equal(vm_set_irq_level(vcpu, irq, 1), 0);
    return vm_set_irq_level(vcpu, irq, 0);
}

static void test_setting_the_level_of_an_open_line_succeeds(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 4, .act = raise_and_lower, .nr_wanted = 1};

    boot(t, &take_one, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
}

/* --- levels --- */

/* ELCR: line 5 is level triggered (82371SB data sheet, 4.2). */
GUEST_CODE(take_level, INIT_8259 "mov $0x20, %al\n"
                                 "mov $0x4d0, %dx\n"
                                 "out %al, %dx\n"
                                 "mov $0xdf, %al\n"
                                 "out %al, $0x21\n"
                                 "sti\n" ASK_HOST AWAIT_FLAG "cli\n" GUEST_EXIT);

static void test_a_level_interrupts_until_an_acknowledgement_lowers_it(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 5, .act = raise_line, .nr_wanted = 3};

    boot(t, &take_level, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.result, 0);
    assert_true(acks.nr[5] >= 3);
    assert_true(testvm_reg(t, VCPU_CONTEXT_R15) >= 3);
}

/* --- the second chip --- */

GUEST_CODE(take_second_chip, INIT_8259 "mov $0xfb, %al\n"
                                       "out %al, $0x21\n"
                                       "out %al, $0xa1\n"
                                       "sti\n" ASK_HOST AWAIT_VECTOR AWAIT_FLAG GUEST_EXIT);

static void test_a_line_of_the_second_chip_is_acknowledged_and_the_cascade_is_not(void **state)
{
    struct testvm *t = *state;
    struct acks acks = {.irq = 10, .act = vm_inject_irq, .nr_wanted = 1};

    boot(t, &take_second_chip, &handle_both_chips, &acks);
    assert_int_equal(vm_register_irq(t->vcpu, 2, acknowledged, &acks), 0);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[10], 1);
    assert_int_equal(acks.nr[2], 0);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
}

/* --- several VMs --- */

static void test_acknowledgements_go_to_the_vm_of_the_line(void **state)
{
    struct testvm *t = *state;
    struct testvm *other = testvm_create();
    struct acks acks = {.irq = 4, .act = vm_inject_irq, .nr_wanted = 1};
    struct acks others = {.t = other, .irq = 4};

    assert_non_null(vm_create_vcpu(&other->vm, 0));
    assert_int_equal(vm_create_default_irq_controller(&other->vm), 0);
    assert_int_equal(vm_register_irq(other->vm.vcpus[0], 4, acknowledged, &others), 0);
    boot(t, &take_one, &handle_first_chip, &acks);
    testvm_run_to_exit(t);
    assert_int_equal(acks.nr[4], 1);
    assert_int_equal(others.nr[4], 0);
    testvm_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_there_are_sixteen_lines),
        vm_test(test_lines_need_a_controller),
        vm_test(test_a_vm_has_one_controller),
        vm_test(test_a_controller_comes_before_the_first_start),
        cmocka_unit_test(test_the_controllers_addresses_are_theirs),
        vm_test(test_an_edge_is_delivered_once_and_acknowledged_once),
        vm_test(test_an_acknowledgement_can_neither_run_nor_destroy_its_vm),
        vm_test(test_a_line_registered_before_the_controller_is_acknowledged),
        vm_test(test_the_last_registration_of_a_line_counts),
        vm_test(test_an_acknowledgement_may_raise_the_line_again),
        cmocka_unit_test(test_an_edge_on_a_masked_line_is_delivered_after_unmasking),
        cmocka_unit_test(test_each_end_of_interrupt_is_told_of_before_a_stop_returns),
        vm_test(test_a_guest_that_acknowledges_without_end_does_not_keep_the_vmm),
        vm_test(test_setting_the_level_of_an_open_line_succeeds),
        vm_test(test_a_level_interrupts_until_an_acknowledgement_lowers_it),
        vm_test(test_a_line_of_the_second_chip_is_acknowledged_and_the_cascade_is_not),
        vm_test(test_acknowledgements_go_to_the_vm_of_the_line),
    };

    return run_vm_tests(tests);
}
