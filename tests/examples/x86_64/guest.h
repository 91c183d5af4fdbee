/* How the examples' guests begin on x86-64. */
#ifndef EXAMPLES_X86_64_GUEST_H
#define EXAMPLES_X86_64_GUEST_H

#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/guest_vm.h>

/* The vcpu begins at entry, in a mode that sees the first GiB as it is. After vm_ram_register_at. 0
 * or -1. */
static inline int guest_begin(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t entry)
{
    (void)vm;
    return vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, entry);
}

#endif
