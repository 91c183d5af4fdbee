/*
 * An address space: which of its pages are empty, reserved or mapped, and the vspace interface to
 * it.
 */
#ifndef ENV_SPACE_H
#define ENV_SPACE_H

#include <sel4/sel4.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vka/vka.h>
#include <vspace/vspace.h>

#include "base/range.h"

struct block;
struct env;
struct space;
struct space_reservation;

/* Contiguous in the space and in the memory file, with equal rights. */
struct space_run {
    struct range range;
    int fd;
    uint64_t offset;
    seL4_CapRights_t rights;
};

/*
 * What the owner of an address space supplies. All but enter are called with the owner's lock held.
 * Pages are 4 KiB.
 */
struct space_backend {
    /*
     * The owner's lock, recursive. The public vspace calls take it. It comes before the env lock.
     */
    void (*enter)(void *cookie);
    void (*leave)(void *cookie);

    /*
     * Shows all runs, or, with an error and its reason, none. They are sorted and hit reserved
     * pages only.
     */
    int (*map)(void *cookie, const struct space_run *runs, size_t nr_runs);

    /* Takes away whatever is mapped in the range, or, with an error and its reason, nothing. */
    int (*unmap)(void *cookie, struct range range);

    /*
     * Both or neither; for a space in which others live, too. claim takes pages for a reservation:
     * those of *range, or, if its start is 0, any, aligned to align, and sets the start. release
     * gives pages without a mapping back.
     */
    int (*claim)(void *cookie, struct range *range, uint64_t align);
    void (*release)(void *cookie, struct range range);

    /*
     * Optional: the capability of an address that is not mapped through the space. Called without
     * the owner's lock.
     */
    seL4_CPtr (*get_foreign_cap)(void *cookie, uint64_t addr);
};

/* A frame to be mapped at addr with these rights, as far as the capability has them. */
struct space_frame {
    seL4_CPtr cptr;
    seL4_CapRights_t rights;
    uint64_t addr;
    unsigned bits;
};

/* backend and cookie live longer than the space. */
int space_create(struct env *env, const struct space_backend *backend, void *cookie,
                 struct space **ret);

/*
 * Unmaps and forgets everything. Capabilities stay the caller's; those made by space_get_cap go.
 * Called without the owner's lock, which must still work; NULL is fine.
 */
void space_destroy(struct space *space);

/* The public function table. It works until the space is destroyed. */
vspace_t space_interface(struct space *space);

/* --- the owner's lock held --- */

/* The range may be any bytes; it is rounded out to pages. All of them must be empty: -EEXIST. */
int space_reserve(struct space *space, struct range range, bool has_rights, seL4_CapRights_t rights,
                  struct space_reservation **ret);

/*
 * Mapped pages stay mapped; the others become empty. Returns 0: the reservation must be one of this
 * space.
 */
int space_unreserve(struct space *space, struct space_reservation *reservation);

/* From now on only space_unreserve and the end of the space take the reservation away. */
void space_keep(struct space_reservation *reservation);

/* The pages of a reservation. */
struct range space_reservation_range(const struct space_reservation *reservation);

/*
 * Maps frames into a reservation: all or nothing, with one call of backend->map for all of them.
 * They are given in ascending order. cookies, if given, holds one allocation cookie per frame. A
 * capability can be mapped once: -EEXIST.
 */
int space_map_frames(struct space *space, struct space_reservation *reservation,
                     const struct space_frame *frames, size_t nr_frames, const uintptr_t *cookies);

/*
 * Maps part of a block as one run, which counts on the block. Its pages have capabilities once they
 * are asked for.
 */
int space_map_block(struct space *space, struct space_reservation *reservation, struct range range,
                    struct block *block, uint64_t offset_in_block, seL4_CapRights_t rights);

/*
 * Unmaps whole pages; those that are not mapped are passed over. What a reservation covers goes
 * back to reserved. vka as for vspace_unmap_pages: VSPACE_PRESERVE keeps the capabilities;
 * VSPACE_FREE (the environment's own) or another one deletes them and frees their slots, and the
 * frames of those with a cookie. Capabilities made by space_get_cap go in any case. -EINVAL when
 * the range cuts through a large frame.
 */
int space_unmap(struct space *space, struct range range, vka_t *vka);

/*
 * The capability mapped at the page of addr, or seL4_CapNull. Made at the first request for pages
 * of a block.
 */
seL4_CPtr space_get_cap(struct space *space, uint64_t addr);

/* The allocation cookie given for the page of addr, or 0. */
uintptr_t space_get_cookie(struct space *space, uint64_t addr);

/* The run that is mapped at addr. */
bool space_find_mapping(struct space *space, uint64_t addr, struct space_run *ret);

/* --- for vspace.c, the owner's lock held --- */

/* A reservation at an address that is free: the lowest one, or, in a space with claim, any. */
int space_reserve_anywhere(struct space *space, uint64_t size, uint64_t align,
                           seL4_CapRights_t rights, struct space_reservation **ret);

/* NULL, with a reason, for a pointer that is not a reservation of this space (any more). */
struct space_reservation *space_find_reservation(struct space *space, const void *pointer);
struct space_reservation *space_reservation_at(struct space *space, uint64_t addr);
bool space_reservation_has_rights(const struct space_reservation *reservation,
                                  seL4_CapRights_t *ret);

/*
 * Another capability to the 2^bits bytes of memory mapped at addr, with the rights of the one
 * mapped there.
 */
int space_derive_cap(struct space *space, uint64_t addr, unsigned bits, seL4_CPtr *ret);

/* Every page of the range is mapped. */
bool space_is_mapped(struct space *space, struct range range);

/* Some page of the range is mapped: which. */
bool space_first_mapping(struct space *space, struct range range, struct range *ret);

/* As space_unreserve; -EBUSY, with a reason, for a reservation that is kept. */
int space_unreserve_public(struct space *space, struct space_reservation *reservation);

/* Gives up all mappings, and all reservations that are not kept. */
void space_clear(struct space *space, vka_t *vka);

struct env *space_env(struct space *space);
vka_t *space_vka(struct space *space);
seL4_CPtr space_root(struct space *space);
const struct space_backend *space_backend(struct space *space, void **ret_cookie);

/* --- for caps.c --- */

/* Keeps the space from going away until space_unmap_cap is done with it. Env lock held. */
void space_visit(struct space *space);
void space_end_visit(struct space *space); /* without the env lock */

/*
 * Without any lock: unmaps what this capability has mapped at addr, if it still has; ends the
 * visit.
 */
int space_unmap_cap(struct space *space, uint64_t addr, seL4_CPtr cptr);

#endif
