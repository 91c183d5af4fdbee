/* Exits that only Arm has, and the report of a crash. */
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/arch/processor.h>

#include "arm64/arm64.h"

/* An access that KVM cannot do for the guest: its callback may. */
static enum run_verdict handle_undecoded(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    uint32_t iss = (uint32_t)run->arm_nisv.esr_iss & HSR_ISS_MASK;
    uint32_t hsr =
        (uint32_t)HSR_DABT_LOW_EXCEPTION << HSR_EXCEPTION_CLASS_SHIFT | HSR_IL_MASK | iss;

    if (ask_vcpu_fault_callback(vcpu, hsr) != 0) {
        return RUN_UNKNOWN;
    }
    if (vcpu->hosted->fault.is_advanced) {
        if (public_status(vcpu->vm, regs_load(vcpu->hosted, REG_BIT(WORD_PC))) != 0) {
            return RUN_HOST_FAILED;
        }
        regs_set(vcpu->hosted, WORD_PC, vcpu->hosted->arch.words[WORD_PC] + INSTRUCTION);
    }
    return RUN_CONTINUE;
}

enum run_verdict arch_handle_exit(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_ARM_NISV:
        return handle_undecoded(vcpu, run);
    case KVM_EXIT_HYPERCALL:
        return handle_call(vcpu, run);
    default:
        return RUN_UNKNOWN;
    }
}

/* --- the report of a crash --- */

static void report_thread(const struct log *log, const seL4_UserContext *c)
{
    log_at(log, HOSTVM_LOG_ERROR, "  pc  %016lx sp_el0 %016lx pstate %08lx lr %016lx", c->pc, c->sp,
           c->spsr, c->x30);
    log_at(log, HOSTVM_LOG_ERROR, "  x0  %016lx x1  %016lx x2  %016lx x3  %016lx", c->x0, c->x1,
           c->x2, c->x3);
    log_at(log, HOSTVM_LOG_ERROR, "  x4  %016lx x5  %016lx x6  %016lx x7  %016lx", c->x4, c->x5,
           c->x6, c->x7);
    log_at(log, HOSTVM_LOG_ERROR, "  x8  %016lx x9  %016lx x10 %016lx x11 %016lx", c->x8, c->x9,
           c->x10, c->x11);
    log_at(log, HOSTVM_LOG_ERROR, "  x12 %016lx x13 %016lx x14 %016lx x15 %016lx", c->x12, c->x13,
           c->x14, c->x15);
    log_at(log, HOSTVM_LOG_ERROR, "  x16 %016lx x17 %016lx x18 %016lx x19 %016lx", c->x16, c->x17,
           c->x18, c->x19);
    log_at(log, HOSTVM_LOG_ERROR, "  x20 %016lx x21 %016lx x22 %016lx x23 %016lx", c->x20, c->x21,
           c->x22, c->x23);
    log_at(log, HOSTVM_LOG_ERROR, "  x24 %016lx x25 %016lx x26 %016lx x27 %016lx", c->x24, c->x25,
           c->x26, c->x27);
    log_at(log, HOSTVM_LOG_ERROR, "  x28 %016lx x29 %016lx", c->x28, c->x29);
}

#define SYSTEM(name) (NR_THREAD_WORDS + seL4_VCPUReg_##name)

static void report_system(const struct log *log, const uint64_t *words)
{
    log_at(log, HOSTVM_LOG_ERROR, "  sctlr %016lx tcr %016lx ttbr0 %016lx ttbr1 %016lx",
           words[SYSTEM(SCTLR)], words[SYSTEM(TCR)], words[SYSTEM(TTBR0)], words[SYSTEM(TTBR1)]);
    log_at(log, HOSTVM_LOG_ERROR, "  esr %08lx far %016lx elr %016lx spsr %08lx",
           words[SYSTEM(ESR)], words[SYSTEM(FAR)], words[SYSTEM(ELR_EL1)], words[SYSTEM(SPSR_EL1)]);
    log_at(log, HOSTVM_LOG_ERROR, "  vbar %016lx sp_el1 %016lx", words[SYSTEM(VBAR)],
           words[SYSTEM(SP_EL1)]);
}

/* KVM translates no address of an Arm guest: while its tables are in force they say where the code
 * is. */
static void report_code(vm_vcpu_t *vcpu, const uint64_t *words)
{
    enum { SCTLR_M = 1 }; /* Arm ARM, D17.2.118: translation is on */
    const struct log *log = vcpu->vm->hosted->log;
    const uint32_t *code;

    if ((words[SYSTEM(SCTLR)] & SCTLR_M) != 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  code at pc: where the guest's page tables say");
        return;
    }
    code = hostvm_vm_pointer(vcpu->vm, words[WORD_PC], INSTRUCTION);
    if (code == NULL || words[WORD_PC] % INSTRUCTION != 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  code at pc: guest-physical 0x%lx has no memory",
               words[WORD_PC]);
        return;
    }
    log_at(log, HOSTVM_LOG_ERROR, "  code at pc: %08x", *code);
}

void arch_report(vm_vcpu_t *vcpu)
{
    const uint64_t shown = REG_BIT(SYSTEM(SCTLR)) | REG_BIT(SYSTEM(TCR)) | REG_BIT(SYSTEM(TTBR0)) |
                           REG_BIT(SYSTEM(TTBR1)) | REG_BIT(SYSTEM(ESR)) | REG_BIT(SYSTEM(FAR)) |
                           REG_BIT(SYSTEM(ELR_EL1)) | REG_BIT(SYSTEM(SPSR_EL1)) |
                           REG_BIT(SYSTEM(VBAR)) | REG_BIT(SYSTEM(SP_EL1));
    const struct log *log = vcpu->vm->hosted->log;

    if (regs_load(vcpu->hosted, WORDS_THREAD | shown) < 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  no registers: %s", reason_last());
        return;
    }
    report_thread(log, (const seL4_UserContext *)(const void *)vcpu->hosted->arch.words);
    report_system(log, vcpu->hosted->arch.words);
    report_code(vcpu, vcpu->hosted->arch.words);
}
