/* Mapping frames and blocks into an address space. */
#include "env/mapping.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/reason.h"
#include "env/env.h"

static void backing_put(struct backing *backing)
{
    backing->nr_refs--;
    if (backing->nr_refs > 0) {
        return;
    }
    rangemap_fini(&backing->page_caps);
    block_put(backing->block);
    free(backing->caps);
    free(backing->cookies);
    free(backing);
}

void mapping_destroy(struct mapping *mapping)
{
    if (mapping == NULL) {
        return;
    }
    if (mapping->backing != NULL) {
        backing_put(mapping->backing);
    }
    free(mapping);
}

static struct mapping *mapping_create(uint64_t start, unsigned bits)
{
    struct mapping *mapping = calloc(1, sizeof(*mapping));

    if (mapping == NULL) {
        return NULL;
    }
    mapping->backing = calloc(1, sizeof(*mapping->backing));
    if (mapping->backing == NULL) {
        free(mapping);
        return NULL;
    }
    mapping->run.range.start = start;
    mapping->backing->nr_refs = 1;
    mapping->backing->start = start;
    mapping->backing->bits = bits;
    return mapping;
}

static void unclaim_all(struct env *env, const struct space_frame *frames, size_t nr_frames)
{
    env_lock(env);
    for (size_t i = 0; i < nr_frames; i++) {
        space_unclaim(env, frames[i].cptr);
    }
    env_unlock(env);
}

/* Runs that are about to be mapped. */
struct batch {
    struct mapping **mappings;
    struct space_run *runs; /* the same as the mappings' */
    size_t nr_runs;
};

static int batch_init(struct batch *batch, size_t nr_runs_max)
{
    *batch = (struct batch){0};
    batch->mappings = calloc(nr_runs_max, sizeof(batch->mappings[0]));
    batch->runs = calloc(nr_runs_max, sizeof(batch->runs[0]));
    if (batch->mappings == NULL || batch->runs == NULL) {
        free(batch->mappings);
        free(batch->runs);
        return fail(-ENOMEM, "cannot map %zu frames: out of memory", nr_runs_max);
    }
    return 0;
}

/* Without those that went into a space. */
static void batch_fini(struct batch *batch)
{
    for (size_t i = 0; i < batch->nr_runs; i++) {
        mapping_destroy(batch->mappings[i]);
    }
    free(batch->mappings);
    free(batch->runs);
}

static int check_target(struct space *space, const struct space_reservation *reservation,
                        struct range range)
{
    const struct rangemap_entry *taken = rangemap_first_overlap(&space->mappings, range);

    if (!range_contains(reservation->range, range)) {
        return fail(-EINVAL,
                    "cannot map 0x%" PRIx64 " bytes at 0x%" PRIx64 ": that is outside the "
                    "reservation [0x%" PRIx64 "..0x%" PRIx64 ")",
                    range.size, range.start, reservation->range.start,
                    range_end(reservation->range));
    }
    if (taken != NULL) {
        return fail(-EEXIST,
                    "cannot map [0x%" PRIx64 "..0x%" PRIx64 "): [0x%" PRIx64 "..0x%" PRIx64
                    ") is mapped; unmap that first",
                    range.start, range_end(range), taken->range.start, range_end(taken->range));
    }
    return 0;
}

/* Shows the runs, or nothing. On success the mappings are the space's. */
static int batch_map(struct space *space, struct batch *batch)
{
    int r;

    r = rangemap_reserve(&space->mappings, batch->nr_runs);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < batch->nr_runs; i++) {
        batch->runs[i] = batch->mappings[i]->run;
    }
    r = space->backend->map(space->cookie, batch->runs, batch->nr_runs);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < batch->nr_runs; i++) {
        (void)rangemap_add(&space->mappings, batch->runs[i].range,
                           batch->mappings[i]); /* room made */
        batch->mappings[i] = NULL;
    }
    return 0;
}

static bool rights_equal(seL4_CapRights_t a, seL4_CapRights_t b)
{
    return a.words[0] == b.words[0];
}

static bool extends(const struct mapping *mapping, const struct space_run *next, unsigned bits)
{
    const struct space_run *run = &mapping->run;

    return mapping->backing->bits == bits && run->fd == next->fd &&
           range_end(run->range) == next->range.start &&
           run->offset + run->range.size == next->offset && rights_equal(run->rights, next->rights);
}

/* Joins the frame to the last run, or begins the next. */
static int batch_add(struct batch *batch, const struct space_run *frame, unsigned bits)
{
    struct mapping *last = batch->nr_runs > 0 ? batch->mappings[batch->nr_runs - 1] : NULL;

    if (last != NULL && extends(last, frame, bits)) {
        last->run.range.size += frame->range.size;
        return 0;
    }
    last = mapping_create(frame->range.start, bits);
    if (last == NULL) {
        return fail(-ENOMEM, "cannot map a frame at 0x%" PRIx64 ": out of memory",
                    frame->range.start);
    }
    last->run = *frame;
    batch->mappings[batch->nr_runs++] = last;
    return 0;
}

/*
 * Env lock held. The capability is this space's from here on: it cannot be mapped elsewhere, or
 * twice.
 */
