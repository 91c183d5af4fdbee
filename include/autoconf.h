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

/* Vcpus that one VM can have. */
#define CONFIG_MAX_NUM_NODES 16

#define CONFIG_PRINTING 1

#if defined(__x86_64__)
#define CONFIG_ARCH_X86 1
#define CONFIG_ARCH_X86_64 1
#define CONFIG_VTX 1
#define CONFIG_X86_64_VTX_64BIT_GUESTS 1
#elif defined(__aarch64__)
#define CONFIG_ARCH_ARM 1
#define CONFIG_ARCH_AARCH64 1
#define CONFIG_ARM_HYPERVISOR_SUPPORT 1
#else
#error "hostvm knows x86-64 and AArch64"
#endif
