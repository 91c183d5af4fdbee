/* Registers of x86 vcpus: general registers by name, all others by their VMCS field number.
 * Empty for other architectures. */
#pragma once

#include <sel4vm/guest_vm.h>

#if defined(__x86_64__)

#ifdef __cplusplus
extern "C" {
#endif

/** General registers. The names are those of 32-bit mode, the values 64 bits wide. */
enum vcpu_context_reg {
    VCPU_CONTEXT_EAX = 0,
    VCPU_CONTEXT_EBX,
    VCPU_CONTEXT_ECX,
    VCPU_CONTEXT_EDX,
    VCPU_CONTEXT_ESI,
    VCPU_CONTEXT_EDI,
    VCPU_CONTEXT_EBP,
    VCPU_CONTEXT_R8,
    VCPU_CONTEXT_R9,
    VCPU_CONTEXT_R10,
    VCPU_CONTEXT_R11,
    VCPU_CONTEXT_R12,
    VCPU_CONTEXT_R13,
    VCPU_CONTEXT_R14,
    VCPU_CONTEXT_R15,
};
typedef enum vcpu_context_reg vcpu_context_reg_t;

/*
 * All of these may be called before the vcpu is started, from callbacks of its VM, between runs,
 * and from any thread while the VM runs: a vcpu that executes guest code is brought out of it for
 * the moment. What is set is in force at the vcpu's next entry and visible to the getters at once.
 * In a callback that answers a read, a register set here wins over the value read where both are
 * the same register.
 *
 * Differs from libsel4vm: the getters also work after the guest has run and without an exit; a
 * register or field that there is not is refused; setting one register keeps the others; results
 * are untouched on failure.
 */

/** Sets all general registers. 0; -1 when vcpu is NULL or KVM refuses. */
int vm_set_thread_context(vm_vcpu_t *vcpu, seL4_VCPUContext context);

/** Sets one general register. 0; -1 when vcpu is NULL, there is no such register, or KVM refuses.
 */
int vm_set_thread_context_reg(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, seL4_Word value);

/** Gets all general registers. 0; -1 when an argument is NULL or KVM refuses; *context is untouched
 * then. */
int vm_get_thread_context(vm_vcpu_t *vcpu, seL4_VCPUContext *context);

/** Gets one general register. 0; -1 when an argument is NULL, there is no such register, or KVM
 * refuses. */
int vm_get_thread_context_reg(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, seL4_Word *value);

/**
 * Sets a register by its VMCS field number (vmcs_fields.h). Control fields are remembered without
 * effect.
 *
 * @return 0; -1 when vcpu is NULL, the field is unknown, read-only or without counterpart in KVM,
 * or KVM refuses
 */
int vm_set_vmcs_field(vm_vcpu_t *vcpu, seL4_Word field, seL4_Word value);

/**
 * Gets a register by its VMCS field number.
 *
 * @return 0; -1 when an argument is NULL or the field is unknown or without counterpart; *value is
 * untouched then
 */
int vm_get_vmcs_field(vm_vcpu_t *vcpu, seL4_Word field, seL4_Word *value);

/* libsel4vm's getters once stored 32 bits: a uint32_t * works as well, and receives the low half.
 */
int hostvm_get_thread_context_reg32(vm_vcpu_t *vcpu, vcpu_context_reg_t reg, uint32_t *value);
int hostvm_get_vmcs_field32(vm_vcpu_t *vcpu, seL4_Word field, uint32_t *value);

#ifdef __cplusplus
}

static inline int vm_get_thread_context_reg(vm_vcpu_t *vcpu, vcpu_context_reg_t reg,
                                            uint32_t *value)
{
    return hostvm_get_thread_context_reg32(vcpu, reg, value);
}

static inline int vm_get_vmcs_field(vm_vcpu_t *vcpu, seL4_Word field, uint32_t *value)
{
    return hostvm_get_vmcs_field32(vcpu, field, value);
}
#else
#define vm_get_thread_context_reg(vcpu, reg, value)                                                \
    _Generic((value), uint32_t *                                                                   \
             : hostvm_get_thread_context_reg32, default                                            \
             : (vm_get_thread_context_reg))((vcpu), (reg), (value))
#define vm_get_vmcs_field(vcpu, field, value)                                                      \
    _Generic((value), uint32_t *                                                                   \
             : hostvm_get_vmcs_field32, default                                                    \
             : (vm_get_vmcs_field))((vcpu), (field), (value))
#endif

#endif
