/* Running: the loops of a run, what is served besides the guest, and how it ends. */
#include <errno.h>
#include <signal.h>

#include <hostvm/vm.h>

#include "vm/vm.h"

/* --- requests: what the run loop does besides running the guest --- */

static bool take_notification(struct hosted_vm *hosted, seL4_Word *ret_badge)
{
    bool is_direct = atomic_exchange(&hosted->has_direct_notification, false);
    seL4_Word badge = 0;
    bool is_pending = hosted->ntfn != NULL && ntfn_take(hosted->ntfn, &badge);

    *ret_badge = badge | (is_direct ? atomic_exchange(&hosted->direct_badges, 0) : 0);
    return is_direct || is_pending;
}

static enum run_verdict serve_notification(vm_t *vm)
{
    seL4_Word badge;

    if (!take_notification(vm->hosted, &badge)) {
        return RUN_CONTINUE;
    }
    if (vm->run.notification_callback == NULL) {
        (void)public_status(
            vm, fail(-ENOENT,
                     "a notification with badge 0x%lx arrived, but no callback is registered; "
                     "see vm_register_notification_callback",
                     badge));
        return RUN_REFUSED;
    }
    if (arch_is_notification_failure(vm->run.notification_callback(
            vm, badge, seL4_MessageInfo_new(0, 0, 0, 0), vm->run.notification_callback_cookie))) {
        (void)public_status(
            vm,
            fail(-ECANCELED, "the notification callback reported failure for badge 0x%lx", badge));
        return RUN_REFUSED;
    }
    return RUN_CONTINUE;
}

static enum run_verdict serve_events(vm_t *vm)
{
    if (events_dispatch(vm) != 0) {
        (void)public_status(vm, fail(-ECANCELED, "an event callback reported failure"));
        return RUN_REFUSED;
    }
    return RUN_CONTINUE;
}

/* Notifications and events before a stop: none is lost when both come together. Acknowledgements
 * are events, of whose coming the guest's exit may be the first to tell. */
enum run_verdict run_serve_requests(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    unsigned requests = atomic_load(&hosted->requests);
    enum run_verdict verdict = RUN_CONTINUE;

    if (requests == 0) {
        return RUN_CONTINUE;
    }
    atomic_fetch_and(&hosted->requests, ~requests);
    if ((requests & REQUEST_NOTIFY) != 0) {
        verdict = serve_notification(vm);
    }
    if (verdict == RUN_CONTINUE && (requests & (REQUEST_EVENTS | REQUEST_STOP)) != 0) {
        verdict = serve_events(vm);
    }
    if ((requests & REQUEST_STOP) != 0) {
        return verdict == RUN_CONTINUE ? RUN_STOPPED : verdict;
    }
    return verdict;
}

/* --- the caller's thread runs the only vcpu --- */

static unsigned count_online(const vm_t *vm)
{
    unsigned n = 0;

    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        n += vm->vcpus[i]->vcpu_online ? 1 : 0;
    }
    return n;
}

static vm_vcpu_t *first_online(const vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        if (vm->vcpus[i]->vcpu_online) {
            return vm->vcpus[i];
        }
    }
    return NULL;
}

static enum run_verdict wait_for_more(vm_t *vm, vm_vcpu_t *vcpu)
{
    if (vcpu != NULL && vcpu_rouse(vcpu) < 0) {
        return RUN_HOST_FAILED;
    }
    if (vcpu == NULL || vcpu->hosted->is_halted) {
        events_wait(vm->hosted);
    }
    return RUN_CONTINUE;
}

static enum run_verdict run_or_wait(vm_t *vm, vm_vcpu_t *vcpu)
{
    enum run_verdict verdict;

    if (vcpu == NULL || vcpu->hosted->is_halted) {
        return wait_for_more(vm, vcpu);
    }
    verdict = vcpu_step(vcpu);
    if (verdict == RUN_HALTED) {
        vcpu->hosted->is_halted = true;
        return RUN_CONTINUE;
    }
    return verdict;
}

