/* Address spaces: reserve ranges, map frames into them, and find out what is mapped where. */
#pragma once

#include <sel4/sel4.h>
#include <sel4utils/gen_config.h>
#include <utils/util.h>
#include <vka/object.h>
#include <vka/vka.h>
#include <vspace/page.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * There are two kinds: the VMM's own (addresses are pointers) and a guest's (addresses are
 * guest-physical, and 0 is one of them). In each, every 4 KiB page is empty, reserved or mapped.
 * Frames come in 2^12, 2^21 and 2^30 bytes: any other size_bits is refused.
 *
 * The functions below dispatch through the address space. Without one, or when it does not offer
 * the operation, they log that and return their failure: -1, NULL, seL4_CapNull, 0 for a cookie,
 * a reservation whose res is NULL.
 *
 * An environment's address space and a VM's may be used by any thread and from callbacks; a VM's
 * also while it runs. Capabilities stay the caller's, and so do frames whose cookie was not given.
 */
typedef struct vspace vspace_t;

/**
 * A reserved range. It belongs to the address space that gave it; res is NULL for none.
 */
typedef struct reservation {
    void *res;
} reservation_t;

/**
 * What new pages should be like.
 */
typedef struct vspace_new_pages_config {
    void *vaddr;      /* where to; NULL: anywhere */
    size_t num_pages; /* how many */
    size_t size_bits; /* of which size */
    bool can_use_dev; /* may be device memory; a hosted environment has none */
} vspace_new_pages_config_t;

/**
 * Fills in a configuration: that many pages of that size, anywhere, no device memory.
 *
 * @return 0; -1 for 0 pages or without a configuration
 */
static inline int default_vspace_new_pages_config(size_t num_pages, size_t size_bits,
                                                  vspace_new_pages_config_t *config)
{
    if (num_pages == 0 || config == NULL) {
        ZF_LOGW("cannot configure new pages: there are none, or nowhere to put it");
        return -1;
    }
    config->vaddr = NULL;
    config->num_pages = num_pages;
    config->size_bits = size_bits;
    config->can_use_dev = false;
    return 0;
}

/**
 * Chooses the address of new pages. Returns 0; -1 without a configuration.
 */
static inline int vspace_new_pages_config_set_vaddr(void *vaddr, vspace_new_pages_config_t *config)
{
    if (config == NULL) {
        ZF_LOGE("vspace_new_pages_config_set_vaddr: no configuration");
        return -1;
    }
    config->vaddr = vaddr;
    return 0;
}

/**
 * Says whether new pages may be device memory. Returns 0; -1 without a configuration.
 */
static inline int vspace_new_pages_config_use_device_ut(bool can_use_dev,
                                                        vspace_new_pages_config_t *config)
{
    if (config == NULL) {
        ZF_LOGE("vspace_new_pages_config_use_device_ut: no configuration");
        return -1;
    }
    config->can_use_dev = can_use_dev;
    return 0;
}

/* The operations; the functions of the same names below say what each one does. */
typedef void *(*vspace_new_pages_fn)(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                                     size_t size_bits);
typedef void *(*vspace_map_pages_fn)(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                     seL4_CapRights_t rights, size_t num_pages, size_t size_bits,
                                     int cacheable);
typedef int (*vspace_new_pages_at_vaddr_fn)(vspace_t *vspace, void *vaddr, size_t num_pages,
                                            size_t size_bits, reservation_t reservation,
                                            bool can_use_dev);
typedef int (*vspace_map_pages_at_vaddr_fn)(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                            void *vaddr, size_t num_pages, size_t size_bits,
                                            reservation_t reservation);
typedef int (*vspace_deferred_rights_map_pages_at_vaddr_fn)(vspace_t *vspace, seL4_CPtr caps[],
                                                            uintptr_t cookies[], void *vaddr,
                                                            size_t num_pages, size_t size_bits,
                                                            seL4_CapRights_t rights,
                                                            reservation_t reservation);
typedef void (*vspace_unmap_pages_fn)(vspace_t *vspace, void *vaddr, size_t num_pages,
                                      size_t size_bits, vka_t *vka);
