/* What the files of this folder share. */
#ifndef X86_64_X86_64_H
#define X86_64_X86_64_H

#include "arch/arch.h"

/* Words of struct kvm_regs, in its order; registers are named by them. */
enum reg_word {
    WORD_RAX,
    WORD_RBX,
    WORD_RCX,
    WORD_RDX,
    WORD_RSI,
    WORD_RDI,
    WORD_RSP,
    WORD_RBP,
    WORD_R8,
    WORD_R9,
    WORD_R10,
    WORD_R11,
    WORD_R12,
    WORD_R13,
    WORD_R14,
    WORD_R15,
    WORD_RIP,
    WORD_RFLAGS,
    NR_WORDS
};
#define WORDS_ALL ((1u << NR_WORDS) - 1)

/* VM lock held for all of these. */

/* vm.c */
void delete_boot_tables(vm_t *vm); /* their frames; the reservations stay */

/* cpuid.c */
int cpuid_setup(vm_vcpu_t *vcpu);

/* regs.c */
int regs_load(struct hosted_vcpu *hv); /* regs are those of the vcpu now */
int sregs_load(struct hosted_vcpu *hv);
int regs_read_slow(struct hosted_vcpu *hv, enum slow_reg reg, uint64_t *ret_value);
int regs_check_entry(uint64_t info); /* whether that can be queued */
void regs_set_word(struct arch_vcpu *arch, unsigned i, uint64_t value);
void regs_enter(vm_vcpu_t *vcpu); /* the border: any thread may ask, also while the guest runs */

static inline __u64 *regs_word(struct kvm_regs *regs, unsigned i)
{
    _Static_assert(sizeof(struct kvm_regs) == NR_WORDS * sizeof(uint64_t),
                   "kvm_regs is not as reg_word says");
    return (__u64 *)(void *)regs + i; /* not uint64_t: to the compiler that is another type */
}

/* ports.c */
enum run_verdict handle_port(vm_vcpu_t *vcpu, const struct kvm_run *run);
const vm_ioport_interface_t *port_owner(const vm_t *vm, uint16_t port); /* NULL: nobody */
int port_claim(vm_t *vm, uint16_t port, vm_ioport_interface_t interface);
void port_unclaim(vm_t *vm, uint16_t port); /* which was claimed */

/* vmcall.c */
enum run_verdict handle_hypercall(vm_vcpu_t *vcpu, const struct kvm_run *run);
bool is_hypercall_port(const vm_ioport_interface_t *handler); /* NULL: no */

#endif
