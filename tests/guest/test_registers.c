/* Registers: set and read back before, between and in runs, and in force in the guest. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_ram.h>

#include "support/inject.h"

static const seL4_VCPUContext numbered = {
    .eax = 0x0101010101010101,
    .ebx = 0x0202020202020202,
    .ecx = 0x0303030303030303,
    .edx = 0x0404040404040404,
    .esi = 0x0505050505050505,
    .edi = 0x0606060606060606,
    .ebp = 0x0707070707070707,
    .r8 = 0x0808080808080808,
    .r9 = 0x0909090909090909,
    .r10 = 0x1010101010101010,
    .r11 = 0x1111111111111111,
    .r12 = 0x1212121212121212,
    .r13 = 0x1313131313131313,
    .r14 = 0x1414141414141414,
    .r15 = 0x1515151515151515,
};

/* --- general registers --- */

static void test_a_fresh_vcpu_has_zeros_in_its_registers(void **state)
{
    static const seL4_VCPUContext zeros;
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    seL4_VCPUContext context = numbered;

    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    assert_memory_equal(&context, &zeros, sizeof(zeros));
}

static void test_a_context_reads_back_before_the_first_run(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    const seL4_Word *words = (const seL4_Word *)&numbered;
    seL4_VCPUContext context;

    assert_int_equal(vm_set_thread_context(vcpu, numbered), 0);
    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    assert_memory_equal(&context, &numbered, sizeof(context));
    for (int i = VCPU_CONTEXT_EAX; i <= VCPU_CONTEXT_R15; i++) {
        seL4_Word value = 0;

        assert_int_equal(vm_get_thread_context_reg(vcpu, (vcpu_context_reg_t)i, &value), 0);
        assert_int_equal(value, words[i]);
    }
}

static void test_setting_one_register_keeps_the_others(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    seL4_VCPUContext expected = numbered;
    seL4_VCPUContext context;

    assert_int_equal(vm_set_thread_context(vcpu, numbered), 0);
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_R9, 42), 0);
    expected.r9 = 42;
    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    assert_memory_equal(&context, &expected, sizeof(context));
}

static void test_a_register_that_does_not_exist_is_refused(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    seL4_Word value = 42;

    assert_int_equal(vm_set_thread_context_reg(vcpu, (vcpu_context_reg_t)99, 0), -1);
    assert_reason("there is no general register 99: they are 0 to 14");
    assert_int_equal(vm_set_thread_context_reg(vcpu, (vcpu_context_reg_t)15, 0), -1);
    assert_int_equal(vm_set_thread_context_reg(vcpu, (vcpu_context_reg_t)-1, 0), -1);
    assert_int_equal(vm_get_thread_context_reg(vcpu, (vcpu_context_reg_t)15, &value), -1);
    assert_int_equal(value, 42);
}

static void test_registers_without_an_argument_are_refused(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    seL4_VCPUContext context = numbered;
    seL4_Word value = 42;

    assert_int_equal(vm_set_thread_context(NULL, context), -1);
    assert_int_equal(vm_set_thread_context_reg(NULL, VCPU_CONTEXT_EAX, 1), -1);
    assert_int_equal(vm_get_thread_context(NULL, &context), -1);
    assert_int_equal(vm_get_thread_context(vcpu, NULL), -1);
    assert_int_equal(vm_get_thread_context_reg(NULL, VCPU_CONTEXT_EAX, &value), -1);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EAX, (seL4_Word *)NULL), -1);
    assert_int_equal(vm_set_vmcs_field(NULL, VMX_GUEST_RIP, 1), -1);
    assert_int_equal(vm_get_vmcs_field(NULL, VMX_GUEST_RIP, &value), -1);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, (seL4_Word *)NULL), -1);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, (uint32_t *)NULL), -1);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EAX, (uint32_t *)NULL), -1);
    assert_int_equal(value, 42);
    assert_memory_equal(&context, &numbered, sizeof(context));
}

static void test_results_of_32_bits_receive_the_low_half(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);
    struct {
        uint32_t value;
        uint32_t behind;
    } narrow = {0, 42};
    seL4_Word wide;

    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, 0x1122334455667788), 0);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &narrow.value), 0);
    assert_int_equal(narrow.value, 0x55667788);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &wide), 0);
    assert_int_equal(wide, 0x1122334455667788);
    assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, 0x1122334455667788), 0);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, &narrow.value), 0);
    assert_int_equal(narrow.value, 0x55667788);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, &wide), 0);
    assert_int_equal(wide, 0x1122334455667788);
    assert_int_equal(vm_get_vmcs_field(vcpu, 0xdead, &narrow.value), -1);
    assert_int_equal(narrow.value, 0x55667788);
    assert_int_equal(narrow.behind, 42);
}