typedef void (*vspace_tear_down_fn)(vspace_t *vspace, vka_t *vka);
typedef reservation_t (*vspace_reserve_range_aligned_fn)(vspace_t *vspace, size_t bytes,
                                                         size_t size_bits, seL4_CapRights_t rights,
                                                         int cacheable, void **vaddr);
typedef reservation_t (*vspace_reserve_range_at_fn)(vspace_t *vspace, void *vaddr, size_t bytes,
                                                    seL4_CapRights_t rights, int cacheable);
typedef reservation_t (*vspace_reserve_deferred_rights_range_at_fn)(vspace_t *vspace, void *vaddr,
                                                                    size_t bytes, int cacheable);
typedef void (*vspace_free_reservation_fn)(vspace_t *vspace, reservation_t reservation);
typedef void (*vspace_free_reservation_by_vaddr_fn)(vspace_t *vspace, void *vaddr);
typedef seL4_CPtr (*vspace_get_cap_fn)(vspace_t *vspace, void *vaddr);
typedef seL4_CPtr (*vspace_get_root_fn)(vspace_t *vspace);
typedef uintptr_t (*vspace_get_cookie_fn)(vspace_t *vspace, void *vaddr);
typedef int (*vspace_share_mem_at_vaddr_fn)(vspace_t *from, vspace_t *to, void *start,
                                            int num_pages, size_t size_bits, void *vaddr,
                                            reservation_t res);
typedef void (*vspace_allocated_object_fn)(void *allocated_object_cookie, vka_object_t object);

/**
 * An address space. May be copied; the copies are the same address space.
 */
struct vspace {
    void *data;
    vspace_new_pages_fn new_pages;
    vspace_map_pages_fn map_pages;
    vspace_new_pages_at_vaddr_fn new_pages_at_vaddr;
    vspace_map_pages_at_vaddr_fn map_pages_at_vaddr;
    vspace_deferred_rights_map_pages_at_vaddr_fn deferred_rights_map_pages_at_vaddr;
    vspace_unmap_pages_fn unmap_pages;
    vspace_tear_down_fn tear_down;
    vspace_reserve_range_aligned_fn reserve_range_aligned;
    vspace_reserve_range_at_fn reserve_range_at;
    vspace_reserve_deferred_rights_range_at_fn reserve_deferred_rights_range_at;
    vspace_free_reservation_fn free_reservation;
    vspace_free_reservation_by_vaddr_fn free_reservation_by_vaddr;
    vspace_get_cap_fn get_cap;
    vspace_get_root_fn get_root;
    vspace_get_cookie_fn get_cookie;
    vspace_share_mem_at_vaddr_fn share_mem_at_vaddr;
    vspace_allocated_object_fn allocated_object; /* may be NULL */
    void *allocated_object_cookie;
};

/* Who frees frames when pages are unmapped: the address space's own allocator, or nobody. */
#define VSPACE_FREE     ((vka_t *)0xffffffff)
#define VSPACE_PRESERVE ((vka_t *)0)

/* The reservation of a failure. */
static inline reservation_t vspace_no_reservation(void)
{
    reservation_t none;

    none.res = NULL;
    return none;
}

/**
 * Makes fresh zeroed pages somewhere, side by side.
 *
 * @return their address; NULL for 0 pages, a bad size, or when memory is short
 */
static inline void *vspace_new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                                     size_t size_bits)
{
    if (vspace == NULL || vspace->new_pages == NULL) {
        ZF_LOGE("vspace_new_pages: no address space, or not offered");
        return NULL;
    }
    if (num_pages == 0 || !sel4_valid_size_bits(size_bits)) {
        ZF_LOGE("cannot make %zu pages of 2^%zu bytes", num_pages, size_bits);
        return NULL;
    }
    return vspace->new_pages(vspace, rights, num_pages, size_bits);
}

/**
 * Maps frames somewhere, side by side.
 *
 * @param caps       capabilities of the frames, one per page; each can be mapped once, so copy
 *                   one to map its frame a second time
 * @param cookies    their allocation cookies, so that unmapping can free them; NULL: they stay
 *                   the caller's
 * @param rights     limited by those of each capability
 * @param cacheable  1 for ordinary memory
 * @return their address; NULL on failure
 */
