/* Pieces of the environment's memory file, and the frames made of them. */
#define _GNU_SOURCE 1
#include "env/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/reason.h"
#include "env/env.h"

static const uint64_t page_size = UINT64_C(1) << seL4_PageBits;
static const uint64_t large_page_size = UINT64_C(1) << seL4_LargePageBits;
static const uint64_t file_size_max = UINT64_C(1) << 62;
static const uint64_t file_size_step = UINT64_C(64) << 20; /* sparse: costs nothing */

bool frame_bits_valid(unsigned bits)
{
    return bits == seL4_PageBits || bits == seL4_LargePageBits || bits == seL4_HugePageBits;
}

int frame_pool_init(struct frame_pool *pool)
{
    int r;

    *pool = (struct frame_pool){.fd = -1};
    r = rangemap_add(&pool->holes, (struct range){0, file_size_max}, NULL);
    if (r < 0) {
        return r;
    }
    pool->fd = io_memfd("hostvm-frames", 0);
    return pool->fd < 0 ? pool->fd : 0;
}

void frame_pool_fini(struct frame_pool *pool)
{
    const struct rangemap_entry *entry = rangemap_at_or_after(&pool->phys, 0);

    for (; entry != NULL; entry = rangemap_next(&pool->phys, entry)) {
        block_drop(entry->value);
    }
    rangemap_fini(&pool->phys);
    rangemap_fini(&pool->holes);
    io_close(&pool->fd);
}

/* The lowest place for size bytes; found even when it begins inside a hole. */
static struct rangemap_entry *find_hole(struct frame_pool *pool, uint64_t size, uint64_t align,
                                        uint64_t *ret_offset)
{
    struct rangemap_entry *hole = rangemap_at_or_after(&pool->holes, 0);

    for (; hole != NULL; hole = rangemap_next(&pool->holes, hole)) {
        struct range wanted = {align_up(hole->range.start, align), size};

        if (range_contains(hole->range, wanted)) {
            *ret_offset = wanted.start;
            return hole;
        }
    }
    return NULL;
}

/* There is room in the map for one more hole. */
static void carve(struct frame_pool *pool, struct rangemap_entry *hole, struct range taken)
{
    struct range before = {hole->range.start, taken.start - hole->range.start};
    struct range behind = {range_end(taken), range_end(hole->range) - range_end(taken)};

    (void)rangemap_remove(&pool->holes, hole->range.start); /* holes have no value */
    if (before.size > 0) {
        (void)rangemap_add(&pool->holes, before, NULL); /* cannot fail: see above */
    }
    if (behind.size > 0) {
        (void)rangemap_add(&pool->holes, behind, NULL);
    }
}

/* Becomes a hole, joined with its neighbours. */
static void give_back(struct frame_pool *pool, struct range range)
{
    struct rangemap_entry *next = rangemap_find(&pool->holes, range_end(range));
    struct rangemap_entry *previous;

    if (next != NULL) {
        range.size += next->range.size;
        (void)rangemap_remove(&pool->holes, next->range.start);
    }
    previous = range.start > 0 ? rangemap_find(&pool->holes, range.start - 1) : NULL;
    if (previous != NULL) {
        range.size += previous->range.size;
        range.start = previous->range.start;
        (void)rangemap_remove(&pool->holes, range.start);
    }
    (void)rangemap_add(&pool->holes, range, NULL); /* every block keeps room for one */
}

static int grow_file(struct frame_pool *pool, uint64_t end)
{
    uint64_t size = align_up(end, file_size_step);

    if (end <= pool->file_size) {
        return 0;
    }
    if (ftruncate(pool->fd, (off_t)size) < 0) {
        int err = errno;

        return fail(-err, "cannot grow the memory file to %" PRIu64 " MiB: %s", size >> 20,
                    strerror(err));
    }
    pool->file_size = size;
    return 0;
}

