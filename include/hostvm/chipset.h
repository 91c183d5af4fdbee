/* What a machine needs of the kernel beyond libsel4vm: the CPU model, how its other processors
 * begin, a PC's timer chip, an Arm machine's interrupt controller, performance counters, every
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
 * Has a vcpu wait, once it is started, until the guest starts it, instead of running from its own
 * registers: how the other processors of a machine begin. x86: by the start-up interrupt (INIT,
 * SIPI). Arm: by PSCI's CPU_ON. After vm_create_default_irq_controller, before vcpu_start.
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

/*
 * Where vm_create_default_irq_controller places an Arm VM's interrupt controller: the distributor;
 * version 2's interface of the processor; version 3's redistributors, one behind the other, one per
 * vcpu that a VM can have. And where hostvm_vm_create_its places what takes messages.
 */
#define HOSTVM_GIC_DISTRIBUTOR        0x08000000
#define HOSTVM_GIC_CPU_INTERFACE      0x08010000
#define HOSTVM_GIC_CPU_INTERFACE_SIZE 0x2000
#define HOSTVM_GIC_ITS                0x08080000
#define HOSTVM_GIC_ITS_SIZE           0x20000
#define HOSTVM_GIC_REDISTRIBUTORS     0x080a0000
#define HOSTVM_GIC_REDISTRIBUTOR_SIZE 0x20000

/**
 * The version of an Arm VM's interrupt controller: 3, or 2 where the host's KVM has no other. 0: it
 * has none, vm is NULL, or the architecture is another.
 */
int hostvm_vm_gic_version(vm_t *vm);

/* The private interrupt of an Arm vcpu's performance counters (Arm SBSA, PPI assignments). */
#define HOSTVM_PMU_IRQ 23

/**
 * Gives an Arm VM's vcpus performance counters (PMUv3), with HOSTVM_PMU_IRQ where there is an
 * interrupt controller; without this they have none. Before the first vcpu is started. On x86 they
 * come with HOSTVM_CPU_HOST, as far as the host's KVM has them, and this fails.
 *
 * @return 0; -1 when vm is NULL, a vcpu was started already, the host's KVM has no counters for
 * guests, or the architecture is x86
 */
int hostvm_vm_enable_pmu(vm_t *vm);

/**
 * Gives an Arm VM's interrupt controller, of version 3, the part that takes messages
 * (hostvm_msi_connect), an ITS. After vm_create_default_irq_controller, before the first vcpu is
 * started. Arm only: a PC's takes messages as it is.
 *
 * @return 0; -1 when vm is NULL, there is no interrupt controller or one of version 2, there is an
 * ITS already, a vcpu was started, its place is reserved, or KVM has none
 */
int hostvm_vm_create_its(vm_t *vm);

/**
 * Sets the level of any input line of the interrupt controllers: x86 0-15 on the 8259 pair and
 * IOAPIC alike, 16-23 on the IOAPIC alone; Arm 32-255, the shared interrupts. From any thread.
 *
 * @return 0 also when the guest has the line masked; -1 when vm is NULL, there is no interrupt
 * controller or no such line
 */
int hostvm_irq_line(vm_t *vm, unsigned int gsi, int level);

#ifdef __cplusplus
}
#endif