static inline void *vspace_map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                     seL4_CapRights_t rights, size_t num_pages, size_t size_bits,
                                     int cacheable)
{
    if (vspace == NULL || vspace->map_pages == NULL) {
        ZF_LOGE("vspace_map_pages: no address space, or not offered");
        return NULL;
    }
    if (caps == NULL || num_pages == 0 || !sel4_valid_size_bits(size_bits)) {
        ZF_LOGE("cannot map %zu pages of 2^%zu bytes", num_pages, size_bits);
        return NULL;
    }
    return vspace->map_pages(vspace, caps, cookies, rights, num_pages, size_bits, cacheable);
}

/**
 * Makes fresh zeroed pages inside a reservation, at config->vaddr. If that fails half-way, what
 * was made is removed.
 *
 * @param res  a reservation with rights: not a deferred one, which libsel4utils would map without
 *             any
 * @return 0; -1 for 0 pages, a bad size, a range outside the reservation, a page that is mapped
 *         already, or when memory is short
 */
static inline int vspace_new_pages_at_vaddr_with_config(vspace_t *vspace,
                                                        vspace_new_pages_config_t *config,
                                                        reservation_t res)
{
    if (vspace == NULL || config == NULL || vspace->new_pages_at_vaddr == NULL) {
        ZF_LOGE("vspace_new_pages_at_vaddr: no address space, no configuration, or not offered");
        return -1;
    }
    if (res.res == NULL) {
        ZF_LOGE("cannot make pages at %p: no reservation given", config->vaddr);
        return -1;
    }
    return vspace->new_pages_at_vaddr(vspace, config->vaddr, config->num_pages, config->size_bits,
                                      res, config->can_use_dev);
}

/**
 * The same for pages that need no configuration.
 */
static inline int vspace_new_pages_at_vaddr(vspace_t *vspace, void *vaddr, size_t num_pages,
                                            size_t size_bits, reservation_t reservation)
{
    vspace_new_pages_config_t config;

    if (default_vspace_new_pages_config(num_pages, size_bits, &config) != 0) {
        return -1;
    }
    (void)vspace_new_pages_config_set_vaddr(vaddr, &config); /* cannot fail */
    return vspace_new_pages_at_vaddr_with_config(vspace, &config, reservation);
}

/**
 * Maps frames inside a reservation, with its rights.
 *
 * @param caps, cookies  as for vspace_map_pages
 * @param vaddr          of the first page; NULL is warned of, as it is often a mistake
 * @param reservation    must contain all of the range, and must not be a deferred one
 * @return 0; -1 for 0 pages, a bad size, a range outside the reservation, a page that is mapped
 *         already
 */
static inline int vspace_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                            void *vaddr, size_t num_pages, size_t size_bits,
                                            reservation_t reservation)
{
    if (vspace == NULL || vspace->map_pages_at_vaddr == NULL) {
        ZF_LOGE("vspace_map_pages_at_vaddr: no address space, or not offered");
        return -1;
    }
    if (num_pages == 0) {
        ZF_LOGW("cannot map 0 pages at %p", vaddr);
        return -1;
    }
    if (vaddr == NULL) {
        ZF_LOGW("mapping %zu pages at address 0", num_pages);
    }
    return vspace->map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages, size_bits,
                                      reservation);
}

/**
 * Maps frames inside a deferred reservation, with rights chosen now. Different pages may get
 * different ones.
 *
 * @param rights       limited by those of each capability
 * @param reservation  one of vspace_reserve_deferred_rights_range_at
 * @return as vspace_map_pages_at_vaddr; -1 for a reservation that has rights
 */
