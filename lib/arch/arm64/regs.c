/* Registers between two entries: each is read when somebody asks, and written when somebody has set
 * it. */
#include <sel4vm/arch/guest_arm_context.h>

#include <errno.h>
#include <string.h>

#include "arm64/arm64.h"

/* KVM's number of a core register, which counts 32-bit words. */
#define CORE(name)                                                                                 \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define THREAD(name) (offsetof(seL4_UserContext, name) / sizeof(seL4_Word))
#define GENERAL(i)   [THREAD(x##i)] = CORE(regs.regs[i])
#define SYSTEM(name) (NR_THREAD_WORDS + seL4_VCPUReg_##name)
#define NO_REGISTER  UINT64_C(0)

_Static_assert(NR_WORDS <= 64, "a bit per word");

/* Encodings: Arm ARM, D17.2. The timer's two are swapped in KVM's interface (asm/kvm.h). */
static const uint64_t reg_ids[NR_WORDS] = {
    [THREAD(pc)] = CORE(regs.pc),
    [THREAD(sp)] = CORE(regs.sp),
    [THREAD(spsr)] = CORE(regs.pstate),
    GENERAL(0),
    GENERAL(1),
    GENERAL(2),
    GENERAL(3),
    GENERAL(4),
    GENERAL(5),
    GENERAL(6),
    GENERAL(7),
    GENERAL(8),
    GENERAL(9),
    GENERAL(10),
    GENERAL(11),
    GENERAL(12),
    GENERAL(13),
    GENERAL(14),
    GENERAL(15),
    GENERAL(16),
    GENERAL(17),
    GENERAL(18),
    GENERAL(19),
    GENERAL(20),
    GENERAL(21),
    GENERAL(22),
    GENERAL(23),
    GENERAL(24),
    GENERAL(25),
    GENERAL(26),
    GENERAL(27),
    GENERAL(28),
    GENERAL(29),
    GENERAL(30),
    [THREAD(tpidr_el0)] = ARM64_SYS_REG(3, 3, 13, 0, 2),
    [THREAD(tpidrro_el0)] = ARM64_SYS_REG(3, 3, 13, 0, 3),
    [SYSTEM(SCTLR)] = ARM64_SYS_REG(3, 0, 1, 0, 0),
    [SYSTEM(CPACR)] = ARM64_SYS_REG(3, 0, 1, 0, 2),
    [SYSTEM(TTBR0)] = ARM64_SYS_REG(3, 0, 2, 0, 0),
    [SYSTEM(TTBR1)] = ARM64_SYS_REG(3, 0, 2, 0, 1),
    [SYSTEM(TCR)] = ARM64_SYS_REG(3, 0, 2, 0, 2),
    [SYSTEM(MAIR)] = ARM64_SYS_REG(3, 0, 10, 2, 0),
    [SYSTEM(AMAIR)] = ARM64_SYS_REG(3, 0, 10, 3, 0),
    [SYSTEM(CIDR)] = ARM64_SYS_REG(3, 0, 13, 0, 1),
    [SYSTEM(ACTLR)] = ARM64_SYS_REG(3, 0, 1, 0, 1),
    [SYSTEM(AFSR0)] = ARM64_SYS_REG(3, 0, 5, 1, 0),
    [SYSTEM(AFSR1)] = ARM64_SYS_REG(3, 0, 5, 1, 1),
    [SYSTEM(ESR)] = ARM64_SYS_REG(3, 0, 5, 2, 0),
    [SYSTEM(FAR)] = ARM64_SYS_REG(3, 0, 6, 0, 0),
    [SYSTEM(PAR)] = ARM64_SYS_REG(3, 0, 7, 4, 0),
    [SYSTEM(VBAR)] = ARM64_SYS_REG(3, 0, 12, 0, 0),
    [SYSTEM(TPIDR_EL1)] = ARM64_SYS_REG(3, 0, 13, 0, 4),
    [SYSTEM(VMPIDR_EL2)] = ARM64_SYS_REG(3, 0, 0, 0, 5), /* as the guest reads it: MPIDR_EL1 */
    [SYSTEM(SP_EL1)] = CORE(sp_el1),
    [SYSTEM(ELR_EL1)] = CORE(elr_el1),
    [SYSTEM(SPSR_EL1)] = CORE(spsr[KVM_SPSR_EL1]),
    [SYSTEM(CNTV_CTL)] = KVM_REG_ARM_TIMER_CTL,
    [SYSTEM(CNTV_CVAL)] = KVM_REG_ARM_TIMER_CVAL,
    [SYSTEM(CNTVOFF)] = NO_REGISTER,
    [SYSTEM(CNTKCTL_EL1)] = ARM64_SYS_REG(3, 0, 14, 1, 0),
};

/* --- to and from KVM --- */

int regs_load(struct hosted_vcpu *hv, uint64_t set)
{
    struct arch_vcpu *arch = &hv->arch;

    for (unsigned i = 0; i < NR_WORDS; i++) {
        int r;

        if ((set & ~arch->known & REG_BIT(i)) == 0) {
            continue;
        }
        if (!hv->is_open) {
            return fail(-EAGAIN, "vcpu %u has no system registers yet: start it first",
                        hv->vcpu->vcpu_id);
        }
        r = kvm_vcpu_get_reg(&hv->kvm, reg_ids[i], &arch->words[i]);
        if (r < 0) {
            return r;
        }
        arch->known |= REG_BIT(i);
    }
    return 0;
}

