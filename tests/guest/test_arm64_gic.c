/* The interrupt controller of an Arm VM: shared interrupts as edges and as levels, and what the
 * client is told of them. */
#include "support/vm.h"

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vm_util.h>

#include "support/arm64/runs.h"
#include "support/device.h"
#include "support/inject.h"

enum { IRQ = 40, PAGE = 4096, VECTORS_GPA = 0x6000, IRQ_VECTOR = 0x280, NR_ACKS_GPA = 0x5000 };

/*
 * Interrupt 40, in either controller, enabled; vectors. ICFGR2's bits 17:16 say whether it is an
 * edge (2) or a level (0).
 */
#define SET_UP_GIC(trigger)                                                                        \
    GUEST_IRQ_SET_UP "ldr x15, =0x8000000\nldr w14, =" #trigger " << 16\nstr w14, [x15, #0xc08]\n" \
                     "ldr x15, =0x6000\nmsr vbar_el1, x15\nisb\n" GUEST_IRQ_UNMASK

/* Counts in x20 until there are as many interrupts as x21 says; x22 is the number of the last. */
#define AWAIT_INTERRUPTS "msr daifclr, #2\n1: cmp x20, x21\nb.lo 1b\nmsr daifset, #2\n"

/* What would come once more has time for it. */
#define WAIT_A_WHILE "msr daifclr, #2\nldr x1, =100000\n2: subs x1, x1, #1\nb.ne 2b\n"

#define TAKE(trigger, number, await)                                                               \
    "mov x20, #0\nmov x21, #" #number "\n" SET_UP_GIC(trigger)                                     \
        GUEST_KNOCK AWAIT_INTERRUPTS await WAIT_A_WHILE GUEST_EXIT

/* The host has been told of so many. */
#define ACKNOWLEDGED(number) "msr daifclr, #2\n" GUEST_AWAIT_VALUE(0x5000, number)

GUEST_CODE(one_edge, TAKE(2, 1, ""));
GUEST_CODE(two_edges, TAKE(2, 2, ""));
GUEST_CODE(one_level, TAKE(0, 1, ACKNOWLEDGED(1)));
GUEST_CODE(two_levels, TAKE(0, 2, ACKNOWLEDGED(2)));
GUEST_CODE(three_levels, TAKE(0, 3, ACKNOWLEDGED(3)));
GUEST_CODE(two_levels_of_nobody, TAKE(0, 2, ""));

/* Which one it is, knock (the host's turn, before its end), end: by the processor's registers, or
 * where it has none, by a GICv2's. */
#define COUNT_AND_KNOCK "add x20, x20, #1\nldr x24, =0x30000080\nstrb w0, [x24]\n"
GUEST_CODE(handler,
           "mrs x23, id_aa64pfr0_el1\ntst x23, #0xf000000\nb.eq 1f\n"
           "mrs x22, S3_0_C12_C12_0\n" COUNT_AND_KNOCK "msr S3_0_C12_C12_1, x22\nisb\neret\n"
           "1: ldr x23, =0x8010000\nldr w22, [x23, #0xc]\n" COUNT_AND_KNOCK
           "str w22, [x23, #0x10]\neret\n");

struct scene {
    struct testvm *t;
    unsigned nr_knocks;
    unsigned nr_acks;
    unsigned lowered_at; /* acknowledgement that lowers the line; 0: none */
    unsigned again_at;   /* knock that injects again; 0: none */
    int r;
};

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    struct scene *scene = cookie;

    assert_int_equal(irq, IRQ);
    scene->nr_acks++;
    *(uint32_t *)testvm_pointer(scene->t, NR_ACKS_GPA, 4) = scene->nr_acks;
    if (scene->nr_acks == scene->lowered_at) {
        assert_int_equal(vm_set_irq_level(vcpu, irq, 0), 0);
    }
}

/* The first knock says that the guest is ready, the others come from its handler. */
static void inject(vm_vcpu_t *vcpu, void *cookie)
{
    struct scene *scene = cookie;

    scene->nr_knocks++;
    if (scene->nr_knocks == 1 || scene->nr_knocks == scene->again_at) {
        scene->r |= vm_inject_irq(vcpu, IRQ);
    }
}

