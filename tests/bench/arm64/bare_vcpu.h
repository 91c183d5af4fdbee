/* The first registers of a bare vcpu on Arm: EL1 as after a reset, without translation. */
#ifndef BENCH_BARE_VCPU_H
#define BENCH_BARE_VCPU_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

enum { BARE_DEVICE = 0x30000000, BARE_RAM = 0x40000000, BARE_CODE = BARE_RAM + 0x1000 };

/* movz x1, #0x3000, lsl #16: BARE_DEVICE. Instructions are words, least byte first. */
#define SET_X1 0x01, 0x00, 0xa6, 0xd2

/* One exit, by a store. */
static const uint8_t one_exit[] = {SET_X1, 0x20, 0x00, 0x00, 0xb9}; /* str w0, [x1] */

/* The result of the call that failed, or of the last one. */
static inline int bare_set_registers(int vm, int vcpu)
{
    uint64_t pc = BARE_CODE;
    const struct kvm_one_reg reg = {.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                                          KVM_REG_ARM_CORE_REG(regs.pc),
                                    .addr = (uintptr_t)&pc};
    struct kvm_vcpu_init init;

    if (ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init) < 0) {
        return -1;
    }
    init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
    return ioctl(vcpu, KVM_ARM_VCPU_INIT, &init) < 0 ? -1 : ioctl(vcpu, KVM_SET_ONE_REG, &reg);
}

#endif
