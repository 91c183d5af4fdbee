/*
 * Exit round trips: the library's dispatch beside a bare KVM_RUN loop that does the same exits in
 * the same run.
 *
 * Prints, per kind of exit, nanoseconds (in the deterministic box: instructions) for both and their
 * ratio.
 */
#include <signal.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "bench/count.h"
#include "exits_guest.h"

static double bare_loop(const struct kind *kind)
{
    struct bare bare = bare_open(kind->code, sizeof(kind->code), RAM_SIZE);
    uint64_t start = 0;

    for (int i = 0; i < NR_WARM_UP + NR_EXITS; i++) {
        if (i == NR_WARM_UP) {
            start = now();
        }
        bare_run(&bare);
    }
    start = now() - start;
    bare_close(&bare);
    return (double)start / NR_EXITS;
}

/* --- the library --- */

static memory_fault_result_t device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                    void *cookie)
{
    (void)addr;
    (void)size;
    if (is_vcpu_read_fault(vcpu)) {
        (void)set_vcpu_fault_data(vcpu, 1);
    }
    count_exit(cookie, vm);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static double library_loop(const struct kind *kind, const hostvm_env_config_t *config)
{
    struct count count = {0};
    hostvm_env_t env;
    vm_vcpu_t *vcpu;
    vm_t vm;

    if (hostvm_env_create(&env, config) != 0 ||
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "bench") != 0) {
        exit(1);
    }
    vcpu = vm_create_vcpu(&vm, 0);
    if (vcpu == NULL || vm_ram_register_at(&vm, BARE_RAM, RAM_SIZE, false) != 0 ||
        vm_reserve_memory_at(&vm, DEVICE, 4096, device, &count) == NULL ||
        count_ports(&vm, &count) != 0) {
        exit(1);
    }
    memcpy(hostvm_vm_pointer(&vm, BARE_CODE, sizeof(kind->code)), kind->code, sizeof(kind->code));
    enter_guest(vcpu);
    if (vcpu_start(vcpu) != 0 || vm_run(&vm) != 0) {
        exit(1);
    }
    (void)hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return (double)(count.end - count.start) / NR_EXITS;
}

static void measure(const char *title, const hostvm_env_config_t *config)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        double floor = bare_loop(&kinds[i]);
        double library = library_loop(&kinds[i], config);

        printf("exit, %-13s %-14s bare %8.0f  hostvm %8.0f  ratio %.3f\n", kinds[i].name, title,
               floor, library, library / floor);
    }
}

int main(void)
{
    const hostvm_env_config_t given = {.kick_signal = SIGUSR1};

    measure("", NULL);
    measure("(signal given)", &given);
    return 0;
}