static void raise_line(vm_vcpu_t *vcpu, void *cookie)
{
    struct scene *scene = cookie;

    if (scene->nr_knocks++ == 0) {
        scene->r |= vm_set_irq_level(vcpu, IRQ, 1);
    }
}

static void boot(struct scene *scene, const struct guest_code *code, listener_fn listener)
{
    struct testvm *t = scene->t;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, code);
    testvm_load(t, VECTORS_GPA + IRQ_VECTOR, &handler);
    testvm_listen(t, listener, scene);
    assert_int_equal(vm_register_irq(t->vcpu, IRQ, acknowledged, scene), 0);
}

static void run(struct scene *scene, unsigned nr_interrupts)
{
    testvm_run_to_exit(scene->t);
    assert_int_equal(scene->r, 0);
    assert_int_equal(testvm_reg(scene->t, CONTEXT_REG(x20)), nr_interrupts);
    assert_int_equal(testvm_reg(scene->t, CONTEXT_REG(x22)), IRQ);
}

/* Edges are acknowledged to nobody: KVM tells of levels alone. */
static void test_an_injected_edge_comes_once(void **state)
{
    struct scene scene = {.t = *state};

    boot(&scene, &one_edge, inject);
    run(&scene, 1);
    assert_int_equal(scene.nr_acks, 0);
}

static void test_an_edge_injected_again_in_its_handler_comes_again(void **state)
{
    struct scene scene = {.t = *state, .again_at = 2};

    boot(&scene, &two_edges, inject);
    run(&scene, 2);
}

static void test_an_injected_level_comes_once_and_is_acknowledged(void **state)
{
    struct scene scene = {.t = *state};

    boot(&scene, &one_level, inject);
    run(&scene, 1);
    assert_int_equal(scene.nr_acks, 1);
}

static void test_a_level_injected_again_in_its_handler_comes_again(void **state)
{
    struct scene scene = {.t = *state, .again_at = 2};

    boot(&scene, &two_levels, inject);
    run(&scene, 2);
    assert_int_equal(scene.nr_acks, 2);
}

static void test_a_raised_level_stays_until_its_acknowledgement_lowers_it(void **state)
{
    struct scene scene = {.t = *state, .lowered_at = 3};

    boot(&scene, &three_levels, raise_line);
    run(&scene, 3);
    assert_int_equal(scene.nr_acks, 3);
}

/* Knocks: ready, in the handler, ended, in the handler, ended. */
GUEST_CODE(two_levels_in_a_row,
           "mov x20, #0\nmov x21, #1\n" SET_UP_GIC(0) GUEST_KNOCK AWAIT_INTERRUPTS GUEST_KNOCK
           "mov x21, #2\n" AWAIT_INTERRUPTS GUEST_KNOCK ACKNOWLEDGED(2) WAIT_A_WHILE GUEST_EXIT);

/* Injects when it is ready and when the first has ended; the fifth is the library's. */
static bool inject_unseen(void *cookie)
{
    struct scene *scene = cookie;

    scene->nr_knocks++;
    if (scene->nr_knocks == 1 || scene->nr_knocks == 3) {
        scene->r |= vm_inject_irq(scene->t->vcpu, IRQ);
    }
    return scene->nr_knocks < 5;
}

static void count_knock(vm_vcpu_t *vcpu, void *cookie)
{
    struct scene *scene = cookie;

    (void)vcpu;
    scene->nr_knocks++;
}

static void test_two_ends_heard_of_at_once_lead_to_no_third_interrupt(void **state)
{
    struct scene scene = {.t = *state};

    boot(&scene, &two_levels_in_a_row, count_knock);
    runs_watch(inject_unseen, &scene);
    run(&scene, 2);
    (void)runs_end();
    assert_int_equal(scene.nr_knocks, 6); /* five in all, of which one was the library's, too */
    assert_int_equal(scene.nr_acks, 2);
}

