/* Registers by VMCS field, and what VMX would say of the last exit. */
#include <sel4vm/arch/vmcs_fields.h>

#include <errno.h>

#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmexit_reasons.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

enum { NR_SEGMENTS = 8, FIELD_STEP = 2 };

static struct kvm_segment *segment(struct kvm_sregs *sregs, unsigned i)
{
    struct kvm_segment *const segments[NR_SEGMENTS] = {
        &sregs->es, &sregs->cs, &sregs->ss,  &sregs->ds,
        &sregs->fs, &sregs->gs, &sregs->ldt, &sregs->tr,
    };

    return segments[i];
}

static void unpack_rights(struct kvm_segment *seg, uint64_t rights)
{
    seg->type = rights & 0xf;
    seg->s = rights >> 4 & 1;
    seg->dpl = rights >> 5 & 3;
    seg->present = rights >> 7 & 1;
    seg->avl = rights >> 12 & 1;
    seg->l = rights >> 13 & 1;
    seg->db = rights >> 14 & 1;
    seg->g = rights >> 15 & 1;
    seg->unusable = rights >> 16 & 1;
}

static uint64_t pack_rights(const struct kvm_segment *seg)
{
    return (uint64_t)seg->type | (uint64_t)seg->s << 4 | (uint64_t)seg->dpl << 5 |
           (uint64_t)seg->present << 7 | (uint64_t)seg->avl << 12 | (uint64_t)seg->l << 13 |
           (uint64_t)seg->db << 14 | (uint64_t)seg->g << 15 | (uint64_t)seg->unusable << 16;
}

/* One field of the segment registers or of the system registers, read or written. */
enum sreg_part {
    PART_NONE,
    PART_SELECTOR,
    PART_LIMIT,
    PART_RIGHTS,
    PART_BASE,
    PART_WORD,
    PART_TABLE_LIMIT
};

struct sreg_field {
    enum sreg_part part;
    struct kvm_segment *segment;
    __u64 *word;
    __u16 *table_limit;
};

static bool in_family(seL4_Word field, unsigned first)
{
    return field >= first && field < first + NR_SEGMENTS * FIELD_STEP &&
           (field - first) % FIELD_STEP == 0;
}

static struct sreg_field find_segment_field(struct kvm_sregs *sregs, seL4_Word field)
{
    static const struct {
        unsigned first;
        enum sreg_part part;
    } families[] = {
        {VMX_GUEST_ES_SELECTOR, PART_SELECTOR},
        {VMX_GUEST_ES_LIMIT, PART_LIMIT},
        {VMX_GUEST_ES_ACCESS_RIGHTS, PART_RIGHTS},
        {VMX_GUEST_ES_BASE, PART_BASE},
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (in_family(field, families[i].first)) {
            return (struct sreg_field){
                .part = families[i].part,
                .segment = segment(sregs, (unsigned)(field - families[i].first) / FIELD_STEP)};
        }
    }
    return (struct sreg_field){.part = PART_NONE};
}

static struct sreg_field find_sreg_field(struct kvm_sregs *sregs, seL4_Word field)
{
    switch (field) {
    case VMX_GUEST_CR0:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->cr0};
    case VMX_GUEST_CR3:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->cr3};
    case VMX_GUEST_CR4:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->cr4};
    case VMX_GUEST_EFER:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->efer};
    case VMX_GUEST_GDTR_BASE:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->gdt.base};
    case VMX_GUEST_IDTR_BASE:
        return (struct sreg_field){.part = PART_WORD, .word = &sregs->idt.base};
    case VMX_GUEST_GDTR_LIMIT:
        return (struct sreg_field){.part = PART_TABLE_LIMIT, .table_limit = &sregs->gdt.limit};
    case VMX_GUEST_IDTR_LIMIT:
        return (struct sreg_field){.part = PART_TABLE_LIMIT, .table_limit = &sregs->idt.limit};
    default:
        return find_segment_field(sregs, field);
    }
}

static void write_sreg(const struct sreg_field *field, uint64_t value)
{
    switch (field->part) {
    case PART_SELECTOR:
        field->segment->selector = (uint16_t)value;
        break;
    case PART_LIMIT:
        field->segment->limit = (uint32_t)value;
        break;
    case PART_RIGHTS:
        unpack_rights(field->segment, value);
        break;
    case PART_BASE:
        field->segment->base = value;
        break;
    case PART_WORD:
        *field->word = value;
        break;
    case PART_TABLE_LIMIT:
        *field->table_limit = (uint16_t)value;
        break;
    case PART_NONE:
        break;
    }
}

