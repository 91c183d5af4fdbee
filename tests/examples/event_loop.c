/* A VM in a program's own event loop: one more descriptor to wait for, and a step when it is ready.
 * The guest is in event_loop_guest.h, once for each architecture. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <hostvm/env.h>
#include <hostvm/events.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "event_loop_guest.h"

enum { CODE = 0x1000, TICKS = 0x5000, END = 0x200000, NR_TICKS = 3 };

/* Runs on the vcpu's thread, and ends the loop below. */
static memory_fault_result_t guest_has_seen_enough(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr,
                                                   size_t size, void *cookie)
{
    (void)addr;
    (void)size;
    (void)cookie;
    advance_vcpu_fault(vcpu);
    return hostvm_vm_stop(vm) == 0 ? FAULT_HANDLED : FAULT_ERROR;
}

static int start(vm_t *vm, hostvm_env_t *env)
{
    vm_vcpu_t *vcpu;

    if (hostvm_env_create(env, NULL) != 0 ||
        vm_init(vm, &env->vka, &env->simple, env->vspace, &env->io_ops, env->endpoint, "guest") !=
            0 ||
        (vcpu = vm_create_vcpu(vm, 0)) == NULL || vm_ram_register_at(vm, 0, 1 << 20, false) != 0 ||
        vm_reserve_memory_at(vm, END, 4, guest_has_seen_enough, NULL) == NULL ||
        guest_begin(vm, vcpu, CODE) != 0) {
        return -1;
    }
    memcpy(hostvm_vm_pointer(vm, CODE, guest_end - guest), guest, guest_end - guest);
    return vcpu_start(vcpu);
}

/* The guest runs beside this loop, which sleeps while neither the timer nor the VM has news. */
static int loop(vm_t *vm, int timer, volatile uint32_t *ticks)
{
    struct pollfd fds[] = {
        {.fd = hostvm_vm_fd(vm), .events = POLLIN},
        {.fd = timer, .events = POLLIN},
    };
    uint64_t expired;
    int r;

    while ((r = hostvm_vm_step(vm)) > 0) {
        (void)poll(fds, 2, -1);
        if (fds[1].revents != 0 && read(timer, &expired, sizeof(expired)) == sizeof(expired)) {
            ++*ticks;
        }
    }
    return r;
}

int main(void)
{
    const struct itimerspec every_ms = {{0, 1000000}, {0, 1000000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int status = 1;
    hostvm_env_t env = {.endpoint = 0};
    vm_t vm = {.vm_initialised = false};

    if (timer < 0 || timerfd_settime(timer, 0, &every_ms, NULL) != 0) {
        perror("no timer");
    } else if (start(&vm, &env) != 0) {
        fprintf(stderr, "%s\n", hostvm_last_error());
    } else {
        volatile uint32_t *ticks = hostvm_vm_pointer(&vm, TICKS, sizeof(*ticks));

        status = loop(&vm, timer, ticks) == 0 && *ticks >= NR_TICKS ? 0 : 1;
        printf("the guest has seen %d ticks\n", NR_TICKS);
    }
    hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    (void)close(timer);
    return status;
}
