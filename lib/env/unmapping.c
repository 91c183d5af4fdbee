/* Unmapping: runs are split where they must be, and what was mapped is given back. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/reason.h"
#include "env/env.h"
#include "env/mapping.h"

/* One mapping becomes two that meet at addr. */
static int split(struct space *space, struct mapping *mapping, uint64_t addr)
{
    uint64_t size_before = addr - mapping->run.range.start;
    struct mapping *behind;
    int r;

    if (frame_start(mapping->backing, addr) != addr) {
        return fail(-EINVAL,
                    "cannot unmap a part of the 2^%u byte frame at 0x%" PRIx64
                    ": unmap it as a whole",
                    mapping->backing->bits, frame_start(mapping->backing, addr));
    }
    r = rangemap_reserve(&space->mappings, 1);
    if (r < 0) {
        return r;
    }
    behind = calloc(1, sizeof(*behind));
    if (behind == NULL) {
        return fail(-ENOMEM, "cannot unmap at 0x%" PRIx64 ": out of memory", addr);
    }
    *behind = *mapping;
    behind->backing->nr_refs++;
    behind->run.range = (struct range){addr, mapping->run.range.size - size_before};
    behind->run.offset += size_before;
    mapping->run.range.size = size_before;
    (void)rangemap_remove(&space->mappings, mapping->run.range.start); /* it comes back, shorter */
    (void)rangemap_add(&space->mappings, mapping->run.range, mapping); /* there is room for both */
    (void)rangemap_add(&space->mappings, behind->run.range, behind);
    return 0;
}

/* As vspace_unmap_pages frees what was mapped. */
static void free_frame(vka_t *vka, seL4_CPtr cptr, unsigned bits, uintptr_t cookie)
{
    cspacepath_t path;

    vka_cspace_make_path(vka, cptr, &path);
    (void)vka_cnode_delete(&path); /* nothing to be done about a slot that somebody emptied */
    vka_cspace_free(vka, cptr);
    if (cookie != 0) {
        vka_utspace_free(vka, kobject_get_type(KOBJECT_FRAME, bits), bits, cookie);
    }
}

static void free_frames(struct space *space, const struct mapping *mapping, vka_t *vka)
{
    const struct backing *backing = mapping->backing;
    size_t first = frame_index(backing, mapping->run.range.start);
    size_t nr = mapping->run.range.size >> backing->bits;

    env_lock(space->env);
    for (size_t i = first; i < first + nr; i++) {
        space_unclaim(space->env, backing->caps[i]);
    }
    env_unlock(space->env);
    for (size_t i = first; vka != VSPACE_PRESERVE && i < first + nr; i++) {
        free_frame(vka, backing->caps[i], backing->bits,
                   backing->cookies != NULL ? backing->cookies[i] : 0);
    }
}

/* The capabilities of a block's pages are the mapping's own. */
static void free_page_caps(struct space *space, const struct mapping *mapping)
{
    struct rangemap *map = &mapping->backing->page_caps;
    const struct rangemap_entry *entry;

    while ((entry = rangemap_last_overlap(map, mapping->run.range)) != NULL) {
        seL4_CPtr cptr = (seL4_CPtr)entry->value;

        (void)rangemap_remove(map, entry->range.start); /* the value is at hand */
        env_lock(space->env);
        space_unclaim(space->env, cptr);
        env_unlock(space->env);
        (void)cap_delete(space->env, cptr); /* it may be gone: then so much the better */
        (void)cap_slot_free(space->env, cptr);
    }
}

void mapping_forget(struct space *space, struct mapping *mapping, vka_t *vka)
{
    (void)rangemap_remove(&space->mappings, mapping->run.range.start); /* that is mapping */
    if (mapping->backing->block != NULL) {
        free_page_caps(space, mapping);
    } else {
        free_frames(space, mapping, vka);
    }
    mapping_destroy(mapping);
}

int mapping_unmap(struct space *space, struct mapping *mapping, vka_t *vka)
{
    struct range range = mapping->run.range;
    int r;

    r = space->backend->unmap(space->cookie, range);
    if (r < 0) {
        return r;
    }
    mapping_forget(space, mapping, vka);
    if (rangemap_first_overlap(&space->reservations, range) == NULL) {
        space_release_unmapped(space, range);
    }
    return 0;
}

/* Cuts off what lies before and behind the range. */
static int trim(struct space *space, struct mapping **mapping, struct range range)
{
    int r;

    if ((*mapping)->run.range.start < range.start) {
        r = split(space, *mapping, range.start);
        if (r < 0) {
            return r;
        }
        *mapping = mapping_at(space, range.start);
    }
    if (range_end((*mapping)->run.range) > range_end(range)) {
        return split(space, *mapping, range_end(range));
    }
    return 0;
}

int space_unmap(struct space *space, struct range range, vka_t *vka)
{
    const struct rangemap_entry *entry;
    int r;

    if ((range.start | range.size) % space_page_size != 0 ||
        !range_is_valid(range.start, range.size)) {
        return fail(-EINVAL,
                    "cannot unmap 0x%" PRIx64 " bytes at 0x%" PRIx64
                    ": it must be whole pages of 4 KiB",
                    range.size, range.start);
    }
    vka = vka == VSPACE_FREE ? &space->vka : vka;
    while ((entry = rangemap_last_overlap(&space->mappings, range)) != NULL) {
        struct mapping *mapping = entry->value;

        r = trim(space, &mapping, range);
        if (r == 0) {
            r = mapping_unmap(space, mapping, vka);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* A page's capability that its user deletes is not the mapping's to delete any more. */
static void forget_page_cap(struct space *space, struct mapping *mapping, uint64_t addr,
                            seL4_CPtr cptr)
{
    if (mapping->backing->block != NULL) {
        (void)rangemap_remove(&mapping->backing->page_caps, addr); /* it is cptr */
        env_lock(space->env);
        space_unclaim(space->env, cptr);
        env_unlock(space->env);
    }
}

static bool has_cap_at(struct space *space, const struct mapping *mapping, uint64_t addr,
                       seL4_CPtr cptr)
{
    const struct rangemap_entry *entry;

    if (mapping == NULL) {
        return false;
    }
    if (mapping->backing->block == NULL) {
        return space_get_cap(space, addr) == cptr;
    }
    entry = rangemap_find(&mapping->backing->page_caps, addr);
    return entry != NULL && (seL4_CPtr)entry->value == cptr;
}

int space_unmap_cap(struct space *space, uint64_t addr, seL4_CPtr cptr)
{
    struct mapping *mapping;
    int r = 0;

    space->backend->enter(space->cookie);
    mapping = mapping_at(space, addr);
    if (has_cap_at(space, mapping, addr, cptr)) {
        struct range frame = {addr, UINT64_C(1) << mapping->backing->bits};

        forget_page_cap(space, mapping, addr, cptr);
        r = space_unmap(space, frame, VSPACE_PRESERVE);
    }
    space->backend->leave(space->cookie);
    space_end_visit(space);
    return r;
}
