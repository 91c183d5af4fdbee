/* One vcpu: handing it to KVM, entering the guest, waking it. */
#include <errno.h>
#include <signal.h>

#include <sel4vm/boot.h>

#include "vm/vm.h"

int vcpu_open(vm_vcpu_t *vcpu)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct hosted_vcpu *hv = vcpu->hosted;
    int r;

    if (hv->is_open) {
        return 0;
    }
    r = vm_complete(hosted);
    if (r == 0) {
        r = kvm_slots_go_live(&hosted->kvm);
    }
    if (r < 0) {
        return r;
    }
    r = arch_vcpu_create(vcpu);
    if (r < 0) {
        return r;
    }
    r = arch_vcpu_open(vcpu);
    if (r == 0 && hosted->has_irq_controller) {
        r = irq_acks_connect(hosted); /* controllers may be ready for it only now */
    }
    if (r == 0) {
        r = irq_sources_connect(hosted); /* likewise */
    }
    if (r < 0) {
        return r;
    }
    hv->is_open = true;
    hosted->has_started_vcpu = true;
    return 0;
}

void vcpu_close(vm_vcpu_t *vcpu)
{
    kvm_vcpu_close(&vcpu->hosted->kvm);
}

/* Lets KVM finish the access of the last exit, without running guest code. That may lead to another
 * exit. */
int vcpu_finish_access(struct hosted_vcpu *hv)
{
    int r;

    kvm_vcpu_set_immediate_exit(&hv->kvm, true);
    arch_vcpu_enters(&hv->arch);
    r = kvm_vcpu_run(&hv->kvm);
    if (r == -EINTR) {
        hv->has_pending_io = false;
        return 0;
    }
    if (r == 0) {
        hv->has_unseen_exit = true;
    }
    return r;
}

/* What was set goes to KVM; while an access is unfinished that has to come first, or it would be
 * lost. */
static int vcpu_flush(vm_vcpu_t *vcpu)
{
    struct hosted_vcpu *hv = vcpu->hosted;

    if (hv->has_pending_io) {
        int r = vcpu_finish_access(hv);

        if (r < 0 || hv->has_unseen_exit) {
            return r;
        }
    }
    return arch_vcpu_flush(vcpu);
}

/* Runs the guest until its next exit. -EINTR: it was kept or brought out of the guest; look at the
 * requests. */
static int enter_guest(vm_vcpu_t *vcpu)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct hosted_vcpu *hv = vcpu->hosted;
    int r;

    if (hv->arch.is_dirty || hv->has_unseen_exit) {
        r = hv->has_unseen_exit ? 0 : vcpu_flush(vcpu);
        if (r < 0) {
            return r;
        }
        if (hv->has_unseen_exit) {
            hv->has_unseen_exit = false;
            return 0;
        }
    }
    kvm_vcpu_set_immediate_exit(&hv->kvm, false);
    arch_vcpu_enters(&hv->arch);
    atomic_store(&hv->is_in_guest, true);
    if ((atomic_load(&hosted->requests) &
         atomic_load_explicit(&hv->request_mask, memory_order_relaxed)) != 0) { /* of this thread */
        atomic_store(&hv->is_in_guest, false);
        return -EINTR;
    }
    lock_leave(&hosted->lock);
    r = kvm_vcpu_run(&hv->kvm);
    atomic_store(&hv->is_in_guest, false);
    lock_enter(&hosted->lock);
    if (r == -EINTR) {
        kicks_drain(hosted);
    }
    hv->has_pending_io = false;
    return r;
}

enum run_verdict vcpu_step(vm_vcpu_t *vcpu)
{
    int r = enter_guest(vcpu);

    if (r == 0) {
        return dispatch_exit(vcpu);
    }
    if (r == -EINTR) {
        return RUN_CONTINUE;
    }
    log_at(vcpu->vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
    return RUN_HOST_FAILED;
}

bool vcpu_is_rousable(const struct hosted_vcpu *hv)
{
    return hv->is_halted && hv->arch.is_dirty;
}

/* What a callback has set, an interrupt say, may wake a halted vcpu. */
int vcpu_rouse(vm_vcpu_t *vcpu)
{
    int r = vcpu_is_rousable(vcpu->hosted) ? vcpu_flush(vcpu) : 0;

    if (r < 0) {
        log_at(vcpu->vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
    }
    return r;
}

/* From now on this thread is the one that runs the vcpu. */
int vcpu_attach(vm_vcpu_t *vcpu, unsigned request_mask)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct hosted_vcpu *hv = vcpu->hosted;
    sigset_t kicks;
    sigset_t mask;
    int r = 0;

    kicks_signals(hosted, &kicks);
    (void)pthread_sigmask(hosted->has_kick_handler ? SIG_UNBLOCK : SIG_BLOCK, &kicks, NULL);
    if (!hosted->has_kick_handler) {
        (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
        sigdelset(&mask, hosted->kick_signal);
        r = kvm_vcpu_set_signal_mask(&hv->kvm, &mask);
    }
    if (r == 0) {
        hv->thread = pthread_self();
        hv->request_mask = request_mask;
    }
    return r;
}

int hostvm_vcpu_wait_for_startup(vm_vcpu_t *vcpu)
{
    int r = 0;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "hostvm_vcpu_wait_for_startup: no vcpu given"));
    }
    vm_enter(vcpu->vm);
    if (vcpu->hosted->is_open || vcpu->vcpu_id == BOOT_VCPU || !vcpu->vm->hosted->kvm.has_irqchip) {
        r = fail(-EINVAL,
                 "vcpu %u cannot wait until the guest starts it: it is the boot vcpu, was started "
                 "already, or the VM has no interrupt controller",
                 vcpu->vcpu_id);
    } else {
        vcpu->hosted->waits_for_startup = true;
    }
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}
