/* Ready-made fault callbacks. */
#pragma once

#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The fault callback of a region that must never fault: logs the access.
 *
 * @return FAULT_ERROR, which ends vm_run with -1
 */
memory_fault_result_t default_error_fault_callback(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t fault_addr,
                                                   size_t fault_length, void *cookie);

#ifdef __cplusplus
}
#endif
