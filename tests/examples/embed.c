/* The README's example: a program with a VM in it that has a megabyte of RAM and one device. */
#include <stdio.h>
#include <string.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

/* mov $0x200000, %eax; movl $42, (%rax); mov (%rax), %ebx; hlt */
static const unsigned char code[] = {0xb8, 0x00, 0x00, 0x20, 0x00, 0xc7, 0x00,
                                     0x2a, 0x00, 0x00, 0x00, 0x8b, 0x18, 0xf4};

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
    seL4_Word rbx = 0;
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
    vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, 0x1000);
    vcpu_start(vcpu);
    if (vm_run(&vm) == 0) {
        vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &rbx);
        printf("the guest read %lu\n", rbx);
    }
    hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return rbx == 84 ? 0 : 1;
}
