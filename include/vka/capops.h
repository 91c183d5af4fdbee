/* Operations on capabilities that are given as paths. */
#pragma once

#include <sel4/sel4.h>
#include <vka/cspacepath_t.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each returns 0, or a seL4_Error with nothing changed; a NULL path is seL4_InvalidArgument. */

/**
 * Makes dest another capability to src's object, with src's rights as far as `rights` has them,
 * too. Fails when src is empty or dest is not.
 */
static inline int vka_cnode_copy(const cspacepath_t *dest, const cspacepath_t *src,
                                 seL4_CapRights_t rights)
{
    if (dest == NULL || src == NULL) {
        return seL4_InvalidArgument;
    }
    return seL4_CNode_Copy(dest->root, dest->capPtr, (seL4_Uint8)dest->capDepth, src->root,
                           src->capPtr, (seL4_Uint8)src->capDepth, rights);
}

/**
 * Copies, and gives the copy a badge: what a signal through it adds to a notification.
 */
static inline int vka_cnode_mint(const cspacepath_t *dest, const cspacepath_t *src,
                                 seL4_CapRights_t rights, seL4_Word badge)
{
    if (dest == NULL || src == NULL) {
        return seL4_InvalidArgument;
    }
    return seL4_CNode_Mint(dest->root, dest->capPtr, (seL4_Uint8)dest->capDepth, src->root,
                           src->capPtr, (seL4_Uint8)src->capDepth, rights, badge);
}

/**
 * Moves a capability from src to the empty dest.
 */
static inline int vka_cnode_move(const cspacepath_t *dest, const cspacepath_t *src)
{
    if (dest == NULL || src == NULL) {
        return seL4_InvalidArgument;
    }
    return seL4_CNode_Move(dest->root, dest->capPtr, (seL4_Uint8)dest->capDepth, src->root,
                           src->capPtr, (seL4_Uint8)src->capDepth);
}

/**
 * Empties a slot. The object dies with its last capability; a frame is unmapped where this
 * capability was mapped.
 */
static inline int vka_cnode_delete(const cspacepath_t *src)
{
    if (src == NULL) {
        return seL4_InvalidArgument;
    }
    return seL4_CNode_Delete(src->root, src->capPtr, (seL4_Uint8)src->capDepth);
}

/**
 * Would delete all copies of a capability; always fails, as seL4_CNode_Revoke does.
 */
static inline int vka_cnode_revoke(const cspacepath_t *src)
{
    if (src == NULL) {
        return seL4_InvalidArgument;
    }
    return seL4_CNode_Revoke(src->root, src->capPtr, (seL4_Uint8)src->capDepth);
}

#ifdef __cplusplus
}
#endif
