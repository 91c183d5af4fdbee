/* Doorbells: guest writes that signal an eventfd in the kernel. */
#include <hostvm/eventfd.h>

#include <errno.h>
#include <stdio.h>

#include "vm/vm.h"

enum { WHAT_SIZE = 96 };

static bool is_size(const hostvm_doorbell_t *doorbell)
{
    switch (doorbell->size) {
    case 0:
        return !doorbell->has_value && !doorbell->is_port;
    case 1:
    case 2:
    case 4:
        return true;
    case 8:
        return !doorbell->is_port;
    default:
        return false;
    }
}

static void describe(const hostvm_doorbell_t *doorbell, char what[WHAT_SIZE])
{
    (void)snprintf(what, WHAT_SIZE, "the guest's writes of %zu bytes at %s0x%llx", doorbell->size,
                   doorbell->is_port ? "port " : "", (unsigned long long)doorbell->addr);
}

static int set_doorbell(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd, uint32_t flags)
{
    struct kvm_ioeventfd ioeventfd = {
        .datamatch = doorbell->value,
        .addr = doorbell->addr,
        .len = (uint32_t)doorbell->size,
        .fd = fd,
        .flags = flags | (doorbell->is_port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
                 (doorbell->has_value ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
    };
    char what[WHAT_SIZE];
    int r;

    describe(doorbell, what);
    if (!is_size(doorbell) || !range_is_valid(doorbell->addr, doorbell->size)) {
        return fail(-EINVAL, "cannot watch for %s: KVM has no such doorbell", what);
    }
    r = kvm_vm_await(&vm->hosted->kvm);
    return r < 0 ? r : kvm_ioeventfd(&vm->hosted->kvm, &ioeventfd, what);
}

static int change(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd, uint32_t flags)
{
    int r;

    if (!vm_is_usable(vm) || doorbell == NULL) {
        return public_status(vm, fail(-EINVAL, "hostvm_doorbell: no VM or no doorbell given"));
    }
    vm_enter(vm);
    r = set_doorbell(vm, doorbell, fd, flags);
    vm_leave(vm);
    return public_status(vm, r);
}

int hostvm_doorbell_add(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd)
{
    return change(vm, doorbell, fd, 0);
}

int hostvm_doorbell_remove(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd)
{
    return change(vm, doorbell, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
