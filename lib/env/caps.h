/* Capabilities: a handle names an environment, a slot in its table and the slot's generation. */
#ifndef ENV_CAPS_H
#define ENV_CAPS_H

#include <sel4/sel4.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct block;
struct captable;
struct env;
struct ntfn;
struct space;

/*
 * A handle leads to its environment by itself, because seL4_Signal and vka_cnode_copy are given
 * nothing else (see captable.h). One that is wrong, stale or of another kind is answered with an
 * error and a reason.
 */
enum cap_type {
    CAP_EMPTY,
    CAP_FRAME,
    CAP_UNTYPED,
    CAP_NOTIFICATION,
    CAP_ENDPOINT,
    CAP_TOKEN, /* stands for what a process needs no object for: vcpus, TCBs, page tables, ... */
};

/*
 * One slot. Guarded by the env lock; what seL4_Signal reads without it is atomic: tag is stored
 * last when a capability comes into being, and first when it goes.
 */
struct cap {
    _Atomic uint32_t tag; /* of captable.c: generation, type, in use */
    uint8_t bits;         /* frame, untyped: log2 of the size; token: seL4 object type */
    uint8_t rights;       /* bits of seL4_CapRights_t */
    struct block *block;  /* frame, untyped: counted */
    uint64_t offset;      /* frame: where it begins in the block */
    struct ntfn *_Atomic
        ntfn; /* notification, endpoint: counted. Afterwards left as it is: still a struct ntfn */
    _Atomic uint64_t badge; /* notification, endpoint */
    struct space *space;    /* frame: where it is mapped, or NULL */
    uint64_t addr;          /* the address there */
};

/* Slots. An empty slot has a handle as well. */
int cap_slot_alloc(struct env *env, seL4_CPtr *ret);
int cap_slot_free(struct env *env,
                  seL4_CPtr cptr); /* deletes what it still holds, with a warning */

/*
 * Both handles belong to env. 0, -ENOENT (nothing at src, no such slot), -EEXIST (dest is
 * occupied).
 */
int cap_copy(struct env *env, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights);
int cap_mint(struct env *env, seL4_CPtr dest, seL4_CPtr src, seL4_CapRights_t rights,
             seL4_Word badge);
int cap_move(struct env *env, seL4_CPtr dest, seL4_CPtr src);

/*
 * Empties a slot. A mapped frame is unmapped first, under the lock of the address space's owner: no
 * lock below that one may be held. Fails only for a wrong handle or when the host refuses to unmap.
 */
int cap_delete(struct env *env, seL4_CPtr cptr);

/* The type of what a handle names: CAP_EMPTY for an empty slot, -ENOENT for no slot. */
int cap_type(struct env *env, seL4_CPtr cptr);

/* "frame", "notification", ... */
const char *cap_type_name(enum cap_type type);

/* Endpoints are signalled and notifications received from: both count as CAP_NOTIFICATION. */
enum cap_type cap_common_type(enum cap_type type);

/* --- env lock held --- */

/* The slot of a handle, occupied or not. */
int cap_find_slot(struct env *env, seL4_CPtr cptr, struct cap **ret);

/* A capability of this (common) type: -ENOENT, or -EBADF when it is of another. */
int cap_find(struct env *env, seL4_CPtr cptr, enum cap_type type, struct cap **ret);

/* An empty slot, to be filled. */
int cap_find_empty(struct env *env, seL4_CPtr cptr, struct cap **ret);

/* Fill an empty slot; the count on the object passes to it. */
void cap_fill_frame(struct cap *cap, struct block *block, uint64_t offset, unsigned bits);
void cap_fill_untyped(struct cap *cap, struct block *block, unsigned bits);
void cap_fill_ntfn(struct cap *cap, struct ntfn *ntfn);
void cap_fill_token(struct cap *cap, seL4_Word object_type);

#endif
