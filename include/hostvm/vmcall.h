/* How the guest makes a hypercall: what hosting adds to sel4vm/arch/vmcall.h. x86 only. */
#pragma once

#include <hostvm/guest_vmcall.h>
#include <sel4vm/arch/vmcall.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * By which ways hypercalls of a VM reach their handlers. The port is one of them wherever there is
 * a handler.
 */
typedef enum hostvm_vmcall_mode {
    HOSTVM_VMCALL_NONE,           /* no handler is registered: by none */
    HOSTVM_VMCALL_BY_PORT,        /* an OUT to HOSTVM_VMCALL_PORT alone */
    HOSTVM_VMCALL_BY_INSTRUCTION, /* VMCALL or VMMCALL, and the port as well */
} hostvm_vmcall_mode_t;

/**
 * Tells how the guest can make hypercalls. Decided when the first handler is registered; never
 * changes afterwards. From any thread.
 *
 * @return the mode; HOSTVM_VMCALL_NONE, too, when vm is NULL or not initialised
 */
hostvm_vmcall_mode_t hostvm_vmcall_mode(vm_t *vm);

#ifdef __cplusplus
}
#endif
