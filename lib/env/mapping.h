/* The inside of an address space: what its files share. */
#ifndef ENV_MAPPING_H
#define ENV_MAPPING_H

#include "base/rangemap.h"
#include "env/space.h"

static const uint64_t space_page_size = UINT64_C(1) << seL4_PageBits;

struct space_reservation {
    struct range range; /* whole pages */
    bool has_rights;    /* else they come with each mapping */
    seL4_CapRights_t rights;
    bool is_kept; /* its maker's to give up: the public vspace calls do not */
};

/*
 * What one or more mappings show, so that a mapping is split without copying it; counted by them.
 */
struct backing {
    unsigned nr_refs;
    uint64_t start;            /* the address that the first frame was mapped at */
    unsigned bits;             /* of each frame */
    seL4_CPtr *caps;           /* frames: one each, mapped or not any more */
    uintptr_t *cookies;        /* frames: one each, or NULL */
    struct block *block;       /* a block: counted; else NULL */
    struct rangemap page_caps; /* a block: the capabilities made so far, as value, by page */
};

struct mapping {
    struct space_run run;
    struct backing *backing;
};

struct space {
    struct env *env;
    const struct space_backend *backend;
    void *cookie;
    seL4_CPtr root;
    vka_t vka;                    /* the environment's */
    struct rangemap reservations; /* guarded by the owner's lock */
    struct rangemap mappings;     /* likewise */
    unsigned nr_visits;           /* guarded by the env lock */
};

/* The functions below expect the owner's lock held. */

struct mapping *mapping_at(struct space *space, uint64_t addr);
void mapping_destroy(struct mapping *mapping); /* NULL is fine */

/* Which of a backing's frames is at addr, and where it begins. */
size_t frame_index(const struct backing *backing, uint64_t addr);
uint64_t frame_start(const struct backing *backing, uint64_t addr);

/* Takes one mapping out of the space; what becomes of its frames is as for space_unmap. */
int mapping_unmap(struct space *space, struct mapping *mapping, vka_t *vka);

/* The same for a mapping that its owner does not show any more. */
void mapping_forget(struct space *space, struct mapping *mapping, vka_t *vka);

/* Gives what is not mapped in the range back to those who share the space. */
void space_release_unmapped(struct space *space, struct range range);

/* The capability is not mapped here any more, if it still exists. Env lock held. */
void space_unclaim(struct env *env, seL4_CPtr cptr);

#endif
