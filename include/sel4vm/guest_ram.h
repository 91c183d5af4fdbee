/* Guest RAM: which memory it is, what of it is taken, and access to it from the VMM. */
#pragma once

#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Called for each piece of RAM that vm_ram_touch visits; no piece crosses a page border. May call
 * every function of the API except vm_run, hostvm_vm_step and hostvm_vm_destroy; a touch ends with
 * -1 where a callback has taken away the memory that comes next.
 *
 * @param vm          the VM
 * @param guest_addr  guest-physical address of the piece, exact
 * @param vmm_vaddr   where the VMM finds its first byte; stays valid while the RAM is registered
 * @param size        bytes in this piece
 * @param offset      bytes between the address given to vm_ram_touch and this piece
 * @param cookie      as given to vm_ram_touch
 * @return 0 to go on; anything else ends the touch, which returns it
 */
typedef int (*ram_touch_callback_fn)(vm_t *vm, uintptr_t guest_addr, void *vmm_vaddr, size_t size,
                                     size_t offset, void *cookie);

/**
 * Visits [addr, addr + size) of guest RAM piece by piece, in ascending order. No system call, no
 * allocation, and nothing to be done per page but the call. From any thread and from callbacks,
 * also while vcpus run; RAM stays while it is visited.
 *
 * With vm_guest_ram_read_callback or vm_guest_ram_write_callback it is a copy of all of the range
 * at once, at the speed of memcpy; nobody sees in what pieces.
 *
 * Differs from libsel4vm: a range may cross entries of ram_regions that touch; guest_addr is exact;
 * pointers stay valid after the callback.
 *
 * @param vm              the VM
 * @param addr            guest-physical address of the first byte, of RAM also where size is 0
 * @param size            bytes
 * @param touch_callback  called for each piece; may itself touch RAM, but not take any of the range
 * out of the guest
 * @param cookie          handed to the callback
 * @return 0, for size 0 without a call; -1 when an argument is NULL or a byte of the range is not
 * RAM; otherwise the first nonzero result of the callback
 */
int vm_ram_touch(vm_t *vm, uintptr_t addr, size_t size, ram_touch_callback_fn touch_callback,
                 void *cookie);

/**
 * A touch callback that copies RAM to the buffer buf + offset. The buffer is the VMM's own memory:
 * not a pointer into the RAM that is copied.
 *
 * Differs from libsel4vm: offset is honoured, so that ranges over several pages arrive whole.
 *
 * @return 0; -1 when vaddr or buf is NULL
 */
int vm_guest_ram_read_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                               size_t offset, void *buf);

/**
 * A touch callback that copies the buffer buf + offset to RAM. Otherwise as
 * vm_guest_ram_read_callback. Where one frame is visible at several places of the range, the bytes
 * meant for one of them stay: for which, and whether for the same one everywhere in the frame, is
 * not specified.
 *
 * @return 0; -1 when vaddr or buf is NULL
 */
int vm_guest_ram_write_callback(vm_t *vm, uintptr_t guest_addr, void *vaddr, size_t size,
                                size_t offset, void *buf);

/**
 * Finds the largest entry of RAM that is not allocated; the lowest of equals. On x86, entries that
 * end at or above 4 GiB - 1 are passed over: boot images have to sit below. From any thread and
 * from callbacks.
 *
 * @param vm    the VM
 * @param addr  where to store its first address
 * @param size  where to store its size
 * @return 0; -1 when an argument is NULL or there is none; the results are untouched then
 */
int vm_ram_find_largest_free_region(vm_t *vm, uintptr_t *addr, size_t *size);

/**
 * Registers RAM somewhere in the anonymous regions (vm_memory_make_anon), zeroed. Before or while
 * the VM runs, from any thread and from callbacks. It stays until hostvm_vm_destroy.
 *
 * Differs from libsel4vm: a failure loses no space of the regions.
 *
 * @param vm     the VM
 * @param bytes  size; need not be a page multiple
 * @return its address, a multiple of 4 KiB; 0 when vm is NULL, bytes is 0, nothing fits, or the
 * environment's memory limit, KVM's memory slots or memory run out
 */
uintptr_t vm_ram_register(vm_t *vm, size_t bytes);

/**
 * Registers RAM at an address, zeroed. One step, whatever its size; host memory is taken as the
 * guest touches it. Before or while the VM runs, from any thread and from callbacks. It stays until
 * hostvm_vm_destroy.
 *
 * Differs from libsel4vm: a failure leaves nothing reserved, and is told where its early versions
 * returned 0.
 *
 * @param vm       the VM
 * @param start    first address; need not be page aligned
 * @param bytes    size; need not be a page multiple
 * @param untyped  in libsel4vm: use physical memory at the same address; without effect here
 * @return 0; -1 when vm is NULL, the range is empty, wraps or is taken, or the environment's memory
 * limit, KVM's memory slots or address space run out; nothing changes then
 */
int vm_ram_register_at(vm_t *vm, uintptr_t start, size_t bytes, bool untyped);

/**
 * Registers RAM at an address, made of the frames that an iterator returns: as vm_map_reservation.
 *
 * The frames stay the caller's and have to live as long as the RAM.
 *
 * Differs from libsel4vm: a failure leaves nothing reserved.
 *
 * @return 0; -1 when map_iterator is NULL, and as vm_ram_register_at and vm_map_reservation
 */
int vm_ram_register_at_custom_iterator(vm_t *vm, uintptr_t start, size_t bytes,
                                       memory_map_iterator_fn map_iterator, void *cookie);

/**
 * Marks free RAM as allocated. Without effect unless all of [start, start + bytes) lies in one free
 * entry; when memory for the list runs out, that is logged. Not aligned. From any thread and from
 * callbacks. ram_regions may move.
 */
void vm_ram_mark_allocated(vm_t *vm, uintptr_t start, size_t bytes);

/**
 * Allocates RAM: the beginning of the lowest free entry that is large enough. Not aligned, so
 * allocations follow each other byte by byte. From any thread and from callbacks. vm_ram_free frees
 * it.
 *
 * @param vm     the VM
 * @param bytes  size
 * @return its address, which may be 0 where RAM begins there; 0 when no entry is large enough; for
 * 0 bytes the first free entry's address, and nothing changes
 */
uintptr_t vm_ram_allocate(vm_t *vm, size_t bytes);

/**
 * Frees allocated RAM. Without effect unless all of [start, start + bytes) lies in one allocated
 * entry. The content stays. From any thread and from callbacks.
 *
 * Differs from libsel4vm, where it does nothing.
 */
void vm_ram_free(vm_t *vm, uintptr_t start, size_t bytes);

#ifdef __cplusplus
}
#endif
