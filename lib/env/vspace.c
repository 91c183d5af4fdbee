/* The vspace interface: the border between its users and an address space. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/range.h"
#include "base/reason.h"
#include "env/env.h"
#include "env/space.h"

static struct space *enter(vspace_t *vspace)
{
    struct space *space = vspace->data;
    void *cookie;
    const struct space_backend *backend = space_backend(space, &cookie);

    backend->enter(cookie);
    return space;
}

static void leave(struct space *space)
{
    void *cookie;
    const struct space_backend *backend = space_backend(space, &cookie);

    backend->leave(cookie);
}

static int report(struct space *space, int r)
{
    return env_report(space_env(space), r);
}

static int pages_range(const void *vaddr, size_t nr_pages, size_t size_bits, struct range *ret)
{
    struct range range = {(uintptr_t)vaddr, nr_pages << (size_bits & 63)};

    if (nr_pages == 0 || !sel4_valid_size_bits(size_bits) || range.size >> size_bits != nr_pages ||
        !range_is_valid(range.start, range.size)) {
        return fail(-EINVAL,
                    "%zu pages of 2^%zu bytes at %p: there are no pages of that size, none, "
                    "or too many",
                    nr_pages, size_bits, vaddr);
    }
    *ret = range;
    return 0;
}

/* --- mapping --- */

/* Owner's lock held. */
static int map_caps(struct space *space, struct space_reservation *reservation,
                    const seL4_CPtr *caps, const uintptr_t *cookies, struct range range,
                    size_t size_bits, seL4_CapRights_t rights)
{
    size_t nr_pages = range.size >> size_bits;
    struct space_frame *frames = calloc(nr_pages, sizeof(*frames));
    int r;

    if (frames == NULL) {
        return fail(-ENOMEM, "cannot map %zu pages: out of memory", nr_pages);
    }
    for (size_t i = 0; i < nr_pages; i++) {
        frames[i] = (struct space_frame){
            .cptr = caps[i],
            .rights = rights,
            .addr = range.start + ((uint64_t)i << size_bits),
            .bits = (unsigned)size_bits,
        };
    }
    r = space_map_frames(space, reservation, frames, nr_pages, cookies);
    free(frames);
    return r;
}

/*
 * Owner's lock held. A reservation maps with its own rights, or else with those that each mapping
 * brings.
 */
static int check_reservation(struct space *space, void *pointer, bool wants_rights,
                             seL4_CapRights_t *rights, struct space_reservation **ret)
{
    bool has_rights;

    *ret = space_find_reservation(space, pointer);
    if (*ret == NULL) {
        return -ENOENT;
    }
    has_rights = space_reservation_has_rights(*ret, rights);
    if (has_rights != wants_rights) {
        return fail(-EINVAL, has_rights
                                 ? "the reservation has rights: they do not come with the mapping"
                                 : "the reservation has no rights: map with deferred rights");
    }
    return 0;
}

static int map_into_reservation(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                                void *vaddr, size_t num_pages, size_t size_bits,
                                seL4_CapRights_t *rights, reservation_t res)
{
    struct space *space = enter(vspace);
    seL4_CapRights_t effective = rights == NULL ? seL4_NoRights : *rights;
    struct space_reservation *reservation;
    struct range range;
    int r;

    r = pages_range(vaddr, num_pages, size_bits, &range);
    if (r == 0 && caps == NULL) {
        r = fail(-EINVAL, "cannot map %zu pages: no capabilities given", num_pages);
    }
    if (r == 0) {
        r = check_reservation(space, res.res, rights == NULL, &effective, &reservation);
    }
    if (r == 0) {
        r = map_caps(space, reservation, caps, cookies, range, size_bits, effective);
    }
    leave(space);
    return report(space, r);
}

static int map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[], void *vaddr,
                              size_t num_pages, size_t size_bits, reservation_t reservation)
{
    return map_into_reservation(vspace, caps, cookies, vaddr, num_pages, size_bits, NULL,
                                reservation);
}

