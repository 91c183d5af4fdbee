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
 * @param vcpu    the boot vcpu
 * @param irq     the line
 * @param cookie  as registered
 */
typedef void (*irq_ack_fn_t)(vm_vcpu_t *vcpu, int irq, void *cookie);

/**
 * Gives the VM its interrupt controllers, in the kernel. x86: the 8259 pair, an IOAPIC at
 * 0xfec00000 and a local APIC per vcpu; lines 0 to 15 reach both. Arm: a GICv3, or a GICv2 where
 * the host's KVM has no other, with 256 interrupts, at the addresses of hostvm/chipset.h; from the
 * first vcpu_start on the VM gets no more vcpus. Before the first vcpu is started, once.
 *
 * Differs from libsel4vm: on x86 there is an IOAPIC.
 *
 * @return 0; -1 when vm is NULL, it has a controller already, a vcpu was started, the addresses are
 * reserved, or KVM refuses
 */
int vm_create_default_irq_controller(vm_t *vm);

/**
 * Makes an interrupt pending: x86 by raising and lowering a line, one edge. Arm: a shared interrupt
 * that the guest handles as an edge comes once; as a level, it is high until the guest acknowledges
 * it, and comes again when it was injected again meanwhile. A private one comes only as an edge.
 * From callbacks and from any thread.
 *
 * Differs from libsel4vm: a line that is not there, and a VM without controller, are refused.
 *
 * @param vcpu  any vcpu of the VM; delivery is the controller's business
 * @param irq   x86: 0 to 15. Arm: 32 to 255, shared; 16 to 31, private to vcpu; registered before.
 * The timer's (27, 30) and those that software sends (0 to 15) are KVM's own
 * @return 0, also when the guest has the line masked (the edge is remembered); -1 when vcpu is
 * NULL, there is no controller or no such line, or, on Arm, nobody has registered it
 */
int vm_inject_irq(vm_vcpu_t *vcpu, int irq);

/**
 * Sets the level of a line. From callbacks and from any thread. On Arm it may be any line, and what
 * the guest has masked is not told.
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
 * On Arm, interrupts 0 to 31 can be registered, but KVM tells of acknowledgements of shared ones
 * only, and of those that the guest handles as levels.
 *
 * From callbacks and from any thread.
 *
 * Differs from libsel4vm: callbacks belong to a VM, not to the process.
 *
 * @param vcpu    any vcpu of the VM
 * @param irq     x86: 0 to 15
 * @param ack_fn  may be NULL: nobody is told
 * @return 0; -1 when vcpu is NULL, there is no such line, or descriptors run out
 */
int vm_register_irq(vm_vcpu_t *vcpu, int irq, irq_ack_fn_t ack_fn, void *cookie);

#ifdef __cplusplus
}
#endif
