/* What KVM wants to know of an Arm VM before it has vcpus, and what only other machines have. */
#include <errno.h>

#include <hostvm/vmcall.h>
#include <sel4vm/arch/guest_memory_arch.h>

#include "arm64/arm64.h"

int arch_vm_init(vm_t *vm)
{
    struct kvm_vm *kvm = &vm->hosted->kvm;

    /* Else KVM_RUN fails, without a word about where. */
    return kvm_vm_check_cap(kvm, KVM_CAP_ARM_NISV_TO_USER) > 0
               ? kvm_vm_enable_cap(kvm, KVM_CAP_ARM_NISV_TO_USER, 0)
               : 0;
}

void arch_vm_fini(vm_t *vm)
{
    its_fini(vm);
    gic_fini(vm);
}

/* Boot images may lie anywhere. */
bool arch_can_boot_from(struct range ram)
{
    (void)ram;
    return true;
}

bool arch_is_notification_failure(int result)
{
    return result != 0;
}

uintptr_t vm_arm_ipa_to_pa(vm_t *vm, uintptr_t ipa_base, size_t size)
{
    (void)vm;
    (void)ipa_base;
    (void)size;
    return 0;
}

/* --- a PC's --- */

int hostvm_vm_create_pit(vm_t *vm)
{
    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_create_pit: no VM given"));
    }
    return public_status(
        vm, fail(-EOPNOTSUPP, "cannot create the timer chip: only a PC has it; an Arm processor "
                              "has timers of its own"));
}

hostvm_vmcall_mode_t hostvm_vmcall_mode(vm_t *vm)
{
    (void)vm;
    return HOSTVM_VMCALL_NONE;
}
