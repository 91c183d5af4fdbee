/* Eventfds in the place of exits: guest writes that signal one, interrupts that one raises. With
 * them a device's requests and answers pass from thread to thread, and no vcpu leaves the guest for
 * long. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A guest write that signals an eventfd. The write does nothing else: no fault callback is called
 * for it.
 */
typedef struct hostvm_doorbell {
    bool is_port;   /* addr is an I/O port (x86), else guest-physical memory */
    bool has_value; /* only writes of value; else any */
    uint64_t addr;
    size_t size; /* of the write: 1, 2, 4 or 8 bytes; ports up to 4. 0: any, without a value */
    uint64_t value;
} hostvm_doorbell_t;

/**
 * Has the kernel signal an eventfd when the guest writes. Memory: a hole, usually in a reservation
 * whose callback serves what is not the doorbell's. From callbacks and any thread, before or while
 * the VM runs; waits until KVM has created the VM.
 *
 * @param doorbell  copied
 * @param fd        an eventfd; the kernel keeps it alive, the caller may close its descriptor
 * @return 0; -1 when vm or doorbell is NULL, the write is none that KVM can watch for, the same one
 * is watched already, fd is no eventfd, or KVM refuses
 */
int hostvm_doorbell_add(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd);

/**
 * Ends it: such writes are faults again.
 *
 * @param doorbell, fd  as they were added
 * @return 0; -1 when there is no such doorbell
 */
int hostvm_doorbell_remove(vm_t *vm, const hostvm_doorbell_t *doorbell, int fd);

/**
 * Has an eventfd raise and lower a line of the interrupt controllers, one edge, whenever it is
 * written. From callbacks and any thread, after vm_create_default_irq_controller; on Arm also
 * before the first vcpu is started.
 *
 * @param gsi  the line, as for hostvm_irq_line (hostvm/chipset.h)
 * @param fd   an eventfd; kept alive by the kernel. Nobody else reads it
 * @return 0; -1 when vm is NULL, there is no interrupt controller or no such line, fd is no eventfd
 * or raises an interrupt already, or KVM refuses
 */
int hostvm_irqfd_add(vm_t *vm, unsigned int gsi, int fd);

/**
 * Ends it.
 *
 * @return 0; -1 when this eventfd does not raise this line
 */
int hostvm_irqfd_remove(vm_t *vm, unsigned int gsi, int fd);

/**
 * A message-signalled interrupt: what a device writes, and where (PCI 3.0, 6.8).
 */
typedef struct hostvm_msi {
    uint64_t address;
    uint32_t data;
    uint32_t device; /* Arm: the writer, as the guest's ITS knows it; PCI: bus, device, function */
} hostvm_msi_t;

/**
 * Has an eventfd send a message whenever it is written. What was written to it before, and nobody
 * has read, sends it at once. From callbacks and any thread, after
 * vm_create_default_irq_controller; on Arm messages go to hostvm_vm_create_its's controller.
 *
 * To change a message, disconnect and connect again: what is written in between is sent then. So an
 * interrupt is masked, and none lost.
 *
 * @param fd   an eventfd; kept alive by the kernel. Nobody else reads it while connected
 * @param msi  copied
 * @return 0; -1 when vm or msi is NULL, there is no interrupt controller, fd is connected already
 * or is no eventfd, or KVM or memory has no room for more
 */
int hostvm_msi_connect(vm_t *vm, int fd, const hostvm_msi_t *msi);

/**
 * Ends it.
 *
 * @return 0; -1 when this eventfd sends no message
 */
int hostvm_msi_disconnect(vm_t *vm, int fd);

#ifdef __cplusplus
}
#endif
