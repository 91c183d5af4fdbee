/* The ioctls that only Arm has. */
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/reason.h"

/* As much guest-physical space as a KVM gives that is not asked, where the processor has it
 * (Documentation/virt/kvm/api.rst, KVM_CREATE_VM). */
unsigned long kvm_host_vm_type(const struct kvm_host *host)
{
    enum { DEFAULT_BITS = 40 };
    int bits = ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

    return bits > 0 && bits < DEFAULT_BITS ? KVM_VM_TYPE_ARM_IPA_SIZE((unsigned)bits) : 0;
}

int kvm_vcpu_reset(struct kvm_vcpu *vcpu, uint32_t features)
{
    struct kvm_vcpu_init init;

    if (ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init) < 0) {
        int r = -errno;
        return fail(r, "cannot ask for the processor that vcpus can be: %s", strerror(-r));
    }
    init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2 | features;
    if (ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init) < 0) {
        int r = -errno;
        return fail(r, "cannot reset vcpu %u: %s", vcpu->id, strerror(-r));
    }
    return 0;
}

int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t reg, uint64_t *ret_value)
{
    uint64_t value;
    struct kvm_one_reg one = {.id = reg, .addr = (uintptr_t)&value};

    if (ioctl(vcpu->fd, KVM_GET_ONE_REG, &one) < 0) {
        int r = -errno;
        return fail(r, "cannot read register 0x%llx of vcpu %u: %s", (unsigned long long)reg,
                    vcpu->id, strerror(-r));
    }
    *ret_value = value;
    return 0;
}

int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t reg, uint64_t value)
{
    struct kvm_one_reg one = {.id = reg, .addr = (uintptr_t)&value};

    if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &one) < 0) {
        int r = -errno;
        return fail(r, "cannot write register 0x%llx of vcpu %u: %s", (unsigned long long)reg,
                    vcpu->id, strerror(-r));
    }
    return 0;
}

bool kvm_vm_has_device(struct kvm_vm *vm, uint32_t type)
{
    struct kvm_create_device device = {.type = type, .flags = KVM_CREATE_DEVICE_TEST};

    return ioctl(vm->fd, KVM_CREATE_DEVICE, &device) == 0;
}

int kvm_device_create(struct kvm_vm *vm, uint32_t type, int *ret_fd)
{
    struct kvm_create_device device = {.type = type};

    if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0) {
        int r = -errno;
        return fail(r, "cannot create KVM's device %u: %s", type, strerror(-r));
    }
    *ret_fd = (int)device.fd; /* KVM opens it with O_CLOEXEC */
    return 0;
}

int kvm_device_set(int fd, uint32_t group, uint64_t attr, const void *value, const char *what)
{
    struct kvm_device_attr arg = {.group = group, .attr = attr, .addr = (uintptr_t)value};

    if (ioctl(fd, KVM_SET_DEVICE_ATTR, &arg) < 0) {
        int r = -errno;
        return fail(r, "cannot %s: %s", what, strerror(-r));
    }
    return 0;
}

int kvm_device_set_steps(int fd, const struct kvm_device_step *steps, unsigned nr,
                         unsigned *nr_done)
{
    while (*nr_done < nr) {
        const struct kvm_device_step *step = &steps[*nr_done];
        int r = kvm_device_set(fd, step->group, step->attr, step->value, step->what);

        if (r < 0) {
            return r;
        }
        ++*nr_done;
    }
    return 0;
}

/* Since Linux 6.4; the headers of older ones are without them (asm/kvm.h). */
enum {
    SMCCC_CONTROL_GROUP = 0, /* KVM_ARM_VM_SMCCC_CTRL */
    SMCCC_FILTER = 0,        /* KVM_ARM_VM_SMCCC_FILTER */
    SMCCC_TO_USER = 2,       /* KVM_SMCCC_FILTER_FWD_TO_USER */
};

struct smccc_filter {
    uint32_t first;
    uint32_t nr;
    uint8_t action;
    uint8_t padding[15];
};

int kvm_vm_forward_calls(struct kvm_vm *vm, uint32_t first, uint32_t nr, bool *ret_is_on)
{
    struct smccc_filter filter = {.first = first, .nr = nr, .action = SMCCC_TO_USER};
    struct kvm_device_attr attr = {
        .group = SMCCC_CONTROL_GROUP,
        .attr = SMCCC_FILTER,
        .addr = (uintptr_t)&filter,
    };

    *ret_is_on = ioctl(vm->fd, KVM_HAS_DEVICE_ATTR, &attr) == 0;
    if (*ret_is_on && ioctl(vm->fd, KVM_SET_DEVICE_ATTR, &attr) < 0) {
        int r = -errno;
        return fail(r, "cannot have the guest's calls from 0x%x on handed over: %s", first,
                    strerror(-r));
    }
    return 0;
}
