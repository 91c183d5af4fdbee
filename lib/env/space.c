/* The life of an address space, and what is reserved in it. */
#include "env/space.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/reason.h"
#include "env/env.h"
#include "env/mapping.h"
#include "env/untyped.h"

/* Where the search for a free address begins, unless the space knows better. */
static const uint64_t search_start = 0x10000000;

static int check_is_empty(struct space *space, struct range range)
{
    const struct rangemap_entry *taken = rangemap_first_overlap(&space->reservations, range);
    bool is_reserved = taken != NULL;

    if (taken == NULL) {
        taken = rangemap_first_overlap(&space->mappings, range);
    }
    if (taken == NULL) {
        return 0;
    }
    return fail(-EEXIST,
                "cannot reserve [0x%" PRIx64 "..0x%" PRIx64 "): [0x%" PRIx64 "..0x%" PRIx64
                ") is %s",
                range.start, range_end(range), taken->range.start, range_end(taken->range),
                is_reserved ? "reserved" : "mapped");
}

/* The range is free, and claimed if need be. */
static int add_reservation(struct space *space, struct range range, bool has_rights,
                           seL4_CapRights_t rights, struct space_reservation **ret)
{
    struct space_reservation *reservation = calloc(1, sizeof(*reservation));
    int r;

    if (reservation == NULL) {
        return fail(-ENOMEM, "cannot reserve [0x%" PRIx64 "..0x%" PRIx64 "): out of memory",
                    range.start, range_end(range));
    }
    *reservation = (struct space_reservation){range, has_rights, rights, false};
    r = rangemap_add(&space->reservations, range, reservation);
    if (r < 0) {
        free(reservation);
        return r;
    }
    *ret = reservation;
    return 0;
}

static int claim_and_add(struct space *space, struct range range, uint64_t align, bool has_rights,
                         seL4_CapRights_t rights, struct space_reservation **ret)
{
    int r;

    if (space->backend->claim != NULL) {
        r = space->backend->claim(space->cookie, &range, align);
        if (r < 0) {
            return r;
        }
    }
    r = add_reservation(space, range, has_rights, rights, ret);
    if (r < 0 && space->backend->release != NULL) {
        space->backend->release(space->cookie, range);
    }
    return r;
}

int space_reserve(struct space *space, struct range range, bool has_rights, seL4_CapRights_t rights,
                  struct space_reservation **ret)
{
    struct range pages = range_round_out(range, space_page_size);
    int r;

    if (range.size == 0 || !range_is_valid(range.start, range.size) || pages.size == 0 ||
        !range_is_valid(pages.start, pages.size)) {
        return fail(-EINVAL, "cannot reserve 0x%" PRIx64 " bytes at 0x%" PRIx64 ": %s", range.size,
                    range.start,
                    range.size == 0 ? "it would be empty" : "that is past the last address");
    }
    if (pages.start == 0 && space->backend->claim != NULL) {
        return fail(-EINVAL, "cannot reserve the page at address 0 of this process");
    }
    r = check_is_empty(space, pages);
    return r < 0 ? r : claim_and_add(space, pages, space_page_size, has_rights, rights, ret);
}

/* First fit. */
static int find_free_range(struct space *space, uint64_t size, uint64_t align, struct range *ret)
{
    struct range range = {align_up(search_start, align), size};

    while (range_is_valid(range.start, range.size)) {
        const struct rangemap_entry *taken = rangemap_first_overlap(&space->reservations, range);

        if (taken == NULL) {
            taken = rangemap_first_overlap(&space->mappings, range);
        }
        if (taken == NULL) {
            *ret = range;
            return 0;
        }
        if (range_end(taken->range) > UINT64_MAX - align) {
            break;
        }
        range.start = align_up(range_end(taken->range), align);
    }
    return fail(-ENOMEM, "cannot reserve 0x%" PRIx64 " bytes: no free range is that large", size);
}

int space_reserve_anywhere(struct space *space, uint64_t size, uint64_t align,
                           seL4_CapRights_t rights, struct space_reservation **ret)
{
    struct range range = range_round_out((struct range){0, size}, space_page_size);
    int r = 0;

    if (size == 0 || range.size < size) {
        return fail(-EINVAL, "cannot reserve 0x%" PRIx64 " bytes", size);
    }
    if (space->backend->claim == NULL) {
        r = find_free_range(space, range.size, align, &range);
    }
    return r < 0 ? r : claim_and_add(space, range, align, true, rights, ret);
}

void space_release_unmapped(struct space *space, struct range range)
{
    uint64_t addr = range.start;

    while (space->backend->release != NULL && addr < range_end(range)) {
        struct range rest = {addr, range_end(range) - addr};
        const struct rangemap_entry *mapped = rangemap_first_overlap(&space->mappings, rest);
        uint64_t end = mapped == NULL ? range_end(range) : mapped->range.start;

        if (end > addr) {
            space->backend->release(space->cookie, (struct range){addr, end - addr});
        }
        addr = mapped == NULL ? end : range_end(mapped->range);
    }
}

