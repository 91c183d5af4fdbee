/* The table behind capability handles: slots with generations. */
#ifndef ENV_CAPTABLE_H
#define ENV_CAPTABLE_H

#include "env/caps.h"

/*
 * A handle: bits 63:36 address of the table >> 20, bits 35:12 slot, bits 11:0 generation. The table
 * has a mapping of its own that begins at a multiple of 1 MiB with a magic number, so any number
 * can be asked whether it is a handle.
 */
int captable_create(struct env *env, struct captable **ret);
void captable_destroy(struct captable *table); /* puts all that is left in it */

/* Logarithm of the number of slots. */
enum { CAP_SLOT_BITS = 24 };

/* The environment of a handle from anywhere: one system call, never a crash. NULL with a reason. */
struct env *captable_env(seL4_CPtr cptr);

/*
 * The slot of a handle from anywhere, whatever it holds: likewise, and without a reason. From
 * signal handlers too.
 */
struct cap *captable_peek(seL4_CPtr cptr);

/* A path's root and depth are those of the one capability space: 0 or -EINVAL. */
int check_cspace(seL4_CNode root, seL4_Word depth);

/* What libsel4 calls an error of ours. */
seL4_Error error_of_errno(int err);

/* What is in a slot; set_type publishes what was written to it before. */
enum cap_type slot_type(const struct cap *cap);
void slot_set_type(struct cap *cap, enum cap_type type);

/* The slot still has this handle. */
bool slot_has_handle(const struct cap *cap, seL4_CPtr cptr);

/* Empties a slot; what it held is put. Env lock held. */
void slot_clear(struct cap *cap);

#endif