static enum run_verdict serve_inline(vm_t *vm, const vm_vcpu_t *vcpu)
{
    enum run_verdict verdict = run_serve_requests(vm);

    if (verdict != RUN_CONTINUE) {
        return verdict;
    }
    if (first_online(vm) != vcpu || count_online(vm) > 1) {
        return RUN_MORE_VCPUS;
    }
    if (poller_ensure(vm->hosted) < 0) {
        log_at(vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        return RUN_HOST_FAILED;
    }
    return RUN_CONTINUE;
}

static enum run_verdict loop_inline(vm_t *vm, vm_vcpu_t *vcpu)
{
    atomic_uint *requests = &vm->hosted->requests;
    enum run_verdict verdict;

    do {
        verdict = atomic_load_explicit(requests, memory_order_relaxed) == 0
                      ? RUN_CONTINUE
                      : serve_inline(vm, vcpu);
        if (verdict == RUN_CONTINUE) {
            verdict = run_or_wait(vm, vcpu);
        }
    } while (verdict == RUN_CONTINUE);
    return verdict;
}

static enum run_verdict run_inline(vm_t *vm)
{
    vm_vcpu_t *vcpu = first_online(vm);
    enum run_verdict verdict;

    if (vcpu != NULL && vcpu_attach(vcpu, ~0u) < 0) {
        log_at(vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        return RUN_HOST_FAILED;
    }
    if (vm->hosted->events.list != NULL) {
        atomic_fetch_or(&vm->hosted->requests, REQUEST_EVENTS); /* starts the poller */
    }
    verdict = loop_inline(vm, vcpu);
    poller_end(vm->hosted);
    return verdict;
}

/* --- a thread for each vcpu, and the caller is their event loop --- */

static enum run_verdict run_on_threads(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    threads_begin(hosted);
    while (hosted->verdict == RUN_CONTINUE) {
        threads_serve(vm);
        if (hosted->verdict == RUN_CONTINUE) {
            events_wait(hosted);
        }
    }
    return threads_end(vm);
}

/* --- a run --- */

static enum run_verdict run(vm_t *vm)
{
    enum run_verdict verdict;

