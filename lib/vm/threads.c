/* Threads that run a vcpu each. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "vm/vm.h"

void threads_end_run(struct hosted_vm *hosted, enum run_verdict verdict)
{
    if (hosted->verdict == RUN_CONTINUE) {
        hosted->verdict = verdict;
        (void)snprintf(hosted->end_reason, sizeof(hosted->end_reason), "%s", reason_last());
    }
    vm_wake(hosted, REQUEST_END);
    lock_wake(&hosted->lock);
}

/* The VM of which this thread runs a vcpu, and nothing else. */
static _Thread_local const vm_t *own_vm;

bool threads_is_own(const vm_t *vm)
{
    return own_vm == vm;
}

void vcpu_was_set(vm_vcpu_t *vcpu)
{
    if (vcpu->hosted->is_halted) {
        vm_wake(vcpu->vm->hosted, REQUEST_VCPUS);
        lock_wake(&vcpu->vm->hosted->lock);
    }
}

/* Their threads sleep, and a callback on another one may have set what wakes them. With interrupt
 * controllers KVM halts vcpus by itself: no exit has to look at each of them. */
static void wake_rousable(struct hosted_vm *hosted)
{
    if (hosted->kvm.has_irqchip) {
        return;
    }
    for (unsigned i = 0; i < hosted->vm->num_vcpus; i++) {
        if (vcpu_is_rousable(hosted->vm->vcpus[i]->hosted)) {
            lock_wake(&hosted->lock);
            return;
        }
    }
}

static void *run_vcpu(void *arg)
{
    vm_vcpu_t *vcpu = arg;
    struct hosted_vm *hosted = vcpu->vm->hosted;

    own_vm = vcpu->vm;
    vm_enter(vcpu->vm);
    if (vcpu_attach(vcpu, REQUEST_STOP | REQUEST_END) < 0) {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        threads_end_run(hosted, RUN_HOST_FAILED);
    }
    while (hosted->verdict == RUN_CONTINUE) {
        enum run_verdict verdict;

        if (vcpu_rouse(vcpu) < 0) {
            threads_end_run(hosted, RUN_HOST_FAILED);
            continue;
        }
        /* A stop is the event loop's to take; until it has, the guest does not go on. */
        if (vcpu->hosted->is_halted || (atomic_load(&hosted->requests) & REQUEST_STOP) != 0) {
            lock_wait(&hosted->lock);
            continue;
        }
        verdict = vcpu_step(vcpu);
        if (verdict == RUN_HALTED) {
            vcpu->hosted->is_halted = true;
        } else if (verdict != RUN_CONTINUE) {
            threads_end_run(hosted, verdict);
        }
        wake_rousable(hosted);
    }
    vm_leave(vcpu->vm);
    kicks_await(hosted);
    return NULL;
}

static int start_threads(vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = vm->vcpus[i]->hosted;
        int r;

        if (!vm->vcpus[i]->vcpu_online || hv->has_thread) {
            continue;
        }
        r = thread_start(&hv->thread, THREAD_STACK_CALLBACKS, run_vcpu, vm->vcpus[i]);
        if (r < 0) {
            return fail(r, "cannot start a thread for vcpu %u: %s", i, strerror(-r));
        }
        hv->has_thread = true;
    }
    return 0;
}

static void join_threads(vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = vm->vcpus[i]->hosted;

        if (hv->has_thread) {
            pthread_t thread = hv->thread; /* which a thread that has just begun writes again */

            vm_leave(vm);
            (void)pthread_join(thread, NULL);
            vm_enter(vm);
            hv->has_thread = false;
        }
    }
}

void threads_begin(struct hosted_vm *hosted)
{
    hosted->verdict = RUN_CONTINUE;
}

void threads_serve(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    enum run_verdict verdict;

    if (start_threads(vm) < 0) {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        threads_end_run(hosted, RUN_HOST_FAILED);
        return;
    }
    verdict = run_serve_requests(vm);
    if (verdict != RUN_CONTINUE) {
        threads_end_run(hosted, verdict);
    }
    wake_rousable(hosted);
}

enum run_verdict threads_end(vm_t *vm)
{
    join_threads(vm);
    atomic_fetch_and(&vm->hosted->requests, ~(unsigned)REQUEST_END);
    return vm->hosted->verdict;
}