static int claim_cap(struct space *space, const struct space_frame *frame, struct space_run *ret)
{
    struct frame found;
    struct cap *cap;
    int r;

    r = cap_find(space->env, frame->cptr, CAP_FRAME, &cap);
    if (r < 0) {
        return r;
    }
    if (cap->space != NULL) {
        return fail(-EEXIST,
                    "capability 0x%lx is mapped at 0x%" PRIx64 " already: copy it to map its "
                    "frame once more",
                    frame->cptr, cap->addr);
    }
    if (cap->bits != frame->bits) {
        return fail(-EINVAL, "capability 0x%lx is a frame of 2^%u bytes, not of 2^%u", frame->cptr,
                    cap->bits, frame->bits);
    }
    frame_of_cap(cap, &found);
    *ret = (struct space_run){
        .range = {frame->addr, UINT64_C(1) << frame->bits},
        .fd = found.fd,
        .offset = found.offset,
        .rights = {{found.rights.words[0] & frame->rights.words[0]}},
    };
    cap->space = space;
    cap->addr = frame->addr;
    return 0;
}

/* Sizes, alignment and order. */
static int check_frames(const struct space_frame *frames, size_t nr_frames)
{
    uint64_t end = 0;

    if (nr_frames == 0) {
        return fail(-EINVAL, "cannot map 0 frames");
    }
    for (size_t i = 0; i < nr_frames; i++) {
        struct range range = {frames[i].addr, UINT64_C(1) << (frames[i].bits & 63)};

        if (!frame_bits_valid(frames[i].bits) || range.start % range.size != 0 ||
            !range_is_valid(range.start, range.size)) {
            return fail(-EINVAL,
                        "cannot map a frame of 2^%u bytes at 0x%" PRIx64
                        ": frames have 2^12, 2^21 or 2^30 bytes, and are aligned to that",
                        frames[i].bits, frames[i].addr);
        }
        if (range.start < end) {
            return fail(-EINVAL,
                        "cannot map a frame at 0x%" PRIx64 ": the one before it ends at 0x%" PRIx64,
                        range.start, end);
        }
        end = range_end(range);
    }
    return 0;
}

/* Claims all capabilities, or none. */
static int claim_frames(struct space *space, const struct space_frame *frames, size_t nr_frames,
                        struct batch *batch)
{
    size_t nr_claimed = 0;
    int r = 0;

    env_lock(space->env);
    while (r == 0 && nr_claimed < nr_frames) {
        struct space_run run;

        r = claim_cap(space, &frames[nr_claimed], &run);
        if (r == 0) {
            nr_claimed++;
            r = batch_add(batch, &run, frames[nr_claimed - 1].bits);
        }
    }
    for (size_t i = 0; r < 0 && i < nr_claimed; i++) {
        space_unclaim(space->env, frames[i].cptr);
    }
    env_unlock(space->env);
    return r;
}

/* Gives each run the part of the frames that it shows. */
static int fill_backings(struct batch *batch, const struct space_frame *frames,
                         const uintptr_t *cookies)
{
    size_t first = 0;

    for (size_t i = 0; i < batch->nr_runs; i++) {
        struct backing *backing = batch->mappings[i]->backing;
        size_t nr = batch->mappings[i]->run.range.size >> backing->bits;

        backing->caps = calloc(nr, sizeof(backing->caps[0]));
        backing->cookies = cookies == NULL ? NULL : calloc(nr, sizeof(backing->cookies[0]));
        if (backing->caps == NULL || (cookies != NULL && backing->cookies == NULL)) {
            return fail(-ENOMEM, "cannot map %zu frames: out of memory", nr);
        }
        for (size_t j = 0; j < nr; j++) {
            backing->caps[j] = frames[first + j].cptr;
            if (cookies != NULL) {
                backing->cookies[j] = cookies[first + j];
            }
        }
        first += nr;
    }
    return 0;
}

static int map_claimed(struct space *space, const struct space_reservation *reservation,
                       struct batch *batch, const struct space_frame *frames,
                       const uintptr_t *cookies)
{
    int r;

    for (size_t i = 0; i < batch->nr_runs; i++) {
        r = check_target(space, reservation, batch->mappings[i]->run.range);
        if (r < 0) {
            return r;
        }
    }
    r = fill_backings(batch, frames, cookies);
    return r < 0 ? r : batch_map(space, batch);
}

int space_map_frames(struct space *space, struct space_reservation *reservation,
                     const struct space_frame *frames, size_t nr_frames, const uintptr_t *cookies)
{
    struct batch batch;
    int r;

    r = check_frames(frames, nr_frames);
    if (r == 0) {
        r = batch_init(&batch, nr_frames);
    }
    if (r < 0) {
        return r;
    }
    r = claim_frames(space, frames, nr_frames, &batch);
    if (r == 0) {
        r = map_claimed(space, reservation, &batch, frames, cookies);
        if (r < 0) {
            unclaim_all(space->env, frames, nr_frames);
        }
    }
    batch_fini(&batch);
    return r;
}

int space_map_block(struct space *space, struct space_reservation *reservation, struct range range,
                    struct block *block, uint64_t offset_in_block, seL4_CapRights_t rights)
{
    struct space_run run = {range, block->fd, block->offset + offset_in_block, rights};
    struct batch batch;
    int r;

    if (range.size == 0 || (range.start | range.size | offset_in_block) % space_page_size != 0 ||
        !range_contains((struct range){0, block->size},
                        (struct range){offset_in_block, range.size})) {
        return fail(-EINVAL,
                    "cannot map 0x%" PRIx64 " bytes at 0x%" PRIx64 " from 0x%" PRIx64
                    " of a block of 0x%" PRIx64 ": it must be whole pages inside the block",
                    range.size, range.start, offset_in_block, block->size);
    }
    r = check_target(space, reservation, range);
    if (r == 0) {
        r = batch_init(&batch, 1);
    }
    if (r < 0) {
        return r;
    }
    r = batch_add(&batch, &run, seL4_PageBits);
    if (r == 0) {
        block_get(block);
        batch.mappings[0]->backing->block = block;
        r = batch_map(space, &batch);
    }
    batch_fini(&batch);
    return r;
}