GUEST_CODE(set_ebx, "mov $0x1234, %ebx\n" GUEST_EXIT);

static void test_registers_that_could_not_be_read_can_be_read_again(void **state)
{
    struct testvm *t = *state;
    seL4_Word value = 42;
    int r;

    testvm_boot(t, &set_ebx);
    testvm_run_to_exit(t);
    inject_fail_nth(1);
    r = vm_get_thread_context_reg(t->vcpu, VCPU_CONTEXT_EBX, &value);
    assert_true(inject_disarm());
    assert_int_equal(r, -1);
    assert_reason("cannot read the registers of vcpu 0: Input/output error");
    assert_int_equal(value, 42);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x1234);
}

/* --- fields --- */

/* Each with values of its own, so that none stands for another. */
#define SEGMENT(name, n)                                                                           \
    {VMX_GUEST_##name##_SELECTOR, 0x18 + 8 * (n)},                                                 \
        {VMX_GUEST_##name##_LIMIT, 0xf1fff + 0x1000 * (n)},                                        \
        {VMX_GUEST_##name##_BASE, 0x123450 + 0x10000 * (n)},                                       \
    {                                                                                              \
        VMX_GUEST_##name##_ACCESS_RIGHTS, 0xd0f0 + (n)                                             \
    }

struct field {
    seL4_Word number;
    seL4_Word value;
};

static const struct field guest_fields[] = {
    SEGMENT(ES, 0),
    SEGMENT(CS, 1),
    SEGMENT(SS, 2),
    SEGMENT(DS, 3),
    SEGMENT(FS, 4),
    SEGMENT(GS, 5),
    SEGMENT(LDTR, 6),
    SEGMENT(TR, 7),
    {VMX_GUEST_GDTR_LIMIT, 0x7f},
    {VMX_GUEST_IDTR_LIMIT, 0xfff},
    {VMX_GUEST_GDTR_BASE, 0x4000},
    {VMX_GUEST_IDTR_BASE, 0x3000},
    {VMX_GUEST_DEBUGCTRL, 0x1},
    {VMX_GUEST_PAT, 0x0606060606060606},
    {VMX_GUEST_EFER, 0xd01},
    {VMX_GUEST_PERF_GLOBAL_CTRL, 0x3},
    {VMX_GUEST_SYSENTER_CS, 0x8},
    {VMX_GUEST_SYSENTER_ESP, 0x7777000},
    {VMX_GUEST_SYSENTER_EIP, 0x8888000},
    {VMX_GUEST_INTERRUPTABILITY, 0x1},
    {VMX_GUEST_ACTIVITY, 0x1},
    {VMX_GUEST_CR0, 0x80000031},
    {VMX_GUEST_CR3, 0x7000},
    {VMX_GUEST_CR4, 0xa0},
    {VMX_GUEST_DR7, 0x401},
    {VMX_GUEST_RSP, 0x123456789abc},
    {VMX_GUEST_RIP, 0x1234},
    {VMX_GUEST_RFLAGS, 0x246},
};

static const seL4_Word control_fields[] = {
    VMX_CONTROL_CR0_MASK,
    VMX_CONTROL_CR4_MASK,
    VMX_CONTROL_CR0_READ_SHADOW,
    VMX_CONTROL_CR4_READ_SHADOW,
    VMX_CONTROL_PIN_EXECUTION_CONTROLS,
    VMX_CONTROL_PRIMARY_PROCESSOR_CONTROLS,
    VMX_CONTROL_SECONDARY_PROCESSOR_CONTROLS,
    VMX_CONTROL_EXCEPTION_BITMAP,
    VMX_CONTROL_EXIT_CONTROLS,
    VMX_CONTROL_ENTRY_EXCEPTION_ERROR_CODE,
};

static const seL4_Word read_only_fields[] = {
    VMX_DATA_GUEST_PHYSICAL,
    VMX_DATA_INSTRUCTION_ERROR,
    VMX_DATA_EXIT_REASON,
    VMX_DATA_EXIT_INTERRUPT_INFO,
    VMX_DATA_EXIT_INTERRUPT_ERROR,
    VMX_DATA_IDT_VECTOR_INFO,
    VMX_DATA_IDT_VECTOR_ERROR,
    VMX_DATA_EXIT_INSTRUCTION_LENGTH,
    VMX_DATA_EXIT_INSTRUCTION_INFO,
    VMX_DATA_EXIT_QUALIFICATION,
    VMX_DATA_IO_RCX,
    VMX_DATA_IO_RSI,
    VMX_DATA_IO_RDI,
    VMX_DATA_IO_RIP,
};

static const seL4_Word absent_fields[] = {
    VMX_GUEST_SMBASE,
    VMX_GUEST_VMX_PREEMPTION_TIMER_VALUE,
    VMX_GUEST_PENDING_DEBUG_EXCEPTIONS,
    VMX_DATA_GUEST_LINEAR_ADDRESS,
    0,
    0x801,
    0x810,
    0xdeadbeef,
    ~0ul,
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static seL4_Word get_field(vm_vcpu_t *vcpu, seL4_Word number)
{
    seL4_Word value = 0;

    if (vm_get_vmcs_field(vcpu, number, &value) != 0) {
        fail_msg("cannot get field 0x%lx: %s", number, hostvm_last_error());
    }
    return value;
}

static void set_field(vm_vcpu_t *vcpu, seL4_Word number, seL4_Word value)
{
    if (vm_set_vmcs_field(vcpu, number, value) != 0) {
        fail_msg("cannot set field 0x%lx: %s", number, hostvm_last_error());
    }
}

static void test_every_guest_field_reads_back(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (size_t i = 0; i < COUNT(guest_fields); i++) {
        set_field(vcpu, guest_fields[i].number, guest_fields[i].value);
    }
    for (size_t i = 0; i < COUNT(guest_fields); i++) {
        if (get_field(vcpu, guest_fields[i].number) != guest_fields[i].value) {
            fail_msg("field 0x%lx does not read back", guest_fields[i].number);
        }
    }
}

GUEST_CODE(nothing, GUEST_EXIT GUEST_EXIT);

static void test_every_guest_field_reads_back_between_runs(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    testvm_run_to_exit(t);
    for (size_t i = 0; i < COUNT(guest_fields); i++) {
        set_field(t->vcpu, guest_fields[i].number, guest_fields[i].value);
        if (get_field(t->vcpu, guest_fields[i].number) != guest_fields[i].value) {
            fail_msg("field 0x%lx does not read back", guest_fields[i].number);
        }
    }
}

static void test_controls_are_remembered(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (size_t i = 0; i < COUNT(control_fields); i++) {
        assert_int_equal(get_field(vcpu, control_fields[i]), 0);
        set_field(vcpu, control_fields[i], 0x100 + i);
    }
    for (size_t i = 0; i < COUNT(control_fields); i++) {
        assert_int_equal(get_field(vcpu, control_fields[i]), 0x100 + i);
    }
}

static void test_fields_about_exits_are_read_only(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (size_t i = 0; i < COUNT(read_only_fields); i++) {
        assert_int_equal(vm_set_vmcs_field(vcpu, read_only_fields[i], 1), -1);
        assert_int_equal(get_field(vcpu, read_only_fields[i]), 0);
    }
    assert_reason("cannot set VMCS field 0x6408: it is unknown, read-only or without counterpart "
                  "in KVM");
}

static void test_unknown_fields_are_refused_and_leave_the_result_alone(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (size_t i = 0; i < COUNT(absent_fields); i++) {
        seL4_Word value = 42;

        assert_int_equal(vm_set_vmcs_field(vcpu, absent_fields[i], 1), -1);
        assert_int_equal(vm_get_vmcs_field(vcpu, absent_fields[i], &value), -1);
        assert_int_equal(value, 42);
    }
    assert_reason("cannot get VMCS field 0xffffffffffffffff: it is unknown or without counterpart "
                  "in KVM");
}

static void test_a_fresh_vcpu_is_in_long_mode(void **state)
{
    static const struct field expected[] = {
        {VMX_GUEST_CR0, 0x80000011},
        {VMX_GUEST_CR3, 0x10000000},
        {VMX_GUEST_CR4, 0x20},
        {VMX_GUEST_EFER, 0x500},
        {VMX_GUEST_RFLAGS, 0x2},
        {VMX_GUEST_RIP, 0},
        {VMX_GUEST_RSP, 0},
        {VMX_GUEST_CS_SELECTOR, 0x8},
        {VMX_GUEST_CS_BASE, 0},
        {VMX_GUEST_CS_LIMIT, 0xffffffff},
        {VMX_GUEST_CS_ACCESS_RIGHTS, AR(G) | AR(L) | AR(P) | AR(S) | AR_T(BUSY_TSS)},
        {VMX_GUEST_DS_SELECTOR, 0x10},
        {VMX_GUEST_SS_SELECTOR, 0x10},
        {VMX_GUEST_ES_SELECTOR, 0x10},
        {VMX_GUEST_FS_SELECTOR, 0},
        {VMX_GUEST_GS_SELECTOR, 0},
        {VMX_GUEST_TR_LIMIT, 0xff},
        {VMX_GUEST_TR_ACCESS_RIGHTS, DEFAULT_TR_ACCESS_RIGHTS},
        {VMX_GUEST_LDTR_ACCESS_RIGHTS, AR(P) | AR_T(LDT)},
        {VMX_GUEST_GDTR_BASE, 0},
        {VMX_GUEST_GDTR_LIMIT, 0},
        {VMX_GUEST_IDTR_BASE, 0},
        {VMX_GUEST_IDTR_LIMIT, 0},
        {VMX_GUEST_DR7, 0x400},
    };
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    for (size_t i = 0; i < COUNT(expected); i++) {
        if (get_field(vcpu, expected[i].number) != expected[i].value) {
            fail_msg("field 0x%lx is 0x%lx", expected[i].number,
                     get_field(vcpu, expected[i].number));
        }
    }
}

/* --- in force in the guest --- */

enum { TABLES_GPA = 0x800000 };

GUEST_CODE(store_all, "mov %rax, 0x5000\n"
                      "mov %rbx, 0x5008\n"
                      "mov %rcx, 0x5010\n"
                      "mov %rdx, 0x5018\n"
                      "mov %rsi, 0x5020\n"
                      "mov %rdi, 0x5028\n"
                      "mov %rbp, 0x5030\n"
                      "mov %r8, 0x5038\n"
                      "mov %r9, 0x5040\n"
                      "mov %r10, 0x5048\n"
                      "mov %r11, 0x5050\n"
                      "mov %r12, 0x5058\n"
                      "mov %r13, 0x5060\n"
                      "mov %r14, 0x5068\n"
                      "mov %r15, 0x5070\n"
                      "mov %rsp, 0x5078\n"
                      "pushf\n"
                      "pop 0x5080\n"
                      "mov %cr3, %rax\n"
                      "mov %rax, 0x5088\n"
                      "mov %ds, %eax\n"
                      "mov %rax, 0x5090\n"
                      "mov %fs:0, %rax\n"
                      "mov %rax, 0x5098\n" GUEST_EXIT);

/* Page tables of the client's own, which map as the first ones do. */
static seL4_Word copy_tables(struct testvm *t)
{
    uint64_t *tables;

    assert_int_equal(vm_ram_register_at(&t->vm, TABLES_GPA, 3 * 4096, false), 0);
    tables = testvm_pointer(t, TABLES_GPA, 3 * 4096);
    memcpy(tables, testvm_pointer(t, 0x10000000, 3 * 4096), 3 * 4096);
    tables[0] = (TABLES_GPA + 4096) | 7;
    tables[512] = (TABLES_GPA + 2 * 4096) | 7;
    return TABLES_GPA;
}

static void test_what_was_set_is_in_force_at_the_first_instruction(void **state)
{
    enum { FS_BASE = 0x5100 };
    struct testvm *t = *state;
    const seL4_Word *stored;

    testvm_boot(t, &store_all);
    stored = testvm_pointer(t, DATA_GPA, 0x200);
    *(uint64_t *)testvm_pointer(t, FS_BASE, 8) = 0xf5f5f5f5;
    assert_int_equal(vm_set_thread_context(t->vcpu, numbered), 0);
    set_field(t->vcpu, VMX_GUEST_RSP, 0x7890);
    set_field(t->vcpu, VMX_GUEST_CR3, copy_tables(t));
    set_field(t->vcpu, VMX_GUEST_RFLAGS, 0x8d7);
    set_field(t->vcpu, VMX_GUEST_DS_SELECTOR, 0x28);
    set_field(t->vcpu, VMX_GUEST_FS_BASE, FS_BASE);
    testvm_run_to_exit(t);
    assert_memory_equal(stored, &numbered, sizeof(numbered));
    assert_int_equal(stored[15], 0x7890);
    assert_int_equal(stored[16], 0x8d7);
    assert_int_equal(stored[17], TABLES_GPA);
    assert_int_equal(stored[18], 0x28);
    assert_int_equal(stored[19], 0xf5f5f5f5);
}

static void test_registers_of_the_guest_are_read_after_its_exit(void **state)
{
    struct testvm *t = *state;
    seL4_VCPUContext expected = numbered;
    seL4_VCPUContext context;

    testvm_boot(t, &nothing);
    assert_int_equal(vm_set_thread_context(t->vcpu, numbered), 0);
    testvm_run_to_exit(t);
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_memory_equal(&context, &expected, sizeof(context));
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RIP), CODE_GPA + 2);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), STACK_GPA);
}