int space_unreserve(struct space *space, struct space_reservation *reservation)
{
    (void)rangemap_remove(&space->reservations, reservation->range.start); /* that is reservation */
    space_release_unmapped(space, reservation->range);
    free(reservation);
    return 0;
}

int space_unreserve_public(struct space *space, struct space_reservation *reservation)
{
    if (reservation->is_kept) {
        return fail(-EBUSY,
                    "cannot free the reservation [0x%" PRIx64 "..0x%" PRIx64
                    ") of an address space: it is the VM's own; see vm_free_reserved_memory",
                    reservation->range.start, range_end(reservation->range));
    }
    return space_unreserve(space, reservation);
}

void space_keep(struct space_reservation *reservation)
{
    reservation->is_kept = true;
}

struct range space_reservation_range(const struct space_reservation *reservation)
{
    return reservation->range;
}

bool space_reservation_has_rights(const struct space_reservation *reservation,
                                  seL4_CapRights_t *ret)
{
    if (reservation->has_rights) {
        *ret = reservation->rights;
    }
    return reservation->has_rights;
}

struct space_reservation *space_find_reservation(struct space *space, const void *pointer)
{
    const struct rangemap_entry *entry = rangemap_at_or_after(&space->reservations, 0);

    for (; entry != NULL; entry = rangemap_next(&space->reservations, entry)) {
        if (entry->value == pointer) {
            return entry->value;
        }
    }
    fail(-ENOENT, "%p is not a reservation of this address space", pointer);
    return NULL;
}

struct space_reservation *space_reservation_at(struct space *space, uint64_t addr)
{
    const struct rangemap_entry *entry = rangemap_find(&space->reservations, addr);

    if (entry == NULL) {
        fail(-ENOENT, "nothing is reserved at 0x%" PRIx64, addr);
        return NULL;
    }
    return entry->value;
}

int space_create(struct env *env, const struct space_backend *backend, void *cookie,
                 struct space **ret)
{
    struct space *space = calloc(1, sizeof(*space));
    int r;

    if (space == NULL) {
        return fail(-ENOMEM, "cannot create an address space: out of memory");
    }
    space->env = env;
    space->backend = backend;
    space->cookie = cookie;
    env_make_vka(env, &space->vka);
    r = cap_slot_alloc(env, &space->root);
    if (r < 0) {
        free(space);
        return r;
    }
    (void)object_create(env, HOSTVM_VSPACE_OBJECT, seL4_VSpaceBits,
                        space->root); /* fills a fresh slot */
    *ret = space;
    return 0;
}

static const struct range everything = {0, UINT64_MAX};

static void unmap_all(struct space *space, vka_t *vka)
{
    const struct rangemap_entry *entry;

    vka = vka == VSPACE_FREE ? &space->vka : vka;
    while ((entry = rangemap_last_overlap(&space->mappings, everything)) != NULL) {
        struct mapping *mapping = entry->value;

        if (mapping_unmap(space, mapping, vka) < 0) {
            mapping_forget(space, mapping, vka); /* the owner takes it along when it goes */
        }
    }
}

/* From the end, where removing is cheap. */
static void unreserve_all(struct space *space, bool with_kept)
{
    struct range rest = everything;
    const struct rangemap_entry *entry;

    while ((entry = rangemap_last_overlap(&space->reservations, rest)) != NULL) {
        struct space_reservation *reservation = entry->value;

        rest.size = reservation->range.start;
        if (with_kept || !reservation->is_kept) {
            (void)space_unreserve(space, reservation); /* never fails */
        }
    }
}

void space_clear(struct space *space, vka_t *vka)
{
    unmap_all(space, vka);
    unreserve_all(space, false);
}

void space_destroy(struct space *space)
{
    if (space == NULL) {
        return;
    }
    space->backend->enter(space->cookie);
    unmap_all(space, VSPACE_PRESERVE);
    unreserve_all(space, true);
    space->backend->leave(space->cookie);

    /* somebody may have been about to delete a capability that was mapped here */
    env_lock(space->env);
    while (space->nr_visits > 0) {
        pthread_cond_wait(&space->env->visits_over, &space->env->lock);
    }
    env_unlock(space->env);
    (void)cap_delete(space->env, space->root);
    (void)cap_slot_free(space->env, space->root);
    rangemap_fini(&space->mappings);
    rangemap_fini(&space->reservations);
    free(space);
}

void space_visit(struct space *space)
{
    space->nr_visits++;
}

void space_end_visit(struct space *space)
{
    struct env *env = space->env;

    env_lock(env);
    space->nr_visits--;
    if (space->nr_visits == 0) {
        pthread_cond_broadcast(&env->visits_over);
    }
    env_unlock(env);
}

struct env *space_env(struct space *space)
{
    return space->env;
}

vka_t *space_vka(struct space *space)
{
    return &space->vka;
}

seL4_CPtr space_root(struct space *space)
{
    return space->root;
}

const struct space_backend *space_backend(struct space *space, void **ret_cookie)
{
    *ret_cookie = space->cookie;
    return space->backend;
}
