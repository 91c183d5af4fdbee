/*
 * Windows on guest memory: a range of this process's addresses that mirrors guest-physical memory,
 * so that host address = base + guest-physical address; and access to it that cannot leave it.
 *
 * A VM has a window of its own, which hostvm_vm_pointer looks through (hostvm/vm.h). What is
 * declared here is for programs that want to choose where guest memory appears (at the very
 * addresses that the guest sees, as Genode's VMMs have it), to put files into it, or to have guest
 * memory before, or without, a VM.
 *
 * Threads: hostvm_window_ptr and the access functions may be called from any thread, also while
 * memory is attached, detached, mapped and unmapped. The other functions on one window take turns:
 * for a window that is not bound the caller sees to that; for a bound one the VM's lock does, so
 * that they may be called from any thread and from callbacks. hostvm_window_bind,
 * hostvm_window_destroy and hostvm_vm_destroy of the VM concerned overlap nothing.
 *
 * Functions that return int return 0 or a negative errno, and leave their reason
 * (hostvm_last_error).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sel4/sel4.h>
#include <sel4vm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A window. Opaque.
 */
typedef struct hostvm_window hostvm_window_t;

/* Flags of hostvm_window_create. */
enum hostvm_window_flags {
    HOSTVM_WINDOW_IDENTITY = 1,         /* local address = guest-physical address */
    HOSTVM_WINDOW_TOLERATE_CONFLICT = 2 /* with IDENTITY: addresses in use are no error */
};

/**
 * Reserves addresses of this process for guest-physical [0, vm_size). Memory comes with
 * hostvm_window_attach, or with a VM's own mappings (hostvm_window_bind); until then an access ends
 * in SIGSEGV. What the process has mapped is never replaced.
 *
 * With HOSTVM_WINDOW_IDENTITY the window lies at the addresses that the guest sees, except for the
 * first page, which no process has: it begins at 4 KiB, or where the kernel lets this process begin
 * (hostvm_window_first_gpa; Linux: /proc/sys/vm/mmap_min_addr). A program that is not position
 * independent lies at 4 MiB itself, and later mappings may land anywhere: ask early.
 *
 * @param vm_size  bytes; rounded up to 4 KiB
 * @param flags    HOSTVM_WINDOW_...
 * @param out      receives the window; NULL when the call fails
 * @return 0; -EINVAL for size 0, an unknown flag, no out, or an identity window without a page that
 *         could be mirrored; -EEXIST when addresses of an identity window are in use ("region
 *         conflict while attaching guest-physical memory"): with HOSTVM_WINDOW_TOLERATE_CONFLICT
 *         that is logged and 0 is returned all the same, with a window that works for the guest and
 *         is not visible in this process: no base, no pointers, only the access functions; -EPERM
 *         when the kernel keeps the addresses for itself; -ENOMEM
 */
int hostvm_window_create(size_t vm_size, unsigned int flags, hostvm_window_t **out);

/**
 * Takes a window down: what it shows goes from this process, and from the guest of a VM that it is
 * bound to, whose accesses fault from then on. That includes what the VM mapped in it: its
 * reservations stay, without memory, and can be freed. Descriptors that were attached stay the
 * caller's, open or not. NULL is fine. Where KVM refuses to give memory slots up, what they show
 * stays until the VM is destroyed, and the log says so.
 */
void hostvm_window_destroy(hostvm_window_t *w);

/**
 * The local address of guest-physical 0; of an identity window that is NULL, and of one that is not
 * visible, too: hostvm_window_attached tells them apart. NULL for no window.
 */
void *hostvm_window_base(const hostvm_window_t *w);

/**
 * The window is visible in this process. False after a tolerated conflict, and for no window.
 */
bool hostvm_window_attached(const hostvm_window_t *w);

/**
 * Bytes that the window mirrors, from guest-physical 0 on: vm_size, rounded up. 0 for no window.
 */
size_t hostvm_window_size(const hostvm_window_t *w);

/**
 * The first guest-physical address that the window mirrors: at least 4096 in an identity window,
 * else 0.
 */
uintptr_t hostvm_window_first_gpa(const hostvm_window_t *w);

