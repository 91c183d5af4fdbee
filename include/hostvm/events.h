/* A VM's event loop: the client's descriptors in it, and the VM in an event loop of the client's.
 */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called on vm_run's thread (or that of hostvm_vm_step), under the VM's lock, when the descriptor
 * is readable, hung up or in error.
 *
 * The callback has to consume what made the descriptor ready, or remove the event: readiness is
 * level triggered.
 *
 * @return 0 to go on; anything else ends vm_run, or the run by steps, with -1
 */
typedef int (*hostvm_event_fn)(vm_t *vm, int fd, void *cookie);

/**
 * Has the VM's event loop watch a descriptor.
 *
 * From callbacks, or from any thread; also while the VM runs. The descriptor stays the caller's,
 * who removes the event before closing it.
 *
 * @param vm      the VM
 * @param fd      a descriptor that poll(2) can wait for
 * @param fn      what to call
 * @param cookie  handed to fn, never dereferenced
 * @return 0; -1 when an argument is NULL, the descriptor cannot be polled or is watched already, or
 * memory runs out
 */
int hostvm_event_add(vm_t *vm, int fd, hostvm_event_fn fn, void *cookie);

/**
 * Ends the watch on a descriptor. When it returns, the callback is not running (unless it is the
 * caller) and will not be called again.
 *
 * @return 0; -1 when this descriptor is not watched
 */
int hostvm_event_remove(vm_t *vm, int fd);

/**
 * Gives the descriptor that an event loop of the client's waits for, with poll(2) and its like.
 *
 * While the VM is run by steps it is readable when there is something for hostvm_vm_step to do: a
 * notification, an event, an acknowledged interrupt, a vcpu that came online, the end of the run.
 * Outside of a run it means nothing; a run begins with a step:
 *
 *     while ((r = hostvm_vm_step(vm)) > 0) {
 *         poll(descriptors, n, -1);      hostvm_vm_fd(vm), and whatever else the program does
 *     }
 *
 * From any thread, before or while the VM runs.
 *
 * @param vm  the VM
 * @return always the same descriptor, to be waited for and nothing else; it is the VM's, and closed
 * by hostvm_vm_destroy. -1 when vm is NULL or not initialised, or when descriptors or memory run
 * out
 */
int hostvm_vm_fd(vm_t *vm);

/**
 * Runs the VM by steps: vm_run for programs that have an event loop already.
 *
 * The first step begins a run. Each one starts what vcpus came online, serves what there is to be
 * served and returns without waiting for more. Between steps the guest runs on: each vcpu has a
 * thread of its own, also the only one, with all signals but the one that interrupts it blocked.
 * The last step, which returns 0 or -1, has joined them all; a later one begins the next run, and
 * the guest continues where it was.
 *
 * Fault and port callbacks run on their vcpu's thread; callbacks of notifications, events and
 * acknowledged interrupts on the thread that steps, in steps. As ever, no two of them overlap: a
 * step waits for the callback that is running. hostvm_vm_stop ends the run with the next step.
 *
 * One step at a time; they need not come from the same thread. Not from callbacks of this VM.
 *
 * @return 1 while the VM runs; then, once, what vm_run returns: 0 when the VM was stopped or the
 * guest powered off or asked for a reset, -1 on every error; hostvm_vm_end tells which. -1, too,
 * and nothing changes, when vm is NULL or not initialised, is in vm_run, or another step is under
 * way
 */
int hostvm_vm_step(vm_t *vm);

#ifdef __cplusplus
}
#endif