static int deferred_rights_map_pages_at_vaddr(vspace_t *vspace, seL4_CPtr caps[],
                                              uintptr_t cookies[], void *vaddr, size_t num_pages,
                                              size_t size_bits, seL4_CapRights_t rights,
                                              reservation_t reservation)
{
    return map_into_reservation(vspace, caps, cookies, vaddr, num_pages, size_bits, &rights,
                                reservation);
}

static void *map_pages(vspace_t *vspace, seL4_CPtr caps[], uintptr_t cookies[],
                       seL4_CapRights_t rights, size_t num_pages, size_t size_bits, int cacheable)
{
    struct space *space = enter(vspace);
    struct space_reservation *reservation;
    struct range range;
    int r;

    (void)cacheable; /* memory of a process always is */
    r = pages_range(NULL, num_pages, size_bits, &range);
    if (r == 0) {
        r = space_reserve_anywhere(space, range.size, UINT64_C(1) << size_bits, rights,
                                   &reservation);
    }
    if (r == 0) {
        range = space_reservation_range(reservation);
        r = map_caps(space, reservation, caps, cookies, range, size_bits, rights);
        (void)space_unreserve(space, reservation); /* ours; what is mapped stays */
    }
    leave(space);
    return report(space, r) < 0 ? NULL : (void *)range.start;
}

/* --- fresh pages --- */

/* Frames that were allocated for new pages. */
struct new_frames {
    size_t nr;
    unsigned bits;
    seL4_CPtr *caps;
    uintptr_t *cookies;
};

static void new_frames_fini(struct new_frames *frames)
{
    free(frames->caps);
    free(frames->cookies);
}

static void new_frames_undo(struct new_frames *frames, vka_t *vka)
{
    for (size_t i = 0; i < frames->nr; i++) {
        vka_object_t object = {
            .cptr = frames->caps[i],
            .ut = frames->cookies[i],
            .type = kobject_get_type(KOBJECT_FRAME, frames->bits),
            .size_bits = frames->bits,
        };

        vka_free_object(vka, &object);
    }
    new_frames_fini(frames);
}

static int new_frames_init(struct new_frames *frames, vspace_t *vspace, size_t nr, size_t size_bits)
{
    vka_t *vka = space_vka(vspace->data);

    *frames = (struct new_frames){.bits = (unsigned)size_bits};
    frames->caps = calloc(nr, sizeof(frames->caps[0]));
    frames->cookies = calloc(nr, sizeof(frames->cookies[0]));
    if (frames->caps == NULL || frames->cookies == NULL) {
        new_frames_fini(frames);
        return fail(-ENOMEM, "cannot make %zu pages: out of memory", nr);
    }
    for (; frames->nr < nr; frames->nr++) {
        vka_object_t object;

        if (vka_alloc_frame(vka, (uint32_t)size_bits, &object) != 0) {
            new_frames_undo(frames, vka);
            return -ENOMEM;
        }
        frames->caps[frames->nr] = object.cptr;
        frames->cookies[frames->nr] = object.ut;
        vspace_maybe_call_allocated_object(vspace, object);
    }
    return 0;
}

static int new_pages_at_vaddr(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                              reservation_t reservation, bool can_use_dev)
{
    struct new_frames frames;
    struct range range;
    int r;

    (void)can_use_dev; /* there is no device memory to be had */
    r = pages_range(vaddr, num_pages, size_bits, &range);
    if (r < 0) {
        return report(vspace->data, r);
    }
    if (new_frames_init(&frames, vspace, num_pages, size_bits) < 0) {
        return -1;
    }
    r = map_pages_at_vaddr(vspace, frames.caps, frames.cookies, vaddr, num_pages, size_bits,
                           reservation);
    if (r < 0) {
        new_frames_undo(&frames, space_vka(vspace->data));
        return r;
    }
    new_frames_fini(&frames);
    return 0;
}

