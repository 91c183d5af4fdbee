/* Running: vcpu loops and their threads, what interrupts them, and how a run ends. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <hostvm/vm.h>

#include "base/io.h"
#include "base/thread.h"
#include "vm/vm.h"

/* --- interrupting the guest --- */

/*
 * A kick makes KVM_RUN return with EINTR. A signal that the program gave us has a handler that does
 * nothing. Otherwise the signal is blocked in the thread except while KVM_RUN runs the guest (KVM
 * exchanges the mask), so no handler is ever called for it: it stays pending, and is taken away
 * afterwards.
 */
static void do_nothing(int signal)
{
    (void)signal;
}

static int prepare_kicks(struct hosted_vm *hosted)
{
    const struct sigaction action = {.sa_handler = do_nothing};
    int given = env_config(hosted->env)->kick_signal;

    hosted->has_kick_handler = given != 0;
    hosted->kick_signal = given != 0 ? given : SIGRTMIN + 3;
    if (given != 0 && sigaction(given, &action, NULL) < 0) {
        return fail(-EINVAL,
                    "cannot interrupt guests by signal %d: there is no such signal, or it cannot "
                    "be handled; see "
                    "hostvm_env_config_t.kick_signal",
                    given);
    }
    return 0;
}

static void kick_set(const struct hosted_vm *hosted, sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, hosted->kick_signal);
}

static void drain_kicks(const struct hosted_vm *hosted)
{
    static const struct timespec no_time;
    sigset_t set;

    if (hosted->has_kick_handler) {
        return;
    }
    kick_set(hosted, &set);
    while (sigtimedwait(&set, NULL, &no_time) > 0) {
    }
}

/* Kickers write it, too: KVM's structure has plain bytes, so the access is made atomic here.
 * is_in_guest orders it. */
static void set_immediate_exit(struct hosted_vcpu *hv, uint8_t value)
{
    __atomic_store_n(&hv->kvm.run->immediate_exit, value, __ATOMIC_RELAXED);
}

/*
 * is_in_guest is set before the last look at requests, and a request is made before the look at
 * is_in_guest: one of the two sees the other. nr_kickers keeps the thread from ending between the
 * look and the signal.
 */
static void kick(struct hosted_vm *hosted, struct hosted_vcpu *hv)
{
    atomic_fetch_add(&hosted->nr_kickers, 1);
    if (atomic_load(&hv->is_in_guest)) {
        set_immediate_exit(hv, 1);
        (void)pthread_kill(hv->thread, hosted->kick_signal); /* the thread is alive: see above */
    }
    atomic_fetch_sub(&hosted->nr_kickers, 1);
}

static void await_kickers(struct hosted_vm *hosted)
{
    while (atomic_load(&hosted->nr_kickers) > 0) {
        (void)sched_yield();
    }
}

void vm_wake(struct hosted_vm *hosted, unsigned request)
{
    int saved_errno = errno;

    atomic_fetch_or(&hosted->requests, request);
    for (unsigned i = 0; i < hosted->vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = hosted->vm->vcpus[i]->hosted;

        if ((hv->request_mask & request) != 0) {
            kick(hosted, hv);
        }
    }
    if (atomic_load(&hosted->is_waiting)) {
        (void)eventfd_write(hosted->wake_fd, 1);
    }
    errno = saved_errno;
}

/*
 * Entering the guest takes the VM lock, which our caller holds: whoever is out stays out until the
 * caller is done. A kicked vcpu comes out within microseconds.
 */
void vcpus_leave_guest(struct hosted_vm *hosted)
{
    for (unsigned i = 0; i < hosted->vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = hosted->vm->vcpus[i]->hosted;

        if (atomic_load(&hv->is_in_guest)) {
            kick(hosted, hv);
            while (atomic_load(&hv->is_in_guest)) {
                (void)sched_yield();
            }
        }
    }
}

/* --- one vcpu --- */

