/* A KVM that has nothing but memory slots, and is as strict about them as the kernel's. */
#ifndef SUPPORT_FAKE_KVM_H
#define SUPPORT_FAKE_KVM_H

#include <stddef.h>
#include <stdint.h>

struct fake_slot {
    uint64_t gpa;
    uint64_t size;
    uintptr_t hva;
    uint32_t flags; /* KVM_MEM_* */
};

/* From begin to end, /dev/kvm is this one, which has room for one VM at a time. */
void fake_kvm_begin(void);
void fake_kvm_end(void);

/* The slots that there are, in ascending order of their address; returns how many. */
size_t fake_kvm_slots(struct fake_slot *ret, size_t nr_max);

#endif
