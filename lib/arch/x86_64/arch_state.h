/* What x86 keeps per vcpu: registers as they stand between two entries into the guest. */
#ifndef ARCH_X86_64_ARCH_STATE_H
#define ARCH_X86_64_ARCH_STATE_H

#include <hostvm/vmcall.h>
#include <linux/kvm.h>
#include <sel4/sel4.h>
#include <stdbool.h>
#include <stdint.h>

/* Lines that libsel4vm knows: those of the 8259 pair. */
enum { ARCH_NR_IRQS = 16 };

/* Lines can be raised that nobody has registered. */
enum { ARCH_IRQS_ARE_REGISTERED = 0 };

/* A fault callback's data are the bytes of the access. */
enum { ARCH_READS_LANES = 0 };

/* Input lines of the IOAPIC, which has the PICs' among them (82093AA). */
enum { ARCH_FIRST_LINE = 0, ARCH_NR_LINES = 24 };

/* The first 16 lead to the 8259 pair and the IOAPIC, the others to the IOAPIC alone. Numbers behind
 * them are for messages, whose senders nobody asks for. */
enum { ARCH_NR_ROUTES = 40, ARCH_FIRST_MESSAGE = 24, ARCH_MESSAGES_HAVE_SENDERS = 0 };

/* Control fields of the VMCS that are remembered without effect. */
enum { ARCH_NR_CONTROLS = 9 };

/* Registers that KVM keeps elsewhere than in kvm_regs and kvm_sregs: one system call each, so asked
 * for one by one. */
enum slow_reg {
    SLOW_DEBUGCTRL,
    SLOW_PAT,
    SLOW_PERF_GLOBAL_CTRL,
    SLOW_SYSENTER_CS,
    SLOW_SYSENTER_ESP,
    SLOW_SYSENTER_EIP,
    SLOW_DR7,
    SLOW_INTERRUPTABILITY,
    SLOW_ACTIVITY,
    NR_SLOW_REGS
};

/* The page tables that the first vcpu starts with: PML4, PDPT, PD. */
enum { ARCH_NR_BOOT_TABLES = 3 };

struct arch_vm {
    seL4_CPtr boot_tables[ARCH_NR_BOOT_TABLES]; /* frames of our own; seL4_CapNull: none */
    hostvm_vmcall_mode_t vmcall_mode;
};

struct arch_vcpu {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    bool is_dirty;       /* something was set since the last entry: what, the following say */
    uint32_t regs_dirty; /* a bit per 64-bit word of regs */
    bool has_regs;       /* regs are those of the vcpu */
    bool has_sregs;
    bool sregs_dirty;
    bool has_set_rsp; /* the client chose a stack pointer */
    uint64_t slow[NR_SLOW_REGS];
    uint32_t slow_dirty; /* a bit per slow register */
    uint64_t controls[ARCH_NR_CONTROLS];
    uint64_t entry_info; /* last VM-entry interruption information set */
    uint64_t entry_error_code;
    bool entry_dirty; /* an event is to be queued at the next entry */
};

/* Before an entry: what was read is stale from now on. System registers are set as a whole, and
 * hold until they are written. */
static inline void arch_vcpu_enters(struct arch_vcpu *arch)
{
    arch->has_regs = false;
    arch->has_sregs = arch->sregs_dirty;
}

#endif