    do {
        verdict = count_online(vm) > 1 ? run_on_threads(vm) : run_inline(vm);
    } while (verdict == RUN_MORE_VCPUS);
    return verdict;
}

/* Registers are final when the client looks at them: an access under way is finished first. */
static void settle(vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = vm->vcpus[i]->hosted;

        hv->request_mask = 0;
        if (hv->has_pending_io && !hv->has_unseen_exit && vcpu_finish_access(hv) < 0) {
            log_at(vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        }
    }
}

static hostvm_vm_end_t end_of(enum run_verdict verdict)
{
    switch (verdict) {
    case RUN_STOPPED:
        return HOSTVM_END_STOPPED;
    case RUN_POWEROFF:
        return HOSTVM_END_POWEROFF;
    case RUN_RESET:
        return HOSTVM_END_RESET;
    case RUN_REFUSED:
        return HOSTVM_END_CALLBACK;
    case RUN_CRASHED:
        return HOSTVM_END_CRASH;
    case RUN_HOST_FAILED:
    case RUN_CONTINUE:
    case RUN_HALTED:
    case RUN_MORE_VCPUS:
    case RUN_UNKNOWN:
        break;
    }
    return HOSTVM_END_HOST;
}

static bool is_clean(hostvm_vm_end_t end)
{
    return end == HOSTVM_END_STOPPED || end == HOSTVM_END_POWEROFF || end == HOSTVM_END_RESET;
}

int run_begin(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    int r = kicks_prepare(hosted);

    hosted->end = r == 0 ? HOSTVM_END_NONE : HOSTVM_END_HOST;
    hosted->end_reason[0] = '\0';
    vm->run.exit_reason = VM_GUEST_ERROR_EXIT;
    hosted->is_in_run = r == 0;
    return public_status(vm, r);
}

int run_finish(vm_t *vm, enum run_verdict verdict)
{
    struct hosted_vm *hosted = vm->hosted;

    hosted->end = end_of(verdict);
    settle(vm);
    kicks_await(hosted);
    kicks_drain(hosted);
    hosted->is_in_run = false;
    if (!is_clean(hosted->end)) {
        return hosted->end_reason[0] == '\0' ? -1 : fail_text(-1, hosted->end_reason);
    }
    vm->run.exit_reason = VM_GUEST_UNKNOWN_EXIT;
    return 0;
}

static int run_to_end(vm_t *vm)
{
    sigset_t old;
    int r = run_begin(vm);

    if (r == 0) {
        (void)pthread_sigmask(SIG_BLOCK, NULL, &old);
        r = run_finish(vm, run(vm));
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    return r;
}

int vm_run(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_run: no VM, or one without vm_init"));
    }
    vm_enter(vm);
    if (vm->hosted->is_in_run) {
        r = public_status(vm, fail(-EBUSY, "vm_run: the VM runs already"));
    } else if (vm_is_in_client(vm->hosted)) {
        r = public_status(vm, fail(-EBUSY, "vm_run: not from an iterator or a touch callback"));
    } else {
        r = run_to_end(vm);
    }
    vm_leave(vm);
    return r;
}

static int start(vm_vcpu_t *vcpu)
{
    int r = vcpu_open(vcpu);

    if (r == 0 && !vcpu->vcpu_online) {
        vcpu->vcpu_online = true;
        vm_wake(vcpu->vm->hosted, REQUEST_VCPUS);
    }
    return r;
}

int vcpu_start(vm_vcpu_t *vcpu)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vcpu_start: no vcpu given"));
    }
    vm_enter(vcpu->vm);
    r = start(vcpu);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

/* --- from outside --- */

int hostvm_vm_stop(vm_t *vm)
{
    if (!vm_is_usable(vm)) {
        return fail_text(-1, "hostvm_vm_stop: no VM, or one without vm_init");
    }
    vm_wake(vm->hosted, REQUEST_STOP);
    return 0;
}

int hostvm_notify(vm_t *vm, seL4_Word badge)
{
    if (!vm_is_usable(vm) || vm->hosted->ntfn == NULL) {
        return fail_text(-1, "hostvm_notify: no VM, or one without an endpoint");
    }
    atomic_fetch_or(&vm->hosted->direct_badges, badge);
    atomic_store(&vm->hosted->has_direct_notification, true);
    vm_wake(vm->hosted, REQUEST_NOTIFY);
    return 0;
}

hostvm_vm_end_t hostvm_vm_end(const vm_t *vm)
{
    return vm_is_usable(vm) ? vm->hosted->end : HOSTVM_END_NONE;
}

int vm_register_unhandled_mem_fault_callback(vm_t *vm,
                                             unhandled_mem_fault_callback_fn fault_handler,
                                             void *cookie)
{
    if (!vm_is_usable(vm) || fault_handler == NULL) {
        return public_status(
            vm,
            fail(-EINVAL, "vm_register_unhandled_mem_fault_callback: no VM or no callback given"));
    }
    vm_enter(vm);
    vm->mem.unhandled_mem_fault_handler = fault_handler;
    vm->mem.unhandled_mem_fault_cookie = cookie;
    vm_leave(vm);
    return 0;
}

int vm_register_notification_callback(vm_t *vm, notification_callback_fn notification_callback,
                                      void *cookie)
{
    if (!vm_is_usable(vm) || notification_callback == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_register_notification_callback: no VM or no callback given"));
    }
    vm_enter(vm);
    vm->run.notification_callback = notification_callback;
    vm->run.notification_callback_cookie = cookie;
    vm_leave(vm);
    return 0;
}