/**
 * The local address of guest memory: base + gpa.
 *
 * No system call, no lock, some 15 instructions where memory begins at a power of two or before it
 * and the guest may read it; else a search, without a lock as well unless the guest may not read
 * some of it. Memory that is there when the call begins and when it ends is found. A pointer is
 * good until the memory behind it is detached or unmapped: whoever lets that happen while others
 * use pointers tells them first, or has them use the access functions below.
 *
 * @param w    the window
 * @param gpa  guest-physical address
 * @param len  bytes wanted; 0 asks for the address alone
 * @return NULL unless all of [gpa, gpa + len) is mirrored and has memory; also for no window, and
 * for one that is not visible
 */
void *hostvm_window_ptr(hostvm_window_t *w, uintptr_t gpa, size_t len);

/**
 * Shows part of a file at a guest-physical address: readable and writable for this process, with
 * guest_rights for the guest of the VM that the window is bound to, now or later. Memory that the
 * guest may not read is a hole for it, and what it may only read reaches the VM's callbacks when
 * written.
 *
 * A range may begin in what an identity window leaves out: the guest has it, and the access
 * functions reach it, at an address of this process that hostvm_window_ptr does not give.
 *
 * In the guest, attached memory is there whether its range is reserved (vm_reserve_memory_at) or
 * not. It goes before a reservation's callback. It cannot be attached where the VM has memory of
 * its own, nor the other way round.
 *
 * @param w             the window
 * @param fd            a file that can be mapped shared and writable: a memfd, a file, a device.
 *                      Not needed any more afterwards. It must not be cut shorter while attached:
 *                      accesses behind its end would be SIGBUS
 * @param off           where in the file; a multiple of 4 KiB
 * @param gpa           where in the guest; a multiple of 4 KiB
 * @param len           bytes; a multiple of 4 KiB, not 0
 * @param guest_rights  what the guest may do
 * @return 0; -EINVAL for no window, what is unaligned or empty, or ends behind the end of a regular
 *         file; -ERANGE outside the window; -EEXIST when it overlaps an attachment or memory of the
 *         VM; what mmap fails with (-EBADF, -EACCES, ...); -ENOSPC when KVM's memory slots run out;
 *         -ENOMEM. Nothing is attached then
 */
int hostvm_window_attach(hostvm_window_t *w, int fd, off_t off, uintptr_t gpa, size_t len,
                         seL4_CapRights_t guest_rights);

/**
 * Takes an attachment away: the guest's accesses fault to the VM's callbacks, this process's end in
 * SIGSEGV.
 *
 * @param gpa, len  exactly as attached
 * @return 0; -EINVAL for no window; -ENOENT when nothing is attached so; -errno when the host
 *         refuses: it is still attached then
 */
int hostvm_window_detach(hostvm_window_t *w, uintptr_t gpa, size_t len);

/**
 * Binds the window to a VM: what is attached becomes the guest's, and from now on what this VM maps
 * (vm_map_reservation, vm_ram_register, ...) inside the window has its host mapping at base + gpa,
 * and hostvm_window_ptr finds it. What the VM mapped before stays where it is. Memory that
 * continues across the end of the window, or across what an identity window leaves out, continues
 * elsewhere in this process: hostvm_vm_pointer gives pointers to either side, not across.
 *
 * The binding lasts until the window or the VM is destroyed; a window outlives its VM with what was
 * attached, and may be bound again.
 *
 * @return 0; -EINVAL for no window or no VM; -EBUSY when either is bound already; -EEXIST when an
 *         attachment overlaps memory of the VM; -ENOSPC, -ENOMEM and other errors of the host.
 *         Nothing is bound then
 */
int hostvm_window_bind(hostvm_window_t *w, vm_t *vm);

/* --- access that cannot leave guest memory --- */

/**
 * Copies guest memory to a buffer, or a buffer to guest memory: all of it, with one call, also
 * across borders between attachments or registrations that touch, or nothing.
 *
 * Guest memory is what the guest may read at least: what it has no right to is refused, so that
 * addresses which a guest chose are safe to be given here. Guest rights do not limit the VMM
 * otherwise: it may write what the guest may only read. An access of 1, 2, 4 or 8 bytes at a
 * multiple of its size is done as a whole: the guest never sees, and never causes, half of it; a
 * read orders what follows behind it (acquire), a write what went before (release).
 *
 * Memory is not taken away while a copy is under way: detaching waits for it. No other lock is
 * taken, so a caller may hold any.
 *
 * @param gpa  guest-physical address; any alignment
 * @param buf  len bytes, not guest memory of the same window
 * @param len  bytes; 0: only the address is checked
 * @return 0; -EINVAL for no window or no buffer; -EFAULT when a byte of [gpa, gpa + len) is not
 * guest memory in this window, or the range wraps; nothing is copied then
 */
