/* The first registers of a bare vcpu on x86: real mode, all segments 0. */
#ifndef BENCH_BARE_VCPU_H
#define BENCH_BARE_VCPU_H

#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum { BARE_RAM = 0, BARE_CODE = 0x1000 };

/* One exit, by a port. */
static const uint8_t one_exit[] = {0xe6, 0x10}; /* out %al, $0x10 */

/* The result of the call that failed, or of the last one. */
static inline int bare_set_registers(int vm, int vcpu)
{
    struct kvm_regs regs = {.rip = BARE_CODE, .rflags = 2};
    struct kvm_sregs sregs;

    (void)vm;
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) {
        return -1;
    }
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    return ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 ? -1 : ioctl(vcpu, KVM_SET_REGS, &regs);
}

#endif