static int check_budget(struct env *env, uint64_t size)
{
    const struct frame_pool *pool = &env->frames;
    uint64_t max = env->config.max_frame_memory;

    if (max == 0 || (pool->bytes_in_use <= max && size <= max - pool->bytes_in_use)) {
        return 0;
    }
    return fail(-ENOMEM,
                "cannot allocate %" PRIu64 " KiB of memory: %" PRIu64 " of %" PRIu64
                " KiB are taken; free some or raise max_frame_memory",
                size >> 10, pool->bytes_in_use >> 10, max >> 10);
}

static int take_range(struct frame_pool *pool, uint64_t size, uint64_t align, uint64_t *ret_offset)
{
    struct rangemap_entry *hole;
    uint64_t offset;
    int r;

    r = rangemap_reserve(&pool->holes, pool->nr_blocks + 2);
    if (r < 0) {
        return r;
    }
    hole = find_hole(pool, size, align, &offset);
    if (hole == NULL) {
        return fail(-ENOMEM, "cannot allocate %" PRIu64 " MiB of memory: no file is that large",
                    size >> 20);
    }
    r = grow_file(pool, offset + size);
    if (r < 0) {
        return r;
    }
    carve(pool, hole, (struct range){offset, size});
    *ret_offset = offset;
    return 0;
}

int block_create_aligned(struct env *env, uint64_t size, uint64_t align, struct block **ret)
{
    struct frame_pool *pool = &env->frames;
    struct block *block;
    int r;

    if (size == 0 || size > file_size_max) {
        return fail(-EINVAL, "cannot allocate 0x%" PRIx64 " bytes of memory: %s", size,
                    size == 0 ? "it would be empty" : "no file is that large");
    }
    size = align_up(size, page_size);
    align = align < page_size ? page_size : align;
    r = check_budget(env, size);
    if (r < 0) {
        return r;
    }
    block = calloc(1, sizeof(*block));
    if (block == NULL) {
        return fail(-ENOMEM, "cannot allocate memory for a frame: out of memory");
    }
    r = take_range(pool, size, align, &block->offset);
    if (r < 0) {
        free(block);
        return r;
    }
    block->env = env;
    block->fd = pool->fd;
    block->size = size;
    block->nr_refs = 1;
    pool->nr_blocks++;
    pool->bytes_in_use += size;
    *ret = block;
    return 0;
}

int block_create(struct env *env, uint64_t size, struct block **ret)
{
    uint64_t align = size >= large_page_size ? large_page_size : page_size;
    int r;

    env_lock(env);
    r = block_create_aligned(env, size, align, ret);
    env_unlock(env);
    return r;
}

int block_cut(struct block *parent, uint64_t size, uint64_t align, struct block **ret)
{
    uint64_t skip = align_up(parent->used, align);
    struct block *block;

    if (!range_contains((struct range){0, parent->size}, (struct range){skip, size})) {
        return fail(-ENOMEM,
                    "cannot make an object of 0x%" PRIx64 " bytes: 0x%" PRIx64 " of 0x%" PRIx64
                    " bytes of the untyped memory are used up",
                    size, parent->used, parent->size);
    }
    block = calloc(1, sizeof(*block));
    if (block == NULL) {
        return fail(-ENOMEM, "cannot make an object: out of memory");
    }
    block->env = parent->env;
    block->parent = parent;
    block->fd = parent->fd;
    block->offset = parent->offset + skip;
    block->size = size;
    block->nr_refs = 1;
    parent->nr_refs++;
    parent->nr_children++;
    parent->used = skip + size;
    *ret = block;
    return 0;
}

/* Gives the memory back to the host; what the file has there is zero afterwards. */
static bool punch(const struct block *block)
{
    int r;

    if (block->env->frames.is_ending) {
        return true;
    }
    do {
        r = fallocate(block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)block->offset,
                      (off_t)block->size);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        log_at(env_log(block->env), HOSTVM_LOG_WARN,
               "cannot free [0x%" PRIx64 "..0x%" PRIx64 ") of the memory file: %s; it stays unused",
               block->offset, block->offset + block->size, strerror(errno));
    }
    return r == 0;
}

