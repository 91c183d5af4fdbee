/* KVM's vcpus: creation, entry into the guest, whether they run. */
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/reason.h"

/* KVM never gives a vcpu's number away again: what fails behind its creation is tried again with
 * it. */
int kvm_vcpu_open(struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned id)
{
    void *run;

    if (vcpu->fd < 0) {
        *vcpu = (struct kvm_vcpu){.vm = vm, .id = id};
        vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
    }
    if (vcpu->fd < 0) {
        int r = -errno;
        return fail(r, "cannot create vcpu %u (this host allows %u): %s", id, vm->host->max_vcpus,
                    strerror(-r));
    }
    if (vcpu->run != NULL) {
        return 0;
    }
    run = mmap(NULL, vm->host->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) {
        int r = -errno;
        return fail(r, "cannot map the run page of vcpu %u: %s", id, strerror(-r));
    }
    vcpu->run = run;
    return 0;
}

void kvm_vcpu_close(struct kvm_vcpu *vcpu)
{
    if (vcpu->run != NULL) {
        (void)munmap(vcpu->run,
                     vcpu->vm->host->run_size); /* cannot fail: it is a mapping of ours */
        vcpu->run = NULL;
    }
    io_close(&vcpu->fd);
}

int kvm_vcpu_set_signal_mask(struct kvm_vcpu *vcpu, const sigset_t *mask)
{
    /* The kernel's signal set is one 64-bit word (asm-generic/signal.h: _NSIG 64), glibc's is
     * larger. */
    enum { KERNEL_SIGSET_SIZE = 8 };
    union {
        struct kvm_signal_mask mask;
        uint8_t bytes[sizeof(struct kvm_signal_mask) + KERNEL_SIGSET_SIZE];
    } arg = {.mask.len = KERNEL_SIGSET_SIZE};

    memcpy(arg.bytes + offsetof(struct kvm_signal_mask, sigset), mask, KERNEL_SIGSET_SIZE);
    if (ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &arg) < 0) {
        int r = -errno;
        return fail(r, "cannot set the signal mask of vcpu %u: %s", vcpu->id, strerror(-r));
    }
    return 0;
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
    int r;

    if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
        return 0;
    }
    r = -errno;
    if (r == -EINTR || r == -EAGAIN) {
        return -EINTR; /* EAGAIN: the vcpu was woken from its wait for a start-up IPI; nothing has
                          run */
    }
    vcpu->run->kvm_valid_regs = 0; /* the page may be without them */
    return fail(r, "cannot run vcpu %u: %s", vcpu->id, strerror(-r));
}

int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *ret_state)
{
    struct kvm_mp_state state;

    if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) < 0) {
        int r = -errno;
        return fail(r, "cannot read the run state of vcpu %u: %s", vcpu->id, strerror(-r));
    }
    *ret_state = state.mp_state;
    return 0;
}

int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state)
{
    struct kvm_mp_state mp = {.mp_state = state};

    if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp) < 0) {
        int r = -errno;
        return fail(r, "cannot set the run state of vcpu %u: %s", vcpu->id, strerror(-r));
    }
    return 0;
}
