/* The kernel's interrupt controllers and timer chip: lines, messages, and descriptors that drive
 * them. */
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/reason.h"

int kvm_irqchip_create(struct kvm_vm *vm)
{
    if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0) {
        int r = -errno;
        return fail(r, "cannot create the interrupt controllers: %s", strerror(-r));
    }
    vm->has_irqchip = true;
    return 0;
}

int kvm_pit_create(struct kvm_vm *vm)
{
    struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};

    if (ioctl(vm->fd, KVM_CREATE_PIT2, &config) < 0) {
        int r = -errno;
        return fail(r, "cannot create the timer chip: %s", strerror(-r));
    }
    return 0;
}

int kvm_irq_line(struct kvm_vm *vm, unsigned gsi, int level, int *ret_status)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level != 0};

    if (ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line) < 0) {
        int r = -errno;
        return fail(r, "cannot set interrupt line %u: %s", gsi, strerror(-r));
    }
    *ret_status = (int)line.status;
    return 0;
}

int kvm_irqfd_add(struct kvm_vm *vm, unsigned gsi, int fd, int resample_fd)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};

    if (resample_fd >= 0) {
        irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
        irqfd.resamplefd = (uint32_t)resample_fd;
    }
    if (ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0) {
        int r = -errno;
        return fail(r, "cannot tie a descriptor to interrupt line %u: %s", gsi, strerror(-r));
    }
    return 0;
}

int kvm_irqfd_remove(struct kvm_vm *vm, unsigned gsi, int fd)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN};

    if (ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0) {
        int r = -errno;
        return fail(r, "cannot untie a descriptor from interrupt %u: %s", gsi, strerror(-r));
    }
    return 0;
}

int kvm_routing_set(struct kvm_vm *vm, struct kvm_irq_routing *routing)
{
    if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing) < 0) {
        int r = -errno;
        return fail(r, "cannot route %u interrupts: %s", routing->nr, strerror(-r));
    }
    return 0;
}