int hostvm_window_read(hostvm_window_t *w, uintptr_t gpa, void *buf, size_t len);
int hostvm_window_write(hostvm_window_t *w, uintptr_t gpa, const void *buf, size_t len);

/**
 * The same for one number in the byte order of guest and host. *ret is untouched by a failure.
 */
static inline int hostvm_window_read8(hostvm_window_t *w, uintptr_t gpa, uint8_t *ret)
{
    return hostvm_window_read(w, gpa, ret, sizeof(*ret));
}

static inline int hostvm_window_read16(hostvm_window_t *w, uintptr_t gpa, uint16_t *ret)
{
    return hostvm_window_read(w, gpa, ret, sizeof(*ret));
}

static inline int hostvm_window_read32(hostvm_window_t *w, uintptr_t gpa, uint32_t *ret)
{
    return hostvm_window_read(w, gpa, ret, sizeof(*ret));
}

static inline int hostvm_window_read64(hostvm_window_t *w, uintptr_t gpa, uint64_t *ret)
{
    return hostvm_window_read(w, gpa, ret, sizeof(*ret));
}

static inline int hostvm_window_write8(hostvm_window_t *w, uintptr_t gpa, uint8_t value)
{
    return hostvm_window_write(w, gpa, &value, sizeof(value));
}

static inline int hostvm_window_write16(hostvm_window_t *w, uintptr_t gpa, uint16_t value)
{
    return hostvm_window_write(w, gpa, &value, sizeof(value));
}

static inline int hostvm_window_write32(hostvm_window_t *w, uintptr_t gpa, uint32_t value)
{
    return hostvm_window_write(w, gpa, &value, sizeof(value));
}

static inline int hostvm_window_write64(hostvm_window_t *w, uintptr_t gpa, uint64_t value)
{
    return hostvm_window_write(w, gpa, &value, sizeof(value));
}

/* --- a window with memory in it --- */

/**
 * A window, and memory that is handed out from it piece by piece. Opaque. Calls on one take turns.
 */
typedef struct hostvm_guest_memory hostvm_guest_memory_t;

/**
 * Makes a window of vm_size bytes, at any address, and attaches `backing` bytes of zeroed memory to
 * it, with all rights, from the first page on that it mirrors.
 *
 * @param backing  bytes; rounded up to 4 KiB
 * @param vm_size  bytes that the window mirrors; rounded up
 * @param out      receives the memory; NULL when the call fails
 * @return 0; -EINVAL for a size of 0 or no out; -ERANGE when the window is smaller than the memory;
 *         -ENOMEM, -EMFILE, ...
 */
int hostvm_guest_memory_create(size_t backing, size_t vm_size, hostvm_guest_memory_t **out);

/**
 * Takes memory and window down, as hostvm_window_destroy does. NULL is fine.
 */
void hostvm_guest_memory_destroy(hostvm_guest_memory_t *m);

/**
 * The window, which stays the memory's own: to be bound to a VM, and to have more attached to it.
 */
hostvm_window_t *hostvm_guest_memory_window(hostvm_guest_memory_t *m);

/**
 * Where the memory begins in this process. It is guest-physical hostvm_window_first_gpa of its
 * window.
 */
void *hostvm_guest_memory_local_base(const hostvm_guest_memory_t *m);

/**
 * Bytes not handed out yet.
 */
size_t hostvm_guest_memory_remaining(const hostvm_guest_memory_t *m);

/**
 * Hands out the next bytes. What is skipped to align them is not handed out later, and nothing is
 * ever taken back.
 *
 * @param bytes  how many; not 0
 * @param align  of the guest-physical address, a power of two; 0 means 1
 * @param gpa    receives the address; untouched when the call fails
 * @return 0; -EINVAL for no memory, no gpa, 0 bytes or another alignment; -ENOSPC when that many
 *         are not left
 */
int hostvm_guest_memory_alloc(hostvm_guest_memory_t *m, size_t bytes, size_t align, uintptr_t *gpa);

#ifdef __cplusplus
}
#endif
