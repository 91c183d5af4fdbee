/*
 * A KVM that hands calls of the guest to user space (KVM_ARM_VM_SMCCC_FILTER), made of one that
 * does not: a store to an address of its own takes the place of SMC and HVC, which are as long.
 */
#ifndef SUPPORT_ARM64_CALLS_H
#define SUPPORT_ARM64_CALLS_H

#include <stdbool.h>
#include <stdint.h>

/* The function number is in w0. */
#define GUEST_SMC "ldr x15, =0x31000000\nstr w0, [x15]\n"
#define GUEST_HVC "ldr x15, =0x31000004\nstr w0, [x15]\n"

enum { MAX_CALL_RANGES = 8 };

struct call_range {
    uint32_t first;
    uint32_t nr;
    uint8_t action;
};

/* Until the end, for VMs made since the beginning; without a filter, all is KVM's own answer. */
void calls_begin(bool has_filter, int filter_errno); /* 0: the filter takes what it is given */
void calls_end(void);

/* What the filter was given since the beginning. */
unsigned calls_ranges(struct call_range ret[MAX_CALL_RANGES]);

#endif
