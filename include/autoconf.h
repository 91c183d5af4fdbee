/* The configuration of the hosted seL4 environment, under the names that client sources test. */
#pragma once

/*
 * A CONFIG_ name is defined to its value, or to 1, or it is not defined at all. Several of them
 * shape public structures (CONFIG_MAX_NUM_NODES, CONFIG_X86_64_VTX_64BIT_GUESTS): they describe
 * the library as it was built, and a client cannot change them.
 *
 * Not defined, because the process has no such thing: CONFIG_IOMMU, CONFIG_TK1_SMMU,
 * CONFIG_ARM_SMMU, CONFIG_KERNEL_MCS, CONFIG_VMM_PLATSUPPORT_VESA_FRAMEBUFFER.
 * CONFIG_LIB_SEL4VM_DEFER_MEMORY_MAP is a choice made when an environment is created, not when
 * the library is built.
 */

#define CONFIG_WORD_SIZE 64

#define CONFIG_PRINTING 1

/*
 * CONFIG_MAX_NUM_NODES, the vcpus that one VM can have; the host's KVM may give fewer (max_vcpus of
 * hostvm_host_check). On x86-64 each has one of the local APIC's eight-bit numbers, of which 255
 * means all (Intel SDM 3A, 11.4.6 and 11.6.2) and 254 is left to an I/O APIC. On arm64 each has 128
 * KiB of redistributor (hostvm/chipset.h), from 0x080a0000 to where devices begin at 0x09000000
 * (QEMU, docs/system/arm/virt.rst).
 */

#if defined(__x86_64__)
#define CONFIG_ARCH_X86                1
#define CONFIG_ARCH_X86_64             1
#define CONFIG_VTX                     1
#define CONFIG_X86_64_VTX_64BIT_GUESTS 1
#define CONFIG_MAX_NUM_NODES           254
#elif defined(__aarch64__)
#define CONFIG_ARCH_ARM               1
#define CONFIG_ARCH_AARCH64           1
#define CONFIG_ARM_HYPERVISOR_SUPPORT 1
#define CONFIG_MAX_NUM_NODES          123
#else
#error "hostvm knows x86-64 and AArch64"
#endif
