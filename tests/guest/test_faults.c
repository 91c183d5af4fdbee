/* Memory faults: who is asked, what the callback is told, and what its verdict leads to. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/arch/vmexit_reasons.h>
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

GUEST_CODE(load_long, "mov $0x1111111122222222, %rbx\n"
                      "mov 0x200004, %ebx\n" GUEST_EXIT);
GUEST_CODE(store_long, "movl $0x12345678, 0x200008\n" GUEST_EXIT);

/* --- what the callback is told --- */

static void test_a_read_returns_what_the_callback_sets(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0xcafebabe};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_read(&device, 0, DEVICE_GPA + 4, 4);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xcafebabe);
}

GUEST_CODE(stores, "mov $0x1122334455667788, %rax\n"
                   "mov %al, 0x200000\n"
                   "mov %ax, 0x200000\n"
                   "mov %eax, 0x200000\n"
                   "mov %rax, 0x200000\n"
                   "movb $0x5a, 0x200000\n"
                   "movw $0x5a5b, 0x200000\n"
                   "movl $0xfa5b5c5d, 0x200000\n"
                   "movq $-2, 0x200000\n" GUEST_EXIT);

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
        {1, 0x5a, 0xff},
        {2, 0x5a5b, 0xffff},
        {4, 0xfa5b5c5d, 0xffffffff},
        {8, 0xfffffffffffffffe, ~0ul},
    };
    struct testvm *t = *state;
    struct device device = {.value = 0};

    boot(t, &stores, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_write(&device, i, DEVICE_GPA, expected[i].size, expected[i].data);
        assert_int_equal(device.accesses[i].mask, expected[i].mask);
    }
}

GUEST_CODE(loads, "mov $0x1122334455667788, %rbx\n"
                  "mov %rbx, %rcx\n"
                  "mov %rbx, %rdx\n"
                  "mov %rbx, %rsi\n"
                  "mov 0x200000, %bl\n"
                  "mov 0x200000, %cx\n"
                  "mov 0x200000, %edx\n"
                  "mov 0x200000, %rsi\n" GUEST_EXIT);

static void test_a_load_changes_as_much_of_its_register_as_it_reads(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0xa1a2a3a4a5a6a7a8};

    boot(t, &loads, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x11223344556677a8);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x112233445566a7a8);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EDX), 0xa5a6a7a8);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ESI), 0xa1a2a3a4a5a6a7a8);
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

GUEST_CODE(lanes, "movb $0xab, 0x200003\n"
                  "movb $0xab, 0x200001\n"
                  "movw $0xabcd, 0x200002\n"
                  "movl $0xabcdef01, 0x200000\n"
                  "mov 0x200003, %bl\n"
                  "mov 0x200002, %bx\n"
                  "mov 0x200000, %ebx\n" GUEST_EXIT);

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
    seL4_Word value = 0;

    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_REASON, &value), 0);
    assert_int_equal(value, EXIT_REASON_EPT_VIOLATION);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_QUALIFICATION, &value), 0);
    assert_int_equal(value, is_vcpu_read_fault(vcpu) ? 1 : 2);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_GUEST_PHYSICAL, &value), 0);
    assert_int_equal(value, get_vcpu_fault_address(vcpu));
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
    enum { MOV_IMM64_SIZE = 10 };
    struct testvm *t = *state;
    struct device device = {.act = look_around, .cookie = (void *)(CODE_GPA + MOV_IMM64_SIZE + 0l)};

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

GUEST_CODE(load_and_store_rest, "mov $0x1111111122222222, %rbx\n"
                                "mov $0x3333, %ecx\n"
                                "movl $1, 0x200000\n"
                                "mov 0x200000, %ebx\n" GUEST_EXIT);

static void test_an_ignored_store_is_dropped_and_an_ignored_load_keeps_its_register(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE};

    boot(t, &load_and_store_rest, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x1111111122222222);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x3333);
}

static void test_handled_without_advance_completes_with_the_data_set(void **state)
{
    struct testvm *t = *state;
    struct device device = {.is_lazy = true};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0);
}

static void advance(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    advance_vcpu_fault(vcpu);
}

GUEST_CODE(two_loads, "mov 0x200000, %ebx\n"
                      "mov 0x200000, %ecx\n" GUEST_EXIT);

static void test_advancing_twice_skips_nothing(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 6, .act = advance};

    boot(t, &two_loads, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 6);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 6);
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
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 8);
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
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 9);
}