GUEST_CODE(count, "inc %rbx\n"
                  "push %rbx\n" GUEST_EXIT "inc %rbx\n"
                  "push %rbx\n" GUEST_EXIT);

static ioport_fault_result_t stop_at_exit(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                          unsigned size, unsigned value)
{
    (void)cookie, (void)port, (void)size, (void)value;
    assert_int_equal(hostvm_vm_stop(vcpu->vm), 0);
    return IO_FAULT_HANDLED;
}

static void test_a_second_run_goes_on_with_the_registers_of_the_first(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &count);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 1);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 2);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), STACK_GPA - 16);
}

static void test_what_is_set_between_runs_is_in_force_in_the_next(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &count);
    testvm_run_to_exit(t);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, VCPU_CONTEXT_EBX, 100), 0);
    set_field(t->vcpu, VMX_GUEST_RSP, 0x7000);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 101);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), 0x7000 - 8);
}

static void test_a_guest_without_stack_pointer_gets_one_once(void **state)
{
    struct testvm *t = *state;
    const vm_ioport_interface_t port = {t, NULL, stop_at_exit, "exit"};

    t->vcpu = vm_create_vcpu(&t->vm, 0);
    assert_int_equal(vm_ram_register_at(&t->vm, 0, RAM_SIZE, false), 0);
    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){EXIT_PORT, EXIT_PORT}, port), 0);
    testvm_load(t, CODE_GPA, &count);
    set_field(t->vcpu, VMX_GUEST_RIP, CODE_GPA);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), 0x96000);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), 0x96000 - 8);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_RSP), 0x96000 - 16);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 2);
}

