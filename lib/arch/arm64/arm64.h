/* What the files of this folder share. */
#ifndef ARM64_ARM64_H
#define ARM64_ARM64_H

#include "arch/arch.h"

/* The words of seL4_UserContext that the library itself uses. */
enum {
    WORD_PC = offsetof(seL4_UserContext, pc) / sizeof(seL4_Word),
    WORD_SPSR = offsetof(seL4_UserContext, spsr) / sizeof(seL4_Word),
    WORD_X0 = offsetof(seL4_UserContext, x0) / sizeof(seL4_Word),
    WORD_TPIDR_EL0 = offsetof(seL4_UserContext, tpidr_el0) / sizeof(seL4_Word),
};

/* A bit per word of a set. */
#define REG_BIT(i)   (UINT64_C(1) << (i))
#define WORDS_THREAD (REG_BIT(NR_THREAD_WORDS) - 1)

/* Instructions are of this size. */
enum { INSTRUCTION = 4 };

/* VM lock held for all of these. */

/* regs.c */
int regs_load(struct hosted_vcpu *hv, uint64_t set); /* the words of the set are the vcpu's now */
void regs_set(struct hosted_vcpu *hv, unsigned word, uint64_t value);

/* gic.c */
int gic_set_up(vm_t *vm); /* all vcpus are there */
void gic_fini(vm_t *vm);

/* its.c */
void its_fini(vm_t *vm);

/* pmu.c */
int pmu_set_up(vm_vcpu_t *vcpu); /* where the VM has it; KVM's vcpu is reset, the GIC is ready */

/* calls.c */
int calls_forward(vm_t *vm); /* to the VM's handler, if it has one */
enum run_verdict handle_call(vm_vcpu_t *vcpu, const struct kvm_run *run);
int ask_vcpu_fault_callback(vm_vcpu_t *vcpu, uint32_t hsr); /* nonzero: not handled */

#endif
