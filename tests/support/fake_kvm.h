/* A KVM that has nothing but memory slots, and is as strict about them as the kernel's. */
#ifndef SUPPORT_FAKE_KVM_H
#define SUPPORT_FAKE_KVM_H

#include <stddef.h>
#include <stdint.h>

#include "support/inject.h"

struct fake_slot {
    uint64_t gpa;
    uint64_t size;
    uintptr_t hva;
    uint32_t flags; /* KVM_MEM_* */
};

/* What is wrong with it; all zeros: nothing. */
struct fake_kvm_faults {
    int open_errno;     /* opening it fails */
    int version_errno;  /* it does not tell its version */
    int version;        /* another version than there is */
    int run_size;       /* of a vcpu's run page, other than what is right */
    int run_size_errno; /* it does not tell that size */
    long missing_cap;   /* a KVM_CAP_* */
    int create_errno;   /* it makes no VM */
};

/* From begin to end, /dev/kvm is this one, which has room for one VM at a time. */
void fake_kvm_begin(void);
void fake_kvm_begin_with(const struct fake_kvm_faults *faults);
void fake_kvm_end(void);

/* Has a function asked before the fake one answers, until the end: for what else a test's KVM shall
 * have. */
void fake_kvm_extend(inject_ioctl_fn fn);

/* The slots that there are, in ascending order of their address; returns how many. */
size_t fake_kvm_slots(struct fake_slot *ret, size_t nr_max);

#endif
