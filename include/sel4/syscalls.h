/* What can be done with capabilities: signal, wait, pass messages, copy, delete, retype. */
#pragma once

#include <sel4/constants.h>
#include <sel4/errors.h>
#include <sel4/types.h>

#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A capability is named by its handle. Where seL4 asks for a capability space (root), an index in
 * it and a depth, the root is the hosted capability space, the index is the handle, and the depth
 * is seL4_WordBits: as vka_cspace_make_path fills them in. Every function here may be called from
 * any thread.
 */

/**
 * Signals a notification: ORs the capability's badge into its pending word and wakes who waits
 * for it. A badge of 0 wakes, too. Never blocks. A capability that cannot be signalled is
 * ignored.
 */
void seL4_Signal(seL4_CPtr dest);

/**
 * Waits until a notification is signalled.
 *
 * @param src     a notification, or the endpoint of an environment
 * @param sender  receives the OR of the badges of all signals since the last wait; may be NULL
 */
void seL4_Wait(seL4_CPtr src, seL4_Word *sender);

/**
 * Takes what is pending on a notification without waiting.
 *
 * @param sender  receives the OR of the badges, 0 when nothing was pending; may be NULL
 * @return an empty message header
 */
seL4_MessageInfo_t seL4_Poll(seL4_CPtr src, seL4_Word *sender);

/**
 * Sends the calling thread's message registers to an endpoint, and waits until somebody receives
 * them.
 */
void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t msgInfo);

/**
 * Sends only if somebody is waiting to receive; otherwise the message is dropped.
 */
void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t msgInfo);

/**
 * Waits for a message; its words end up in the calling thread's message registers.
 *
 * @param src     an endpoint or notification
 * @param sender  receives the badge of the capability that was sent through; may be NULL
 * @return the header of the message; an empty one for a signal
 */
seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender);

/**
 * Receives without waiting. *sender is 0 when there was no message.
 */
seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender);

/**
 * Sends and waits for the reply, whose words end up in the calling thread's message registers.
 *
 * @return the header of the reply
 */
seL4_MessageInfo_t seL4_Call(seL4_CPtr dest, seL4_MessageInfo_t msgInfo);

/**
 * Answers the seL4_Call that the calling thread received last. Does nothing when there is none.
 */
void seL4_Reply(seL4_MessageInfo_t msgInfo);

/**
 * Reads a message register of the calling thread.
 *
 * @param i  0 .. seL4_MsgMaxLength - 1; others read 0
 */
seL4_Word seL4_GetMR(int i);

/**
 * Writes a message register of the calling thread.
 *
 * @param i  0 .. seL4_MsgMaxLength - 1; others are ignored
 */
void seL4_SetMR(int i, seL4_Word mr);

/**
 * Copies a capability into an empty slot: a second handle on the same object, with the source's
 * rights as far as `rights` has them, too.
 *
 * @return seL4_NoError; seL4_FailedLookup when there is nothing at the source or no such slot;
 *         seL4_DeleteFirst when the destination is occupied
 */
seL4_Error seL4_CNode_Copy(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights);

/**
 * Copies like seL4_CNode_Copy and gives the copy a badge: what a signal through it adds to the
 * notification.
 */
seL4_Error seL4_CNode_Mint(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth,
                           seL4_CapRights_t rights, seL4_Word badge);

/**
 * Moves a capability into an empty slot; the old slot is empty afterwards. Returns as
 * seL4_CNode_Copy does.
 */
seL4_Error seL4_CNode_Move(seL4_CNode dest_root, seL4_Word dest_index, seL4_Uint8 dest_depth,
                           seL4_CNode src_root, seL4_Word src_index, seL4_Uint8 src_depth);

/**
 * Empties a slot. The object dies with its last capability; a frame is unmapped where this
 * capability was mapped. An empty slot is fine.
 *
 * @return seL4_NoError; seL4_FailedLookup when there is no such slot
 */
seL4_Error seL4_CNode_Delete(seL4_CNode root, seL4_Word index, seL4_Uint8 depth);

/**
 * Would delete everything derived from a capability; who derived what from whom is not recorded.
 *
 * @return seL4_IllegalOperation
 */
seL4_Error seL4_CNode_Revoke(seL4_CNode root, seL4_Word index, seL4_Uint8 depth);

/**
 * Makes an object out of untyped memory and puts its capability into an empty slot.
 *
 * Differs from seL4: slots have no neighbours here, so one object is made at a time. The memory
 * comes back when all objects made of it are gone, not by revoking.
 *
 * @param untyped      the untyped memory
 * @param type         a seL4_ObjectType
 * @param size_bits    logarithm of the size, for types that come in several
 * @param root         the hosted capability space
 * @param node_index   of no meaning: the slot is in the root itself
 * @param node_depth   of no meaning
 * @param node_offset  the slot's handle
 * @param num_objects  1
 * @return seL4_NoError, or an error with nothing made: seL4_NotEnoughMemory when the memory is
 *         used up, seL4_RangeError for any other num_objects
 */
seL4_Error seL4_Untyped_Retype(seL4_Untyped untyped, seL4_Word type, seL4_Word size_bits,
                               seL4_CNode root, seL4_Word node_index, seL4_Word node_depth,
                               seL4_Word node_offset, seL4_Word num_objects);

/**
 * Ends the program that calls it, by abort(). For client code: the library itself never does this.
 */
static inline void seL4_DebugHalt(void)
{
    abort();
}

#ifdef __cplusplus
}
#endif
