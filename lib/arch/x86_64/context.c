/* General registers by libsel4vm's names. */
#include <sel4vm/arch/guest_x86_context.h>

#include <errno.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

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

int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_VCPUContext context)
{
    const seL4_Word *values = (const seL4_Word *)&context;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_set_thread_context: no vcpu given"));
    }
    regs_enter(vcpu);
    for (unsigned i = 0; i < NR_CONTEXT_REGS; i++) {
        regs_set_word(&vcpu->hosted->arch, context_words[i], values[i]);
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
    regs_enter(vcpu);
    regs_set_word(&vcpu->hosted->arch, context_words[reg], value);
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
    regs_enter(vcpu);
    r = regs_load(vcpu->hosted);
    for (unsigned i = 0; r == 0 && i < NR_CONTEXT_REGS; i++) {
        values[i] = *regs_word(&vcpu->hosted->arch.regs, context_words[i]);
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
    regs_enter(vcpu);
    r = regs_load(vcpu->hosted);
    if (r == 0) {
        *value = *regs_word(&vcpu->hosted->arch.regs, context_words[reg]);
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