static uint64_t read_sreg(const struct sreg_field *field)
{
    switch (field->part) {
    case PART_SELECTOR:
        return field->segment->selector;
    case PART_LIMIT:
        return field->segment->limit;
    case PART_RIGHTS:
        return pack_rights(field->segment);
    case PART_BASE:
        return field->segment->base;
    case PART_WORD:
        return *field->word;
    case PART_TABLE_LIMIT:
        return *field->table_limit;
    case PART_NONE:
        break;
    }
    return 0;
}

/* An index into a table of field numbers, or -1. */
static int find_in(const uint32_t *fields, size_t nr_fields, seL4_Word field)
{
    for (size_t i = 0; i < nr_fields; i++) {
        if (fields[i] == field) {
            return (int)i;
        }
    }
    return -1;
}

static int find_reg(seL4_Word field)
{
    return field == VMX_GUEST_RSP      ? WORD_RSP
           : field == VMX_GUEST_RIP    ? WORD_RIP
           : field == VMX_GUEST_RFLAGS ? WORD_RFLAGS
                                       : -1;
}

static int find_slow(seL4_Word field)
{
    static const uint32_t fields[NR_SLOW_REGS] = {
        [SLOW_DEBUGCTRL] = VMX_GUEST_DEBUGCTRL,
        [SLOW_PAT] = VMX_GUEST_PAT,
        [SLOW_PERF_GLOBAL_CTRL] = VMX_GUEST_PERF_GLOBAL_CTRL,
        [SLOW_SYSENTER_CS] = VMX_GUEST_SYSENTER_CS,
        [SLOW_SYSENTER_ESP] = VMX_GUEST_SYSENTER_ESP,
        [SLOW_SYSENTER_EIP] = VMX_GUEST_SYSENTER_EIP,
        [SLOW_DR7] = VMX_GUEST_DR7,
        [SLOW_INTERRUPTABILITY] = VMX_GUEST_INTERRUPTABILITY,
        [SLOW_ACTIVITY] = VMX_GUEST_ACTIVITY,
    };

    return find_in(fields, NR_SLOW_REGS, field);
}

static int find_control(seL4_Word field)
{
    static const uint32_t fields[ARCH_NR_CONTROLS] = {
        VMX_CONTROL_CR0_MASK,
        VMX_CONTROL_CR4_MASK,
        VMX_CONTROL_CR0_READ_SHADOW,
        VMX_CONTROL_CR4_READ_SHADOW,
        VMX_CONTROL_PIN_EXECUTION_CONTROLS,
        VMX_CONTROL_PRIMARY_PROCESSOR_CONTROLS,
        VMX_CONTROL_SECONDARY_PROCESSOR_CONTROLS,
        VMX_CONTROL_EXCEPTION_BITMAP,
        VMX_CONTROL_EXIT_CONTROLS,
    };

    return find_in(fields, ARCH_NR_CONTROLS, field);
}

static int set_sreg_field(struct hosted_vcpu *hv, seL4_Word field, seL4_Word value)
{
    struct sreg_field target = find_sreg_field(&hv->arch.sregs, field);
    int r;

    if (target.part == PART_NONE) {
        return fail(
            -EINVAL,
            "cannot set VMCS field 0x%lx: it is unknown, read-only or without counterpart in KVM",
            field);
    }
    r = sregs_load(hv);
    if (r == 0) {
        write_sreg(&target, value);
        hv->arch.sregs_dirty = true;
        hv->arch.is_dirty = true;
    }
    return r;
}

static int set_field(struct hosted_vcpu *hv, seL4_Word field, seL4_Word value)
{
    struct arch_vcpu *arch = &hv->arch;
    int i = find_reg(field);

    if (i >= 0) {
        arch->has_set_rsp |= i == WORD_RSP;
        regs_set_word(arch, (unsigned)i, value);
        return 0;
    }
    i = find_slow(field);
    if (i >= 0) {
        arch->slow[i] = value;
        arch->slow_dirty |= 1u << i;
        arch->is_dirty = true;
        return 0;
    }
    i = find_control(field);
    if (i >= 0) {
        arch->controls[i] = value;
        return 0;
    }
    if (field == VMX_CONTROL_ENTRY_EXCEPTION_ERROR_CODE) {
        arch->entry_error_code = value;
        return 0;
    }
    if (field == VMX_CONTROL_ENTRY_INTERRUPTION_INFO) {
        int r = regs_check_entry(value);

        arch->entry_info = r < 0 ? arch->entry_info : value;
        arch->entry_dirty |= r == 0;
        arch->is_dirty |= r == 0;
        return r;
    }
    return set_sreg_field(hv, field, value);
}

int vm_set_vmcs_field(vm_vcpu_t *vcpu, seL4_Word field, seL4_Word value)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_set_vmcs_field: no vcpu given"));
    }
    regs_enter(vcpu);
    r = set_field(vcpu->hosted, field, value);
    vcpu_was_set(vcpu);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

/* --- what the last exit was, in VMX terms --- */

