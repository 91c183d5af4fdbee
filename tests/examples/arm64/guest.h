/* How the examples' guests begin on AArch64. */
#ifndef EXAMPLES_ARM64_GUEST_H
#define EXAMPLES_ARM64_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/guest_vm.h>

#include "examples/load.h"

/* Where a register is among those of seL4_UserContext. */
#define GUEST_REG(name) (offsetof(seL4_UserContext, name) / sizeof(seL4_Word))

/*
 * The vcpu begins at entry and sees 4 GiB as they are: the first 2 MiB as memory, all else as
 * devices. Without such tables it would go past the caches, and on most hosts not see what we write
 * while it runs. They lie at the end of the first MiB, which is RAM by now. 0 or -1.
 */
static inline int guest_begin(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t entry)
{
    enum { ENTRIES = 512, TABLES = 0xfe000, PAGE = 0x1000 };
    /* Descriptors (Arm ARM, D8.3.1): a table; blocks that were accessed, of cached memory and of a
     * device, which are the first and the second byte of MAIR. */
    const uint64_t table = 0x3, memory = 0x701, device = 0x405;
    uint64_t tables[2][ENTRIES]; /* of GiB, and of the first one's 2 MiB */

    for (uint64_t i = 0; i < ENTRIES; i++) {
        tables[0][i] = i << 30 | device;
        tables[1][i] = i << 21 | (i == 0 ? memory : device);
    }
    tables[0][0] = (TABLES + PAGE) | table;
    return load(vm, TABLES, tables, sizeof(tables)) != 0 ||
                   vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_TTBR0, TABLES) != 0 ||
                   vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_MAIR, 0x00ff) != 0 ||
                   /* 39 bits by TTBR0 alone, tables cached; the MMU and the caches on */
                   vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_TCR, 0x200803519) != 0 ||
                   vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_SCTLR, 0x30d01805) != 0 ||
                   vm_set_thread_context_reg(vcpu, GUEST_REG(pc), entry) != 0
               ? -1
               : 0;
}

#endif