static inline int vspace_deferred_rights_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[],
                                                            uintptr_t cookies[], void *vaddr,
                                                            size_t num_pages, size_t size_bits,
                                                            seL4_CapRights_t rights,
                                                            reservation_t reservation)
{
    if (vspace == NULL || vspace->deferred_rights_map_pages_at_vaddr == NULL) {
        ZF_LOGE("vspace_deferred_rights_map_pages_at_vaddr: no address space, or not offered");
        return -1;
    }
    if (num_pages == 0) {
        ZF_LOGW("cannot map 0 pages at %p", vaddr);
        return -1;
    }
    if (vaddr == NULL) {
        ZF_LOGW("mapping %zu pages at address 0", num_pages);
    }
    return vspace->deferred_rights_map_pages_at_vaddr(vspace, caps, cookies, vaddr, num_pages,
                                                      size_bits, rights, reservation);
}

/**
 * Unmaps pages. Those inside a reservation are reserved again, others empty. Pages that are not
 * mapped are logged and skipped; libsel4utils ends the program there.
 *
 * @param vka  VSPACE_PRESERVE (NULL) to leave the capabilities to the caller; VSPACE_FREE or an
 *             allocator to delete them and to free the frames that were mapped with a cookie
 */
static inline void vspace_unmap_pages(vspace_t *vspace, void *vaddr, size_t num_pages,
                                      size_t size_bits, vka_t *vka)
{
    if (vspace == NULL || vspace->unmap_pages == NULL) {
        ZF_LOGE("vspace_unmap_pages: no address space, or not offered");
        return;
    }
    if (num_pages == 0) {
        ZF_LOGW("no pages to unmap at %p", vaddr);
        return;
    }
    vspace->unmap_pages(vspace, vaddr, num_pages, size_bits, vka);
}

/**
 * Frees all reservations and mappings of an address space; the frames, too, if an allocator is
 * given. The VMM's own address space stays as it is; in a guest's the VM's own reservations stay,
 * without memory.
 */
static inline void vspace_tear_down(vspace_t *vspace, vka_t *vka)
{
    if (vspace == NULL || vspace->tear_down == NULL) {
        ZF_LOGE("vspace_tear_down: no address space, or not offered");
        return;
    }
    vspace->tear_down(vspace, vka);
}

/**
 * Reserves a range somewhere, for mappings with the same rights.
 *
 * @param bytes      rounded up to 4 KiB
 * @param size_bits  the address is a multiple of 2^size_bits
 * @param rights     of everything that will be mapped in it
 * @param vaddr      receives the address
 * @return the reservation, until vspace_free_reservation; res NULL for 0 bytes, no place for the
 *         address, a bad size, no room
 */
static inline reservation_t vspace_reserve_range_aligned(vspace_t *vspace, size_t bytes,
                                                         size_t size_bits, seL4_CapRights_t rights,
                                                         int cacheable, void **vaddr)
{
    if (vspace == NULL || vspace->reserve_range_aligned == NULL) {
        ZF_LOGE("vspace_reserve_range_aligned: no address space, or not offered");
        return vspace_no_reservation();
    }
    if (vaddr == NULL) {
        ZF_LOGE("vspace_reserve_range_aligned: no place for the address");
        return vspace_no_reservation();
    }
    if (bytes == 0 || !sel4_valid_size_bits(size_bits)) {
        ZF_LOGE("cannot reserve %zu bytes at a multiple of 2^%zu", bytes, size_bits);
        return vspace_no_reservation();
    }
    return vspace->reserve_range_aligned(vspace, bytes, size_bits, rights, cacheable, vaddr);
}

/**
 * Reserves a range somewhere, aligned to 4 KiB.
 */
static inline reservation_t vspace_reserve_range(vspace_t *vspace, size_t bytes,
                                                 seL4_CapRights_t rights, int cacheable,
                                                 void **vaddr)
{
    return vspace_reserve_range_aligned(vspace, bytes, seL4_PageBits, rights, cacheable, vaddr);
}

/**
 * Reserves a range at an address, for mappings with the same rights.
 *
 * @param vaddr, bytes  rounded outwards to 4 KiB; every page must be empty
 * @param rights        of everything that will be mapped in it
 * @return the reservation, until vspace_free_reservation; res NULL for 0 bytes, or when a page is
 *         taken
 */