static void test_fields_set_before_the_start_are_kept_by_the_guest(void **state)
{
    static const struct field kept[] = {
        {VMX_GUEST_PAT, 0x0606060606060606},
        {VMX_GUEST_SYSENTER_CS, 0x8},
        {VMX_GUEST_SYSENTER_ESP, 0x7777000},
        {VMX_GUEST_SYSENTER_EIP, 0x8888000},
        {VMX_GUEST_DR7, 0x402},
        {VMX_GUEST_GS_BASE, 0x123450},
        {VMX_GUEST_GDTR_LIMIT, 0x7f},
        {VMX_GUEST_IDTR_BASE, 0x3000},
        {VMX_GUEST_FS_SELECTOR, 0x20},
        {VMX_GUEST_CR4, 0xa0},
        {VMX_GUEST_ACTIVITY, 0},
        {VMX_GUEST_INTERRUPTABILITY, 0},
        {VMX_GUEST_DEBUGCTRL, 0},
    };
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    for (size_t i = 0; i < COUNT(kept); i++) {
        set_field(t->vcpu, kept[i].number, kept[i].value);
    }
    testvm_run_to_exit(t);
    for (size_t i = 0; i < COUNT(kept); i++) {
        if (get_field(t->vcpu, kept[i].number) != kept[i].value) {
            fail_msg("field 0x%lx is 0x%lx", kept[i].number, get_field(t->vcpu, kept[i].number));
        }
    }
}