static uint64_t vmx_reason(const struct exit_record *last)
{
    switch (last->reason) {
    case KVM_EXIT_MMIO:
        return EXIT_REASON_EPT_VIOLATION;
    case KVM_EXIT_IO:
        return EXIT_REASON_IO_INSTRUCTION;
    case KVM_EXIT_HLT:
        return EXIT_REASON_HLT;
    case KVM_EXIT_HYPERCALL:
        return EXIT_REASON_VMCALL;
    case KVM_EXIT_SHUTDOWN:
        return EXIT_REASON_TRIPLE_FAULT;
    default:
        return 0;
    }
}

/* SDM 3C, tables 27-5 and 27-7. */
static uint64_t vmx_qualification(const struct exit_record *last)
{
    if (last->reason == KVM_EXIT_MMIO) {
        return last->is_write ? 2 : 1;
    }
    if (last->reason == KVM_EXIT_IO) {
        return (last->size - 1u) | (last->is_write ? 0u : 8u) | last->addr << 16;
    }
    return 0;
}

static int get_exit_field(const struct hosted_vcpu *hv, seL4_Word field, seL4_Word *value)
{
    static const struct exit_record none;
    const struct exit_record *last =
        hv->nr_exits == 0 ? &none : &hv->records[(hv->nr_exits - 1) % EXIT_RECORDS];

    switch (field) {
    case VMX_DATA_EXIT_REASON:
        *value = vmx_reason(last);
        return 0;
    case VMX_DATA_EXIT_QUALIFICATION:
        *value = vmx_qualification(last);
        return 0;
    case VMX_DATA_GUEST_PHYSICAL:
        *value = hv->fault.addr;
        return 0;
    case VMX_DATA_INSTRUCTION_ERROR:
    case VMX_DATA_EXIT_INTERRUPT_INFO:
    case VMX_DATA_EXIT_INTERRUPT_ERROR:
    case VMX_DATA_IDT_VECTOR_INFO:
    case VMX_DATA_IDT_VECTOR_ERROR:
    case VMX_DATA_EXIT_INSTRUCTION_LENGTH:
    case VMX_DATA_EXIT_INSTRUCTION_INFO:
    case VMX_DATA_IO_RCX:
    case VMX_DATA_IO_RSI:
    case VMX_DATA_IO_RDI:
    case VMX_DATA_IO_RIP:
        *value = 0;
        return 0;
    default:
        return fail(-EINVAL,
                    "cannot get VMCS field 0x%lx: it is unknown or without counterpart in KVM",
                    field);
    }
}

static int get_reg_field(struct hosted_vcpu *hv, unsigned i, seL4_Word *value)
{
    int r = regs_load(hv);

    if (r == 0) {
        *value = *regs_word(&hv->arch.regs, i);
    }
    return r;
}

static int get_field(struct hosted_vcpu *hv, seL4_Word field, seL4_Word *value)
{
    struct arch_vcpu *arch = &hv->arch;
    struct sreg_field source = find_sreg_field(&arch->sregs, field);
    int i = find_reg(field);

    if (i >= 0) {
        return get_reg_field(hv, (unsigned)i, value);
    }
    i = find_slow(field);
    if (i >= 0) {
        uint64_t slow;
        int r = regs_read_slow(hv, (enum slow_reg)i, &slow);

        *value = r < 0 ? *value : slow;
        return r;
    }
    i = find_control(field);
    if (i >= 0) {
        *value = arch->controls[i];
        return 0;
    }
    if (field == VMX_CONTROL_ENTRY_INTERRUPTION_INFO ||
        field == VMX_CONTROL_ENTRY_EXCEPTION_ERROR_CODE) {
        *value = field == VMX_CONTROL_ENTRY_INTERRUPTION_INFO ? arch->entry_info
                                                              : arch->entry_error_code;
        return 0;
    }
    if (source.part != PART_NONE) {
        int r = sregs_load(hv);

        *value = r < 0 ? *value : read_sreg(&source);
        return r;
    }
    return get_exit_field(hv, field, value);
}

int(vm_get_vmcs_field)(vm_vcpu_t *vcpu, seL4_Word field, seL4_Word *value)
{
    int r;

    if (!vcpu_is_usable(vcpu) || value == NULL) {
        return public_status(NULL, fail(-EINVAL, "vm_get_vmcs_field: no vcpu or no result given"));
    }
    regs_enter(vcpu);
    r = get_field(vcpu->hosted, field, value);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

int hostvm_get_vmcs_field32(vm_vcpu_t *vcpu, seL4_Word field, uint32_t *value)
{
    seL4_Word wide;
    int r = (vm_get_vmcs_field)(vcpu, field, value == NULL ? NULL : &wide);

    if (r == 0) {
        *value = (uint32_t)wide;
    }
    return r;
}
