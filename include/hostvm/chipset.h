/* What a PC-like machine needs of the kernel beyond libsel4vm: the CPU model, timer chip, every
 * interrupt line. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Which processor a VM's vcpus show to the guest.
 */
typedef enum hostvm_cpu_model {
    HOSTVM_CPU_SEL4, /* what seL4's VMM shows: no hypervisor leaves, x2APIC, XSAVE, AVX, deadline
                        timer, PMU, MWAIT (default) */
    HOSTVM_CPU_HOST, /* all that the host's KVM supports, its paravirtual clock and hypervisor
                        leaves included */
} hostvm_cpu_model_t;

/**
 * Chooses the processor model. Before the first vcpu is started.
 *
 * @return 0; -1 when vm is NULL, the model is unknown, or a vcpu was started already
 */
int hostvm_vm_set_cpu_model(vm_t *vm, hostvm_cpu_model_t model);

/**
 * Has a vcpu wait for the guest's start-up interrupt (INIT, SIPI) instead of running from its own
 * registers once it is started: how a PC's other processors begin. After
 * vm_create_default_irq_controller, before vcpu_start. x86 only.
 *
 * @return 0; -1 when vcpu is NULL, the boot vcpu, started already, or there is no interrupt
 * controller
 */
int hostvm_vcpu_wait_for_startup(vm_vcpu_t *vcpu);

/**
 * Gives the VM an 8254 timer (ports 0x40-0x43, 0x61), in the kernel. After
 * vm_create_default_irq_controller. x86 only.
 *
 * @return 0; -1 when vm is NULL, there is no interrupt controller, there is a timer already, or KVM
 * refuses
 */
int hostvm_vm_create_pit(vm_t *vm);

/**
 * Sets the level of any input line of the interrupt controllers: x86 0-15 on the 8259 pair and
 * IOAPIC alike, 16-23 on the IOAPIC alone. From any thread.
 *
 * @return 0 also when the guest has the line masked; -1 when vm is NULL, there is no interrupt
 * controller or no such line
 */
int hostvm_irq_line(vm_t *vm, unsigned int gsi, int level);

#ifdef __cplusplus
}
#endif
