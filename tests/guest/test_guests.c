/* The host halves of guests that are the same on every architecture: see guests/NAME.c. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_vcpu_fault.h>

#include "lib/contract.h"
#include "support/device.h"
#include "support/guest_file.h"

enum { PAGE = 4096, WORDS = PAGE / 8, STRIDE = 64 };

static memory_fault_result_t answer_hole(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                         void *cookie)
{
    (void)vm;
    (void)size;
    (void)cookie;
    if (addr - GUEST_HOLE_IGNORED < PAGE) {
        return FAULT_IGNORE;
    }
    if (is_vcpu_read_fault(vcpu)) {
        assert_int_equal(set_vcpu_fault_data(vcpu, GUEST_HOLE_VALUE), 0);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void test_fault_hole(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "fault_hole");
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, answer_hole, NULL), 0);
    guest_file_run(t);
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

static vm_memory_reservation_t *deferred[2];

static memory_fault_result_t map_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                      void *cookie)
{
    const uint64_t value = GUEST_DEFERRED_VALUE;
    uintptr_t page = addr & ~(uintptr_t)(PAGE - 1);

    (void)vcpu;
    (void)size;
    assert_int_equal(
        vm_map_reservation(vm, deferred[(page - GUEST_DEFERRED_BASE) / PAGE], next_frame, cookie),
        0);
    memcpy(testvm_pointer(cookie, page, sizeof(value)), &value, sizeof(value));
    return FAULT_RESTART;
}

static void test_fault_restart(void **state)
{
    struct testvm *t = *state;
    const uint64_t *words;

    guest_file_boot(t, "fault_restart");
    for (int i = 0; i < 2; i++) {
        deferred[i] = vm_reserve_memory_at(&t->vm, GUEST_DEFERRED_BASE + (uintptr_t)i * PAGE, PAGE,
                                           map_page, t);
        assert_non_null(deferred[i]);
    }
    guest_file_run(t);
    words = testvm_pointer(t, GUEST_DEFERRED_BASE + PAGE, 16);
    assert_int_equal(words[0], 0x0102030405060708);
    assert_int_equal(words[1] & 0xff, 0x77);
}

static uint64_t *shared_page(struct testvm *t, unsigned page)
{
    return testvm_pointer(t, GUEST_SHARED_BASE + (uintptr_t)page * PAGE, PAGE);
}

static void compare_and_fill(vm_vcpu_t *vcpu, void *cookie)
{
    (void)vcpu;
    for (unsigned i = 0; i < WORDS; i++) {
        if (i % STRIDE == 0) {
            assert_int_equal(shared_page(cookie, 1)[i], GUEST_PATTERN(2, i));
        }
        shared_page(cookie, 2)[i] = GUEST_PATTERN(3, i);
    }
}

static void test_ram(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "ram");
    for (unsigned i = 0; i < WORDS; i++) {
        shared_page(t, 0)[i] = GUEST_PATTERN(1, i);
    }
    t->listener = compare_and_fill;
    t->listener_cookie = t;
    guest_file_run(t);
}

static void stop(vm_vcpu_t *vcpu, void *cookie)
{
    (void)cookie;
    assert_int_equal(hostvm_vm_stop(vcpu->vm), 0);
}

static void test_spin(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "spin");
    t->listener = stop;
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
}

/* Through the machine's power, or where it has none, its exit. */
static void test_hello(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "hello");
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(t->exit_value, 0);
    assert_memory_equal(guest_file_printed(), "hello from hostvm's test kernel\r\n", 33);
    assert_non_null(strstr(guest_file_printed(), "\r\nbooted by its entry point\r\ncpu: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_fault_hole), vm_test(test_fault_restart), vm_test(test_ram),
        vm_test(test_spin),       vm_test(test_hello),
    };

    return run_vm_tests(tests);
}