/* A line of the machine's own, which nobody has registered. */
static void raise_machine_line(vm_vcpu_t *vcpu, void *cookie)
{
    struct scene *scene = cookie;

    scene->nr_knocks++;
    scene->r |= hostvm_irq_line(vcpu->vm, IRQ, scene->nr_knocks < 3);
}

static void test_a_line_that_nobody_registered_keeps_its_level(void **state)
{
    struct scene scene = {.t = *state};

    assert_int_equal(vm_create_default_irq_controller(&scene.t->vm), 0);
    testvm_boot(scene.t, &two_levels_of_nobody);
    testvm_load(scene.t, VECTORS_GPA + IRQ_VECTOR, &handler);
    testvm_listen(scene.t, raise_machine_line, &scene);
    run(&scene, 2);
}

/* --- before the start --- */

static void listen_to_handler(vm_vcpu_t *vcpu, void *cookie)
{
    (void)vcpu;
    (void)cookie;
}

static void test_what_is_injected_before_the_start_comes_after_it(void **state)
{
    struct scene scene = {.t = *state};

    boot(&scene, &one_level, listen_to_handler);
    assert_int_equal(vm_inject_irq(scene.t->vcpu, IRQ), 0);
    run(&scene, 1);
    assert_int_equal(scene.nr_acks, 1);
}

static void test_what_is_raised_before_the_start_stays_until_it_is_lowered(void **state)
{
    struct scene scene = {.t = *state, .lowered_at = 3};

    boot(&scene, &three_levels, listen_to_handler);
    assert_int_equal(vm_set_irq_level(scene.t->vcpu, IRQ, 1), 0);
    run(&scene, 3);
}

/* The one that comes is what its first knock injects. */
static void test_what_is_lowered_before_the_start_does_not_come(void **state)
{
    struct scene scene = {.t = *state};

    boot(&scene, &one_level, inject);
    assert_int_equal(hostvm_irq_line(&scene.t->vm, IRQ, 1), 0);
    assert_int_equal(hostvm_irq_line(&scene.t->vm, IRQ, 0), 0);
    run(&scene, 1);
}

static void test_a_private_interrupt_waits_for_the_start(void **state)
{
    enum { PRIVATE = 27 };
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, &one_edge);
    assert_int_equal(vm_register_irq(t->vcpu, PRIVATE, acknowledged, NULL), 0);
    assert_int_equal(vm_inject_irq(t->vcpu, PRIVATE), -1);
    assert_reason("cannot set interrupt 27 of a vcpu: none was started yet");
}

/* --- refusals --- */

static void ignore_ack(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu;
    (void)irq;
    (void)cookie;
}

static void test_interrupts_that_cannot_be_raised_are_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, &one_edge);
    assert_int_equal(vm_inject_irq(t->vcpu, IRQ), -1);
    assert_reason("cannot inject interrupt 40: nobody has registered it; see vm_register_irq");
    assert_int_equal(vm_register_irq(t->vcpu, 256, ignore_ack, NULL), -1);
    assert_reason("there is no interrupt 256: they are 0 to 255");
    assert_int_equal(vm_register_irq(t->vcpu, -1, ignore_ack, NULL), -1);
    assert_int_equal(vm_register_irq(t->vcpu, 7, ignore_ack, NULL), 0);
    assert_int_equal(vm_inject_irq(t->vcpu, 7), -1);
    assert_reason("cannot set interrupt 7: only software sends 0 to 15");
    assert_int_equal(hostvm_irq_line(&t->vm, 31, 1), -1);
    assert_reason("there is no interrupt line 31: the controllers have 32 to 255");
    assert_int_equal(hostvm_irq_line(&t->vm, 256, 1), -1);
}

