/* Registers between two entries: read when somebody asks, written when somebody has set them. */
#include <errno.h>
#include <string.h>

#include <sel4vm/arch/vmcs_fields.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

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
            *regs_word(&arch->regs, i) = *regs_word(&fresh, i);
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

int regs_read_slow(struct hosted_vcpu *hv, enum slow_reg reg, uint64_t *ret_value)
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

int regs_check_entry(uint64_t info)
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

/* --- for those who name registers --- */

void regs_enter(vm_vcpu_t *vcpu)
{
    vm_enter(vcpu->vm);
    vcpu_leave_guest(vcpu);
}

void regs_set_word(struct arch_vcpu *arch, unsigned i, uint64_t value)
{
    *regs_word(&arch->regs, i) = value;
    arch->regs_dirty |= 1u << i;
    arch->is_dirty = true;
}
