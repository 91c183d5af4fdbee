/* Where a capability is, in full. */
#pragma once

#include <sel4/types.h>

/**
 * A slot of a capability space as seL4 addresses it. vka_cspace_make_path fills it in from a
 * handle: capPtr is the handle, root the hosted capability space; the other members are what
 * operations on slots want to be given.
 */
typedef struct cspacepath {
    seL4_CPtr capPtr;
    seL4_Word capDepth;
    seL4_CNode root;
    seL4_Word dest;
    seL4_Word destDepth;
    seL4_Word offset;
    seL4_Word window;
} cspacepath_t;
