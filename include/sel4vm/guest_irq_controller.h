/* Interrupt lines of the VM's interrupt controllers. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called when the guest has acknowledged an interrupt: once for each end of interrupt of the line,
 * and for an edge that the guest forgets by initialising the controller anew. Runs on vm_run's
 * thread, never together with another callback. May raise the line again.
 *
 * Differs from libsel4vm: the controllers are the kernel's and tell of an end of interrupt, they
 * do not wait for it to be served. The guest runs on meanwhile, so the call comes soon after, and
 * several may come in a row (64 at most; of more that came in between nobody is told). A stop
 * (hostvm_vm_stop) returns when all of them were made.
 *
 * @param vcpu    x86: the boot vcpu
 * @param irq     the line
 * @param cookie  as registered
 */
typedef void (*irq_ack_fn_t)(vm_vcpu_t *vcpu, int irq, void *cookie);

/**
 * Gives the VM its interrupt controllers, in the kernel. x86: the 8259 pair, an IOAPIC at
 * 0xfec00000 and a local APIC per vcpu; lines 0 to 15 reach both. Before the first vcpu is started,
 * once.
 *
 * Differs from libsel4vm: on x86 there is an IOAPIC.
 *
 * @return 0; -1 when vm is NULL, it has a controller already, a vcpu was started, the addresses are
 * reserved, or KVM refuses
 */
int vm_create_default_irq_controller(vm_t *vm);

/**
 * Raises and lowers a line: one edge. From callbacks and from any thread.
 *
 * Differs from libsel4vm: a line that is not there, and a VM without controller, are refused.
 *
 * @param vcpu  any vcpu of the VM; delivery is the controller's business
 * @param irq   x86: 0 to 15
 * @return 0, also when the guest has the line masked (the edge is remembered); -1 when vcpu is
 * NULL, there is no controller or no such line
 */
int vm_inject_irq(vm_vcpu_t *vcpu, int irq);

/**
 * Sets the level of a line. From callbacks and from any thread.
 *
 * @param vcpu       any vcpu of the VM
 * @param irq        x86: 0 to 15
 * @param irq_level  0: low; anything else: high
 * @return 0; -1 when the line is raised while the guest has it masked (the edge is remembered all
 * the same: an answer, not a failure, and without a reason), vcpu is NULL, there is no controller
 * or no such line
 */
int vm_set_irq_level(vm_vcpu_t *vcpu, int irq, int irq_level);

/**
 * Registers the callback for acknowledgements of a line; replaces the one before. Before or after
 * vm_create_default_irq_controller.
 *
 * From callbacks and from any thread.
 *
 * Differs from libsel4vm: callbacks belong to a VM, not to the process.
 *
 * @param vcpu    any vcpu of the VM
 * @param irq     x86: 0 to 15
 * @param ack_fn  may be NULL: nobody is told
 * @return 0; -1 when vcpu is NULL, the line is not 0 to 15, or descriptors run out
 */
int vm_register_irq(vm_vcpu_t *vcpu, int irq, irq_ack_fn_t ack_fn, void *cookie);

#ifdef __cplusplus
}
#endif
