/* Registers between two entries: read when somebody asks, written when somebody has set them. */
#include <sel4vm/arch/guest_x86_context.h>

#include <errno.h>
#include <string.h>

#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/arch/vmexit_reasons.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

static __u64 *word(struct kvm_regs *regs, unsigned i)
{
    _Static_assert(sizeof(struct kvm_regs) == NR_WORDS * sizeof(uint64_t),
                   "kvm_regs is not as reg_word says");
    return (__u64 *)(void *)regs + i; /* not uint64_t: to the compiler that is another type */
}

/* --- to and from KVM --- */

/*
 * The first one who asks pays for a system call; from then on the registers come with every exit.
 * Nobody asks in most VMs, and then nobody pays.
 */
static int fetch_regs(struct hosted_vcpu *hv, struct kvm_regs *regs)
{
    struct kvm_run *run = hv->kvm.run;
    int r;

    if ((run->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0) {
        *regs = run->s.regs.regs;
        return 0;
    }
    r = kvm_vcpu_get_regs(&hv->kvm, regs);
    if (r == 0) { /* else the next one would find a page that no exit has filled */
        run->kvm_valid_regs = hv->kvm.vm->host->sync_regs & KVM_SYNC_X86_REGS;
    }
    return r;
}

/* What was set since the last entry stays. */
int regs_load(struct hosted_vcpu *hv)
{
    struct arch_vcpu *arch = &hv->arch;
    struct kvm_regs fresh;
    int r;

    if (arch->has_regs) {
        return 0;
    }
    r = fetch_regs(hv, &fresh);
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < NR_WORDS; i++) {
        if ((arch->regs_dirty & (1u << i)) == 0) {
            *word(&arch->regs, i) = *word(&fresh, i);
        }
    }
    arch->has_regs = true;
    return 0;
}

int sregs_load(struct hosted_vcpu *hv)
{
    struct arch_vcpu *arch = &hv->arch;
    int r;

    if (arch->has_sregs) {
        return 0;
    }
    r = kvm_vcpu_get_sregs(&hv->kvm, &arch->sregs);
    arch->has_sregs = r == 0;
    return r;
}

/* --- registers that cost a call each --- */

static const uint32_t slow_msrs[] = {
    [SLOW_DEBUGCTRL] = 0x1d9, /* IA32_DEBUGCTL; these numbers: Intel SDM 4, 2.1 */
    [SLOW_PAT] = 0x277,          [SLOW_PERF_GLOBAL_CTRL] = 0x38f, [SLOW_SYSENTER_CS] = 0x174,
    [SLOW_SYSENTER_ESP] = 0x175, [SLOW_SYSENTER_EIP] = 0x176,
};

static int write_dr7(struct hosted_vcpu *hv, uint64_t value)
{
    struct kvm_debugregs regs;
    int r = kvm_vcpu_get_debugregs(&hv->kvm, &regs);

    regs.dr7 = value;
    return r < 0 ? r : kvm_vcpu_set_debugregs(&hv->kvm, &regs);
}

static int read_dr7(struct hosted_vcpu *hv, uint64_t *ret_value)
{
    struct kvm_debugregs regs;
    int r = kvm_vcpu_get_debugregs(&hv->kvm, &regs);

    if (r == 0) {
        *ret_value = regs.dr7;
    }
    return r;
}

static int write_shadow(struct hosted_vcpu *hv, uint64_t value)
{
    struct kvm_vcpu_events events;
    int r = kvm_vcpu_get_events(&hv->kvm, &events);

    events.flags = KVM_VCPUEVENT_VALID_SHADOW;
    events.interrupt.shadow =
        (uint8_t)(value & (KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS));
    return r < 0 ? r : kvm_vcpu_set_events(&hv->kvm, &events);
}

static int read_shadow(struct hosted_vcpu *hv, uint64_t *ret_value)
{
    struct kvm_vcpu_events events;
    int r = kvm_vcpu_get_events(&hv->kvm, &events);

    if (r == 0) {
        *ret_value = events.interrupt.shadow;
    }
    return r;
}

/* VMCS activity states (SDM 3C, 24.4.2): 0 active, 1 halted. Without an irqchip a halt is ours, not
 * KVM's. */
static int write_activity(struct hosted_vcpu *hv, uint64_t value)
{
    if (!hv->kvm.vm->has_irqchip) {
        hv->is_halted = value == 1;
        return 0;
    }
    return kvm_vcpu_set_mp_state(&hv->kvm,
                                 value == 1 ? KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE);
}

static int read_activity(struct hosted_vcpu *hv, uint64_t *ret_value)
{
    uint32_t state;
    int r;

    if (!hv->kvm.vm->has_irqchip) {
        *ret_value = hv->is_halted ? 1 : 0;
        return 0;
    }
    r = kvm_vcpu_get_mp_state(&hv->kvm, &state);
    if (r == 0) {
        *ret_value = state == KVM_MP_STATE_HALTED ? 1 : 0;
    }
    return r;
}

