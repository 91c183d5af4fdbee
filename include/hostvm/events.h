/* Descriptors that a VM's event loop watches for the client: device back ends, timers, terminals.
 */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called on vm_run's thread, under the VM's lock, when the descriptor is readable, hung up or in
 * error.
 *
 * The callback has to consume what made the descriptor ready, or remove the event: readiness is
 * level triggered.
 *
 * @return 0 to go on; anything else ends vm_run with -1
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

#ifdef __cplusplus
}
#endif
