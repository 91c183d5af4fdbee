/* KVM's ioeventfds: guest writes that signal a descriptor. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/reason.h"
#include "kvm/kvm.h"

int kvm_ioeventfd(struct kvm_vm *vm, struct kvm_ioeventfd *ioeventfd, const char *what)
{
    if (ioctl(vm->fd, KVM_IOEVENTFD, ioeventfd) < 0) {
        int r = -errno;
        bool is_end = (ioeventfd->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0;

        return fail(r, "cannot %s descriptor %d %s %s: %s", is_end ? "untie" : "tie", ioeventfd->fd,
                    is_end ? "from" : "to", what, strerror(-r));
    }
    return 0;
}
