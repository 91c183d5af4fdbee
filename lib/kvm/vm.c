/* KVM's virtual machines: creation, capabilities. */
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/io.h"
#include "base/reason.h"

int kvm_vm_open(struct kvm_vm *vm, struct kvm_host *host)
{
    int r;

    *vm = (struct kvm_vm){.host = host, .fd = -1};
    do {
        vm->fd = ioctl(host->fd, KVM_CREATE_VM, 0);
    } while (vm->fd < 0 && errno == EINTR);
    if (vm->fd < 0) {
        r = -errno;
        return fail(r, "cannot create a KVM virtual machine: %s", strerror(-r));
    }
    return 0;
}

void kvm_vm_close(struct kvm_vm *vm)
{
    kvm_slots_fini(&vm->slots);
    io_close(&vm->fd);
}

int kvm_vm_enable_cap(struct kvm_vm *vm, uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap enable = {.cap = cap, .args = {arg}};

    if (ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0) {
        int r = -errno;
        return fail(r, "cannot enable KVM capability %u: %s", cap, strerror(-r));
    }
    return 0;
}

int kvm_vm_check_cap(struct kvm_vm *vm, uint32_t cap)
{
    int r = ioctl(vm->fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

    return r < 0 ? 0 : r;
}
