/* A guest's only exit on x86: a port. */
#ifndef BENCH_LIFE_GUEST_H
#define BENCH_LIFE_GUEST_H

#include <hostvm/vm.h>
#include <sel4vm/arch/ioports.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/arch/guest_x86_context.h>

static ioport_fault_result_t stop(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                  unsigned value)
{
    (void)cookie;
    (void)port;
    (void)size;
    (void)value;
    (void)hostvm_vm_stop(vcpu->vm);
    return IO_FAULT_HANDLED;
}

/* one_exit ends the VM. 0 or -1. */
static int stop_at_exit(vm_t *vm)
{
    const vm_ioport_interface_t port = {NULL, NULL, stop, "bench"};

    return vm_io_port_add_handler(vm, (vm_ioport_range_t){0x10, 0x10}, port);
}

static void start_at(vm_vcpu_t *vcpu, uintptr_t code)
{
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, code);
}

#endif