static int slow_write(struct hosted_vcpu *hv, enum slow_reg reg, uint64_t value)
{
    switch (reg) {
    case SLOW_DR7:
        return write_dr7(hv, value);
    case SLOW_INTERRUPTABILITY:
        return write_shadow(hv, value);
    case SLOW_ACTIVITY:
        return write_activity(hv, value);
    case SLOW_DEBUGCTRL:
    case SLOW_PAT:
    case SLOW_PERF_GLOBAL_CTRL:
    case SLOW_SYSENTER_CS:
    case SLOW_SYSENTER_ESP:
    case SLOW_SYSENTER_EIP:
    case NR_SLOW_REGS:
        break;
    }
    return kvm_vcpu_set_msr(&hv->kvm, slow_msrs[reg], value);
}

static int slow_read(struct hosted_vcpu *hv, enum slow_reg reg, uint64_t *ret_value)
{
    if (!hv->is_open || (hv->arch.slow_dirty & (1u << reg)) != 0) {
        *ret_value = hv->arch.slow[reg];
        return 0;
    }
    switch (reg) {
    case SLOW_DR7:
        return read_dr7(hv, ret_value);
    case SLOW_INTERRUPTABILITY:
        return read_shadow(hv, ret_value);
    case SLOW_ACTIVITY:
        return read_activity(hv, ret_value);
    case SLOW_DEBUGCTRL:
    case SLOW_PAT:
    case SLOW_PERF_GLOBAL_CTRL:
    case SLOW_SYSENTER_CS:
    case SLOW_SYSENTER_ESP:
    case SLOW_SYSENTER_EIP:
    case NR_SLOW_REGS:
        break;
    }
    return kvm_vcpu_get_msr(&hv->kvm, slow_msrs[reg], ret_value);
}

/* --- the event of VM-entry interruption information (SDM 3C, 24.8.3) --- */

#define ENTRY_VALID      (1ull << 31)
#define ENTRY_ERROR_CODE (1ull << 11)
#define ENTRY_VECTOR(x)  ((uint8_t)((x)&0xff))
#define ENTRY_TYPE(x)    ((unsigned)((x) >> 8 & 7))

enum { ENTRY_EXTERNAL = 0, ENTRY_NMI = 2, ENTRY_EXCEPTION = 3 };

static int check_entry(uint64_t info)
{
    unsigned type = ENTRY_TYPE(info);

    if ((info & ENTRY_VALID) != 0 && type != ENTRY_EXTERNAL && type != ENTRY_NMI &&
        type != ENTRY_EXCEPTION) {
        return fail(-EINVAL,
                    "cannot queue an event of type %u at the next entry: only external interrupts "
                    "(0), NMIs (2) and "
                    "exceptions (3)",
                    type);
    }
    return 0;
}

static int queue_event(struct hosted_vcpu *hv)
{
    uint64_t info = hv->arch.entry_info;
    struct kvm_vcpu_events events;
    int r = kvm_vcpu_get_events(&hv->kvm, &events);

    if (r < 0 || (info & ENTRY_VALID) == 0) {
        return r;
    }
    if (ENTRY_TYPE(info) == ENTRY_EXCEPTION) {
        events.exception.injected = 1;
        events.exception.nr = ENTRY_VECTOR(info);
        events.exception.has_error_code = (info & ENTRY_ERROR_CODE) != 0;
        events.exception.error_code = (uint32_t)hv->arch.entry_error_code;
    } else if (ENTRY_TYPE(info) == ENTRY_NMI) {
        events.nmi.injected = 1;
    } else {
        events.interrupt.injected = 1;
        events.interrupt.nr = ENTRY_VECTOR(info);
        events.interrupt.soft = 0;
    }
    hv->is_halted = false;
    return kvm_vcpu_set_events(&hv->kvm, &events);
}

int arch_vcpu_flush(vm_vcpu_t *vcpu)
{
    struct hosted_vcpu *hv = vcpu->hosted;
    struct arch_vcpu *arch = &hv->arch;
    int r = 0;

    if (arch->sregs_dirty) {
        r = kvm_vcpu_set_sregs(&hv->kvm, &arch->sregs);
        arch->sregs_dirty = r < 0;
    }
    if (r == 0 && arch->regs_dirty != 0) {
        if (arch->regs_dirty != WORDS_ALL) {
            r = regs_load(hv);
        }
        if (r == 0) {
            r = kvm_vcpu_set_regs(&hv->kvm, &arch->regs);
        }
        arch->regs_dirty = r < 0 ? arch->regs_dirty : 0;
    }
    for (unsigned i = 0; r == 0 && arch->slow_dirty != 0; i++) {
        if ((arch->slow_dirty & (1u << i)) != 0) {
            r = slow_write(hv, (enum slow_reg)i, arch->slow[i]);
            arch->slow_dirty &= r < 0 ? ~0u : ~(1u << i);
        }
    }
    if (r == 0 && arch->entry_dirty) {
        r = queue_event(hv);
        arch->entry_dirty = r < 0;
    }
    arch->is_dirty = r < 0;
    return r;
}