static void test_without_a_controller_nothing_can_be_raised(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &one_edge);
    assert_int_equal(hostvm_vm_gic_version(&t->vm), 0);
    assert_int_equal(hostvm_vm_gic_version(NULL), 0);
    assert_int_equal(vm_register_irq(t->vcpu, IRQ, ignore_ack, NULL), 0);
    assert_int_equal(vm_inject_irq(t->vcpu, IRQ), -1);
    assert_reason("cannot set interrupt line 40: the VM has no interrupt controller; call "
                  "vm_create_default_irq_controller first");
    assert_int_equal(vm_set_irq_level(t->vcpu, IRQ, 1), -1);
}

static void test_a_controller_whose_pages_are_reserved_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_non_null(
        vm_reserve_memory_at(&t->vm, HOSTVM_GIC_REDISTRIBUTORS + PAGE, PAGE, device_fault, NULL));
    if (vm_create_default_irq_controller(&t->vm) == 0) {
        assert_int_equal(hostvm_vm_gic_version(&t->vm), 2);
        return;
    }
    assert_reason("cannot create interrupt controllers: [0x8000000..0x8010000) or "
                  "[0x80a0000..0x9000000) is reserved; free that first");
}

GUEST_CODE(end, GUEST_EXIT);

static void test_vcpus_have_to_be_there_before_the_controller_is_in_use(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), -1);
    testvm_boot(t, &end);
    testvm_run_to_exit(t);
    assert_null(vm_create_vcpu(&t->vm, 0));
    assert_reason("cannot create another vcpu: the interrupt controller was set up when the first "
                  "one was started; create them all before");
}

static bool create_and_start(struct testvm *t)
{
    return vm_create_default_irq_controller(&t->vm) == 0 && vcpu_start(t->vcpu) == 0;
}

/* KVM puts it there in a KVM_RUN, and others do not wait for that. */
static void test_a_controller_is_in_its_place_when_the_first_vcpu_starts(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *other = testvm_boot_two(t, &end, &end);
    struct runs runs;

    runs_watch(NULL, NULL);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(vcpu_start(other), 0);
    runs = runs_end();
    assert_int_equal(runs.nr, 1);
    assert_int_equal(runs.nr_dry, 1);
    testvm_run_to_exit(t);
}

/* The n-th call fails, whichever it is: the same again succeeds, from where it stood. */
static void test_whatever_fails_of_the_controller_can_be_tried_again(void **state)
{
    bool has_failed = true;
    unsigned n;

    (void)state;
    for (n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();

        testvm_boot(t, &end);
        assert_int_equal(vm_register_irq(t->vcpu, IRQ, ignore_ack, NULL), 0);
        inject_fail_nth(n);
        (void)create_and_start(t);
        has_failed = inject_disarm();
        (void)vm_create_default_irq_controller(&t->vm);
        assert_true(hostvm_vm_gic_version(&t->vm) != 0);
        testvm_run_to_exit(t);
        testvm_destroy(t);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_an_injected_edge_comes_once),
        vm_test(test_an_edge_injected_again_in_its_handler_comes_again),
        vm_test(test_an_injected_level_comes_once_and_is_acknowledged),
        vm_test(test_a_level_injected_again_in_its_handler_comes_again),
        vm_test(test_a_raised_level_stays_until_its_acknowledgement_lowers_it),
        vm_test(test_two_ends_heard_of_at_once_lead_to_no_third_interrupt),
        vm_test(test_a_line_that_nobody_registered_keeps_its_level),
        vm_test(test_what_is_injected_before_the_start_comes_after_it),
        vm_test(test_what_is_raised_before_the_start_stays_until_it_is_lowered),
        vm_test(test_what_is_lowered_before_the_start_does_not_come),
        vm_test(test_a_private_interrupt_waits_for_the_start),
        vm_test(test_interrupts_that_cannot_be_raised_are_refused),
        vm_test(test_without_a_controller_nothing_can_be_raised),
        vm_test(test_a_controller_whose_pages_are_reserved_is_refused),
        vm_test(test_vcpus_have_to_be_there_before_the_controller_is_in_use),
        vm_test(test_a_controller_is_in_its_place_when_the_first_vcpu_starts),
        cmocka_unit_test(test_whatever_fails_of_the_controller_can_be_tried_again),
    };

    return run_vm_tests(tests);
}
