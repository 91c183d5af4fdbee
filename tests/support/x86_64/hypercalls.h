/*
 * KVMs that hand hypercalls to user space, made of one that does not: the library's ioctls are
 * answered as arch/x86/kvm/xen.c and kvm_emulate_hypercall would.
 */
#ifndef SUPPORT_HYPERCALLS_H
#define SUPPORT_HYPERCALLS_H

/* The guest's instruction, in the place of vmcall and as long; in ring 0 of 64-bit code. */
#define GUEST_HYPERCALL "out %al, $0xe0\nnop\n"

enum hypercalls_kvm {
    HYPERCALLS_ANSWERED, /* KVM answers them itself, by the numbers that it knows: 12 alone here */
    HYPERCALLS_PASSED,   /* but has KVM_CAP_EXIT_HYPERCALL for number 12 */
    HYPERCALLS_XEN,      /* KVM_CAP_XEN_HVM with interception */
    HYPERCALLS_REFUSED,  /* the same, but its ioctl fails, with hypercalls_errno */
    HYPERCALLS_STRANGE,  /* the same, but hypercalls exit with a Xen exit of another kind */
};

/* Until the end, for VMs made since the beginning. */
void hypercalls_begin(enum hypercalls_kvm kvm);
void hypercalls_end(void);

/* What HYPERCALLS_REFUSED fails with; EINVAL after hypercalls_begin. */
void hypercalls_set_errno(int err);

/* Since the beginning: KVM was told to intercept, or to pass on, so often. */
unsigned hypercalls_nr_requests(void);

#endif