static int open_vcpu(vm_vcpu_t *vcpu)
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
    r = kvm_vcpu_open(&hv->kvm, &hosted->kvm, vcpu_cpu_number(vcpu));
    if (r < 0) {
        return r;
    }
    r = arch_vcpu_open(vcpu);
    if (r == 0 && hosted->has_irq_controller) {
        r = irq_acks_connect(hosted); /* controllers may be ready for it only now */
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
static int finish_access(struct hosted_vcpu *hv)
{
    int r;

    set_immediate_exit(hv, 1);
    r = kvm_vcpu_run(&hv->kvm);
    arch_vcpu_exited(&hv->arch);
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
static int flush_registers(vm_vcpu_t *vcpu)
{
    struct hosted_vcpu *hv = vcpu->hosted;

    if (hv->has_pending_io) {
        int r = finish_access(hv);

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
        r = hv->has_unseen_exit ? 0 : flush_registers(vcpu);
        if (r < 0) {
            return r;
        }
        if (hv->has_unseen_exit) {
            hv->has_unseen_exit = false;
            return 0;
        }
    }
    set_immediate_exit(hv, 0);
    atomic_store(&hv->is_in_guest, true);
    if ((atomic_load(&hosted->requests) & hv->request_mask) != 0) {
        atomic_store(&hv->is_in_guest, false);
        return -EINTR;
    }
    vm_leave(vcpu->vm);
    r = kvm_vcpu_run(&hv->kvm);
    atomic_store(&hv->is_in_guest, false);
    vm_enter(vcpu->vm);
    arch_vcpu_exited(&hv->arch);
    if (r == -EINTR) {
        drain_kicks(hosted);
    }
    hv->has_pending_io = false;
    return r;
}

static enum run_verdict step(vm_vcpu_t *vcpu)
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

static bool is_rousable(const struct hosted_vcpu *hv)
{
    return hv->is_halted && hv->arch.is_dirty;
}

/* What a callback has set, an interrupt say, may wake a halted vcpu. */
static int rouse(vm_vcpu_t *vcpu)
{
    int r = is_rousable(vcpu->hosted) ? flush_registers(vcpu) : 0;

    if (r < 0) {
        log_at(vcpu->vm->hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
    }
    return r;
}

/* From now on this thread is the one that runs the vcpu. */
static int attach(vm_vcpu_t *vcpu, unsigned request_mask)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct hosted_vcpu *hv = vcpu->hosted;
    sigset_t kicks;
    sigset_t mask;
    int r = 0;

    kick_set(hosted, &kicks);
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

/* Notifications before a stop: none is lost when both come together. */
static enum run_verdict serve_requests(vm_t *vm)
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
    if (verdict == RUN_CONTINUE && (requests & REQUEST_EVENTS) != 0) {
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
    if (vcpu != NULL && rouse(vcpu) < 0) {
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
    verdict = step(vcpu);
    if (verdict == RUN_HALTED) {
        vcpu->hosted->is_halted = true;
        return RUN_CONTINUE;
    }
    return verdict;
}

static enum run_verdict serve_inline(vm_t *vm, const vm_vcpu_t *vcpu)
{
    enum run_verdict verdict = serve_requests(vm);

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

    if (vcpu != NULL && attach(vcpu, ~0u) < 0) {
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

/* --- a thread for each vcpu --- */

void run_end(struct hosted_vm *hosted, enum run_verdict verdict)
{
    if (hosted->verdict == RUN_CONTINUE) {
        hosted->verdict = verdict;
        (void)snprintf(hosted->end_reason, sizeof(hosted->end_reason), "%s", reason_last());
    }
    vm_wake(hosted, REQUEST_END);
    (void)pthread_cond_broadcast(&hosted->resumed);
}

/* The VM of which this thread runs a vcpu, and nothing else. */
static _Thread_local const vm_t *own_vm;

bool run_is_own_thread(const vm_t *vm)
{
    return own_vm == vm;
}

/* Their threads sleep, and a callback on another one may have set what wakes them. */
static void wake_rousable(struct hosted_vm *hosted)
{
    for (unsigned i = 0; i < hosted->vm->num_vcpus; i++) {
        if (is_rousable(hosted->vm->vcpus[i]->hosted)) {
            (void)pthread_cond_broadcast(&hosted->resumed);
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
    if (attach(vcpu, REQUEST_STOP | REQUEST_END) < 0) {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        run_end(hosted, RUN_HOST_FAILED);
    }
    while (hosted->verdict == RUN_CONTINUE) {
        enum run_verdict verdict;

        if (rouse(vcpu) < 0) {
            run_end(hosted, RUN_HOST_FAILED);
            continue;
        }
        /* A stop is the event loop's to take; until it has, the guest does not go on. */
        if (vcpu->hosted->is_halted || (atomic_load(&hosted->requests) & REQUEST_STOP) != 0) {
            (void)pthread_cond_wait(&hosted->resumed, &hosted->lock);
            continue;
        }
        verdict = step(vcpu);
        if (verdict == RUN_HALTED) {
            vcpu->hosted->is_halted = true;
        } else if (verdict != RUN_CONTINUE) {
            run_end(hosted, verdict);
        }
        wake_rousable(hosted);
    }
    vm_leave(vcpu->vm);
    await_kickers(hosted);
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

void run_begin_threads(struct hosted_vm *hosted)
{
    hosted->verdict = RUN_CONTINUE;
}

void run_serve(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    enum run_verdict verdict;

    if (start_threads(vm) < 0) {
        log_at(hosted->log, HOSTVM_LOG_ERROR, "%s", reason_last());
        run_end(hosted, RUN_HOST_FAILED);
        return;
    }
    verdict = serve_requests(vm);
    if (verdict != RUN_CONTINUE) {
        run_end(hosted, verdict);
    }
    wake_rousable(hosted);
}

enum run_verdict run_end_threads(vm_t *vm)
{
    join_threads(vm);
    atomic_fetch_and(&vm->hosted->requests, ~(unsigned)REQUEST_END);
    return vm->hosted->verdict;
}

static enum run_verdict run_on_threads(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    run_begin_threads(hosted);
    while (hosted->verdict == RUN_CONTINUE) {
        run_serve(vm);
        if (hosted->verdict == RUN_CONTINUE) {
            events_wait(hosted);
        }
    }
    return run_end_threads(vm);
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
        if (hv->has_pending_io && !hv->has_unseen_exit && finish_access(hv) < 0) {
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
    int r = prepare_kicks(hosted);

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
    await_kickers(hosted);
    drain_kicks(hosted);
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
    } else {
        r = run_to_end(vm);
    }
    vm_leave(vm);
    return r;
}

static int start(vm_vcpu_t *vcpu)
{
    int r = open_vcpu(vcpu);

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
