/* The part of an Arm VM's interrupt controller that takes messages: who gets it, and a message on
 * its way into it. */
#include "support/vm.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/chipset.h>
#include <hostvm/eventfd.h>
#include <sel4vm/guest_irq_controller.h>

#include "support/device.h"
#include "support/inject.h"

enum { PAGE = 4096, GITS_TRANSLATER = 0x10040 }; /* Arm IHI 0069, 12.19 */

/* What the ITS is: GITS_PIDR2's architecture revision, 3 (Arm IHI 0069, 12.19.8). */
GUEST_CODE(identify, "ldr x10, =0x808ffe8\nldr w20, [x10]\n" GUEST_KNOCK GUEST_EXIT);

static bool has_gicv3(struct testvm *t)
{
    if (hostvm_vm_gic_version(&t->vm) == 3) {
        return true;
    }
    assert_int_equal(hostvm_vm_create_its(&t->vm), -1);
    assert_reason("cannot create the ITS: the interrupt controller is of version 2, only version 3 "
                  "has it");
    print_message("the rest skipped - this host's KVM has a GICv2 only\n");
    return false;
}

static void test_only_a_gicv3_gets_one_and_one_only(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_create_its(NULL), -1);
    assert_reason("hostvm_vm_create_its: no VM given");
    assert_int_equal(hostvm_vm_create_its(&t->vm), -1);
    assert_reason("cannot create the ITS: the VM has no interrupt controller; call "
                  "vm_create_default_irq_controller first");
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    if (!has_gicv3(t)) {
        return;
    }
    assert_int_equal(hostvm_vm_create_its(&t->vm), 0);
    assert_int_equal(hostvm_vm_create_its(&t->vm), -1);
    assert_reason("cannot create the ITS: the VM has it already");
    assert_null(vm_reserve_memory_at(&t->vm, HOSTVM_GIC_ITS, PAGE, device_fault, NULL));
}

static void test_its_place_has_to_be_free(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *reservation;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    if (!has_gicv3(t)) {
        return;
    }
    reservation = vm_reserve_memory_at(&t->vm, HOSTVM_GIC_ITS + 0x1f000, PAGE, device_fault, NULL);
    assert_non_null(reservation);
    assert_int_equal(hostvm_vm_create_its(&t->vm), -1);
    assert_reason("cannot create the ITS: [0x8080000..0x80a0000) is reserved; free that first");
    assert_int_equal(vm_free_reserved_memory(&t->vm, reservation), 0);
    assert_int_equal(hostvm_vm_create_its(&t->vm), 0);
}

static void test_it_comes_before_the_first_vcpu_is_started(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    if (!has_gicv3(t)) {
        return;
    }
    testvm_boot(t, &identify);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(hostvm_vm_create_its(&t->vm), -1);
    assert_reason("cannot create the ITS: a vcpu was started already; create it first");
}

struct message {
    int fd;
    uint64_t revision;
    bool was_taken;
};

/* KVM reads the eventfd, whatever comes of the message. */
static void send(vm_vcpu_t *vcpu, void *cookie)
{
    struct message *message = cookie;
    struct pollfd pollfd = {.fd = message->fd, .events = POLLIN};
    seL4_UserContext context;

    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    message->revision = context.x20;
    assert_int_equal(eventfd_write(message->fd, 1), 0);
    message->was_taken = poll(&pollfd, 1, 0) == 0;
}

static void test_the_guest_finds_it_and_messages_are_taken(void **state)
{
    const hostvm_msi_t msi = {.address = HOSTVM_GIC_ITS + GITS_TRANSLATER, .data = 1, .device = 8};
    struct message message = {.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct testvm *t = *state;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    if (has_gicv3(t)) {
        assert_int_equal(hostvm_vm_create_its(&t->vm), 0);
        assert_int_equal(hostvm_msi_connect(&t->vm, message.fd, &msi), 0);
        testvm_boot(t, &identify);
        testvm_listen(t, send, &message);
        testvm_run_to_exit(t);
        assert_int_equal(message.revision >> 4 & 0xf, 3);
        assert_true(message.was_taken);
        assert_int_equal(hostvm_msi_disconnect(&t->vm, message.fd), 0);
    }
    (void)close(message.fd);
}

/* The n-th call fails, whichever it is: the same again succeeds, from where it stood. */
static void test_whatever_fails_of_it_can_be_tried_again(void **state)
{
    bool has_failed = true;
    unsigned n;

    (void)state;
    for (n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        int r;

        assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
        if (!has_gicv3(t)) {
            testvm_destroy(t);
            return;
        }
        inject_fail_nth(n);
        r = hostvm_vm_create_its(&t->vm);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
        if (has_failed) {
            assert_string_not_equal(hostvm_last_error(), "");
            assert_int_equal(hostvm_vm_create_its(&t->vm), 0);
        }
        testvm_destroy(t);
    }
    assert_in_range(n, 4, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_only_a_gicv3_gets_one_and_one_only),
        vm_test(test_its_place_has_to_be_free),
        vm_test(test_it_comes_before_the_first_vcpu_is_started),
        vm_test(test_the_guest_finds_it_and_messages_are_taken),
        cmocka_unit_test(test_whatever_fails_of_it_can_be_tried_again),
    };

    return run_vm_tests(tests);
}
