/* A guest's only exit on Arm: a store where nothing is. */
#ifndef BENCH_LIFE_GUEST_H
#define BENCH_LIFE_GUEST_H

#include <stddef.h>

#include <hostvm/vm.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "bare_vcpu.h"

static memory_fault_result_t stop(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                  void *cookie)
{
    (void)addr;
    (void)size;
    (void)cookie;
    advance_vcpu_fault(vcpu);
    (void)hostvm_vm_stop(vm);
    return FAULT_HANDLED;
}

/* one_exit ends the VM. 0 or -1. */
static int stop_at_exit(vm_t *vm)
{
    return vm_reserve_memory_at(vm, BARE_DEVICE, 4096, stop, NULL) == NULL ? -1 : 0;
}

static void start_at(vm_vcpu_t *vcpu, uintptr_t code)
{
    (void)vm_set_thread_context_reg(vcpu, offsetof(seL4_UserContext, pc) / sizeof(seL4_Word), code);
}

#endif
