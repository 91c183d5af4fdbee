/* Physical memory: parts of files that were registered under an address. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/reason.h"
#include "env/env.h"
#include "env/frames.h"

int phys_find(struct env *env, uint64_t paddr, uint64_t size, struct block **ret_block,
              uint64_t *ret_offset)
{
    const struct rangemap_entry *entry;
    int r = 0;

    env_lock(env);
    entry = rangemap_find(&env->frames.phys, paddr);
    if (entry == NULL || !range_contains(entry->range, (struct range){paddr, size})) {
        r = fail(-ENOENT,
                 "no physical memory of 0x%" PRIx64 " bytes at 0x%" PRIx64
                 ": register it with hostvm_env_add_phys",
                 size, paddr);
    } else {
        *ret_block = entry->value;
        *ret_offset = paddr - entry->range.start;
    }
    env_unlock(env);
    return r;
}

int phys_frame_create(struct env *env, uint64_t paddr, unsigned bits, seL4_CPtr slot)
{
    uint64_t size = UINT64_C(1) << (bits & 63);
    struct block *block;
    uint64_t offset;
    int r;

    if (paddr % size != 0) {
        return fail(-EINVAL,
                    "cannot make a frame of 2^%u bytes at physical address 0x%" PRIx64
                    ": it is not aligned",
                    bits, paddr);
    }
    r = phys_find(env, paddr, size, &block, &offset);
    return r < 0 ? r : frame_fill(env, block, offset, bits, slot);
}

int phys_add(struct env *env, uint64_t paddr, int fd, uint64_t offset, uint64_t size)
{
    struct range range = {paddr, size};
    struct block *block;
    int r;

    if (size == 0 || (paddr | offset | size) % PAGE_SIZE_4K != 0 || !range_is_valid(paddr, size) ||
        !range_contains((struct range){0, INT64_MAX}, (struct range){offset, size})) {
        return fail(-EINVAL,
                    "cannot register 0x%" PRIx64 " bytes of a file at 0x%" PRIx64
                    " as physical memory at 0x%" PRIx64 ": it must be whole pages of 4 KiB",
                    size, offset, paddr);
    }
    block = calloc(1, sizeof(*block));
    if (block == NULL) {
        return fail(-ENOMEM, "cannot register physical memory: out of memory");
    }
    *block =
        (struct block){.env = env, .offset = offset, .size = size, .nr_refs = 1, .is_phys = true};
    block->fd = io_dup(fd);
    if (block->fd < 0) {
        r = block->fd;
        goto free_block;
    }
    env_lock(env);
    r = rangemap_add(&env->frames.phys, range, block);
    env_unlock(env);
    if (r < 0) {
        goto close_fd;
    }
    return 0;

close_fd:
    close(block->fd);
free_block:
    free(block);
    return r;
}
