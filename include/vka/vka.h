/* The virtual kernel allocator: capability slots, and the memory that objects are made of. */
#pragma once

#include <sel4/sel4.h>
#include <utils/util.h>
#include <vka/cspacepath_t.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Every operation is given the allocator's data first; the inline functions below say what each
 * one does.
 */
typedef int (*vka_cspace_alloc_fn)(void *data, seL4_CPtr *res);
typedef void (*vka_cspace_make_path_fn)(void *data, seL4_CPtr slot, cspacepath_t *res);
typedef int (*vka_utspace_alloc_fn)(void *data, const cspacepath_t *dest, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word *res);
typedef int (*vka_utspace_alloc_maybe_device_fn)(void *data, const cspacepath_t *dest,
                                                 seL4_Word type, seL4_Word size_bits,
                                                 bool can_use_dev, seL4_Word *res);
typedef int (*vka_utspace_alloc_at_fn)(void *data, const cspacepath_t *dest, seL4_Word type,
                                       seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie);
typedef void (*vka_cspace_free_fn)(void *data, seL4_CPtr slot);
typedef void (*vka_utspace_free_fn)(void *data, seL4_Word type, seL4_Word size_bits,
                                    seL4_Word target);
typedef uintptr_t (*vka_utspace_paddr_fn)(void *data, seL4_Word target, seL4_Word type,
                                          seL4_Word size_bits);

/* What vka_utspace_paddr answers when there is no physical address. */
#define VKA_NO_PADDR 1

/**
 * An allocator. An environment's has every member set; a client may replace single members and
 * call the ones it saved.
 */
typedef struct vka {
    void *data;
    vka_cspace_alloc_fn cspace_alloc;
    vka_cspace_make_path_fn cspace_make_path;
    vka_utspace_alloc_fn utspace_alloc;
    vka_utspace_alloc_maybe_device_fn utspace_alloc_maybe_device;
    vka_utspace_alloc_at_fn utspace_alloc_at;
    vka_cspace_free_fn cspace_free;
    vka_utspace_free_fn utspace_free;
    vka_utspace_paddr_fn utspace_paddr;
} vka_t;

/*
 * The functions that return int return 0, or nonzero on failure: -1 when the allocator, a pointer
 * for the result, or the operation is missing. They may be called from any thread if the
 * allocator is an environment's.
 */

/**
 * Takes an empty slot.
 *
 * @param res  receives its handle, until vka_cspace_free
 */
static inline int vka_cspace_alloc(vka_t *vka, seL4_CPtr *res)
{
    if (vka == NULL || res == NULL || vka->cspace_alloc == NULL) {
        ZF_LOGE("vka_cspace_alloc: no allocator, no place for the result, or not offered");
        return -1;
    }
    return vka->cspace_alloc(vka->data, res);
}

/**
 * Fills in the path of a slot. Without an allocator the path names no slot (all members 0).
 */
static inline void vka_cspace_make_path(vka_t *vka, seL4_CPtr slot, cspacepath_t *res)
{
    if (res == NULL) {
        ZF_LOGE("vka_cspace_make_path: no place for the result");
        return;
    }
    if (vka == NULL || vka->cspace_make_path == NULL) {
        ZF_LOGE("vka_cspace_make_path: no allocator, or not offered");
        memset(res, 0, sizeof(*res));
        return;
    }
    vka->cspace_make_path(vka->data, slot, res);
}

/**
 * Takes an empty slot and fills in its path.
 */
static inline int vka_cspace_alloc_path(vka_t *vka, cspacepath_t *res)
{
    seL4_CPtr slot;
    int r;

    if (res == NULL) {
        ZF_LOGE("vka_cspace_alloc_path: no place for the result");
        return -1;
    }
    r = vka_cspace_alloc(vka, &slot);
    if (r != 0) {
        return r;
    }
    vka_cspace_make_path(vka, slot, res);
    return 0;
}

/**
 * Gives a slot back. It should be empty.
 */
static inline void vka_cspace_free(vka_t *vka, seL4_CPtr slot)
{
    if (vka == NULL || vka->cspace_free == NULL) {
        ZF_LOGE("vka_cspace_free: no allocator, or not offered");
        return;
    }
    vka->cspace_free(vka->data, slot);
}

/**
 * Gives the slot of a path back. It should be empty.
 */
static inline void vka_cspace_free_path(vka_t *vka, cspacepath_t path)
{
    vka_cspace_free(vka, path.capPtr);
}

/**
 * Makes an object and puts its capability into a slot.
 *
 * @param dest       an empty slot
 * @param type       a seL4_ObjectType
 * @param size_bits  logarithm of its size
 * @param res        receives the allocation's cookie, for vka_utspace_free
 */
static inline int vka_utspace_alloc(vka_t *vka, const cspacepath_t *dest, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word *res)
{
    if (vka == NULL || res == NULL || vka->utspace_alloc == NULL) {
        ZF_LOGE("vka_utspace_alloc: no allocator, no place for the result, or not offered");
        return -1;
    }
    return vka->utspace_alloc(vka->data, dest, type, size_bits, res);
}

/**
 * Makes an object, out of device memory if that is fine. A hosted environment has none and makes
 * an ordinary one.
 */
static inline int vka_utspace_alloc_maybe_device(vka_t *vka, const cspacepath_t *dest,
                                                 seL4_Word type, seL4_Word size_bits,
                                                 bool can_use_dev, seL4_Word *res)
{
    if (vka == NULL || res == NULL || vka->utspace_alloc_maybe_device == NULL) {
        ZF_LOGE("vka_utspace_alloc_maybe_device: no allocator, no result wanted, or not offered");
        return -1;
    }
    return vka->utspace_alloc_maybe_device(vka->data, dest, type, size_bits, can_use_dev, res);
}

/**
 * Makes an object at a physical address. In a hosted environment only what hostvm_env_add_phys
 * registered has one.
 */
static inline int vka_utspace_alloc_at(vka_t *vka, const cspacepath_t *dest, seL4_Word type,
                                       seL4_Word size_bits, uintptr_t paddr, seL4_Word *cookie)
{
    if (vka == NULL || cookie == NULL || vka->utspace_alloc_at == NULL) {
        ZF_LOGE("vka_utspace_alloc_at: no allocator, no place for the result, or not offered");
        return -1;
    }
    return vka->utspace_alloc_at(vka->data, dest, type, size_bits, paddr, cookie);
}

/**
 * Gives the memory of an object back, whose capabilities are all deleted.
 *
 * @param target  the allocation's cookie
 */
static inline void vka_utspace_free(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                    seL4_Word target)
{
    if (vka == NULL || vka->utspace_free == NULL) {
        ZF_LOGE("vka_utspace_free: no allocator, or not offered");
        return;
    }
    vka->utspace_free(vka->data, type, size_bits, target);
}

/**
 * The physical address of an allocation.
 *
 * @return the address; VKA_NO_PADDR when it has none or when that is not known
 */
static inline uintptr_t vka_utspace_paddr(vka_t *vka, seL4_Word target, seL4_Word type,
                                          seL4_Word size_bits)
{
    if (vka == NULL || vka->utspace_paddr == NULL) {
        ZF_LOGE("vka_utspace_paddr: no allocator, or not offered");
        return VKA_NO_PADDR;
    }
    return vka->utspace_paddr(vka->data, target, type, size_bits);
}

#ifdef __cplusplus
}
#endif
