/* Ready-made fault callbacks. */
#include <sel4vm/guest_memory_helpers.h>

#include <errno.h>

#include "vm/vm.h"

memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie)
{
    (void)cookie;
    (void)public_status(vm,
                        fail(-EFAULT, "vcpu %u may not access %zu bytes at 0x%zx",
                             vcpu == NULL ? 0 : vcpu->vcpu_id, fault_length, (size_t)fault_addr));
    return FAULT_ERROR;
}
