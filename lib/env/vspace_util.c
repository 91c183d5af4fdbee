/* Operations on address spaces that are built on the public vspace interface alone. */
#include "vspace/vspace.h"

#include <errno.h>

#include "base/reason.h"

/* Leaves the reason behind and logs it, once. Failures further down did both already. */
static void refuse(const char *reason)
{
    (void)fail_text(-EINVAL, reason);
    ZF_LOGE("%s", reason);
}

static reservation_t reserve_for(vspace_t *vspace, const vspace_new_pages_config_t *config,
                                 seL4_CapRights_t rights, void **vaddr)
{
    const size_t bytes = config->num_pages << config->size_bits;

    if (config->vaddr != NULL) {
        *vaddr = config->vaddr;
        return vspace_reserve_range_at(vspace, config->vaddr, bytes, rights, 1);
    }
    return vspace_reserve_range_aligned(vspace, bytes, config->size_bits, rights, 1, vaddr);
}

static bool config_is_valid(const vspace_new_pages_config_t *config)
{
    return config != NULL && config->num_pages > 0 && sel4_valid_size_bits(config->size_bits) &&
           config->num_pages <= SIZE_MAX >> config->size_bits;
}

void *vspace_new_pages_with_config(vspace_t *vspace, vspace_new_pages_config_t *config,
                                   seL4_CapRights_t rights)
{
    vspace_new_pages_config_t placed;
    reservation_t reservation;
    void *vaddr = NULL;
    int r;

    if (!config_is_valid(config)) {
        refuse("cannot make pages: no configuration, no pages in it, or a size there is not; "
               "sizes are 2^12, 2^21 and 2^30");
        return NULL;
    }
    reservation = reserve_for(vspace, config, rights, &vaddr);
    if (reservation.res == NULL) {
        return NULL;
    }
    placed = *config;
    placed.vaddr = vaddr;
    r = vspace_new_pages_at_vaddr_with_config(vspace, &placed, reservation);
    /* the pages need it no longer: they stay mapped without it */
    vspace_free_reservation(vspace, reservation);
    if (r != 0) {
        return NULL;
    }
    config->vaddr = vaddr;
    return vaddr;
}

void *vspace_share_mem(vspace_t *from, vspace_t *to, void *start, int num_pages, size_t size_bits,
                       seL4_CapRights_t rights, int cacheable)
{
    reservation_t reservation;
    void *vaddr = NULL;
    int r;

    if (num_pages <= 0 || !sel4_valid_size_bits(size_bits)) {
        refuse("cannot share memory: no pages, or a size there is not; "
               "sizes are 2^12, 2^21 and 2^30");
        return NULL;
    }
    reservation = vspace_reserve_range_aligned(to, (size_t)num_pages << size_bits, size_bits,
                                               rights, cacheable, &vaddr);
    if (reservation.res == NULL) {
        return NULL;
    }
    r = vspace_share_mem_at_vaddr(from, to, start, num_pages, size_bits, vaddr, reservation);
    vspace_free_reservation(to, reservation);
    return r == 0 ? vaddr : NULL;
}

int vspace_access_page_with_callback(vspace_t *from, vspace_t *to, void *access_addr,
                                     size_t size_bits, seL4_CapRights_t rights, int cacheable,
                                     vspace_access_callback_fn callback, void *cookie)
{
    void *page;
    void *vaddr;
    int r;

    if (callback == NULL || !sel4_valid_size_bits(size_bits)) {
        refuse("cannot access a page: no callback, or a size there is not; "
               "sizes are 2^12, 2^21 and 2^30");
        return -1;
    }
    page = (void *)PAGE_ALIGN((uintptr_t)access_addr, BIT(size_bits));
    vaddr = vspace_share_mem(from, to, page, 1, size_bits, rights, cacheable);
    if (vaddr == NULL) {
        return -1;
    }
    r = callback(access_addr, vaddr, cookie);
    /* deletes the copy of the capability that sharing made; the frame is not ours to free */
    vspace_unmap_pages(to, vaddr, 1, size_bits, VSPACE_FREE);
    return r;
}

void *vspace_new_sized_stack(vspace_t *vspace, size_t n_pages)
{
    reservation_t reservation;
    void *guard = NULL;
    char *bottom;

    if (n_pages == 0 || n_pages >= SIZE_MAX >> seL4_PageBits) {
        refuse("cannot make a stack: it needs a page or more, and no more than there are");
        return NULL;
    }
    reservation = vspace_reserve_range(vspace, (n_pages + 1) << seL4_PageBits, seL4_AllRights, 1,
                                       &guard);
    if (reservation.res == NULL) {
        return NULL;
    }
    bottom = (char *)guard + PAGE_SIZE_4K;
    if (vspace_new_pages_at_vaddr(vspace, bottom, n_pages, seL4_PageBits, reservation) != 0) {
        vspace_free_reservation(vspace, reservation);
        return NULL;
    }
    /* the reservation stays: it keeps the guard page empty */
    return bottom + (n_pages << seL4_PageBits);
}

void vspace_free_sized_stack(vspace_t *vspace, void *stack_top, size_t n_pages)
{
    char *bottom;

    if (stack_top == NULL || n_pages == 0) {
        refuse("cannot free a stack: no top, or no pages");
        return;
    }
    bottom = (char *)stack_top - (n_pages << seL4_PageBits);
    vspace_unmap_pages(vspace, bottom, n_pages, seL4_PageBits, VSPACE_FREE);
    vspace_free_reservation_by_vaddr(vspace, bottom - PAGE_SIZE_4K);
}

void *vspace_new_ipc_buffer(vspace_t *vspace, seL4_CPtr *page)
{
    void *vaddr;

    if (page == NULL) {
        refuse("cannot make an IPC buffer: no place for its capability");
        return NULL;
    }
    vaddr = vspace_new_pages(vspace, seL4_AllRights, 1, seL4_PageBits);
    if (vaddr == NULL) {
        return NULL;
    }
    *page = vspace_get_cap(vspace, vaddr);
    return vaddr;
}

void vspace_free_ipc_buffer(vspace_t *vspace, void *addr)
{
    vspace_unmap_pages(vspace, addr, 1, seL4_PageBits, VSPACE_FREE);
}
