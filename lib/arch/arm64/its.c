/* The part of a GICv3 that takes messages, KVM's ITS: creation. */
#include <errno.h>

#include <hostvm/chipset.h>

#include "arm64/arm64.h"
#include "base/io.h"

/* As for the controller: what failed is tried again from there on. */
static int place(struct arch_vm *arch)
{
    static const uint64_t gpa = HOSTVM_GIC_ITS;
    static const struct kvm_device_step steps[] = {
        {KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &gpa, "place the ITS"},
        {KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "set up the ITS"},
    };

    return kvm_device_set_steps(arch->its_fd, steps, sizeof(steps) / sizeof(steps[0]),
                                &arch->nr_its_steps);
}

static int check(const struct hosted_vm *hosted)
{
    if (!hosted->kvm.has_irqchip) {
        return fail(-ENODEV, "cannot create the ITS: the VM has no interrupt controller; call "
                             "vm_create_default_irq_controller first");
    }
    if (hosted->arch.gic_version != 3) {
        return fail(-EOPNOTSUPP,
                    "cannot create the ITS: the interrupt controller is of version "
                    "%d, only version 3 has it",
                    hosted->arch.gic_version);
    }
    if (hosted->arch.has_its) {
        return fail(-EEXIST, "cannot create the ITS: the VM has it already");
    }
    if (hosted->has_started_vcpu) {
        return fail(-EBUSY, "cannot create the ITS: a vcpu was started already; create it first");
    }
    return 0;
}

static int create(struct hosted_vm *hosted)
{
    struct arch_vm *arch = &hosted->arch;
    int r = 0;

    if (!arch->is_its_open) {
        r = kvm_device_create(&hosted->kvm, KVM_DEV_TYPE_ARM_VGIC_ITS, &arch->its_fd);
        arch->is_its_open = r == 0;
    }
    return r < 0 ? r : place(arch);
}

static int create_its(struct hosted_vm *hosted)
{
    static const struct range range = {HOSTVM_GIC_ITS, HOSTVM_GIC_ITS_SIZE};
    struct space_reservation *claim;
    int r = check(hosted);

    if (r < 0) {
        return r;
    }
    r = space_reserve(hosted->space, range, false, seL4_NoRights, &claim);
    if (r == -EEXIST) {
        return fail(r, "cannot create the ITS: [0x%llx..0x%llx) is reserved; free that first",
                    (unsigned long long)range.start, (unsigned long long)range_end(range));
    }
    if (r < 0) {
        return r;
    }
    r = create(hosted);
    if (r < 0) {
        (void)space_unreserve(hosted->space, claim); /* it is there: we have just made it */
    }
    hosted->arch.has_its = r == 0;
    return r;
}

int hostvm_vm_create_its(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_create_its: no VM given"));
    }
    vm_enter(vm);
    r = create_its(vm->hosted);
    vm_leave(vm);
    return public_status(vm, r);
}

void its_fini(vm_t *vm)
{
    struct arch_vm *arch = &vm->hosted->arch;

    if (arch->is_its_open) {
        io_close(&arch->its_fd);
        arch->is_its_open = false;
    }
}
