/* Running a VM from an event loop of the caller's: a descriptor to wait for, and steps. */
#include <hostvm/events.h>

#include <errno.h>

#include "vm/vm.h"

int hostvm_vm_fd(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_fd: no VM, or one without vm_init"));
    }
    vm_enter(vm);
    r = events_fd(vm->hosted);
    vm_leave(vm);
    return r < 0 ? public_status(vm, r) : r;
}

/* --- steps: the vcpus run on threads of their own, and the caller is their event loop --- */

static int begin(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    if (hosted->is_in_run) {
        return public_status(vm, fail(-EBUSY, "hostvm_vm_step: the VM is in vm_run"));
    }
    if (run_begin(vm) != 0) {
        return -1;
    }
    hosted->is_stepped = true;
    threads_begin(hosted);
    return 0;
}

static int end(vm_t *vm)
{
    enum run_verdict verdict = threads_end(vm);

    vm->hosted->is_stepped = false;
    return run_finish(vm, verdict);
}

/* What is left undone, of events more than one turn's worth, keeps the descriptor readable. */
static int step(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    if (vm_is_in_client(hosted)) {
        return public_status(
            vm, fail(-EBUSY, "hostvm_vm_step: not from an iterator or a touch callback"));
    }
    if (!hosted->is_stepped && begin(vm) != 0) {
        return -1;
    }
    events_begin_step(hosted);
    if (hosted->verdict == RUN_CONTINUE) {
        atomic_fetch_or(&hosted->requests, REQUEST_EVENTS);
        threads_serve(vm);
    }
    if (hosted->verdict != RUN_CONTINUE) {
        return end(vm);
    }
    events_end_step(hosted);
    return 1;
}

int hostvm_vm_step(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_step: no VM, or one without vm_init"));
    }
    if (threads_is_own(vm)) {
        return public_status(
            vm, fail(-EBUSY, "hostvm_vm_step: a callback cannot step the VM that called it"));
    }
    if (atomic_exchange(&vm->hosted->is_in_step, true)) {
        return public_status(vm, fail(-EBUSY, "hostvm_vm_step: another step is under way"));
    }
    vm_enter(vm);
    r = step(vm);
    vm_leave(vm);
    atomic_store(&vm->hosted->is_in_step, false);
    return r;
}

static int abandon(vm_t *vm)
{
    if (!vm->hosted->is_stepped) {
        return fail(-EBUSY, "cannot destroy a VM that is in vm_run: stop it first");
    }
    threads_end_run(vm->hosted, RUN_STOPPED);
    (void)end(vm); /* whatever ended it, the VM is going */
    return 0;
}

int step_abandon(vm_t *vm)
{
    int r;

    if (threads_is_own(vm)) {
        return fail(-EBUSY, "cannot destroy a VM from a callback of its own: stop it first");
    }
    if (atomic_exchange(&vm->hosted->is_in_step, true)) {
        return fail(-EBUSY, "cannot destroy a VM in the midst of a step: stop it first");
    }
    vm_enter(vm);
    r = abandon(vm);
    vm_leave(vm);
    atomic_store(&vm->hosted->is_in_step, false);
    return r;
}
