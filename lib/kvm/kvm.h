/* The KVM ioctls, typed and checked: descriptors, run pages, memory slots, interrupt lines. */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/range.h"

/* /dev/kvm, and what it said it can do. */
struct kvm_host {
    int fd; /* -1: not open */
    int api_version;
    size_t run_size; /* bytes of a vcpu's run page */
    unsigned max_vcpus;
    unsigned max_slots;
    uint64_t sync_regs; /* KVM_SYNC_* sets that come with the run page */
    bool has_readonly_mem;
    bool has_irqchip;
    bool has_irqfd_resample;
};

/* One memory slot as KVM has it. */
struct kvm_slot {
    struct range range; /* guest-physical, whole pages */
    uint8_t *hva;       /* where range.start lies in this process */
    uint32_t flags;     /* KVM_MEM_READONLY or 0 */
    uint32_t number;
};

/*
 * Slots sorted by address; adjacent ones that could be one are one. KVM is told of them when the
 * first vcpu starts: until then a change costs no system call, and a slot no memory of KVM's, which
 * it takes in proportion to the slot's size.
 */
struct kvm_slots {
    bool is_live;
    struct kvm_slot *slots;
    size_t nr_slots;
    size_t nr_room;
    uint32_t *free_numbers; /* numbers below nr_numbers that are not in use */
    size_t nr_free;
    uint32_t nr_numbers; /* numbers ever used */
};

struct kvm_vm {
    struct kvm_host *host;
    int fd;           /* -1: not open */
    bool is_opening;  /* by a thread that kvm_vm_await waits for */
    bool is_closed;   /* and with it all its slots are gone */
    pthread_t opener; /* while is_opening */
    bool has_irqchip;
    uint32_t passed_hypercalls; /* a bit per number that exits as KVM_EXIT_HYPERCALL */
    struct kvm_slots slots;
};

struct kvm_vcpu {
    struct kvm_vm *vm;
    int fd; /* -1: not open */
    unsigned id;
    struct kvm_run *run;
};

/* All return 0, or a negative errno with its reason recorded, unless they say otherwise. */

/* host.c */
int kvm_host_open(struct kvm_host *host);
void kvm_host_close(struct kvm_host *host);
const char *kvm_host_help(int err); /* what would help against an error of kvm_host_open */
unsigned long kvm_host_vm_type(const struct kvm_host *host); /* what KVM_CREATE_VM is asked for */

/* vm.c */
int kvm_vm_open(struct kvm_vm *vm, struct kvm_host *host);
void kvm_vm_open_begin(struct kvm_vm *vm,
                       struct kvm_host *host); /* in a thread, where that helps */
int kvm_vm_await(struct kvm_vm *vm); /* until it is open; first call behind kvm_vm_open_begin */
void kvm_vm_close(struct kvm_vm *vm);
int kvm_vm_enable_cap(struct kvm_vm *vm, uint32_t cap, uint64_t arg);
int kvm_vm_check_cap(struct kvm_vm *vm, uint32_t cap); /* KVM's answer, 0 for unknown ones */

/* irq.c */
int kvm_irqchip_create(struct kvm_vm *vm);
int kvm_pit_create(struct kvm_vm *vm);
int kvm_irq_line(struct kvm_vm *vm, unsigned gsi, int level,
                 int *ret_status); /* 0 masked, > 0 delivered, < 0 joined */
int kvm_irqfd_add(struct kvm_vm *vm, unsigned gsi, int fd,
                  int resample_fd); /* resample_fd -1: edge */
int kvm_irqfd_remove(struct kvm_vm *vm, unsigned gsi, int fd);
int kvm_routing_set(struct kvm_vm *vm, struct kvm_irq_routing *routing); /* all there is */

/* doorbell.c: what, for the reason: "the guest's writes of 4 bytes at 0x1000" */
int kvm_ioeventfd(struct kvm_vm *vm, struct kvm_ioeventfd *ioeventfd, const char *what);

/* slots.c: at most one thread at a time; the caller keeps vcpus out of the guest where ranges are
 * exchanged */
