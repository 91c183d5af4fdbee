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

#else
#error "hostvm: no support for this architecture"
#endif
