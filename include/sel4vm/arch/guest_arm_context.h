/* Registers of Arm vcpus: those of a thread by their place in seL4_UserContext, system registers by
 * number. Empty for other architectures. */
#pragma once

#include <sel4vm/guest_vm.h>

#if defined(__aarch64__)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All of these may be called before the vcpu is started, from callbacks of its VM, and while vm_run
 * is not active. What is set is in force at the vcpu's next entry and visible to the getters at
 * once. In a callback that answers a read, a register set here wins over the value read where both
 * are the same register; pc is set there behind the access. In a seL4_UserContext, sp is SP_EL0,
 * and spsr is PSTATE. A vcpu begins at pc 0 with spsr 0x3c5: EL1, its own stack pointer, interrupts
 * off; all else is 0, or as the processor resets it.
 */

/** Sets all registers of a thread. 0; -1 when vcpu is NULL. */
int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_UserContext context);

/** Sets the register that is word reg of a seL4_UserContext (0 is pc). 0; -1 when vcpu is NULL or
 * there is no such word. */
int vm_set_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t value);

/** Gets all registers of a thread. 0; -1 when an argument is NULL or KVM refuses; *context is
 * untouched then. */
int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_UserContext *context);

/** Gets the register that is word reg of a seL4_UserContext. 0; -1 when an argument is NULL, there
 * is no such word, or KVM refuses; *value is untouched then. */
int vm_get_thread_context_reg(vm_vcpu_t *vcpu, unsigned int reg, uintptr_t *value);

/**
 * Sets a system register.
 *
 * @param reg  a seL4_VCPUReg; seL4_VCPUReg_CNTVOFF is KVM's own
 * @return 0; -1 when vcpu is NULL, or there is no such register
 */
int vm_set_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t value);

/** Gets a system register. 0; -1 when an argument is NULL, there is no such register, or KVM
 * refuses; *value is untouched then. */
int vm_get_arm_vcpu_reg(vm_vcpu_t *vcpu, seL4_Word reg, uintptr_t *value);

#ifdef __cplusplus
}
#endif

#endif
