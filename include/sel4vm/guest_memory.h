/* Reservations: who answers for a range of guest-physical addresses, and what memory fills it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <sel4/sel4.h>
#include <sel4vm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * One frame to map into the guest.
 */
struct vm_frame {
    seL4_CPtr cptr;          /* the frame; seL4_CapNull: there is none */
    seL4_CapRights_t rights; /* for the guest, limited by the capability's own */
    uintptr_t vaddr;         /* guest-physical address to map it at, aligned to its size */
    size_t size_bits;        /* log2 of its size: 12, 21 or 30 */
};
typedef struct vm_frame vm_frame_t;

/**
 * Verdict of a fault callback.
 */
enum memory_fault_result {
    FAULT_HANDLED, /* done: advance_vcpu_fault was called, or memory is there now and the access is
                      done against it */
    FAULT_UNHANDLED, /* not mine: the unhandled-fault callback is asked next */
    FAULT_RESTART,   /* do the access again, against what is there now */
    FAULT_IGNORE, /* skip the access: a write is dropped, a read leaves its destination as it was */
    FAULT_ERROR   /* vm_run shall return -1 */
};
typedef enum memory_fault_result memory_fault_result_t;

/**
 * A reservation: a promise about a range of guest-physical addresses. Opaque; valid until it is
 * freed.
 */
typedef struct vm_memory_reservation vm_memory_reservation_t;

/**
 * A VM's reservations. Opaque.
 */
typedef struct vm_memory_reservation_cookie vm_memory_reservation_cookie_t;

/**
 * Called for an access to a reservation where no memory (or no right) is.
 *
 * Runs on the faulting vcpu's thread (vm_run's, when the VM has one vcpu); callbacks of one VM
 * never overlap. May call every function of the API, free its own reservation included, except
 * vm_run and hostvm_vm_destroy.
 *
 * @param vm            the VM
 * @param vcpu          the vcpu whose access it is; guest_vcpu_fault.h describes the access
 * @param fault_addr    guest-physical address of the access
 * @param fault_length  bytes accessed: all of them inside the reservation. An access that begins
 * inside and ends past it is an error, with no callback asked; libsel4vm passes it on
 * @param cookie        as given to the reservation
 * @return the verdict; any number that is none is an error
 */
typedef memory_fault_result_t (*memory_fault_callback_fn)(vm_t *vm, vm_vcpu_t *vcpu,
                                                          uintptr_t fault_addr, size_t fault_length,
                                                          void *cookie);

/**
 * Asked for the frame that covers a guest-physical address while a reservation is mapped. May call
 * every function of the API except vm_run, hostvm_vm_step and hostvm_vm_destroy; the reservation
 * that it fills can neither be freed nor mapped meanwhile. Runs on the thread that maps; where
 * mappings are deferred, on that of the vcpu that faults.
 *
 * @param addr    where the next frame belongs: the beginning of a page
 * @param cookie  as given with the iterator
 * @return the frame, whose vaddr says where it goes; with cptr seL4_CapNull: there is none, and the
 * mapping fails
 */
typedef vm_frame_t (*memory_map_iterator_fn)(uintptr_t addr, void *cookie);

/**
 * Reserves [addr, addr + size). Nothing is mapped: accesses reach the callback.
 *
 * Reservations own whole 4 KiB pages: two of them never share one, even if their bytes do not
 * overlap. Faults in the rest of a page outside [addr, addr + size) belong to nobody. Before or
 * while the VM runs, from any thread and from callbacks. The reservation is the VM's, until
 * vm_free_reserved_memory or hostvm_vm_destroy.
 *
 * Differs from libsel4vm: of an unaligned range every page is looked at, the last one, too.
 *
 * @param vm              the VM
 * @param addr            first address; 0 is one like any other
 * @param size            bytes, exact
 * @param fault_callback  called for accesses that no memory answers
 * @param cookie          handed to the callback, never dereferenced
 * @return the reservation; NULL when an argument is NULL, size is 0, the range wraps, one of its
 * pages is reserved or is part of an anonymous region, or memory runs out
 */
vm_memory_reservation_t *vm_reserve_memory_at(vm_t *vm, uintptr_t addr, size_t size,
                                              memory_fault_callback_fn fault_callback,
                                              void *cookie);

/**
 * Reserves size bytes somewhere in the anonymous regions (vm_memory_make_anon): first fit by
 * ascending address.
 *
 * libsel4vm's interface had no align once: code with five arguments compiles as well, with align
 * 4096.
 *
 * Differs from libsel4vm: space that was freed is used again; align 0 means 1; an address outside a
 * region is never returned; size 0 is refused. When and by whom, and whose it is: as
 * vm_reserve_memory_at.
 *
 * @param vm              the VM
 * @param size            bytes, exact; pages are handed out whole
 * @param align           of the address, in bytes; need not be a power of two
 * @param fault_callback  as for vm_reserve_memory_at
 * @param cookie          handed to the callback
 * @param addr            where to store the address
 * @return the reservation; NULL when an argument is NULL, size is 0, nothing fits, or memory runs
 * out; *addr is untouched then
 */
