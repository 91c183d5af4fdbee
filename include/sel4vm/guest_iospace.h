/* Guest memory in IOMMU spaces. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Would make later guest mappings appear in an IOMMU space, too. A hosted VM has no IOMMU spaces.
 *
 * @return -1 always
 */
int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace);

#ifdef __cplusplus
}
#endif
