/* x86: accesses by the instructions that it has: what each does to its registers, how many accesses
 * one makes, and the fetching of instructions. */
#include "support/vm.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/guest_window.h>
#include <sel4vm/arch/vmexit_reasons.h>
#include <sel4vm/guest_memory_helpers.h>

#include "support/device.h"
#include "support/guest_file.h"

enum { PAGE = 4096 };

/* A guest with a device of a page's size. */
static void boot(struct testvm *t, const struct guest_code *code, struct device *device)
{
    testvm_boot(t, code);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, device));
}

/* --- one access --- */

GUEST_CODE(stores, "mov $0x1122334455667788, %rax\n"
                   "mov %al, 0x200000\n"
                   "mov %ax, 0x200000\n"
                   "mov %eax, 0x200000\n"
                   "mov %rax, 0x200000\n"
                   "movb $0x5a, 0x200000\n"
                   "movw $0x5a5b, 0x200000\n"
                   "movl $0xfa5b5c5d, 0x200000\n"
                   "movq $-2, 0x200000\n" GUEST_EXIT);

static void test_registers_and_constants_are_stored_as_wide_as_they_are(void **state)
{
    static const struct {
        size_t size;
        seL4_Word data;
    } expected[] = {
        {1, 0x88}, {2, 0x7788}, {4, 0x55667788}, {8, 0x1122334455667788},
        {1, 0x5a}, {2, 0x5a5b}, {4, 0xfa5b5c5d}, {8, 0xfffffffffffffffe},
    };
    struct testvm *t = *state;
    struct device device = {.value = 0};

    boot(t, &stores, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_write(&device, i, DEVICE_GPA, expected[i].size, expected[i].data);
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

/* A violation of the second level's tables, as VMX would have it (Intel SDM 3C, 27.2.1). */
static void look_at_fields(struct device *device, vm_vcpu_t *vcpu)
{
    seL4_Word value = 0;

    (void)device;
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_REASON, &value), 0);
    assert_int_equal(value, EXIT_REASON_EPT_VIOLATION);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_QUALIFICATION, &value), 0);
    assert_int_equal(value, is_vcpu_read_fault(vcpu) ? 1 : 2);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_GUEST_PHYSICAL, &value), 0);
    assert_int_equal(value, get_vcpu_fault_address(vcpu));
}

GUEST_CODE(load_and_store, "mov 0x200004, %ebx\n"
                           "mov %ebx, 0x200008\n" GUEST_EXIT);

static void test_an_accesss_fields_are_those_of_a_violation(void **state)
{
    struct testvm *t = *state;
    struct device device = {.act = look_at_fields};

    boot(t, &load_and_store, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
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

/* KVM cuts it in two, and reports the second half although memory is there by then. */
GUEST_CODE(store_across, "movl $0x44332211, 0x200ffe\n" GUEST_EXIT);

static void attach_next_page(struct device *device, vm_vcpu_t *vcpu)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    (void)vcpu;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(
        hostvm_window_attach(device->cookie, fd, 0, DEVICE_GPA + PAGE, PAGE, seL4_AllRights), 0);
    assert_int_equal(close(fd), 0);
}

static void test_an_access_that_was_under_way_is_done_in_what_is_attached_by_now(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *w = NULL;
    struct device device = {.act = attach_next_page};
    uint16_t stored = 0;

    assert_int_equal(hostvm_window_create(16 << 20, 0, &w), 0);
    assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    device.cookie = w;
    testvm_boot(t, &store_across);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device), 0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_write(&device, 0, DEVICE_GPA + PAGE - 2, 2, 0x2211);
    assert_int_equal(hostvm_window_read16(w, DEVICE_GPA + PAGE, &stored), 0);
    assert_int_equal(stored, 0x4433);
    hostvm_window_destroy(w);
}

/* A page that is there once the guest asks for it. */
static memory_fault_result_t bring_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                        void *cookie)
{
    struct testvm *t = cookie;
    seL4_CPtr frame = envs_frame(&t->env, 12);
    vm_memory_reservation_t *page = vm_reserve_memory_at(vm, addr & ~(uintptr_t)(PAGE - 1), PAGE,
                                                         default_error_fault_callback, NULL);

    (void)vcpu;
    (void)size;
    return vm_map_reservation_frames(vm, page, &frame, 1, 12) == 0 ? FAULT_RESTART : FAULT_ERROR;
}

GUEST_CODE(change_across, "mov $0x200ffc, %edi\n"
                          "movl $5, 4(%rdi)\n"
                          "addl $6, 4(%rdi)\n"
                          "mov 4(%rdi), %ebx\n"
                          "movq $-1, (%rdi)\n"
                          "mov (%rdi), %r8\n" GUEST_EXIT);

static void test_an_access_over_two_pages_waits_for_both(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &change_across);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, bring_page, t), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 11);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R8), UINT64_MAX);
}

/* --- guests of guests/ that are about nothing else --- */

static void run_on_device(struct testvm *t, const char *name)
{
    guest_file_boot(t, name);
    (void)guest_file_add_device(t);
    guest_file_run(t);
}

static void test_mmio_forms(void **state)
{
    run_on_device(*state, "mmio_forms");
}

static void test_mmio_string(void **state)
{
    run_on_device(*state, "mmio_string");
}

static void test_mmio_crossing(void **state)
{
    run_on_device(*state, "mmio_crossing");
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
        vm_test(test_registers_and_constants_are_stored_as_wide_as_they_are),
        vm_test(test_a_load_changes_as_much_of_its_register_as_it_reads),
        vm_test(test_an_accesss_fields_are_those_of_a_violation),
        vm_test(test_access_over_two_reservations_faults_in_each),
        vm_test(test_access_over_the_end_of_ram_faults_outside_only),
        vm_test(test_read_modify_write_is_one_read_and_one_write),
        vm_test(test_string_instruction_faults_once_per_element),
        cmocka_unit_test(test_sizes_without_a_mask_do_not_flood_the_log),
        vm_test(test_an_access_that_was_under_way_is_done_in_what_is_attached_by_now),
        vm_test(test_an_access_over_two_pages_waits_for_both),
        vm_test(test_mmio_forms),
        vm_test(test_mmio_string),
        vm_test(test_mmio_crossing),
        vm_test(test_fetching_code_where_nothing_is_ends_the_run),
    };

    return run_vm_tests(tests);
}
