/* Creating a VM and its vcpus. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Index of the boot vcpu in vm->vcpus. */
#define BOOT_VCPU 0

/**
 * Initialises a VM.
 *
 * Opens /dev/kvm and creates a KVM virtual machine without memory, interrupt controller or vcpus.
 * The arguments are kept: the objects behind the pointers have to live until hostvm_vm_destroy
 * (hostvm/vm.h), which is the way back.
 *
 * Differs from libsel4vm: what aborts there fails here; name may be NULL ("vm" then); host_endpoint
 * may be seL4_CapNull (the VM then receives no notifications); any thread may call vm_run later.
 *
 * @param vm             storage for the VM, of any content; zeroed first
 * @param vka            allocator of the hosted environment (hostvm/env.h)
 * @param host_simple    as the environment supplies it
 * @param host_vspace    the VMM's own address space, copied
 * @param io_ops         with malloc_ops filled in
 * @param host_endpoint  a notification or endpoint whose signals reach the notification callback
 * @param name           copied; for messages
 * @return 0; -1 when an argument is missing, io_ops has no malloc_ops, vka is not the hosted one,
 * KVM cannot be used, or memory or descriptors run out. A failed vm_init leaves nothing behind and
 * vm_initialised false.
 */
int vm_init(vm_t *vm, vka_t *vka, simple_t *host_simple, vspace_t host_vspace, ps_io_ops_t *io_ops,
            seL4_CPtr host_endpoint, const char *name);

/**
 * Creates a vcpu and appends it to vm->vcpus.
 *
 * The vcpu is offline and unassigned (target_cpu -1); vcpu_id is its index in vm->vcpus. On x86 it
 * starts in long mode; the first vcpu brings identity page tables of the first GiB at 0x10000000,
 * 0x10001000 and 0x10002000, in reservations of their own, unless that range is taken. KVM's vcpu
 * comes into being at the first vcpu_start or vm_run. Freed by hostvm_vm_destroy.
 *
 * Differs from libsel4vm: ids count per VM, and a VM may have several vcpus on x86, too.
 *
 * @param vm        an initialised VM
 * @param priority  stored in vcpu->tcb.priority; without effect
 * @return the vcpu; NULL when the VM has CONFIG_MAX_NUM_NODES already or memory runs out
 */
vm_vcpu_t *vm_create_vcpu(vm_t *vm, int priority);

/**
 * Assigns the guest's CPU number to a vcpu (x86: APIC id, Arm: affinity). Before the vcpu is
 * started.
 *
 * Differs from libsel4vm: -1 (unassign) always succeeds.
 *
 * @return 0; -1 when vcpu is NULL or a vcpu of this VM, this one included, has that number already
 */
int vm_assign_vcpu_target(vm_vcpu_t *vcpu, int target_cpu);

#ifdef __cplusplus
}
#endif