/* What was cut off can be cut again once all of it is free, and zero. */
static void uncut(const struct block *block)
{
    struct block *parent = block->parent;

    if (block->size >= page_size && !punch(block)) {
        return;
    }
    parent->nr_children--;
    if (parent->nr_children == 0) {
        parent->used = 0;
    }
}

static void free_block(struct block *block)
{
    struct frame_pool *pool = &block->env->frames;
    uint64_t file_bytes = align_up(block->size, page_size);

    if (block->parent != NULL) {
        uncut(block);
    } else if (block->is_phys) {
        close(block->fd);
    } else {
        if (punch(block)) {
            give_back(pool, (struct range){block->offset, file_bytes});
        }
        pool->nr_blocks--;
        pool->bytes_in_use -= file_bytes;
    }
    free(block);
}

void block_drop(struct block *block)
{
    while (block != NULL && --block->nr_refs == 0) {
        struct block *parent = block->parent;

        free_block(block);
        block = parent;
    }
}

void block_get(struct block *block)
{
    env_lock(block->env);
    block->nr_refs++;
    env_unlock(block->env);
}

void block_put(struct block *block)
{
    struct env *env;

    if (block == NULL) {
        return;
    }
    env = block->env;
    env_lock(env);
    block_drop(block);
    env_unlock(env);
}

int frame_create(struct env *env, unsigned bits, seL4_CPtr slot)
{
    uint64_t size = UINT64_C(1) << (bits & 63);
    struct block *block;
    struct cap *cap;
    int r;

    if (!frame_bits_valid(bits)) {
        return fail(-EINVAL, "cannot make a frame of 2^%u bytes: only 2^12, 2^21 and 2^30", bits);
    }
    env_lock(env);
    r = cap_find_empty(env, slot, &cap);
    if (r == 0) {
        r = block_create_aligned(env, size, size, &block);
    }
    if (r == 0) {
        cap_fill_frame(cap, block, 0, bits);
    }
    env_unlock(env);
    return r;
}

int frame_fill(struct env *env, struct block *block, uint64_t offset, unsigned bits, seL4_CPtr slot)
{
    struct range piece = {offset, UINT64_C(1) << (bits & 63)};
    struct cap *cap;
    int r;

    if (!frame_bits_valid(bits) || offset % page_size != 0 ||
        !range_contains((struct range){0, block->size}, piece)) {
        return fail(-EINVAL,
                    "cannot make a frame of 2^%u bytes at 0x%" PRIx64 " of a block of 0x%" PRIx64
                    " bytes",
                    bits, offset, block->size);
    }
    env_lock(env);
    r = cap_find_empty(env, slot, &cap);
    if (r == 0) {
        block->nr_refs++;
        cap_fill_frame(cap, block, offset, bits);
    }
    env_unlock(env);
    return r;
}

int frame_cap_create(struct env *env, struct block *block, uint64_t offset_in_block, unsigned bits,
                     seL4_CPtr *ret)
{
    seL4_CPtr slot;
    int r;

    r = cap_slot_alloc(env, &slot);
    if (r < 0) {
        return r;
    }
    r = frame_fill(env, block, offset_in_block, bits, slot);
    if (r < 0) {
        (void)cap_slot_free(env, slot); /* a fresh, empty slot */
        return r;
    }
    *ret = slot;
    return 0;
}

int frame_lookup(struct env *env, seL4_CPtr cptr, struct frame *ret)
{
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find(env, cptr, CAP_FRAME, &cap);
    if (r == 0) {
        frame_of_cap(cap, ret);
    }
    env_unlock(env);
    return r;
}

void frame_of_cap(const struct cap *cap, struct frame *ret)
{
    ret->block = cap->block;
    ret->fd = cap->block->fd;
    ret->offset = cap->block->offset + cap->offset;
    ret->bits = cap->bits;
    ret->rights.words[0] = cap->rights;
}
