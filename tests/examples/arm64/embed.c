/* The README's example on AArch64: it differs in the guest's code, and in the names of its
 * registers. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

/* mov x0, #0x200000; mov w1, #42; str w1, [x0]; ldr w1, [x0]; wfi */
static const uint32_t code[] = {0xd2a00400, 0x52800541, 0xb9000001, 0xb9400001, 0xd503207f};

enum {
    PC = offsetof(seL4_UserContext, pc) / sizeof(seL4_Word),
    X1 = offsetof(seL4_UserContext, x1) / sizeof(seL4_Word),
};

/* A register that doubles what is written to it; the guest has read the result: done. */
static memory_fault_result_t doubler(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                     void *cookie)
{
    seL4_Word *value = cookie;

    (void)addr;
    (void)size;
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, *value);
        hostvm_vm_stop(vm);
    } else {
        *value = 2 * get_vcpu_fault_data(vcpu);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

int main(void)
{
    seL4_Word value = 0;
    seL4_Word x1 = 0;
    hostvm_env_t env;
    vm_vcpu_t *vcpu;
    vm_t vm;

    if (hostvm_env_create(&env, NULL) != 0 ||
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "vm") != 0 ||
        (vcpu = vm_create_vcpu(&vm, 0)) == NULL ||
        vm_ram_register_at(&vm, 0, 1 << 20, false) != 0 ||
        vm_reserve_memory_at(&vm, 0x200000, 4096, doubler, &value) == NULL) {
        fprintf(stderr, "%s\n", hostvm_last_error());
        return 1;
    }
    memcpy(hostvm_vm_pointer(&vm, 0x1000, sizeof(code)), code, sizeof(code));
    vm_set_thread_context_reg(vcpu, PC, 0x1000);
    vcpu_start(vcpu);
    if (vm_run(&vm) == 0) {
        vm_get_thread_context_reg(vcpu, X1, &x1);
        printf("the guest read %lu\n", x1);
    }
    hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return x1 == 84 ? 0 : 1;
}
