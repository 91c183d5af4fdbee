/* Memory faults: who is asked, what the callback is told, and what its verdict leads to. */
#include "support/vm.h"

#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"

enum { PAGE = 4096 };

/* A guest with a device of a page's size. */
static void boot(struct testvm *t, const struct guest_code *code, struct device *device)
{
    testvm_boot(t, code);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, device));
}

GUEST_CODE(load_long,
           GUEST_SET_B(0x1111111122222222) GUEST_MARK(the_load) GUEST_LOAD_B(0x200004) GUEST_EXIT);
GUEST_MARK_DECLARE(the_load);
GUEST_CODE(store_long, GUEST_STORE(0x200008, 0x12345678) GUEST_EXIT);

/* --- what the callback is told --- */

static void test_a_read_returns_what_the_callback_sets(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0xcafebabe};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_read(&device, 0, DEVICE_GPA + 4, 4);
    assert_int_equal(testvm_reg(t, REG_B), 0xcafebabe);
}

GUEST_CODE(stores, GUEST_STORE8(0x200000, 0x88) GUEST_STORE16(0x200000, 0x7788)
                       GUEST_STORE(0x200000, 0x55667788) GUEST_STORE64(0x200000, 0x1122334455667788)
                           GUEST_EXIT);

static void test_a_write_is_told_with_its_size_and_data(void **state)
{
    static const struct {
        size_t size;
        seL4_Word data;
        seL4_Word mask;
    } expected[] = {
        {1, 0x88, 0xff},
        {2, 0x7788, 0xffff},
        {4, 0x55667788, 0xffffffff},
        {8, 0x1122334455667788, ~0ul},
    };
    struct testvm *t = *state;
    struct device device = {.value = 0};

    boot(t, &stores, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_write(&device, i, DEVICE_GPA, expected[i].size, expected[i].data);
        assert_int_equal(device.accesses[i].mask, expected[i].mask);
    }
}

/* Lanes: cookie is an array of what emulate_vcpu_fault makes of 0x11223344. */
static void emulate(struct device *device, vm_vcpu_t *vcpu)
{
    seL4_Word *merged = device->cookie;

    if (is_vcpu_read_fault(vcpu)) {
        assert_int_equal(set_vcpu_fault_data(vcpu, 0xaabbccdd), 0);
    }
    merged[device->nr_accesses - 1] = emulate_vcpu_fault(vcpu, 0x11223344);
}

GUEST_CODE(lanes,
           GUEST_STORE8(0x200003, 0xab) GUEST_STORE8(0x200001, 0xab) GUEST_STORE16(0x200002, 0xabcd)
               GUEST_STORE(0x200000, 0xabcdef01) GUEST_LOAD8_B(0x200003) GUEST_LOAD16_B(0x200002)
                   GUEST_LOAD_B(0x200000) GUEST_EXIT);

static void test_lanes_are_merged_by_mask_and_shift(void **state)
{
    static const struct {
        seL4_Word mask;
        seL4_Word merged;
    } expected[] = {
        {0xff000000, 0xab223344}, {0xff00, 0x1122ab44},     {0xffff0000, 0xabcd3344},
        {0xffffffff, 0xabcdef01}, {0xff000000, 0x112233aa}, {0xffff0000, 0x1122aabb},
        {0xffffffff, 0xaabbccdd},
    };
    seL4_Word merged[7];
    struct testvm *t = *state;
    struct device device = {.act = emulate, .cookie = merged};

    boot(t, &lanes, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(device.accesses[i].mask, expected[i].mask);
        assert_int_equal(merged[i], expected[i].merged);
    }
}

/* What else is known in a callback; cookie is the address of the instruction. */
static void look_around(struct device *device, vm_vcpu_t *vcpu)
{
    if (is_vcpu_read_fault(vcpu)) {
        assert_int_equal(get_vcpu_fault_ip(vcpu), (uintptr_t)device->cookie);
        assert_int_equal(get_vcpu_fault_data(vcpu), 0);
        assert_int_equal(set_vcpu_fault_data(vcpu, 5), 0);
        assert_int_equal(get_vcpu_fault_data(vcpu), 5);
    } else {
        assert_int_equal(set_vcpu_fault_data(vcpu, 5), -1);
        assert_reason("set_vcpu_fault_data: the guest writes at 0x200008, it reads nothing");
    }
}

