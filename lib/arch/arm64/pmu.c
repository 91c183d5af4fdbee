/* Performance counters of an Arm VM's vcpus. */
#include <errno.h>

#include "arm64/arm64.h"

/* KVM takes each of these once for a vcpu: what failed is tried again from there on
 * (Documentation/virt/kvm/devices/vcpu.rst, 1). */
int pmu_set_up(vm_vcpu_t *vcpu)
{
    static const int irq = HOSTVM_PMU_IRQ;
    const struct kvm_device_step steps[] = {
        {KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq,
         "set the interrupt of the performance counters"},
        {KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL,
         "set up the performance counters"},
    };
    struct hosted_vcpu *hv = vcpu->hosted;

    if (!vcpu->vm->hosted->arch.has_pmu) {
        return 0;
    }
    if (hv->arch.nr_pmu_steps == 0 && !vcpu->vm->hosted->kvm.has_irqchip) {
        hv->arch.nr_pmu_steps = 1; /* nobody delivers it */
    }
    return kvm_device_set_steps(hv->kvm.fd, steps, sizeof(steps) / sizeof(steps[0]),
                                &hv->arch.nr_pmu_steps);
}

/* Also one whose start failed later than that: KVM does not change its mind. */
static bool has_reset_vcpu(const vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        if (vm->vcpus[i]->hosted->arch.is_reset) {
            return true;
        }
    }
    return false;
}

static int enable(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    int r = kvm_vm_await(&hosted->kvm);

    if (r < 0) {
        return r;
    }
    if (has_reset_vcpu(vm)) {
        return fail(-EBUSY, "cannot give vcpus performance counters: one was started already");
    }
    if (kvm_vm_check_cap(&hosted->kvm, KVM_CAP_ARM_PMU_V3) <= 0) {
        return fail(-EOPNOTSUPP, "cannot give vcpus performance counters: this host's KVM has none "
                                 "for guests; its processor or kernel is without them");
    }
    hosted->arch.has_pmu = true;
    return 0;
}

int hostvm_vm_enable_pmu(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_enable_pmu: no VM given"));
    }
    vm_enter(vm);
    r = enable(vm);
    vm_leave(vm);
    return public_status(vm, r);
}