static void test_an_unhandled_callback_may_ignore(void **state)
{
    struct testvm *t = *state;
    struct device last_resort = {.result = FAULT_IGNORE};

    testvm_boot(t, &load_and_store_rest);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x1111111122222222);
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

GUEST_CODE(load_mapped_high, "mov 0x200010, %ebx\n" GUEST_EXIT);

static void test_addresses_of_40_bits_arrive_whole(void **state)
{
    enum { DIRECTORY_GPA = 0x10002000 };
    const uint64_t high = 0xffffe00000;
    struct testvm *t = *state;
    struct device last_resort = {.value = 10};

    testvm_boot(t, &load_mapped_high);
    ((uint64_t *)testvm_pointer(t, DIRECTORY_GPA, PAGE))[DEVICE_GPA >> 21] = high | 0x87;
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_read(&last_resort, 0, high + 0x10, 4);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 10);
}

GUEST_CODE(load_behind, "mov 0x200200, %ebx\n" GUEST_EXIT);
GUEST_CODE(load_over_the_end, "mov 0x2000fe, %ebx\n" GUEST_EXIT);
GUEST_CODE(load_last, "mov 0x2000fc, %ebx\n" GUEST_EXIT);

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
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 2);
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

/* Eight bytes over the end of RAM: five of them are the device's. Again and again. */
GUEST_CODE(load_odd_sizes, "mov $200, %ecx\n"
                           "1: mov 0x100000 - 3, %rbx\n"
                           "dec %ecx\n"
                           "jnz 1b\n" GUEST_EXIT);

static void count_message(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)level;
    if (strncmp(message, "an access of 5 bytes has no data mask", 37) == 0) {
        ++*(unsigned *)cookie;
    }
}

static void test_sizes_without_a_mask_do_not_flood_the_log(void **state)
{
    unsigned nr_messages = 0;
    struct testvm *t = testvm_create_with(
        (hostvm_env_config_t){.log_fn = count_message, .log_cookie = &nr_messages});
    struct device behind = {.value = 1};

    (void)state;
    testvm_boot(t, &load_odd_sizes);
    assert_non_null(vm_reserve_memory_at(&t->vm, RAM_SIZE, PAGE, device_fault, &behind));
    testvm_run_to_exit(t);
    assert_int_equal(behind.nr_accesses, 200);
    assert_int_equal(behind.accesses[0].size, 5);
    assert_int_equal(behind.accesses[0].mask, 0);
    assert_in_range(nr_messages, 1, 20);
    testvm_destroy(t);
}

static void test_the_last_bytes_of_a_reservation_are_its_own(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    struct device last_resort = {.value = 2};

    boot_small(t, &load_last, &device, &last_resort);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 1);
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
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 2);
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

/* --- instructions that make several accesses --- */

GUEST_CODE(cross_pages, "mov $0x1122334455667788, %rax\n"
                        "mov %rax, 0x200ffc\n"
                        "mov 0x200ffc, %rbx\n" GUEST_EXIT);

static void test_access_over_two_reservations_faults_in_each(void **state)
{
    struct testvm *t = *state;
    struct device low = {.value = 0xa1a2a3a4};
    struct device high = {.value = 0xb1b2b3b4};

    boot(t, &cross_pages, &low);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA + PAGE, PAGE, device_fault, &high));
    testvm_run_to_exit(t);
    assert_int_equal(low.nr_accesses, 2);
    assert_write(&low, 0, 0x200ffc, 4, 0x55667788);
    assert_read(&low, 1, 0x200ffc, 4);
    assert_int_equal(high.nr_accesses, 2);
    assert_write(&high, 0, 0x201000, 4, 0x11223344);
    assert_read(&high, 1, 0x201000, 4);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xb1b2b3b4a1a2a3a4);
}

GUEST_CODE(leave_ram, "mov $0x1122334455667788, %rax\n"
                      "mov %rax, 0xffffa\n"
                      "mov 0xffffa, %rbx\n" GUEST_EXIT);

static void test_access_over_the_end_of_ram_faults_outside_only(void **state)
{
    struct testvm *t = *state;
    struct device behind = {.value = 0xddcc};
    uint8_t last[6];

    testvm_boot(t, &leave_ram);
    assert_non_null(vm_reserve_memory_at(&t->vm, RAM_SIZE, PAGE, device_fault, &behind));
    testvm_run_to_exit(t);
    assert_int_equal(behind.nr_accesses, 2);
    assert_write(&behind, 0, RAM_SIZE, 2, 0x1122);
    assert_read(&behind, 1, RAM_SIZE, 2);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xddcc334455667788);
    memcpy(last, testvm_pointer(t, RAM_SIZE - 6, 6), 6);
    assert_memory_equal(last, "\x88\x77\x66\x55\x44\x33", 6);
}

