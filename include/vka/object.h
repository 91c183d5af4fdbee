/* Objects: a slot, a capability in it and the memory behind it, allocated and freed as one. */
#pragma once

#include <sel4/sel4.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/kobject_t.h>
#include <vka/vka.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An allocated object. All members 0: none.
 */
typedef struct vka_object {
    seL4_CPtr cptr;      /* its capability */
    seL4_Word ut;        /* the allocation's cookie, never 0 */
    seL4_Word type;      /* a seL4_ObjectType */
    seL4_Word size_bits; /* logarithm of its size */
} vka_object_t;

/*
 * The vka_alloc_ functions return 0, and an object that is the caller's until vka_free_object; or
 * nonzero, and *result zeroed. The leaky ones return only the capability, 0 on failure: what they
 * allocate lives as long as the allocator.
 */

/* Records what was made in a slot; or gives the slot back, when making it failed with r. */
static inline int vka_finish_object(vka_t *vka, int r, const cspacepath_t *path, seL4_Word type,
                                    seL4_Word size_bits, seL4_Word ut, vka_object_t *result)
{
    if (r != 0) {
        vka_cspace_free_path(vka, *path);
        return r;
    }
    result->cptr = path->capPtr;
    result->ut = ut;
    result->type = type;
    result->size_bits = size_bits;
    return 0;
}

/* Zeroes the result and takes a slot for it. */
static inline int vka_begin_object(vka_t *vka, cspacepath_t *path, vka_object_t *result)
{
    if (result == NULL) {
        ZF_LOGE("no place for the object");
        return -1;
    }
    memset(result, 0, sizeof(*result));
    return vka_cspace_alloc_path(vka, path);
}

/**
 * Allocates an object of a type, whose size may come out of device memory.
 */
static inline int vka_alloc_object_maybe_dev(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                             bool can_use_dev, vka_object_t *result)
{
    cspacepath_t path;
    seL4_Word ut = 0;
    int r;

    r = vka_begin_object(vka, &path, result);
    if (r != 0) {
        return r;
    }
    r = vka_utspace_alloc_maybe_device(vka, &path, type, size_bits, can_use_dev, &ut);
    return vka_finish_object(vka, r, &path, type, size_bits, ut, result);
}

/**
 * Allocates an object of a type.
 *
 * @param type       a seL4_ObjectType
 * @param size_bits  logarithm of its size
 */
static inline int vka_alloc_object(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                   vka_object_t *result)
{
    cspacepath_t path;
    seL4_Word ut = 0;
    int r;

    r = vka_begin_object(vka, &path, result);
    if (r != 0) {
        return r;
    }
    r = vka_utspace_alloc(vka, &path, type, size_bits, &ut);
    return vka_finish_object(vka, r, &path, type, size_bits, ut, result);
}

/**
 * Allocates an object at a physical address, as vka_utspace_alloc_at does.
 */
static inline int vka_alloc_object_at(vka_t *vka, seL4_Word type, seL4_Word size_bits,
                                      uintptr_t paddr, vka_object_t *result)
{
    cspacepath_t path;
    seL4_Word ut = 0;
    int r;

    r = vka_begin_object(vka, &path, result);
    if (r != 0) {
        return r;
    }
    r = vka_utspace_alloc_at(vka, &path, type, size_bits, paddr, &ut);
    return vka_finish_object(vka, r, &path, type, size_bits, ut, result);
}

static inline seL4_CPtr vka_alloc_object_leaky(vka_t *vka, seL4_Word type, seL4_Word size_bits)
{
    vka_object_t object;

    if (vka_alloc_object(vka, type, size_bits, &object) != 0) {
        return seL4_CapNull;
    }
    return object.cptr;
}

/**
 * Frees an object: deletes its capability, gives slot and memory back. Copies of the capability
 * keep what they name alive.
 *
 * @param object  what a vka_alloc_ function filled in; NULL, or one without a capability, is only
 *                logged
 */
static inline void vka_free_object(vka_t *vka, vka_object_t *object)
{
    cspacepath_t path;

    if (vka == NULL || object == NULL || object->cptr == seL4_CapNull) {
        ZF_LOGE("vka_free_object: no allocator, or no object");
        return;
    }
    vka_cspace_make_path(vka, object->cptr, &path);
    if (vka_cnode_delete(&path) != seL4_NoError) {
        ZF_LOGE("vka_free_object: no capability 0x%" SEL4_PRIx_word, object->cptr);
        return;
    }
    vka_utspace_free(vka, object->type, object->size_bits, object->ut);
    vka_cspace_free(vka, object->cptr);
}

/**
 * Allocates memory that can be retyped to objects (seL4_Untyped_Retype).
 *
 * @param size_bits  logarithm of its size, seL4_MinUntypedBits .. seL4_MaxUntypedBits
 */
