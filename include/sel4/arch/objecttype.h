/* The architecture's names for the types of frames and paging objects. */
#pragma once

#include <sel4/objecttype.h>

#if defined(CONFIG_ARCH_X86_64)
#define seL4_X86_4K HOSTVM_FRAME_4K_OBJECT
#define seL4_X86_LargePageObject HOSTVM_FRAME_2M_OBJECT
#define seL4_X64_HugePageObject HOSTVM_FRAME_1G_OBJECT
#define seL4_X86_PageTableObject HOSTVM_PAGE_TABLE_OBJECT
#define seL4_X64_PML4Object HOSTVM_VSPACE_OBJECT
#define seL4_X86_EPTPML4Object HOSTVM_VSPACE_OBJECT
#define seL4_X86_VCPUObject HOSTVM_VCPU_OBJECT
#elif defined(CONFIG_ARCH_AARCH64)
#define seL4_ARM_SmallPageObject HOSTVM_FRAME_4K_OBJECT
#define seL4_ARM_LargePageObject HOSTVM_FRAME_2M_OBJECT
#define seL4_ARM_HugePageObject HOSTVM_FRAME_1G_OBJECT
#define seL4_ARM_PageTableObject HOSTVM_PAGE_TABLE_OBJECT
#define seL4_ARM_VSpaceObject HOSTVM_VSPACE_OBJECT
#define seL4_ARM_VCPUObject HOSTVM_VCPU_OBJECT
#endif
