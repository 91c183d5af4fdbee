/* What is mapped where, and the capabilities to it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/reason.h"
#include "env/env.h"
#include "env/mapping.h"

struct mapping *mapping_at(struct space *space, uint64_t addr)
{
    const struct rangemap_entry *entry = rangemap_find(&space->mappings, addr);

    return entry == NULL ? NULL : entry->value;
}

size_t frame_index(const struct backing *backing, uint64_t addr)
{
    return (addr - backing->start) >> backing->bits;
}

uint64_t frame_start(const struct backing *backing, uint64_t addr)
{
    return backing->start + ((addr - backing->start) >> backing->bits << backing->bits);
}

void space_unclaim(struct env *env, seL4_CPtr cptr)
{
    struct cap *cap;

    if (cap_find_slot(env, cptr, &cap) == 0) {
        cap->space = NULL;
    }
}

static seL4_CPtr make_page_cap(struct space *space, const struct mapping *mapping, uint64_t page)
{
    struct backing *backing = mapping->backing;
    uint64_t offset =
        mapping->run.offset + (page - mapping->run.range.start) - backing->block->offset;
    struct cap *cap;
    seL4_CPtr cptr;

    if (rangemap_reserve(&backing->page_caps, 1) < 0 ||
        frame_cap_create(space->env, backing->block, offset, seL4_PageBits, &cptr) < 0) {
        return seL4_CapNull;
    }
    (void)rangemap_add(&backing->page_caps, (struct range){page, space_page_size}, (void *)cptr);
    env_lock(space->env);
    if (cap_find_slot(space->env, cptr, &cap) == 0) {
        cap->space = space;
        cap->addr = page;
    }
    env_unlock(space->env);
    return cptr;
}

seL4_CPtr space_get_cap(struct space *space, uint64_t addr)
{
    uint64_t page = addr & ~(space_page_size - 1);
    const struct mapping *mapping = mapping_at(space, addr);
    const struct rangemap_entry *entry;

    if (mapping == NULL) {
        return seL4_CapNull;
    }
    if (mapping->backing->block == NULL) {
        return mapping->backing->caps[frame_index(mapping->backing, addr)];
    }
    entry = rangemap_find(&mapping->backing->page_caps, addr);
    return entry != NULL ? (seL4_CPtr)entry->value : make_page_cap(space, mapping, page);
}

uintptr_t space_get_cookie(struct space *space, uint64_t addr)
{
    const struct mapping *mapping = mapping_at(space, addr);

    if (mapping == NULL || mapping->backing->cookies == NULL) {
        return 0;
    }
    return mapping->backing->cookies[frame_index(mapping->backing, addr)];
}

/* A capability to part of the memory behind an address, with these rights. */
static int derive(struct space *space, const struct mapping *mapping, uint64_t addr, unsigned bits,
                  struct block *block, seL4_CapRights_t rights, seL4_CPtr *ret)
{
    uint64_t file_offset = mapping->run.offset + (addr - mapping->run.range.start);
    struct cap *cap;
    int r;

    r = frame_cap_create(space->env, block, file_offset - block->offset, bits, ret);
    if (r < 0) {
        return r;
    }
    env_lock(space->env);
    if (cap_find_slot(space->env, *ret, &cap) == 0) {
        cap->rights = (uint8_t)rights.words[0];
    }
    env_unlock(space->env);
    return 0;
}

int space_derive_cap(struct space *space, uint64_t addr, unsigned bits, seL4_CPtr *ret)
{
    const struct mapping *mapping = mapping_at(space, addr);
    struct range piece = {addr, UINT64_C(1) << (bits & 63)};
    struct frame frame;
    int r;

    if (mapping == NULL || !range_contains(mapping->run.range, piece)) {
        return fail(-ENOENT,
                    "cannot share 2^%u bytes at 0x%" PRIx64 ": they are not mapped in one piece",
                    bits, addr);
    }
    if (mapping->backing->block != NULL) {
        return derive(space, mapping, addr, bits, mapping->backing->block, seL4_AllRights, ret);
    }
    if (bits > mapping->backing->bits) {
        return fail(-EINVAL,
                    "cannot share 2^%u bytes at 0x%" PRIx64 ": they are frames of 2^%u bytes", bits,
                    addr, mapping->backing->bits);
    }
    r = frame_lookup(space->env, space_get_cap(space, addr), &frame);
    return r < 0 ? r : derive(space, mapping, addr, bits, frame.block, frame.rights, ret);
}

bool space_find_mapping(struct space *space, uint64_t addr, struct space_run *ret)
{
    const struct mapping *mapping = mapping_at(space, addr);

    if (mapping != NULL) {
        *ret = mapping->run;
    }
    return mapping != NULL;
}

bool space_is_mapped(struct space *space, struct range range)
{
    uint64_t addr = range.start;

    while (addr < range_end(range)) {
        const struct mapping *mapping = mapping_at(space, addr);

        if (mapping == NULL) {
            return false;
        }
        addr = range_end(mapping->run.range);
    }
    return true;
}

bool space_first_mapping(struct space *space, struct range range, struct range *ret)
{
    const struct rangemap_entry *entry = rangemap_first_overlap(&space->mappings, range);

    if (entry != NULL) {
        *ret = entry->range;
    }
    return entry != NULL;
}