static void *new_pages(vspace_t *vspace, seL4_CapRights_t rights, size_t num_pages,
                       size_t size_bits)
{
    struct new_frames frames;
    struct range range;
    void *vaddr;
    int r;

    r = pages_range(NULL, num_pages, size_bits, &range);
    if (r < 0) {
        (void)report(vspace->data, r);
        return NULL;
    }
    if (new_frames_init(&frames, vspace, num_pages, size_bits) < 0) {
        return NULL;
    }
    vaddr = map_pages(vspace, frames.caps, frames.cookies, rights, num_pages, size_bits, 1);
    if (vaddr == NULL) {
        new_frames_undo(&frames, space_vka(vspace->data));
        return NULL;
    }
    new_frames_fini(&frames);
    return vaddr;
}

/* --- unmapping --- */

static void unmap_pages(vspace_t *vspace, void *vaddr, size_t num_pages, size_t size_bits,
                        vka_t *vka)
{
    struct space *space = enter(vspace);
    struct range range;
    int r;

    r = pages_range(vaddr, num_pages, size_bits, &range);
    if (r == 0) {
        if (!space_is_mapped(space, range)) {
            log_at(env_log(space_env(space)), HOSTVM_LOG_WARN,
                   "unmapping [0x%" PRIx64 "..0x%" PRIx64 "), not all of which is mapped",
                   range.start, range_end(range));
        }
        r = space_unmap(space, range, vka);
    }
    leave(space);
    (void)report(space, r); /* the interface has no way to tell */
}

static void tear_down(vspace_t *vspace, vka_t *vka)
{
    struct space *space = enter(vspace);
    void *cookie;

    if (space_backend(space, &cookie)->claim != NULL) {
        log_at(env_log(space_env(space)), HOSTVM_LOG_WARN,
               "the address space of this process cannot be "
               "torn down: it stays as it is");
    } else {
        space_clear(space, vka);
    }
    leave(space);
}

/* --- reservations --- */

static reservation_t reservation_of(struct space *space, int r,
                                    struct space_reservation *reservation)
{
    return (reservation_t){report(space, r) < 0 ? NULL : reservation};
}

static reservation_t reserve_range_aligned(vspace_t *vspace, size_t bytes, size_t size_bits,
                                           seL4_CapRights_t rights, int cacheable, void **vaddr)
{
    struct space *space = enter(vspace);
    struct space_reservation *reservation = NULL;
    int r;

    (void)cacheable;
    if (vaddr == NULL || !sel4_valid_size_bits(size_bits)) {
        r = fail(-EINVAL, "cannot reserve 0x%zx bytes aligned to 2^%zu: %s", bytes, size_bits,
                 vaddr == NULL ? "no place for the address" : "only 2^12, 2^21 and 2^30");
    } else {
        r = space_reserve_anywhere(space, bytes, UINT64_C(1) << size_bits, rights, &reservation);
    }
    if (r == 0) {
        *vaddr = (void *)space_reservation_range(reservation).start;
    }
    leave(space);
    return reservation_of(space, r, reservation);
}

static reservation_t reserve_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                      seL4_CapRights_t rights, int cacheable)
{
    struct space *space = enter(vspace);
    struct space_reservation *reservation = NULL;
    int r;

    (void)cacheable;
    r = space_reserve(space, (struct range){(uintptr_t)vaddr, bytes}, true, rights, &reservation);
    leave(space);
    return reservation_of(space, r, reservation);
}

static reservation_t reserve_deferred_rights_range_at(vspace_t *vspace, void *vaddr, size_t bytes,
                                                      int cacheable)
{
    struct space *space = enter(vspace);
    struct space_reservation *reservation = NULL;
    int r;

    (void)cacheable;
    r = space_reserve(space, (struct range){(uintptr_t)vaddr, bytes}, false, seL4_NoRights,
                      &reservation);
    leave(space);
    return reservation_of(space, r, reservation);
}

static void free_reservation(vspace_t *vspace, reservation_t reservation)
{
    struct space *space = enter(vspace);
    struct space_reservation *found = space_find_reservation(space, reservation.res);
    int r = found == NULL ? -ENOENT : space_unreserve_public(space, found);

    leave(space);
    (void)report(space, r); /* the interface has no way to tell */
}