static inline reservation_t vspace_reserve_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                                    seL4_CapRights_t rights, int cacheable)
{
    if (vspace == NULL || vspace->reserve_range_at == NULL) {
        ZF_LOGE("vspace_reserve_range_at: no address space, or not offered");
        return vspace_no_reservation();
    }
    if (bytes == 0) {
        ZF_LOGE("cannot reserve 0 bytes at %p", vaddr);
        return vspace_no_reservation();
    }
    return vspace->reserve_range_at(vspace, vaddr, bytes, rights, cacheable);
}

/**
 * Reserves a range at an address, for mappings that each bring their rights: those of
 * vspace_deferred_rights_map_pages_at_vaddr. Otherwise like vspace_reserve_range_at.
 */
static inline reservation_t vspace_reserve_deferred_rights_range_at(vspace_t *vspace, void *vaddr,
                                                                    size_t bytes, int cacheable)
{
    if (vspace == NULL || vspace->reserve_deferred_rights_range_at == NULL) {
        ZF_LOGE("vspace_reserve_deferred_rights_range_at: no address space, or not offered");
        return vspace_no_reservation();
    }
    if (bytes == 0) {
        ZF_LOGE("cannot reserve 0 bytes at %p", vaddr);
        return vspace_no_reservation();
    }
    return vspace->reserve_deferred_rights_range_at(vspace, vaddr, bytes, cacheable);
}

/**
 * Gives a reservation up. What is mapped in it stays mapped; its other pages are empty again.
 *
 * Differs from libsel4utils, which leaves pages behind the first mapped one, and blocks of 2 MiB,
 * reserved.
 */
static inline void vspace_free_reservation(vspace_t *vspace, reservation_t reservation)
{
    if (vspace == NULL || vspace->free_reservation == NULL) {
        ZF_LOGE("vspace_free_reservation: no address space, or not offered");
        return;
    }
    vspace->free_reservation(vspace, reservation);
}

/**
 * Gives the reservation up that contains an address; logs when there is none, where libsel4utils
 * crashes, and when it is a VM's own: those of vm_reserve_memory_at, vm_memory_make_anon and the
 * interrupt controllers.
 */
static inline void vspace_free_reservation_by_vaddr(vspace_t *vspace, void *vaddr)
{
    if (vspace == NULL || vspace->free_reservation_by_vaddr == NULL) {
        ZF_LOGE("vspace_free_reservation_by_vaddr: no address space, or not offered");
        return;
    }
    vspace->free_reservation_by_vaddr(vspace, vaddr);
}

/**
 * The capability that is mapped at an address, aligned or not; seL4_CapNull when nothing is. A
 * large frame has the same one everywhere.
 */
static inline seL4_CPtr vspace_get_cap(vspace_t *vspace, void *vaddr)
{
    if (vspace == NULL || vspace->get_cap == NULL) {
        ZF_LOGE("vspace_get_cap: no address space, or not offered");
        return seL4_CapNull;
    }
    return vspace->get_cap(vspace, vaddr);
}

/**
 * The allocation cookie that came with the mapping at an address; 0 when none did, or nothing is
 * mapped.
 */
static inline uintptr_t vspace_get_cookie(vspace_t *vspace, void *vaddr)
{
    if (vspace == NULL || vspace->get_cookie == NULL) {
        ZF_LOGE("vspace_get_cookie: no address space, or not offered");
        return 0;
    }
    return vspace->get_cookie(vspace, vaddr);
}

/**
 * The capability of the address space itself.
 */
static inline seL4_CPtr vspace_get_root(vspace_t *vspace)
{
    if (vspace == NULL || vspace->get_root == NULL) {
        ZF_LOGE("vspace_get_root: no address space, or not offered");
        return seL4_CapNull;
    }
    return vspace->get_root(vspace);
}

/**
 * Maps pages of one address space in another one, too, inside a reservation there and with its
 * rights. If that fails half-way, what was mapped is removed.
 *
 * @param start      the first page in `from`; every page must be mapped there
 * @param num_pages  more than 0
 * @param vaddr      where to in `to`
 * @param res        a reservation of `to` with rights
 * @return 0, or nonzero on failure
 */
