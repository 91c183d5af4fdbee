/* x86: what only the pair of 8259 chips has, which interrupts go through on a PC. */
#include "support/vm.h"

#include <sel4vm/guest_irq_controller.h>

enum { HANDLER_GPA = 0x2800, SLAVE_IRQ = 10, CASCADE_IRQ = 2, NR_LINES = 16 };

GUEST_CODE(handle_both_chips, "inc %r15\n"
                              "mov $0x20, %al\n"
                              "out %al, $0xa0\n"
                              "out %al, $0x20\n"
                              "iretq\n");

struct scene {
    struct testvm *t;
    int irq;
    unsigned nr_acks[NR_LINES];
    int (*act)(vm_vcpu_t *vcpu, int irq); /* at the knock */
    int result;                           /* of act */
};

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    struct scene *scene = cookie;

    (void)vcpu;
    scene->nr_acks[irq]++;
    *(volatile uint32_t *)testvm_pointer(scene->t, DATA_GPA, 4) = 1;
}

static void knocked(vm_vcpu_t *vcpu, void *cookie)
{
    struct scene *scene = cookie;

    scene->result = scene->act(vcpu, scene->irq);
}

static void boot(struct scene *scene, const struct guest_code *code)
{
    struct testvm *t = scene->t;

    testvm_boot(t, code);
    testvm_listen(t, knocked, scene);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_register_irq(t->vcpu, scene->irq, acknowledged, scene), 0);
}

/* End of interrupt for line 4 (specific, 8259A data sheet), many times, of none. */
GUEST_CODE(end_without_end,
           GUEST_IRQ_SET_UP GUEST_IRQ_UNMASK GUEST_REPEAT(1000, "mov $0x64, %al\n"
                                                                "out %al, $0x20\n") GUEST_EXIT);

static void test_a_guest_that_acknowledges_without_end_does_not_keep_the_vmm(void **state)
{
    struct scene scene = {.t = *state, .irq = TEST_IRQ};

    boot(&scene, &end_without_end);
    testvm_run_to_exit(scene.t);
    assert_in_range(scene.nr_acks[TEST_IRQ], 1, 1000);
}

static int raise_and_lower(vm_vcpu_t *vcpu, int irq)
{
    assert_int_equal(vm_set_irq_level(vcpu, irq, 1), 0);
    return vm_set_irq_level(vcpu, irq, 0);
}

GUEST_CODE(take_one, GUEST_IRQ_SET_UP GUEST_IRQ_UNMASK GUEST_IRQS_ON GUEST_KNOCK GUEST_AWAIT_IRQS(1)
                         GUEST_EXIT);

static void test_a_line_that_is_high_for_a_moment_is_an_edge(void **state)
{
    struct scene scene = {.t = *state, .irq = TEST_IRQ, .act = raise_and_lower};

    boot(&scene, &take_one);
    testvm_take_irqs(scene.t, TEST_IRQ);
    testvm_run_to_exit(scene.t);
    assert_int_equal(scene.result, 0);
    assert_int_equal(testvm_reg(scene.t, REG_NR_IRQS), 1);
}

GUEST_CODE(take_second_chip,
           GUEST_IRQ_SET_UP "mov $0xfb, %al\n"
                            "out %al, $0x21\n"
                            "out %al, $0xa1\n" GUEST_IRQS_ON GUEST_KNOCK GUEST_AWAIT_IRQS(1)
                                GUEST_AWAIT(0x5000) GUEST_EXIT);

static void test_a_line_of_the_second_chip_is_acknowledged_and_the_cascade_is_not(void **state)
{
    struct scene scene = {.t = *state, .irq = SLAVE_IRQ, .act = vm_inject_irq};
    struct testvm *t = scene.t;

    boot(&scene, &take_second_chip);
    testvm_load(t, HANDLER_GPA, &handle_both_chips);
    testvm_set_vector(t, IRQ_VECTOR + SLAVE_IRQ, HANDLER_GPA);
    assert_int_equal(vm_register_irq(t->vcpu, CASCADE_IRQ, acknowledged, &scene), 0);
    testvm_run_to_exit(t);
    assert_int_equal(scene.result, 0);
    assert_int_equal(scene.nr_acks[SLAVE_IRQ], 1);
    assert_int_equal(scene.nr_acks[CASCADE_IRQ], 0);
    assert_int_equal(testvm_reg(t, REG_NR_IRQS), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_guest_that_acknowledges_without_end_does_not_keep_the_vmm),
        vm_test(test_a_line_that_is_high_for_a_moment_is_an_edge),
        vm_test(test_a_line_of_the_second_chip_is_acknowledged_and_the_cascade_is_not),
    };

    return run_vm_tests(tests);
}