static void test_registers_that_make_no_valid_state_end_the_run(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    set_field(t->vcpu, VMX_GUEST_CR4, 0);
    assert_int_equal(testvm_run(t), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
}

/* --- events at the next entry (Intel SDM 3C, 24.8.3) --- */

GUEST_CODE(handler, "mov $0x55, %ecx\n"
                    "mov (%rsp), %rbx\n" GUEST_EXIT);

static void test_an_exception_can_be_queued(void **state)
{
    enum { UNDEFINED_OPCODE = 6, HANDLER_GPA = 0x2000 };
    const seL4_Word info = 1ul << 31 | 3 << 8 | UNDEFINED_OPCODE;
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    testvm_load(t, HANDLER_GPA, &handler);
    testvm_set_vector(t, UNDEFINED_OPCODE, HANDLER_GPA);
    set_field(t->vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO, info);
    assert_int_equal(get_field(t->vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO), info);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x55);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), CODE_GPA);
}

static void test_an_exception_can_be_queued_with_its_error_code(void **state)
{
    enum { GENERAL_PROTECTION = 13, HANDLER_GPA = 0x2000 };
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    testvm_load(t, HANDLER_GPA, &handler);
    testvm_set_vector(t, GENERAL_PROTECTION, HANDLER_GPA);
    set_field(t->vcpu, VMX_CONTROL_ENTRY_EXCEPTION_ERROR_CODE, 0x38);
    set_field(t->vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO,
              1ul << 31 | 1 << 11 | 3 << 8 | GENERAL_PROTECTION);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x38);
}