static inline int vspace_share_mem_at_vaddr(vspace_t *from, vspace_t *to, void *start,
                                            int num_pages, size_t size_bits, void *vaddr,
                                            reservation_t res)
{
    if (from == NULL || to == NULL || from->share_mem_at_vaddr == NULL) {
        ZF_LOGE("vspace_share_mem_at_vaddr: an address space is missing, or not offered");
        return -1;
    }
    if (num_pages <= 0) {
        ZF_LOGE("cannot share %d pages", num_pages);
        return -1;
    }
    return from->share_mem_at_vaddr(from, to, start, num_pages, size_bits, vaddr, res);
}

/**
 * Tells the owner of an address space, if it asked for that, of an object that was allocated for
 * it.
 */
static inline void vspace_maybe_call_allocated_object(vspace_t *vspace, vka_object_t object)
{
    if (vspace == NULL) {
        ZF_LOGE("vspace_maybe_call_allocated_object: no address space");
        return;
    }
    if (vspace->allocated_object != NULL) {
        vspace->allocated_object(vspace->allocated_object_cookie, object);
    }
}

/* What is built on these operations. */

/**
 * Makes fresh zeroed pages side by side, at config->vaddr if that is set.
 *
 * @param config  vaddr receives the address
 * @return the address; NULL for 0 pages, a bad size, a taken address, or when memory is short
 */
void *vspace_new_pages_with_config(vspace_t *vspace, vspace_new_pages_config_t *config,
                                   seL4_CapRights_t rights);

/**
 * Maps pages of one address space in another one, too, side by side at an address chosen there.
 *
 * @param start      the first page in `from`; every page must be mapped there
 * @param num_pages  more than 0
 * @param rights     of the new mapping, limited by those of the capabilities
 * @return the address in `to`, until vspace_unmap_pages; NULL on failure
 */
void *vspace_share_mem(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                       seL4_CapRights_t rights, int cacheable);

/**
 * Given a page to look at.
 *
 * @param access_addr  the address that was asked for
 * @param vaddr        where the page begins in this process; valid during the call
 */
typedef int (*vspace_access_callback_fn)(void *access_addr, void *vaddr, void *cookie);

/**
 * Maps one page of an address space in another one while a callback looks at it. Callbacks may
 * nest.
 *
 * @param access_addr  an address in `from`; should be the beginning of a page
 * @return what the callback returned; -1 when the page is not mapped in `from` or could not be
 *         mapped in `to`, and the callback was not called
 */
int vspace_access_page_with_callback(vspace_t *from, vspace_t *to, void *access_addr,
                                     size_t size_bits, seL4_CapRights_t rights, int cacheable,
                                     vspace_access_callback_fn callback, void *cookie);

/**
 * Makes a stack, with an inaccessible page below it.
 *
 * @param n_pages  its size in 4 KiB pages, not 0
 * @return its top, until vspace_free_sized_stack; NULL on failure
 */
void *vspace_new_sized_stack(vspace_t *vspace, size_t n_pages);

/**
 * Frees a stack, given its top and size.
 */
void vspace_free_sized_stack(vspace_t *vspace, void *stack_top, size_t n_pages);

/**
 * Makes a stack of the usual size, CONFIG_SEL4UTILS_STACK_SIZE bytes.
 */
static inline void *vspace_new_stack(vspace_t *vspace)
{
    return vspace_new_sized_stack(vspace, BYTES_TO_4K_PAGES(CONFIG_SEL4UTILS_STACK_SIZE));
}

/**
 * Frees a stack of the usual size, given its top.
 */
static inline void vspace_free_stack(vspace_t *vspace, void *stack_top)
{
    vspace_free_sized_stack(vspace, stack_top, BYTES_TO_4K_PAGES(CONFIG_SEL4UTILS_STACK_SIZE));
}

/**
 * Makes a page for a thread's messages.
 *
 * @param page  receives its capability, which belongs to the mapping
 * @return its address, until vspace_free_ipc_buffer; NULL on failure
 */
void *vspace_new_ipc_buffer(vspace_t *vspace, seL4_CPtr *page);

/**
 * Frees a page for a thread's messages.
 */
void vspace_free_ipc_buffer(vspace_t *vspace, void *addr);

#ifdef __cplusplus
}
#endif
