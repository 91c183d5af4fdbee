/*
 * Lifetimes: a VM from creation over its first exit to destruction, beside the bare ioctls that do
 * the same; and RAM registration of 64 MiB beside 64 GiB. In nanoseconds; in the deterministic box:
 * instructions.
 */
#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>

#include "bench/bare.h"
#include "life_guest.h"

enum { NR_ROUNDS = 5 };

#define RAM_SIZE (128ul << 20)

static void bare_round(void)
{
    struct bare bare = bare_open(one_exit, sizeof(one_exit), RAM_SIZE);

    bare_run(&bare);
    bare_close(&bare);
}

static void library_round(hostvm_env_t *env)
{
    vm_vcpu_t *vcpu;
    vm_t vm;

    if (vm_init(&vm, &env->vka, &env->simple, env->vspace, &env->io_ops, seL4_CapNull, "bench") !=
            0 ||
        (vcpu = vm_create_vcpu(&vm, 0)) == NULL ||
        vm_ram_register_at(&vm, BARE_RAM, RAM_SIZE, false) != 0 || stop_at_exit(&vm) != 0) {
        exit(1);
    }
    memcpy(hostvm_vm_pointer(&vm, BARE_CODE, sizeof(one_exit)), one_exit, sizeof(one_exit));
    start_at(vcpu, BARE_CODE);
    if (vcpu_start(vcpu) != 0 || vm_run(&vm) != 0) {
        exit(1);
    }
    (void)hostvm_vm_destroy(&vm);
}

static void measure_lives(hostvm_env_t *env)
{
    uint64_t bare;
    uint64_t library;

    bare_round(); /* the first VM of a host pays for what later ones find done */
    bare = now();
    for (int i = 0; i < NR_ROUNDS; i++) {
        bare_round();
    }
    bare = now() - bare;
    library = now();
    for (int i = 0; i < NR_ROUNDS; i++) {
        library_round(env);
    }
    library = now() - library;
    printf("create, run to first exit, destroy     bare %10.0f  hostvm %10.0f  ratio %.3f\n",
           (double)bare / NR_ROUNDS, (double)library / NR_ROUNDS, (double)library / (double)bare);
}

static double registration(hostvm_env_t *env, size_t size)
{
    uint64_t start;
    uint64_t end;
    vm_t vm;

    if (vm_init(&vm, &env->vka, &env->simple, env->vspace, &env->io_ops, seL4_CapNull, "bench") !=
        0) {
        exit(1);
    }
    start = now();
    if (vm_ram_register_at(&vm, 0x100000000ul, size, false) != 0) {
        exit(1);
    }
    end = now();
    (void)hostvm_vm_destroy(&vm);
    return (double)(end - start);
}

int main(void)
{
    double small;
    double large;
    hostvm_env_t env;

    if (hostvm_env_create(&env, NULL) != 0) {
        return 1;
    }
    measure_lives(&env);
    small = registration(&env, 64ul << 20);
    large = registration(&env, 64ul << 30);
    printf("register RAM                         64 MiB %10.0f  64 GiB %10.0f  ratio %.3f\n", small,
           large, large / small);
    hostvm_env_destroy(&env);
    return 0;
}
