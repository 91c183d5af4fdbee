/* Frames: counted pieces of memory files, and the capabilities that name them. */
#ifndef ENV_FRAMES_H
#define ENV_FRAMES_H

#include <sel4/sel4.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rangemap.h"

struct cap;
struct env;

/*
 * A piece of a memory file. Alive while it is counted; capabilities, mappings and whoever called
 * block_get() count. When the last one goes the memory returns to the host.
 */
struct block {
    struct env *env;
    struct block *parent; /* the untyped memory it was cut from, or NULL */
    int fd;
    uint64_t
        offset; /* in fd; memory is zero when the block is created, except for a physical range */
    uint64_t size;
    unsigned nr_refs;     /* guarded by the env lock, like the following */
    unsigned nr_children; /* blocks cut from this one */
    uint64_t used;        /* untyped memory: bytes cut off so far */
    bool is_phys;         /* a registered physical range, with a descriptor of its own */
};

/* What a frame capability names. */
struct frame {
    struct block *block;
    int fd;
    uint64_t offset; /* in fd */
    unsigned bits;   /* 12, 21 or 30 */
    seL4_CapRights_t rights;
};

/* The environment's memory file, and the physical ranges registered with it. */
struct frame_pool {
    int fd;
    uint64_t file_size;    /* grows, never shrinks */
    uint64_t bytes_in_use; /* of max_frame_memory */
    size_t nr_blocks;
    bool is_ending;        /* the file goes as a whole: nothing needs to be given back */
    struct rangemap holes; /* unused, zero, joined with neighbours; room for one more per block */
    struct rangemap phys;  /* physical address to block */
};

int frame_pool_init(struct frame_pool *pool);
void frame_pool_fini(struct frame_pool *pool); /* the blocks are gone by now */

/*
 * A fresh, zeroed block with one count, the caller's. Size is rounded up to 4 KiB; from 2 MiB on it
 * is aligned to 2 MiB in the file. Costs the same whatever its size: memory comes with the first
 * touch. -EINVAL for 0 bytes, -ENOMEM.
 */
int block_create(struct env *env, uint64_t size, struct block **ret);
void block_get(struct block *block);
void block_put(struct block *block); /* NULL is fine */

/* A fresh frame of 2^bits bytes in an empty slot. -EINVAL for a size other than 12, 21, 30. */
int frame_create(struct env *env, unsigned bits, seL4_CPtr slot);

/*
 * A frame of 2^bits bytes out of the block, in a slot of its own, with all rights. The capability
 * counts.
 */
int frame_cap_create(struct env *env, struct block *block, uint64_t offset_in_block, unsigned bits,
                     seL4_CPtr *ret);

/* The same in an empty slot. */
int frame_fill(struct env *env, struct block *block, uint64_t offset, unsigned bits,
               seL4_CPtr slot);

/*
 * What the capability names. The block is alive as long as the capability is. -ENOENT, with a
 * reason.
 */
int frame_lookup(struct env *env, seL4_CPtr cptr, struct frame *ret);

bool frame_bits_valid(unsigned bits);

/*
 * Physical ranges: each is a block that lives as long as the environment. -ENOENT where none is.
 */
int phys_add(struct env *env, uint64_t paddr, int fd, uint64_t offset, uint64_t size);
int phys_frame_create(struct env *env, uint64_t paddr, unsigned bits, seL4_CPtr slot);
int phys_find(struct env *env, uint64_t paddr, uint64_t size, struct block **ret_block,
              uint64_t *ret_offset);

/* --- env lock held --- */

void frame_of_cap(const struct cap *cap, struct frame *ret);

/* align is a power of two. */
int block_create_aligned(struct env *env, uint64_t size, uint64_t align, struct block **ret);
/* The next piece of untyped memory; it counts on its parent. */
int block_cut(struct block *parent, uint64_t size, uint64_t align, struct block **ret);
void block_drop(struct block *block);

#endif