static void test_a_read_fault_knows_its_instruction(void **state)
{
    const uintptr_t ip = CODE_GPA + guest_mark(load_long, the_load) + LOAD_OFFSET;
    struct testvm *t = *state;
    struct device device = {.act = look_around, .cookie = (void *)ip};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
}

static void test_data_cannot_be_set_for_a_write(void **state)
{
    struct testvm *t = *state;
    struct device device = {.act = look_around};

    boot(t, &store_long, &device);
    testvm_run_to_exit(t);
    assert_write(&device, 0, DEVICE_GPA + 8, 4, 0x12345678);
}

static void test_outside_callbacks_there_is_no_fault(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 7};
    vm_vcpu_t *vcpus[] = {NULL, NULL};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    vcpus[1] = t->vcpu;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get_vcpu_fault_address(vcpus[i]), 0);
        assert_int_equal(get_vcpu_fault_ip(vcpus[i]), 0);
        assert_int_equal(get_vcpu_fault_data(vcpus[i]), 0);
        assert_int_equal(get_vcpu_fault_data_mask(vcpus[i]), 0);
        assert_int_equal(get_vcpu_fault_size(vcpus[i]), 0);
        assert_false(is_vcpu_read_fault(vcpus[i]));
        assert_int_equal(set_vcpu_fault_data(vcpus[i], 1), -1);
        assert_int_equal(emulate_vcpu_fault(vcpus[i], 9), 9);
        advance_vcpu_fault(vcpus[i]);
        restart_vcpu_fault(vcpus[i]);
    }
    assert_reason("restart_vcpu_fault: vcpu 0 has no fault; ask in its fault callback");
}

/* --- verdicts --- */

GUEST_CODE(load_and_store_rest, GUEST_SET_B(0x1111111122222222) GUEST_SET_C(0x3333)
                                    GUEST_STORE(0x200000, 1) GUEST_LOAD_B(0x200000) GUEST_EXIT);

static void test_an_ignored_store_is_dropped_and_an_ignored_load_keeps_its_register(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE};

    boot(t, &load_and_store_rest, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, REG_B), 0x1111111122222222);
    assert_int_equal(testvm_reg(t, REG_C), 0x3333);
}

static void test_handled_without_advance_completes_with_the_data_set(void **state)
{
    struct testvm *t = *state;
    struct device device = {.is_lazy = true};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_B), 0);
}

static void advance(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    advance_vcpu_fault(vcpu);
}

GUEST_CODE(two_loads, GUEST_LOAD_B(0x200000) GUEST_LOAD_C(0x200000) GUEST_EXIT);

static void test_advancing_twice_skips_nothing(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 6, .act = advance};

    boot(t, &two_loads, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, REG_B), 6);
    assert_int_equal(testvm_reg(t, REG_C), 6);
}

static void test_an_error_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_ERROR};

    boot(t, &load_long, &device);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x200004: its fault callback reported an error");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(device.nr_accesses, 1);
}

static void test_the_default_error_callback_ends_the_run(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &store_long);
    assert_non_null(
        vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, default_error_fault_callback, NULL));
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(default_error_fault_callback(&t->vm, t->vcpu, 0, 1, NULL), FAULT_ERROR);
}

static void test_what_a_reservation_leaves_unhandled_goes_to_the_unhandled_callback(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_UNHANDLED};
    struct device last_resort = {.value = 8};

    boot(t, &load_long, &device);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(last_resort.nr_accesses, 1);
    assert_read(&last_resort, 0, DEVICE_GPA + 4, 4);
    assert_int_equal(testvm_reg(t, REG_B), 8);
}

static void test_an_unhandled_fault_without_callback_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_UNHANDLED};

    boot(t, &load_long, &device);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x200004: nothing is there and nobody handled it");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_false(is_vcpu_online(t->vcpu));
}

static void test_an_address_that_nobody_reserved_is_unhandled(void **state)
{
    struct testvm *t = *state;
    struct device last_resort = {.value = 9};

    testvm_boot(t, &two_loads);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(last_resort.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, REG_C), 9);
}

static void test_an_unhandled_callback_may_ignore(void **state)
{
    struct testvm *t = *state;
    struct device last_resort = {.result = FAULT_IGNORE};

    testvm_boot(t, &load_and_store_rest);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x1111111122222222);
}

