/* Making objects of any type: out of the environment's memory, or out of untyped memory. */
#ifndef ENV_UNTYPED_H
#define ENV_UNTYPED_H

#include <sel4/sel4.h>
#include <stdbool.h>

struct env;

/* An object of a seL4_ObjectType in an empty slot; size_bits counts for untyped memory alone. */
int object_create(struct env *env, seL4_Word type, seL4_Word size_bits, seL4_CPtr slot);

/* Says whether objects of this type are frames, and of which size. */
bool object_is_frame(seL4_Word type, unsigned *ret_bits);

#endif
