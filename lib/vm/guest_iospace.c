/* IOMMU spaces: a process has none to give. */
#include <sel4vm/guest_iospace.h>

#include <errno.h>

#include "vm/vm.h"

int vm_guest_add_iospace(vm_t *vm, vspace_t *loader, seL4_CPtr iospace)
{
    (void)loader;
    (void)iospace;
    return public_status(vm, fail(-EOPNOTSUPP, "cannot add an IOMMU space: a hosted VM has none"));
}