static inline int vka_alloc_untyped(vka_t *vka, uint32_t size_bits, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_UntypedObject, size_bits, result);
}

/**
 * Allocates an endpoint: something that vm_run can wait on, and that signals and messages are
 * sent to.
 */
static inline int vka_alloc_endpoint(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_EndpointObject, seL4_EndpointBits, result);
}

/**
 * Allocates a notification: something that vm_run can wait on, and that is signalled.
 */
static inline int vka_alloc_notification(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_NotificationObject, seL4_NotificationBits, result);
}

/**
 * Allocates a thread object: a handle with nothing behind it.
 */
static inline int vka_alloc_tcb(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_TCBObject, seL4_TCBBits, result);
}

/**
 * Allocates a capability table: a handle with nothing behind it.
 */
static inline int vka_alloc_cnode_object(vka_t *vka, uint32_t slot_bits, vka_object_t *result)
{
    return vka_alloc_object(vka, seL4_CapTableObject, slot_bits + seL4_SlotBits, result);
}

/**
 * Allocates a vcpu object: a handle with nothing behind it.
 */
static inline int vka_alloc_vcpu(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, HOSTVM_VCPU_OBJECT, seL4_PageBits, result);
}

/**
 * Allocates the root of an address space: a handle with nothing behind it.
 */
static inline int vka_alloc_vspace_root(vka_t *vka, vka_object_t *result)
{
    return vka_alloc_object(vka, HOSTVM_VSPACE_OBJECT, seL4_VSpaceBits, result);
}

/*
 * Looks the object type of a frame up; for a size there is not, complains, zeroes the result and
 * returns -1.
 */
static inline int vka_find_frame_type(uint32_t size_bits, seL4_Word *type, vka_object_t *result)
{
    *type = kobject_get_type(KOBJECT_FRAME, size_bits);
    if (*type != (seL4_Word)-1) {
        return 0;
    }
    ZF_LOGE("no frames of 2^%u bytes: 12, 21 or 30 would do", size_bits);
    if (result != NULL) {
        memset(result, 0, sizeof(*result));
    }
    return -1;
}

/**
 * Allocates a frame: zeroed memory.
 *
 * @param size_bits  seL4_PageBits, seL4_LargePageBits or seL4_HugePageBits
 */
static inline int vka_alloc_frame(vka_t *vka, uint32_t size_bits, vka_object_t *result)
{
    seL4_Word type;

    if (vka_find_frame_type(size_bits, &type, result) != 0) {
        return -1;
    }
    return vka_alloc_object(vka, type, size_bits, result);
}

/**
 * Allocates a frame, out of device memory if that is fine; a hosted environment has none and
 * gives ordinary memory.
 */
static inline int vka_alloc_frame_maybe_device(vka_t *vka, uint32_t size_bits, bool can_use_dev,
                                               vka_object_t *result)
{
    seL4_Word type;

    if (vka_find_frame_type(size_bits, &type, result) != 0) {
        return -1;
    }
    return vka_alloc_object_maybe_dev(vka, type, size_bits, can_use_dev, result);
}

/**
 * Allocates the frame at a physical address, as vka_utspace_alloc_at does.
 */
static inline int vka_alloc_frame_at(vka_t *vka, uint32_t size_bits, uintptr_t paddr,
                                     vka_object_t *result)
{
    seL4_Word type;

    if (vka_find_frame_type(size_bits, &type, result) != 0) {
        return -1;
    }
    return vka_alloc_object_at(vka, type, size_bits, paddr, result);
}

static inline seL4_CPtr vka_alloc_frame_leaky(vka_t *vka, uint32_t size_bits)
{
    vka_object_t object;

    if (vka_alloc_frame(vka, size_bits, &object) != 0) {
        return seL4_CapNull;
    }
    return object.cptr;
}

static inline seL4_CPtr vka_alloc_untyped_leaky(vka_t *vka, uint32_t size_bits)
{
    return vka_alloc_object_leaky(vka, seL4_UntypedObject, size_bits);
}

static inline seL4_CPtr vka_alloc_endpoint_leaky(vka_t *vka)
{
    return vka_alloc_object_leaky(vka, seL4_EndpointObject, seL4_EndpointBits);
}

static inline seL4_CPtr vka_alloc_notification_leaky(vka_t *vka)
{
    return vka_alloc_object_leaky(vka, seL4_NotificationObject, seL4_NotificationBits);
}

/* A page table: a handle with nothing behind it. */
static inline seL4_CPtr vka_alloc_page_table_leaky(vka_t *vka)
{
    return vka_alloc_object_leaky(vka, HOSTVM_PAGE_TABLE_OBJECT, seL4_PageTableBits);
}

#ifdef __cplusplus
}
#endif