void kvm_slots_fini(struct kvm_slots *slots);
bool kvm_slots_add_exchanges(const struct kvm_vm *vm, struct range range, const uint8_t *hva,
                             bool is_readonly);
int kvm_slots_add(struct kvm_vm *vm, struct range range, uint8_t *hva, bool is_readonly);
int kvm_slots_go_live(struct kvm_vm *vm); /* from now on KVM has them, and every change at once */
int kvm_slots_remove(struct kvm_vm *vm, struct range range); /* all of it, or nothing */
const struct kvm_slot *kvm_slots_find(const struct kvm_slots *slots, uint64_t gpa);

/* vcpu.c */
int kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned id);
void kvm_vcpu_close(struct kvm_vcpu *vcpu);
int kvm_vcpu_set_signal_mask(struct kvm_vcpu *vcpu,
                             const sigset_t *mask); /* in force while the guest runs */
int kvm_vcpu_run(struct kvm_vcpu *vcpu);            /* -EINTR: kicked; records no reason for that */

/* True: KVM_RUN returns before it runs guest code. Any thread may say so, and KVM's structure has
 * plain bytes: the write is made atomic here. Order is the caller's. */
static inline void kvm_vcpu_set_immediate_exit(struct kvm_vcpu *vcpu, bool is_wanted)
{
    __atomic_store_n(&vcpu->run->immediate_exit, (uint8_t)is_wanted, __ATOMIC_RELAXED);
}

int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *ret_state);
int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state);

#if defined(__x86_64__)
/* x86_64.c */
int kvm_vcpu_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
int kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
int kvm_vm_set_tss_addr(struct kvm_vm *vm, uint64_t gpa);
int kvm_vm_set_identity_map_addr(struct kvm_vm *vm, uint64_t gpa);
int kvm_host_supported_cpuid(struct kvm_host *host,
                             struct kvm_cpuid2 **ret_cpuid); /* caller frees */
int kvm_vcpu_set_cpuid(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid);
int kvm_vcpu_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
int kvm_vcpu_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *regs);
int kvm_vcpu_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *regs);
int kvm_vcpu_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
int kvm_vcpu_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);
int kvm_vcpu_get_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *ret_value);
int kvm_vcpu_set_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value);
int kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa);
/* *ret_is_on: whether hypercalls exit from now on, as KVM_EXIT_XEN; false where this KVM cannot */
int kvm_vm_intercept_hypercalls(struct kvm_vm *vm, bool *ret_is_on);
/* the hypercall with this number exits from now on, as KVM_EXIT_HYPERCALL, if KVM has such an exit
 * for it */
int kvm_vm_pass_hypercall(struct kvm_vm *vm, uint32_t nr);
#elif defined(__aarch64__)
/* arm64.c */
/* Before all else: this host's processor, with PSCI and more (bits of KVM_ARM_VCPU_*). */
int kvm_vcpu_reset(struct kvm_vcpu *vcpu, uint32_t features);
int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t reg, uint64_t *ret_value); /* of 64 bits */
int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t reg, uint64_t value);
bool kvm_vm_has_device(struct kvm_vm *vm, uint32_t type);
int kvm_device_create(struct kvm_vm *vm, uint32_t type, int *ret_fd);
/* value: what the attribute takes; what: for the reason, "place the distributor" */
int kvm_device_set(int fd, uint32_t group, uint64_t attr, const void *value, const char *what);
/* KVM takes each step once: *nr_done of them it has, and what fails is tried again from there on */
struct kvm_device_step {
    uint32_t group;
    uint64_t attr;
    const void *value;
    const char *what;
};
int kvm_device_set_steps(int fd, const struct kvm_device_step *steps, unsigned nr,
                         unsigned *nr_done);
/* *ret_is_on: whether calls with function numbers from first on exit as KVM_EXIT_HYPERCALL; false
 * where this KVM cannot */
int kvm_vm_forward_calls(struct kvm_vm *vm, uint32_t first, uint32_t nr, bool *ret_is_on);
#endif

#endif
