/* Small questions about VMs and vcpus. A VM or vcpu that is NULL is logged, and answered as one
 * that has nothing. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The VM is one that vm_init succeeded for, the vcpu one of vm_create_vcpu; neither may be NULL.
 * From any thread, while nobody creates vcpus. What is returned is the VM's. */

/** The vcpu's TCB handle: 0, hosted vcpus have none. */
static inline seL4_CPtr vm_get_vcpu_tcb(vm_vcpu_t *vcpu)
{
    if (vcpu == NULL) {
        ZF_LOGE("vm_get_vcpu_tcb: no vcpu given");
        return seL4_CapNull;
    }
    return vcpu->tcb.tcb.cptr;
}

/** The handle of a vcpu by its index, not 0; seL4_CapNull when there is no such vcpu. */
static inline seL4_CPtr vm_get_vcpu(vm_t *vm, int vcpu_id)
{
    if (vm == NULL) {
        ZF_LOGE("vm_get_vcpu: no VM given");
        return seL4_CapNull;
    }
    if (vcpu_id < 0 || (unsigned int)vcpu_id >= vm->num_vcpus) {
        return seL4_CapNull;
    }
    return vm->vcpus[vcpu_id]->vcpu.cptr;
}

/** The first vcpu with this guest CPU number; NULL when there is none. */
static inline vm_vcpu_t *vm_vcpu_for_target_cpu(vm_t *vm, int target_cpu)
{
    if (vm == NULL) {
        ZF_LOGE("vm_vcpu_for_target_cpu: no VM given");
        return NULL;
    }
    for (unsigned int i = 0; i < vm->num_vcpus; i++) {
        if (vm->vcpus[i]->target_cpu == target_cpu) {
            return vm->vcpus[i];
        }
    }
    return NULL;
}

/** The first vcpu without a guest CPU number; NULL when there is none. */
static inline vm_vcpu_t *vm_find_free_unassigned_vcpu(vm_t *vm)
{
    return vm_vcpu_for_target_cpu(vm, -1);
}

/** Whether the vcpu was started and has not ended in an error. */
static inline bool is_vcpu_online(vm_vcpu_t *vcpu)
{
    if (vcpu == NULL) {
        ZF_LOGE("is_vcpu_online: no vcpu given");
        return false;
    }
    return vcpu->vcpu_online;
}

/** The guest's address space; addresses in it are guest-physical. */
static inline vspace_t *vm_get_vspace(vm_t *vm)
{
    if (vm == NULL) {
        ZF_LOGE("vm_get_vspace: no VM given");
        return NULL;
    }
    return &vm->mem.vm_vspace;
}

/** The VMM's address space. */
static inline vspace_t *vm_get_vmm_vspace(vm_t *vm)
{
    if (vm == NULL) {
        ZF_LOGE("vm_get_vmm_vspace: no VM given");
        return NULL;
    }
    return &vm->mem.vmm_vspace;
}

#ifdef __cplusplus
}
#endif
