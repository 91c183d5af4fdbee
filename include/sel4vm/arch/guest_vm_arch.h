/* The part of a VM and of a vcpu that depends on the architecture. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <sel4vm/types.h>

#if defined(__x86_64__)

#include <sel4vm/arch/ioports.h>
#include <sel4vm/arch/vmexit_reasons.h>

/* Where PC chip sets place the first IOAPIC and the local APIC (Intel SDM 3A, 10.4.1; 82093AA data
 * sheet, 3.0). */
#define IO_APIC_DEFAULT_PHYS_BASE 0xfec00000
#define APIC_DEFAULT_PHYS_BASE    0xfee00000

typedef struct vm_lapic vm_lapic_t;
typedef struct i8259 i8259_t;
typedef struct guest_state guest_state_t;

/** Carried for clients; never called, KVM handles exits. */
typedef int (*vmexit_handler_ptr)(vm_vcpu_t *vcpu);

/**
 * Called when the guest makes a hypercall whose token it is registered for. Reads and writes
 * registers through guest_x86_context.h.
 *
 * @return 0 to continue behind the hypercall; anything else ends vm_run with -1
 */
typedef int (*vmcall_handler)(vm_vcpu_t *vcpu);

#ifdef __cplusplus
typedef struct vmcall_handler_entry { /* C++ has one name space for types and tags */
#else
typedef struct vmcall_handler {
#endif
    int token; /* the low 32 bits of the guest's RAX */
    vmcall_handler func;
} vmcall_handler_t;

struct vm_arch {
    vmexit_handler_ptr
        vmexit_handlers[VM_EXIT_REASON_NUM]; /* carried for clients, without effect */
    vmcall_handler_t *vmcall_handlers;
    unsigned int vmcall_num_handlers;
    uintptr_t guest_pd; /* guest-physical address of the initial page tables */
    unhandled_ioport_callback_fn unhandled_ioport_callback;
    void *unhandled_ioport_callback_cookie;
    vm_io_port_list_t ioport_list; /* sorted by first port */
    i8259_t *i8259_gs;             /* NULL: the controllers are the kernel's */
};

struct vm_vcpu_arch {
    guest_state_t *guest_state; /* private */
    vm_lapic_t *lapic;          /* NULL: the local APIC is the kernel's */
};

#elif defined(__aarch64__)

#include <autoconf.h>
#include <sel4/sel4.h>

/* The capability space of a VM on seL4; carried for clients. */
#define VM_CSPACE_SIZE_BITS 4
#define VM_FAULT_EP_SLOT    1
#define VM_CSPACE_SLOT      (VM_FAULT_EP_SLOT + CONFIG_MAX_NUM_NODES)

typedef struct fault fault_t;

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called when the guest makes a secure monitor call (SMC) that KVM hands over.
 *
 * @param regs  the vcpu's registers, pc at the SMC; what the callback changes is in force when it
 * returns 0
 * @return 0: the guest goes on behind the SMC; else the call is a vcpu fault that nobody handled
 */
typedef int (*smc_handler_callback_fn)(vm_vcpu_t *vcpu, seL4_UserContext *regs);

/**
 * Called for what the guest did that is neither a memory fault nor answered by KVM; see
 * vm_register_unhandled_vcpu_fault_callback.
 *
 * @param hsr  the syndrome, as ESR_EL2 has it (Arm ARM, D17.2.37); sel4vm/arch/processor.h takes it
 * apart
 * @return 0: handled; else vm_run ends with -1
 */
typedef int (*unhandled_vcpu_fault_callback_fn)(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie);

struct vm_arch {
    smc_handler_callback_fn vm_smc_handler; /* NULL: KVM answers all calls */
};

struct vm_vcpu_arch {
    fault_t *fault; /* private */
    unhandled_vcpu_fault_callback_fn unhandled_vcpu_callback;
    void *unhandled_vcpu_callback_cookie;
};

/**
 * Registers who answers the guest's secure monitor calls. Before the first vcpu is started.
 *
 * KVM hands over only part of them, and only from Linux 6.4 on (KVM_ARM_VM_SMCCC_FILTER): those of
 * the owners CPU, SiP and OEM (1 to 3) and of trusted software (7 to 63), see the SMC calling
 * convention (Arm DEN 0028). It answers the rest itself: PSCI, the architecture's, time accounting
 * and its own. Where the kernel is older, the handler is never called, and the guest reads "not
 * supported" (-1) from every call that KVM does not know.
 *
 * Differs from libsel4vm: without a handler, and for PSCI also with one, KVM is the firmware. The
 * handler's vcpus are never asked to come online: see hostvm_vcpu_wait_for_startup.
 *
 * @return 0; -1 when an argument is NULL, or a vcpu was started already
 */
int vm_register_smc_handler_callback(vm_t *vm, smc_handler_callback_fn vm_smc_handler);

/**
 * Registers who is asked about a vcpu's faults that are not memory faults; replaces the one before.
 *
 * KVM keeps waits (WFI, WFE), system registers, floating point, breakpoints and hypervisor calls
 * (HVC) that it answers to itself. What comes here: a data abort of an instruction that the
 * processor does not describe (a load or store of a pair, an atomic operation, one that writes its
 * base register back) where no memory is, as HSR_DATA_ABT_LOW_EXCEPTION; and secure monitor and
 * hypervisor calls that KVM hands over and no SMC handler takes, as HSR_SMC_64_EXCEPTION and
 * HSR_HVC_64_EXCEPTION. The callback may call get_vcpu_fault_address, get_vcpu_fault_ip,
 * is_vcpu_read_fault and advance_vcpu_fault: that goes on behind the instruction; without it, the
 * instruction is executed again. A call advances by itself.
 *
 * @return 0; -1 when vcpu or the callback is NULL
 */
int vm_register_unhandled_vcpu_fault_callback(vm_vcpu_t *vcpu,
                                              unhandled_vcpu_fault_callback_fn vcpu_fault_callback,
                                              void *cookie);

#ifdef __cplusplus
}
#endif

#else
#error "hostvm: no support for this architecture"
#endif
