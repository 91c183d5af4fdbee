/* What hosting adds to a VM: the way back from vm_init, stopping, signalling, direct access to
 * guest memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <hostvm/error.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Why the last vm_run of a VM returned. A run by steps (hostvm/events.h) counts as one vm_run.
 */
typedef enum hostvm_vm_end {
    HOSTVM_END_NONE,     /* vm_run has not returned yet */
    HOSTVM_END_STOPPED,  /* hostvm_vm_stop: vm_run returned 0 */
    HOSTVM_END_POWEROFF, /* the guest powered off through its platform firmware interface: vm_run
                            returned 0 */
    HOSTVM_END_RESET, /* the guest asked for a reset through its platform firmware interface: vm_run
                         returned 0 */
    HOSTVM_END_CALLBACK, /* a callback of the client reported failure: vm_run returned -1 */
    HOSTVM_END_CRASH, /* the guest did what it cannot survive (triple fault, unhandled fault, ...):
                         vm_run returned -1 */
    HOSTVM_END_HOST,  /* the host refused (memory, descriptors, KVM itself): vm_run returned -1 */
} hostvm_vm_end_t;

/**
 * Takes a VM down: ends what vm_init and every later call on this VM built.
 *
 * Stops and joins the VM's threads, closes its KVM descriptors, frees vcpus, reservations and RAM
 * and unmaps guest memory from this process. Capabilities that the client allocated stay the
 * client's. Afterwards *vm is zeroed and may be given to vm_init again. Not from a callback of this
 * VM, not while another thread is in vm_run.
 *
 * @param vm  a VM that vm_init was called for; one whose vm_init failed is accepted, too
 * @return 0; -1 when vm is NULL, or when called from one of the VM's own callbacks or during a step
 */
int hostvm_vm_destroy(vm_t *vm);

/**
 * Makes vm_run return 0, soon: at the next exit, or at once by interrupting the guest.
 *
 * From any thread, any callback, and from signal handlers. A stop asked for while vm_run is not
 * active ends the next vm_run before it enters the guest. A later vm_run continues the guest where
 * it was.
 *
 * @return 0; -1 when vm is NULL or not initialised
 */
int hostvm_vm_stop(vm_t *vm);

/**
 * Signals the VM's notification without a capability: as seL4_Signal on a capability with this
 * badge.
 *
 * From any thread and from signal handlers. The notification callback runs on vm_run's thread;
 * badges of signals that arrive before it ran are OR-ed together.
 *
 * @return 0; -1 when vm is NULL, not initialised, or was given no endpoint
 */
int hostvm_notify(vm_t *vm, seL4_Word badge);

/**
 * Tells why the last vm_run returned.
 */
hostvm_vm_end_t hostvm_vm_end(const vm_t *vm);

/**
 * Gives the host address of guest memory.
 *
 * From any thread, callbacks and signal handlers. No system call, no lock, some 18 instructions for
 * memory that begins at a power of two or before it, as the RAM of machines does; some 100, by a
 * search that takes no lock either, for other memory.
 *
 * While other threads map and unmap: memory that is there when the call begins and until it ends is
 * found; what an unmapping that has returned took away is not. Whoever finds memory sees the bytes
 * that the thread which mapped it had written there. In between the answer may be the one from
 * before or from after a change, never a mixture: a pointer is to memory that was there as a whole
 * at one moment of the call. The pointer does not keep memory: whoever unmaps while others use
 * pointers to it tells them first, or has them use hostvm_window_read and hostvm_window_write
 * (hostvm/guest_window.h), which memory waits for.
 *
 * @param vm    the VM
 * @param gpa   guest-physical address
 * @param size  bytes wanted; 0 asks for the address alone
 * @return a pointer through which this process reads and writes [gpa, gpa + size), valid until one
 * of those pages is unmapped from the guest; NULL when a byte of the range has no memory behind it,
 * and when the range crosses a border of a window that is bound to the VM, where memory goes on
 * elsewhere in this process (hostvm_window_bind). Guest rights do not matter: memory that the guest
 * may only read is writable here. Pages mapped without any right for the guest are not in its
 * memory: NULL.
 */
void *hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size);

/**
 * The same for what is done on the guest's behalf, at an address that the guest chose: a device
 * writes to no memory that the guest itself cannot write to.
 *
 * @return as hostvm_vm_pointer; NULL also when there is a byte in the range that the guest may only
 * read
 */
void *hostvm_vm_writable_pointer(vm_t *vm, uintptr_t gpa, size_t size);

/**
 * Tells which file lies behind guest memory, for those who share it with another process: a device
 * in a process of its own maps the same file, and sees what the guest sees.
 *
 * Memory that a VM was given (vm_ram_register, vm_map_reservation, ...) is pieces of few files,
 * most often one: a whole RAM is one piece, however large. So a caller goes on behind the piece
 * that it got until it has all that it wants. The file is the environment's: it has other memory of
 * this VM in it, and that of other VMs of this environment. Whoever is given its descriptor is
 * trusted with all of them.
 *
 * From any thread and from callbacks. What was told is so until that memory is unmapped.
 *
 * @param vm          the VM
 * @param gpa         guest-physical address, of any alignment
 * @param size        bytes wanted; not 0
 * @param ret_fd      receives a descriptor: the environment's, which lives as long as the memory
 *                    does. Not to be closed, nor to be changed in size
 * @param ret_offset  receives where in the file the byte at gpa lies
 * @param ret_size    receives for how many bytes this goes on, at most size
 * @return 0; -1 when an argument is NULL, size is 0 or reaches past the end of all addresses, and
 * when there is no memory of a file at gpa: a hole, pages without any right for the guest, or what
 * was attached to a bound window (hostvm_window_attach), whose file is its owner's. The results are
 * untouched then
 */
int hostvm_vm_memory_fd(vm_t *vm, uintptr_t gpa, size_t size, int *ret_fd, uint64_t *ret_offset,
                        size_t *ret_size);

/**
 * Sets what a read returns to the guest: the low bytes of value, as many as it reads, on every
 * architecture. set_vcpu_fault_data (sel4vm/guest_vcpu_fault.h) wants them where libsel4vm has
 * them, which differs. For fault callbacks.
 *
 * @return as set_vcpu_fault_data
 */
int hostvm_set_fault_data(vm_vcpu_t *vcpu, uint64_t value);

/**
 * Says something in the VM's log, as the library does (hostvm/error.h, hostvm/env.h). One line
 * without newline, lower case. From any thread, not from signal handlers. Without a VM: on standard
 * error.
 */
void hostvm_vm_log(vm_t *vm, enum hostvm_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * The same for what the guest gives reason to, as often as it likes: a warning, the first few times
 * per VM, together with the library's own of this kind. How many were not shown is said in the end.
 */
void hostvm_vm_log_guest(vm_t *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