vm_memory_reservation_t *vm_reserve_anon_memory(vm_t *vm, size_t size, size_t align,
                                                memory_fault_callback_fn fault_callback,
                                                void *cookie, uintptr_t *addr);

/* A name in parentheses is not expanded as a macro: this is how the function behind the macro below
 * is reached. */
#define HOSTVM_ANON_6(vm, size, align, callback, cookie, addr)                                     \
    (vm_reserve_anon_memory)((vm), (size), (align), (callback), (cookie), (addr))
#define HOSTVM_ANON_5(vm, size, callback, cookie, addr)                                            \
    (vm_reserve_anon_memory)((vm), (size), 4096ul, (callback), (cookie), (addr))
#define HOSTVM_ANON_PICK(_1, _2, _3, _4, _5, _6, name, ...) name
#define vm_reserve_anon_memory(...)                                                                \
    HOSTVM_ANON_PICK(__VA_ARGS__, HOSTVM_ANON_6, HOSTVM_ANON_5, HOSTVM_ANON_BAD, HOSTVM_ANON_BAD,  \
                     HOSTVM_ANON_BAD, HOSTVM_ANON_BAD)                                             \
    (__VA_ARGS__)

/**
 * Makes [addr, addr + size) a region that vm_reserve_anon_memory takes its reservations from: whole
 * pages of 4 KiB that lie in it. Not revocable. Regions are not joined: a reservation lies in one
 * of them. Before or while the VM runs, from any thread and from callbacks.
 *
 * @return 0; -1 when vm is NULL, size is 0, the range wraps, a page of it is taken, or memory runs
 * out
 */
int vm_memory_make_anon(vm_t *vm, uintptr_t addr, size_t size);

/**
 * Frees a reservation: its mappings are taken out of the guest, its range can be reserved again,
 * its pointer is dead. The frames stay whoever's they were, and good. Before or while the VM runs,
 * from any thread and from callbacks.
 *
 * Differs from libsel4vm: anonymous reservations can be freed, too, and their space is used again.
 *
 * @return 0; -1 when vm or reservation is NULL or the reservation is not one of this VM
 */
int vm_free_reserved_memory(vm_t *vm, vm_memory_reservation_t *reservation);

/**
 * Fills a reservation with memory.
 *
 * Asks the iterator for frame after frame, from the page of the reservation's first byte to that of
 * its last, and maps each at its own vaddr with its rights: read and write: plain memory; read
 * only: stores reach the callback; without the right to read: every access does. Where the
 * environment defers mappings (hostvm_env_config_t), iterator and cookie are kept instead and the
 * first fault maps. Before or while the VM runs, from any thread and from callbacks. The frames
 * stay the caller's; deleting the capability of one takes it out of the guest.
 *
 * Differs from libsel4vm: pages of an unaligned reservation are mapped all; all or nothing is
 * mapped, and nothing is tried again at a fault; a missing frame fails, which early versions took
 * for the end.
 *
 * @return 0; -1 when an argument is NULL, the reservation is mapped already, the iterator returns
 * no frame or one that is not a frame, of a wrong size, unaligned, outside the reservation, out of
 * order or mapped elsewhere by the same capability, or when memory or KVM's memory slots run out.
 * Nothing is mapped then.
 */
int vm_map_reservation(vm_t *vm, vm_memory_reservation_t *reservation,
                       memory_map_iterator_fn map_iterator, void *cookie);

/**
 * Fills a reservation with the given frames, one after the other from its first page on, with all
 * rights, at once, also where the environment defers mappings. The list may go afterwards;
 * otherwise as vm_map_reservation.
 *
 * @param vm               the VM
 * @param reservation      of this VM
 * @param frames           capabilities; more than needed are ignored
 * @param num_frames       how many
 * @param frame_size_bits  log2 of the size of each: 12, 21 or 30
 * @return as vm_map_reservation; -1 also when there are too few frames
 */
int vm_map_reservation_frames(vm_t *vm, vm_memory_reservation_t *reservation, seL4_CPtr *frames,
                              size_t num_frames, size_t frame_size_bits);

/**
 * Tells where a reservation lies: exactly as it was reserved. From any thread and from callbacks.
 * As long as the VM exists, a freed reservation is told from one that is not while fewer than 64
 * others have been freed since.
 *
 * @param reservation  a live one; for NULL, and for one that was freed, nothing is stored, and that
 *                     is logged
 * @param addr         receives its first address; may be NULL
 * @param size         receives its bytes; may be NULL
 */
void vm_get_reservation_memory_region(vm_memory_reservation_t *reservation, uintptr_t *addr,
                                      size_t *size);

/**
 * Prepares a VM for reservations. vm_init does it.
 *
 * Differs from libsel4vm, where a second call forgets all reservations: it changes nothing.
 *
 * @return 0; -1 when vm is NULL or not initialised
 */
int vm_memory_init(vm_t *vm);

#ifdef __cplusplus
}
#endif