static void test_an_interrupt_can_be_queued(void **state)
{
    enum { VECTOR = 0x30, HANDLER_GPA = 0x2000 };
    struct testvm *t = *state;

    testvm_boot(t, &nothing);
    testvm_load(t, HANDLER_GPA, &handler);
    testvm_set_vector(t, VECTOR, HANDLER_GPA);
    set_field(t->vcpu, VMX_GUEST_RFLAGS, 0x202);
    set_field(t->vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO, 1ul << 31 | VECTOR);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0x55);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), CODE_GPA);
}

static void test_an_event_of_another_kind_is_refused(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    assert_int_equal(
        vm_set_vmcs_field(vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO, 1ul << 31 | 4 << 8 | 3), -1);
    assert_reason("cannot queue an event of type 4 at the next entry: only external interrupts "
                  "(0), NMIs (2) and exceptions (3)");
    assert_int_equal(get_field(vcpu, VMX_CONTROL_ENTRY_INTERRUPTION_INFO), 0);
}

/* --- guests of 32 bits --- */

GUEST_CODE(dec_and_exit32, ".code32\n"
                           "mov $5, %eax\n"
                           "dec %eax\n" /* in long mode a prefix, to the nop */
                           "nop\n"
                           "mov %eax, %ebx\n"
                           "mov %cr0, %ecx\n" GUEST_EXIT);

static void test_a_vcpu_of_32_bits_starts_without_paging(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.guest32 = true});

    (void)state;
    testvm_boot(t, &dec_and_exit32);
    assert_null(hostvm_vm_pointer(&t->vm, 0x10000000, 1));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 4);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX) & 0x80000001, 1);
    assert_int_equal(get_field(t->vcpu, VMX_GUEST_EFER) & 0x500, 0);
    testvm_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_fresh_vcpu_has_zeros_in_its_registers),
        vm_test(test_a_context_reads_back_before_the_first_run),
        vm_test(test_setting_one_register_keeps_the_others),
        vm_test(test_a_register_that_does_not_exist_is_refused),
        vm_test(test_registers_without_an_argument_are_refused),
        vm_test(test_results_of_32_bits_receive_the_low_half),
        vm_test(test_registers_that_could_not_be_read_can_be_read_again),
        vm_test(test_every_guest_field_reads_back),
        vm_test(test_every_guest_field_reads_back_between_runs),
        vm_test(test_controls_are_remembered),
        vm_test(test_fields_about_exits_are_read_only),
        vm_test(test_unknown_fields_are_refused_and_leave_the_result_alone),
        vm_test(test_a_fresh_vcpu_is_in_long_mode),
        vm_test(test_what_was_set_is_in_force_at_the_first_instruction),
        vm_test(test_registers_of_the_guest_are_read_after_its_exit),
        vm_test(test_a_second_run_goes_on_with_the_registers_of_the_first),
        vm_test(test_what_is_set_between_runs_is_in_force_in_the_next),
        vm_test(test_a_guest_without_stack_pointer_gets_one_once),
        vm_test(test_fields_set_before_the_start_are_kept_by_the_guest),
        vm_test(test_registers_that_make_no_valid_state_end_the_run),
        vm_test(test_an_exception_can_be_queued),
        vm_test(test_an_exception_can_be_queued_with_its_error_code),
        vm_test(test_an_interrupt_can_be_queued),
        vm_test(test_an_event_of_another_kind_is_refused),
        cmocka_unit_test(test_a_vcpu_of_32_bits_starts_without_paging),
    };

    return run_vm_tests(tests);
}
