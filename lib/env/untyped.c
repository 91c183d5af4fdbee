/* Untyped memory: allocated as a block, and retyped into objects that are cut from it. */
#include <errno.h>

#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"
#include "env/untyped.h"

static bool untyped_bits_valid(seL4_Word bits)
{
    return bits >= seL4_MinUntypedBits && bits <= seL4_MaxUntypedBits;
}

bool object_is_frame(seL4_Word type, unsigned *ret_bits)
{
    switch (type) {
    case HOSTVM_FRAME_4K_OBJECT:
        *ret_bits = seL4_PageBits;
        return true;
    case HOSTVM_FRAME_2M_OBJECT:
        *ret_bits = seL4_LargePageBits;
        return true;
    case HOSTVM_FRAME_1G_OBJECT:
        *ret_bits = seL4_HugePageBits;
        return true;
    default:
        return false;
    }
}

static int untyped_create(struct env *env, seL4_Word bits, seL4_CPtr slot)
{
    uint64_t size = UINT64_C(1) << (bits & 63);
    struct block *block;
    struct cap *cap;
    int r;

    if (!untyped_bits_valid(bits)) {
        return fail(-EINVAL, "cannot make untyped memory of 2^%lu bytes: only 2^%d to 2^%d", bits,
                    seL4_MinUntypedBits, seL4_MaxUntypedBits);
    }
    env_lock(env);
    r = cap_find_empty(env, slot, &cap);
    if (r == 0) {
        r = block_create_aligned(env, size, size, &block);
    }
    if (r == 0) {
        block->size = size; /* what can be cut from it; whole pages are accounted for */
        cap_fill_untyped(cap, block, (unsigned)bits);
    }
    env_unlock(env);
    return r;
}

static int token_create(struct env *env, seL4_Word type, seL4_CPtr slot)
{
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find_empty(env, slot, &cap);
    if (r == 0) {
        cap_fill_token(cap, type);
    }
    env_unlock(env);
    return r;
}

int object_create(struct env *env, seL4_Word type, seL4_Word size_bits, seL4_CPtr slot)
{
    unsigned frame_bits;

    if (type >= seL4_ObjectTypeCount) {
        return fail(-EINVAL, "there is no object type %lu", type);
    }
    if (object_is_frame(type, &frame_bits)) {
        return frame_create(env, frame_bits, slot);
    }
    switch (type) {
    case seL4_UntypedObject:
        return untyped_create(env, size_bits, slot);
    case seL4_EndpointObject:
        return ntfn_create(env, CAP_ENDPOINT, slot);
    case seL4_NotificationObject:
        return ntfn_create(env, CAP_NOTIFICATION, slot);
    default:
        return token_create(env, type, slot);
    }
}

/* Bytes that an object takes from untyped memory; 0 for one that has no memory. */
static uint64_t memory_of(seL4_Word type, seL4_Word size_bits)
{
    unsigned bits;

    if (object_is_frame(type, &bits)) {
        return UINT64_C(1) << bits;
    }
    switch (type) {
    case seL4_UntypedObject:
        return UINT64_C(1) << (size_bits & 63);
    case seL4_EndpointObject:
        return UINT64_C(1) << seL4_EndpointBits;
    case seL4_NotificationObject:
        return UINT64_C(1) << seL4_NotificationBits;
    default:
        return 0;
    }
}

/* Env lock held; the count on the block passes to the capability. */
static int fill_from_memory(struct env *env, struct cap *cap, seL4_Word type, seL4_Word size_bits,
                            struct block *block)
{
    struct ntfn *ntfn;
    unsigned bits;
    int r;

    if (object_is_frame(type, &bits)) {
        cap_fill_frame(cap, block, 0, bits);
        return 0;
    }
    if (type == seL4_UntypedObject) {
        cap_fill_untyped(cap, block, (unsigned)size_bits);
        return 0;
    }
    r = ntfn_make(env, type == seL4_EndpointObject ? CAP_ENDPOINT : CAP_NOTIFICATION, block, &ntfn);
    if (r == 0) {
        cap_fill_ntfn(cap, ntfn);
    }
    return r;
}

/* Env lock held. */
static int retype(struct env *env, struct cap *untyped, seL4_Word type, seL4_Word size_bits,
                  struct cap *dest)
{
    uint64_t size = memory_of(type, size_bits);
    struct block *block;
    int r;

    if (size == 0) {
        cap_fill_token(dest, type);
        return 0;
    }
    r = block_cut(untyped->block, size, size, &block);
    if (r < 0) {
        return r;
    }
    r = fill_from_memory(env, dest, type, size_bits, block);
    if (r < 0) {
        block_drop(block);
    }
    return r;
}

static int check_retype(seL4_Word type, seL4_Word size_bits, seL4_CNode root, seL4_Word num_objects)
{
    if (type >= seL4_ObjectTypeCount) {
        return fail(-EINVAL, "cannot retype: there is no object type %lu", type);
    }
    if (type == seL4_UntypedObject && !untyped_bits_valid(size_bits)) {
        return fail(-EINVAL, "cannot retype to untyped memory of 2^%lu bytes: only 2^%d to 2^%d",
                    size_bits, seL4_MinUntypedBits, seL4_MaxUntypedBits);
    }
    if (num_objects != 1) {
        return fail(-ERANGE,
                    "cannot retype to %lu objects: slots have no neighbours here; call once "
                    "for each",
                    num_objects);
    }
    return check_cspace(root, seL4_WordBits);
}

seL4_Error seL4_Untyped_Retype(seL4_Untyped untyped, seL4_Word type, seL4_Word size_bits,
                               seL4_CNode root, seL4_Word node_index, seL4_Word node_depth,
                               seL4_Word node_offset, seL4_Word num_objects)
{
    struct env *env = captable_env(untyped);
    struct cap *from;
    struct cap *to;
    int r;

    (void)node_index; /* the root itself, for which the depth is 0 */
    (void)node_depth;
    r = env == NULL ? -ENOENT : check_retype(type, size_bits, root, num_objects);
    if (r < 0) {
        return error_of_errno(r);
    }
    env_lock(env);
    r = cap_find(env, untyped, CAP_UNTYPED, &from);
    if (r == 0) {
        r = cap_find_empty(env, node_offset, &to);
    }
    if (r == 0) {
        r = retype(env, from, type, size_bits, to);
    }
    env_unlock(env);
    return error_of_errno(r);
}