static void test_an_unhandled_callback_that_does_not_handle_ends_the_run(void **state)
{
    static const memory_fault_result_t results[] = {FAULT_UNHANDLED, FAULT_ERROR, FAULT_RESTART,
                                                    (memory_fault_result_t)99};
    static const char *const reasons[] = {
        "read of 4 bytes at 0x200004: nothing is there and nobody handled it",
        "read of 4 bytes at 0x200004: the unhandled-fault callback reported an error",
        "read of 4 bytes at 0x200004: the unhandled-fault callback asks for a restart again and "
        "again, but nothing is there",
        "read of 4 bytes at 0x200004: the unhandled-fault callback reported an error",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct testvm *t = testvm_create();
        struct device last_resort = {.result = results[i]};

        testvm_boot(t, &load_long);
        assert_int_equal(
            vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort), 0);
        assert_int_equal(testvm_run(t), -1);
        assert_reason(reasons[i]);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        testvm_destroy(t);
    }
}

/* --- where a reservation begins and ends --- */

GUEST_CODE(load_mapped_high, GUEST_LOAD_B(0x200010) GUEST_EXIT);

static void test_addresses_of_40_bits_arrive_whole(void **state)
{
    const uint64_t high = 0xffffe00000;
    struct testvm *t = *state;
    struct device last_resort = {.value = 10};

    testvm_boot(t, &load_mapped_high);
    testvm_map_device_at(t, high);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_read(&last_resort, 0, high + 0x10, 4);
    assert_int_equal(testvm_reg(t, REG_B), 10);
}

GUEST_CODE(load_behind, GUEST_LOAD_B(0x200200) GUEST_EXIT);
GUEST_CODE(load_over_the_end, GUEST_LOAD_B(0x2000fe) GUEST_EXIT);
GUEST_CODE(load_last, GUEST_LOAD_B(0x2000fc) GUEST_EXIT);

static void boot_small(struct testvm *t, const struct guest_code *code, struct device *device,
                       struct device *last_resort)
{
    testvm_boot(t, code);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, 0x100, device_fault, device));
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, last_resort),
                     0);
}

static void test_fault_past_end_of_reservation_is_unhandled(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    struct device last_resort = {.value = 2};

    boot_small(t, &load_behind, &device, &last_resort);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(testvm_reg(t, REG_B), 2);
}

static void test_access_over_the_end_of_a_reservation_is_an_error(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    struct device last_resort = {.value = 2};

    boot_small(t, &load_over_the_end, &device, &last_resort);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x2000fe: it reaches past the end of the reservation "
                  "[0x200000..0x200100)");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(last_resort.nr_accesses, 0);
}

static void test_the_last_bytes_of_a_reservation_are_its_own(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    struct device last_resort = {.value = 2};

    boot_small(t, &load_last, &device, &last_resort);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 1);
    assert_int_equal(last_resort.nr_accesses, 0);
}

static void test_anonymous_reservations_get_their_faults(void **state)
{
    struct testvm *t = *state;
    struct device first = {.value = 1};
    struct device second = {.value = 2};
    uintptr_t addr;

    testvm_boot(t, &load_behind);
    assert_int_equal(vm_memory_make_anon(&t->vm, DEVICE_GPA - PAGE, 4 * PAGE), 0);
    assert_non_null(vm_reserve_anon_memory(&t->vm, PAGE, PAGE, device_fault, &first, &addr));
    assert_non_null(vm_reserve_anon_memory(&t->vm, PAGE, PAGE, device_fault, &second, &addr));
    assert_int_equal(addr, DEVICE_GPA);
    testvm_run_to_exit(t);
    assert_int_equal(first.nr_accesses, 0);
    assert_read(&second, 0, 0x200200, 4);
    assert_int_equal(testvm_reg(t, REG_B), 2);
}

static void test_unused_anonymous_space_is_unhandled(void **state)
{
    struct testvm *t = *state;
    struct device last_resort = {.value = 3};

    testvm_boot(t, &load_behind);
    assert_int_equal(vm_memory_make_anon(&t->vm, DEVICE_GPA, PAGE), 0);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(last_resort.nr_accesses, 1);
}

/* --- registers and reservations changed in a callback --- */

static void set_c(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(vm_set_thread_context_reg(vcpu, REG_C, 0x77), 0);
}