static void free_reservation_by_vaddr(vspace_t *vspace, void *vaddr)
{
    struct space *space = enter(vspace);
    struct space_reservation *reservation = space_reservation_at(space, (uintptr_t)vaddr);
    int r = reservation == NULL ? -ENOENT : space_unreserve_public(space, reservation);

    leave(space);
    (void)report(space, r);
}

/* --- looking up --- */

static seL4_CPtr get_cap(vspace_t *vspace, void *vaddr)
{
    struct space *space = enter(vspace);
    seL4_CPtr cptr = space_get_cap(space, (uintptr_t)vaddr);
    void *cookie;
    const struct space_backend *backend = space_backend(space, &cookie);

    leave(space);
    if (cptr == seL4_CapNull && backend->get_foreign_cap != NULL) {
        cptr = backend->get_foreign_cap(cookie, (uintptr_t)vaddr);
    }
    return cptr;
}

static uintptr_t get_cookie(vspace_t *vspace, void *vaddr)
{
    struct space *space = enter(vspace);
    uintptr_t cookie = space_get_cookie(space, (uintptr_t)vaddr);

    leave(space);
    return cookie;
}

static seL4_CPtr get_root(vspace_t *vspace)
{
    return space_root(vspace->data);
}

/* --- sharing --- */

static void delete_caps(struct env *env, const seL4_CPtr *caps, size_t nr_caps)
{
    for (size_t i = 0; i < nr_caps; i++) {
        (void)cap_delete(env, caps[i]); /* ours, just made */
        (void)cap_slot_free(env, caps[i]);
    }
}

/* A capability of its own for each page, or none. */
static int derive_caps(struct space *space, struct range range, size_t size_bits,
                       seL4_CPtr *ret_caps)
{
    size_t nr_pages = range.size >> size_bits;

    for (size_t i = 0; i < nr_pages; i++) {
        uint64_t addr = range.start + ((uint64_t)i << size_bits);
        int r = space_derive_cap(space, addr, (unsigned)size_bits, &ret_caps[i]);

        if (r < 0) {
            delete_caps(space_env(space), ret_caps, i);
            return r;
        }
    }
    return 0;
}

/* The two locks are never held together. What was derived keeps its memory alive on its own. */
static int share_mem_at_vaddr(vspace_t *from, vspace_t *to, void *start, int num_pages,
                              size_t size_bits, void *vaddr, reservation_t res)
{
    size_t nr_pages = num_pages < 0 ? 0 : (size_t)num_pages;
    struct space *space = from->data;
    struct range range;
    seL4_CPtr *caps;
    int r;

    r = pages_range(start, nr_pages, size_bits, &range);
    if (r < 0) {
        return report(space, r);
    }
    caps = calloc(nr_pages, sizeof(*caps));
    if (caps == NULL) {
        return report(space, fail(-ENOMEM, "cannot share %zu pages: out of memory", nr_pages));
    }
    (void)enter(from);
    r = derive_caps(space, range, size_bits, caps);
    leave(space);
    if (r < 0) {
        r = report(space, r);
    } else {
        r = vspace_map_pages_at_vaddr(to, caps, NULL, vaddr, nr_pages, size_bits, res);
        if (r != 0) {
            delete_caps(space_env(space), caps, nr_pages);
        }
    }
    free(caps);
    return r;
}

vspace_t space_interface(struct space *space)
{
    return (vspace_t){
        .data = space,
        .new_pages = new_pages,
        .map_pages = map_pages,
        .new_pages_at_vaddr = new_pages_at_vaddr,
        .map_pages_at_vaddr = map_pages_at_vaddr,
        .deferred_rights_map_pages_at_vaddr = deferred_rights_map_pages_at_vaddr,
        .unmap_pages = unmap_pages,
        .tear_down = tear_down,
        .reserve_range_aligned = reserve_range_aligned,
        .reserve_range_at = reserve_range_at,
        .reserve_deferred_rights_range_at = reserve_deferred_rights_range_at,
        .free_reservation = free_reservation,
        .free_reservation_by_vaddr = free_reservation_by_vaddr,
        .get_cap = get_cap,
        .get_root = get_root,
        .get_cookie = get_cookie,
        .share_mem_at_vaddr = share_mem_at_vaddr,
    };
}
