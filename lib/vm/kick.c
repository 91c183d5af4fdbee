/* Interrupting the guest: kicks that bring vcpus out of it, requests that wake the run loop. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "vm/vm.h"

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

int kicks_prepare(struct hosted_vm *hosted)
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

void kicks_signals(const struct hosted_vm *hosted, sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, hosted->kick_signal);
}

void kicks_drain(const struct hosted_vm *hosted)
{
    static const struct timespec no_time;
    sigset_t set;

    if (hosted->has_kick_handler) {
        return;
    }
    kicks_signals(hosted, &set);
    while (sigtimedwait(&set, NULL, &no_time) > 0) {
    }
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
        kvm_vcpu_set_immediate_exit(&hv->kvm, true);
        (void)pthread_kill(hv->thread, hosted->kick_signal); /* the thread is alive: see above */
    }
    atomic_fetch_sub(&hosted->nr_kickers, 1);
}

void kicks_await(struct hosted_vm *hosted)
{
    while (atomic_load(&hosted->nr_kickers) > 0) {
        (void)sched_yield();
    }
}

void vm_wake(struct hosted_vm *hosted, unsigned request)
{
    int saved_errno = errno;
    unsigned nr_vcpus;

    atomic_fetch_or(&hosted->requests, request);
    /* Another thread may be making a vcpu: it is there before it is counted. */
    nr_vcpus = __atomic_load_n(&hosted->vm->num_vcpus, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < nr_vcpus; i++) {
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
void vcpu_leave_guest(vm_vcpu_t *vcpu)
{
    struct hosted_vcpu *hv = vcpu->hosted;

    if (atomic_load(&hv->is_in_guest)) {
        kick(vcpu->vm->hosted, hv);
        while (atomic_load(&hv->is_in_guest)) {
            (void)sched_yield();
        }
    }
}

void vcpus_leave_guest(struct hosted_vm *hosted)
{
    for (unsigned i = 0; i < hosted->vm->num_vcpus; i++) {
        vcpu_leave_guest(hosted->vm->vcpus[i]);
    }
}