int arch_fault_ignore_read(vm_vcpu_t *vcpu)
{
    struct arch_vcpu *arch = &vcpu->hosted->arch;
    int r = regs_load(vcpu->hosted);

    if (r == 0) {
        arch->regs_dirty |= WORDS_ALL & ~(1u << WORD_RIP);
        arch->is_dirty = true;
    }
    return r;
}

/* --- the border: any thread may ask, also while the guest runs --- */

static void enter(vm_vcpu_t *vcpu)
{
    vm_enter(vcpu->vm);
    vcpu_leave_guest(vcpu);
}

/* --- general registers by libsel4vm's names --- */

static const uint8_t context_words[] = {
    [VCPU_CONTEXT_EAX] = WORD_RAX, [VCPU_CONTEXT_EBX] = WORD_RBX, [VCPU_CONTEXT_ECX] = WORD_RCX,
    [VCPU_CONTEXT_EDX] = WORD_RDX, [VCPU_CONTEXT_ESI] = WORD_RSI, [VCPU_CONTEXT_EDI] = WORD_RDI,
    [VCPU_CONTEXT_EBP] = WORD_RBP, [VCPU_CONTEXT_R8] = WORD_R8,   [VCPU_CONTEXT_R9] = WORD_R9,
    [VCPU_CONTEXT_R10] = WORD_R10, [VCPU_CONTEXT_R11] = WORD_R11, [VCPU_CONTEXT_R12] = WORD_R12,
    [VCPU_CONTEXT_R13] = WORD_R13, [VCPU_CONTEXT_R14] = WORD_R14, [VCPU_CONTEXT_R15] = WORD_R15,
};

enum { NR_CONTEXT_REGS = sizeof(context_words) / sizeof(context_words[0]) };

_Static_assert(sizeof(seL4_VCPUContext) == NR_CONTEXT_REGS * sizeof(seL4_Word),
               "a word per register, in this order");

static void set_word(struct arch_vcpu *arch, unsigned i, uint64_t value)
{
    *word(&arch->regs, i) = value;
    arch->regs_dirty |= 1u << i;
    arch->is_dirty = true;
}

int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_VCPUContext context)
{
    const seL4_Word *values = (const seL4_Word *)&context;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_set_thread_context: no vcpu given"));
    }
    enter(vcpu);
    for (unsigned i = 0; i < NR_CONTEXT_REGS; i++) {
        set_word(&vcpu->hosted->arch, context_words[i], values[i]);
    }
    vcpu_was_set(vcpu);
    vm_leave(vcpu->vm);
    return 0;
}

static int check_context_reg(const vm_vcpu_t *vcpu, vcpu_context_reg_t reg)
{
    if (!vcpu_is_usable(vcpu)) {
        return fail(-EINVAL, "cannot access a register: no vcpu given");
    }
    if ((unsigned)reg >= NR_CONTEXT_REGS) {
        return fail(-EINVAL, "there is no general register %d: they are 0 to %d", (int)reg,
                    NR_CONTEXT_REGS - 1);
    }
    return 0;
}

int vm_set_thread_context_reg(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, seL4_Word value)
{
    int r = check_context_reg(vcpu, reg);

    if (r < 0) {
        return public_status(NULL, r);
    }
    enter(vcpu);
    set_word(&vcpu->hosted->arch, context_words[reg], value);
    vcpu_was_set(vcpu);
    vm_leave(vcpu->vm);
    return 0;
}

int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_VCPUContext *context)
{
    seL4_Word *values = (seL4_Word *)context;
    int r;

    if (!vcpu_is_usable(vcpu) || context == NULL) {
        return public_status(NULL,
                             fail(-EINVAL, "vm_get_thread_context: no vcpu or no result given"));
    }
    enter(vcpu);
    r = regs_load(vcpu->hosted);
    for (unsigned i = 0; r == 0 && i < NR_CONTEXT_REGS; i++) {
        values[i] = *word(&vcpu->hosted->arch.regs, context_words[i]);
    }
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

int(vm_get_thread_context_reg)(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, seL4_Word *value)
{
    int r = check_context_reg(vcpu, reg);

    if (r == 0 && value == NULL) {
        r = fail(-EINVAL, "vm_get_thread_context_reg: no result given");
    }
    if (r < 0) {
        return public_status(NULL, r);
    }
    enter(vcpu);
    r = regs_load(vcpu->hosted);
    if (r == 0) {
        *value = *word(&vcpu->hosted->arch.regs, context_words[reg]);
    }
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

int hostvm_get_thread_context_reg32(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, uint32_t *value)
{
    seL4_Word wide;
    int r = (vm_get_thread_context_reg)(vcpu, reg, value == NULL ? NULL : &wide);

    if (r == 0) {
        *value = (uint32_t)wide;
    }
    return r;
}

/* --- all other registers by VMCS field --- */

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
        set_word(arch, (unsigned)i, value);
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
        int r = check_entry(value);

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
    enter(vcpu);
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
        *value = *word(&hv->arch.regs, i);
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
        int r = slow_read(hv, (enum slow_reg)i, &slow);

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
    enter(vcpu);
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