void regs_set(struct hosted_vcpu *hv, unsigned word, uint64_t value)
{
    struct arch_vcpu *arch = &hv->arch;

    arch->words[word] = value;
    arch->known |= REG_BIT(word);
    arch->dirty |= REG_BIT(word);
    arch->is_dirty = true;
}

int arch_vcpu_flush(vm_vcpu_t *vcpu)
{
    struct arch_vcpu *arch = &vcpu->hosted->arch;

    for (unsigned i = 0; i < NR_WORDS && arch->dirty != 0; i++) {
        if ((arch->dirty & REG_BIT(i)) != 0) {
            int r = kvm_vcpu_set_reg(&vcpu->hosted->kvm, reg_ids[i], arch->words[i]);

            if (r < 0) {
                return r;
            }
            arch->dirty &= ~REG_BIT(i);
        }
    }
    arch->is_dirty = false;
    return 0;
}

uint64_t arch_fault_ip(vm_vcpu_t *vcpu)
{
    return regs_load(vcpu->hosted, REG_BIT(WORD_PC)) < 0 ? 0 : vcpu->hosted->arch.words[WORD_PC];
}

/* Which one the load is for KVM does not tell: x0 to x30 lie between SPSR and TPIDR_EL0. */
int arch_fault_ignore_read(vm_vcpu_t *vcpu)
{
    const uint64_t general = REG_BIT(WORD_TPIDR_EL0) - REG_BIT(WORD_X0);
    struct arch_vcpu *arch = &vcpu->hosted->arch;
    int r = regs_load(vcpu->hosted, general);

    if (r == 0) {
        arch->dirty |= general;
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

/* --- a thread's registers --- */

/* What a context brings back unchanged is not set: in a callback, the access may have a result for
 * the one, and moves the program counter. */
static int set_context(struct hosted_vcpu *hv, const seL4_Word *values)
{
    int r = regs_load(hv, WORDS_THREAD);

    for (unsigned i = 0; r == 0 && i < NR_THREAD_WORDS; i++) {
        if (values[i] != hv->arch.words[i]) {
            regs_set(hv, i, values[i]);
        }
    }
    return r;
}

int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_UserContext context)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_set_thread_context: no vcpu given"));
    }
    enter(vcpu);
    r = set_context(vcpu->hosted, (const seL4_Word *)&context);
    vcpu_was_set(vcpu);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_UserContext *context)
{
    int r;

    if (!vcpu_is_usable(vcpu) || context == NULL) {
        return public_status(NULL,
                             fail(-EINVAL, "vm_get_thread_context: no vcpu or no result given"));
    }
    enter(vcpu);
    r = regs_load(vcpu->hosted, WORDS_THREAD);
    if (r == 0) {
        memcpy(context, vcpu->hosted->arch.words, sizeof(*context));
    }
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

/* --- one register by its number --- */

static int check_thread_reg(const vm_vcpu_t *vcpu, seL4_Word reg)
{
    if (!vcpu_is_usable(vcpu)) {
        return fail(-EINVAL, "cannot access a register: no vcpu given");
    }
    if (reg >= NR_THREAD_WORDS) {
        return fail(-EINVAL, "there is no register %lu in a thread's context: they are 0 to %d",
                    reg, NR_THREAD_WORDS - 1);
    }
    return 0;
}

static int check_system_reg(const vm_vcpu_t *vcpu, seL4_Word reg)
{
    if (!vcpu_is_usable(vcpu)) {
        return fail(-EINVAL, "cannot access a system register: no vcpu given");
    }
    if (reg >= seL4_VCPUReg_Num) {
        return fail(-EINVAL, "there is no system register %lu: they are 0 to %d", reg,
                    seL4_VCPUReg_Num - 1);
    }
    if (reg_ids[NR_THREAD_WORDS + reg] == NO_REGISTER) {
        return fail(-EOPNOTSUPP, "KVM keeps system register %lu to itself", reg);
    }
    return 0;
}

static int set_reg(vm_vcpu_t *vcpu, unsigned word, uintptr_t value)
{
    enter(vcpu);
    regs_set(vcpu->hosted, word, value);
    vcpu_was_set(vcpu);
    vm_leave(vcpu->vm);
    return 0;
}

static int get_reg(vm_vcpu_t *vcpu, unsigned word, uintptr_t *value)
{
    int r;

    enter(vcpu);
    r = regs_load(vcpu->hosted, REG_BIT(word));
    if (r == 0) {
        *value = vcpu->hosted->arch.words[word];
    }
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

int vm_set_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t value)
{
    int r = check_thread_reg(vcpu, reg);

    return r < 0 ? public_status(NULL, r) : set_reg(vcpu, reg, value);
}

int vm_get_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t *value)
{
    int r = check_thread_reg(vcpu, reg);

    if (r == 0 && value == NULL) {
        r = fail(-EINVAL, "vm_get_thread_context_reg: no result given");
    }
    return r < 0 ? public_status(NULL, r) : get_reg(vcpu, reg, value);
}

int vm_set_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t value)
{
    int r = check_system_reg(vcpu, reg);

    return r < 0 ? public_status(NULL, r) : set_reg(vcpu, NR_THREAD_WORDS + (unsigned)reg, value);
}

int vm_get_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t *value)
{
    int r = check_system_reg(vcpu, reg);

    if (r == 0 && value == NULL) {
        r = fail(-EINVAL, "vm_get_arm_vcpu_reg: no result given");
    }
    return r < 0 ? public_status(NULL, r) : get_reg(vcpu, NR_THREAD_WORDS + (unsigned)reg, value);
}