static void test_a_register_set_in_a_read_fault_and_the_value_read_both_arrive(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x66, .act = set_c};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x66);
    assert_int_equal(testvm_reg(t, REG_C), 0x77);
}

static void set_b(struct device *device, vm_vcpu_t *vcpu)
{
    seL4_Word value = 0;

    (void)device;
    assert_int_equal(vm_set_thread_context_reg(vcpu, REG_B, 0x88), 0);
    assert_int_equal(vm_get_thread_context_reg(vcpu, REG_B, &value), 0);
    assert_int_equal(value, 0x88);
}

static void test_a_register_set_in_a_read_fault_wins_over_the_value_read(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x66, .act = set_b};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x88);
}

static void test_a_register_set_in_an_ignored_read_is_set(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE, .act = set_c};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x1111111122222222);
    assert_int_equal(testvm_reg(t, REG_C), 0x77);
}

GUEST_CODE(store_and_lose, GUEST_STORE(0x200000, 1) GUEST_SET_D(1) GUEST_EXIT);
GUEST_CODE(load_and_lose, GUEST_LOAD_B(0x200000) GUEST_SET_D(1) GUEST_EXIT);
GUEST_CODE(elsewhere, GUEST_SET_D(2) GUEST_EXIT);

static void go_elsewhere(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    testvm_set_pc(vcpu, DATA_GPA);
}

static void test_an_instruction_pointer_set_in_a_fault_is_where_the_guest_goes_on(void **state)
{
    static const struct guest_code *const codes[] = {&store_and_lose, &load_and_lose};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct device device = {.act = go_elsewhere};

        boot(t, codes[i], &device);
        testvm_load(t, DATA_GPA, &elsewhere);
        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, REG_D), 2);
        testvm_destroy(t);
    }
}

static void free_own_reservation(struct device *device, vm_vcpu_t *vcpu)
{
    assert_int_equal(vm_free_reserved_memory(vcpu->vm, device->cookie), 0);
}

static void test_a_callback_may_free_its_own_reservation(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 4, .act = free_own_reservation};
    struct device last_resort = {.value = 5};

    testvm_boot(t, &two_loads);
    device.cookie = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 4);
    assert_int_equal(testvm_reg(t, REG_C), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_read_returns_what_the_callback_sets),
        vm_test(test_a_write_is_told_with_its_size_and_data),
        vm_test(test_lanes_are_merged_by_mask_and_shift),
        vm_test(test_a_read_fault_knows_its_instruction),
        vm_test(test_data_cannot_be_set_for_a_write),
        vm_test(test_outside_callbacks_there_is_no_fault),
        vm_test(test_an_ignored_store_is_dropped_and_an_ignored_load_keeps_its_register),
        vm_test(test_handled_without_advance_completes_with_the_data_set),
        vm_test(test_advancing_twice_skips_nothing),
        vm_test(test_an_error_ends_the_run),
        vm_test(test_the_default_error_callback_ends_the_run),
        vm_test(test_what_a_reservation_leaves_unhandled_goes_to_the_unhandled_callback),
        vm_test(test_an_unhandled_fault_without_callback_ends_the_run),
        vm_test(test_an_address_that_nobody_reserved_is_unhandled),
        vm_test(test_an_unhandled_callback_may_ignore),
        cmocka_unit_test(test_an_unhandled_callback_that_does_not_handle_ends_the_run),
        vm_test(test_addresses_of_40_bits_arrive_whole),
        vm_test(test_fault_past_end_of_reservation_is_unhandled),
        vm_test(test_access_over_the_end_of_a_reservation_is_an_error),
        vm_test(test_the_last_bytes_of_a_reservation_are_its_own),
        vm_test(test_anonymous_reservations_get_their_faults),
        vm_test(test_unused_anonymous_space_is_unhandled),
        vm_test(test_a_register_set_in_a_read_fault_and_the_value_read_both_arrive),
        vm_test(test_a_register_set_in_a_read_fault_wins_over_the_value_read),
        vm_test(test_a_register_set_in_an_ignored_read_is_set),
        cmocka_unit_test(test_an_instruction_pointer_set_in_a_fault_is_where_the_guest_goes_on),
        vm_test(test_a_callback_may_free_its_own_reservation),
    };

    return run_vm_tests(tests);
}