GUEST_CODE(add_to_device, "mov $0x100, %ecx\n"
                          "add %ecx, 0x200010\n"
                          "orb $0x80, 0x200020\n" GUEST_EXIT);

static void test_read_modify_write_is_one_read_and_one_write(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x23};

    boot(t, &add_to_device, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 4);
    assert_read(&device, 0, 0x200010, 4);
    assert_write(&device, 1, 0x200010, 4, 0x123);
    assert_read(&device, 2, 0x200020, 1);
    assert_write(&device, 3, 0x200020, 1, 0xa3);
}

GUEST_CODE(store_string, "cld\n"
                         "mov $0x5000, %esi\n"
                         "mov $0x200000, %edi\n"
                         "mov $3, %ecx\n"
                         "rep movsb\n" GUEST_EXIT);

static void test_string_instruction_faults_once_per_element(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0};

    boot(t, &store_string, &device);
    memcpy(testvm_pointer(t, DATA_GPA, 3), "abc", 3);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 3);
    assert_write(&device, 0, 0x200000, 1, 'a');
    assert_write(&device, 1, 0x200001, 1, 'b');
    assert_write(&device, 2, 0x200002, 1, 'c');
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EDI), 0x200003);
}

/* --- registers and reservations changed in a callback --- */

static void set_rcx(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_ECX, 0x77), 0);
}

static void test_a_register_set_in_a_read_fault_and_the_value_read_both_arrive(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x66, .act = set_rcx};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x66);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x77);
}

static void set_rbx(struct device *device, vm_vcpu_t *vcpu)
{
    seL4_Word value = 0;

    (void)device;
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, 0x88), 0);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &value), 0);
    assert_int_equal(value, 0x88);
}

static void test_a_register_set_in_a_read_fault_wins_over_the_value_read(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x66, .act = set_rbx};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x88);
}

static void test_a_register_set_in_an_ignored_read_is_set(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE, .act = set_rcx};

    boot(t, &load_long, &device);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x1111111122222222);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x77);
}

GUEST_CODE(store_and_lose, "movl $1, 0x200000\n"
                           "mov $1, %edx\n" GUEST_EXIT);
GUEST_CODE(elsewhere, "mov $2, %edx\n" GUEST_EXIT);

static void go_elsewhere(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, DATA_GPA), 0);
}

static void test_an_instruction_pointer_set_in_a_fault_is_where_the_guest_goes_on(void **state)
{
    static const struct guest_code *const codes[] = {&store_and_lose, &load_long};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct device device = {.act = go_elsewhere};

        boot(t, codes[i], &device);
        testvm_load(t, DATA_GPA, &elsewhere);
        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EDX), 2);
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
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 4);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 5);
}

/* --- no data access at all --- */

GUEST_CODE(jump_to_device, "mov $0x200000, %eax\n"
                           "jmp *%rax\n");

static void test_fetching_code_where_nothing_is_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0};
    struct device last_resort = {.value = 0};

    boot(t, &jump_to_device, &device);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(last_resort.nr_accesses, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_read_returns_what_the_callback_sets),
        vm_test(test_a_write_is_told_with_its_size_and_data),
        vm_test(test_a_load_changes_as_much_of_its_register_as_it_reads),
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
        cmocka_unit_test(test_sizes_without_a_mask_do_not_flood_the_log),
        vm_test(test_the_last_bytes_of_a_reservation_are_its_own),
        vm_test(test_anonymous_reservations_get_their_faults),
        vm_test(test_unused_anonymous_space_is_unhandled),
        vm_test(test_access_over_two_reservations_faults_in_each),
        vm_test(test_access_over_the_end_of_ram_faults_outside_only),
        vm_test(test_read_modify_write_is_one_read_and_one_write),
        vm_test(test_string_instruction_faults_once_per_element),
        vm_test(test_a_register_set_in_a_read_fault_and_the_value_read_both_arrive),
        vm_test(test_a_register_set_in_a_read_fault_wins_over_the_value_read),
        vm_test(test_a_register_set_in_an_ignored_read_is_set),
        cmocka_unit_test(test_an_instruction_pointer_set_in_a_fault_is_where_the_guest_goes_on),
        vm_test(test_a_callback_may_free_its_own_reservation),
        vm_test(test_fetching_code_where_nothing_is_ends_the_run),
    };

    return run_vm_tests(tests);
}
