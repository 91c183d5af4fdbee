/* What Arm keeps per VM and vcpu: interrupts, and registers as they stand between two entries into
 * the guest. */
#ifndef ARCH_ARM64_ARCH_STATE_H
#define ARCH_ARM64_ARCH_STATE_H

#include <sel4/sel4.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Interrupts of the GIC: 16 that software sends, 16 private to each vcpu, shared ones. */
enum { ARCH_NR_IRQS = 256 };

/* Only what was registered can be raised by libsel4vm's functions. */
enum { ARCH_IRQS_ARE_REGISTERED = 1 };

/* Shared interrupts (Arm IHI 0048, 1.4.2). */
enum { ARCH_FIRST_LINE = 32, ARCH_NR_LINES = ARCH_NR_IRQS };

/* One per shared interrupt. Numbers behind them are for messages, of which the ITS wants to know
 * the sender. */
enum {
    ARCH_NR_ROUTES = ARCH_NR_LINES - ARCH_FIRST_LINE,
    ARCH_FIRST_MESSAGE = ARCH_NR_ROUTES,
    ARCH_MESSAGES_HAVE_SENDERS = 1
};

/* libsel4vm's lanes: a fault callback's data is a word of 32 bits around the access, or all of 64.
 */
enum { ARCH_READS_LANES = 1 };

/* Registers: the words of seL4_UserContext, then those of seL4_VCPUReg. */
enum {
    NR_THREAD_WORDS = sizeof(seL4_UserContext) / sizeof(seL4_Word),
    NR_WORDS = NR_THREAD_WORDS + seL4_VCPUReg_Num,
};

struct arch_vm {
    int gic_version;          /* 0: none */
    int gic_fd;               /* valid while gic_version is not 0 */
    unsigned nr_gic_steps;    /* of its construction that are done */
    atomic_bool is_gic_ready; /* and with it the number of vcpus is fixed */
    bool is_gic_placed;       /* KVM answers at its addresses */
    bool is_its_open;         /* KVM has the device, its_fd */
    int its_fd;
    unsigned nr_its_steps;           /* of its construction that are done */
    bool has_its;                    /* all of them */
    bool has_forwarded_calls;        /* KVM was told which ones */
    bool has_pmu;                    /* vcpus are given performance counters */
    atomic_uchar irqs[ARCH_NR_IRQS]; /* enum irq_state of shared interrupts */
};

struct arch_vcpu {
    uint64_t words[NR_WORDS];
    uint64_t known;        /* a bit per word: it is the vcpu's */
    uint64_t dirty;        /* a bit per word: it was set since the last entry */
    bool is_dirty;         /* any of them */
    unsigned nr_pmu_steps; /* of what KVM has to be told of its counters that are done */
    bool is_reset;         /* KVM has given the vcpu its first registers */
};

/* Before an entry: what was read is stale from now on. */
static inline void arch_vcpu_enters(struct arch_vcpu *arch)
{
    arch->known = arch->dirty;
}

#endif
