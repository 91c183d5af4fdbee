/*
 * The io_ops interface: driver memory that knows its own blocks, and mappings of physical ranges.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rangemap.h"
#include "base/reason.h"
#include "env/env.h"

/* --- blocks: what was handed out, so that anything else is refused --- */

/* Takes over the block: on failure it is freed. */
static int remember_block(struct env *env, void *block, size_t size)
{
    int r;

    if (block == NULL) {
        return fail(-ENOMEM, "cannot allocate %zu bytes for a driver: out of memory", size);
    }
    env_lock(env);
    r = rangemap_add(&env->driver_blocks, (struct range){(uintptr_t)block, size}, block);
    env_unlock(env);
    if (r < 0) {
        free(block);
    }
    return r;
}

static int free_block(struct env *env, void *pointer)
{
    void *block;

    env_lock(env);
    block = rangemap_remove(&env->driver_blocks, (uintptr_t)pointer);
    env_unlock(env);
    if (block == NULL) {
        return fail(-EINVAL, "cannot free %p: it was not allocated here", pointer);
    }
    free(block);
    return 0;
}

/* These interfaces return positive errnos. */
static int report(struct env *env, int r)
{
    (void)env_report(env, r); /* logs; the number is more than it returns */
    return -r;
}

static int env_malloc(void *cookie, size_t size, void **ptr)
{
    void *block = malloc(size);
    int r = remember_block(cookie, block, size);

    if (r == 0) {
        *ptr = block;
    }
    return report(cookie, r);
}

static int env_calloc(void *cookie, size_t nmemb, size_t size, void **ptr)
{
    void *block;
    size_t bytes;
    int r;

    if (__builtin_mul_overflow(nmemb, size, &bytes)) {
        return report(
            cookie, fail(-ENOMEM, "cannot allocate %zu times %zu bytes for a driver", nmemb, size));
    }
    block = calloc(1, bytes);
    r = remember_block(cookie, block, bytes);
    if (r == 0) {
        *ptr = block;
    }
    return report(cookie, r);
}

static int env_free(void *cookie, size_t size, void *ptr)
{
    (void)size;
    return report(cookie, free_block(cookie, ptr));
}

/* --- memory for devices, which in a process see addresses as the process does --- */

static int dma_alloc(struct env *env, size_t size, int align, void **ret)
{
    size_t alignment = align < (int)sizeof(void *) ? sizeof(void *) : (size_t)align;
    void *block = NULL;
    int r;

    if (size == 0 || (alignment & (alignment - 1)) != 0) {
        return fail(-EINVAL, "cannot allocate %zu bytes aligned to %d for a device", size, align);
    }
    if (posix_memalign(&block, alignment, size) == 0) {
        memset(block, 0, size);
    }
    r = remember_block(env, block, size);
    if (r == 0) {
        *ret = block;
    }
    return r;
}

static void *env_dma_alloc(void *cookie, size_t size, int align, int cached, ps_mem_flags_t flags)
{
    void *block = NULL;

    (void)cached;
    (void)flags;
    return report(cookie, dma_alloc(cookie, size, align, &block)) == 0 ? block : NULL;
}

static void env_dma_free(void *cookie, void *addr, size_t size)
{
    (void)size;
    (void)report(cookie, free_block(cookie, addr)); /* the interface has no way to tell */
}

static uintptr_t env_dma_pin(void *cookie, void *addr, size_t size)
{
    (void)cookie;
    (void)size;
    return (uintptr_t)addr;
}

static void env_dma_unpin(void *cookie, void *addr, size_t size)
{
    (void)cookie;
    (void)addr;
    (void)size;
}

static void env_dma_cache_op(void *cookie, void *addr, size_t size, dma_cache_op_t op)
{
    (void)cookie;
    (void)addr;
    (void)size;
    (void)op;
}

/* --- physical ranges --- */

static uint64_t page_offset(uint64_t addr)
{
    return addr & (PAGE_SIZE_4K - 1);
}

static int map_phys(struct env *env, uintptr_t paddr, size_t size, void **ret)
{
    struct block *block;
    uint64_t offset;
    size_t map_size;
    char *vaddr;
    char *map;
    int r;

    r = size == 0 ? fail(-EINVAL, "cannot map 0 bytes at physical address 0x%lx", paddr)
                  : phys_find(env, paddr, size, &block, &offset);
    if (r < 0) {
        return r;
    }
    map_size = page_offset(paddr) + size;
    map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_SHARED, block->fd,
               (off_t)(block->offset + offset - page_offset(paddr)));
    if (map == MAP_FAILED) {
        int err = errno;

        return fail(-err, "cannot map physical address 0x%lx: %s", paddr, strerror(err));
    }
    vaddr = map + page_offset(paddr);
    env_lock(env);
    r = rangemap_add(&env->driver_maps, (struct range){(uintptr_t)map, map_size}, vaddr);
    env_unlock(env);
    if (r < 0) {
        munmap(map, map_size);
        return r;
    }
    *ret = vaddr;
    return 0;
}

static void *env_io_map(void *cookie, uintptr_t paddr, size_t size, int cached,
                        ps_mem_flags_t flags)
{
    void *vaddr = NULL;
    int r;

    (void)cached;
    (void)flags;
    r = map_phys(cookie, paddr, size, &vaddr);
    return report(cookie, r) == 0 ? vaddr : NULL;
}

static void env_io_unmap(void *cookie, void *vaddr, size_t size)
{
    uint64_t map_size = page_offset((uintptr_t)vaddr) + size;
    struct env *env = cookie;
    const struct rangemap_entry *entry;
    struct range range = {0, 0};

    env_lock(env);
    entry = rangemap_find(&env->driver_maps, (uintptr_t)vaddr);
    if (entry != NULL && entry->value == vaddr && entry->range.size == map_size) {
        range = entry->range;
        (void)rangemap_remove(&env->driver_maps, range.start); /* all is known of it */
    }
    env_unlock(env);
    if (range.size == 0) {
        (void)report(env, fail(-EINVAL, "cannot unmap %zu bytes at %p: io_map did not make them",
                               size, vaddr));
        return;
    }
    munmap((void *)range.start, range.size);
}

void env_make_io_ops(struct env *env, ps_io_ops_t *ret)
{
    *ret = (ps_io_ops_t){
        .io_mapper =
            {
                .cookie = env,
                .io_map_fn = env_io_map,
                .io_unmap_fn = env_io_unmap,
            },
        .dma_manager =
            {
                .cookie = env,
                .dma_alloc_fn = env_dma_alloc,
                .dma_free_fn = env_dma_free,
                .dma_pin_fn = env_dma_pin,
                .dma_unpin_fn = env_dma_unpin,
                .dma_cache_op_fn = env_dma_cache_op,
            },
        .malloc_ops =
            {
                .malloc = env_malloc,
                .calloc = env_calloc,
                .free = env_free,
                .cookie = env,
            },
    };
}

void env_io_ops_fini(struct env *env)
{
    const struct rangemap_entry *entry = rangemap_at_or_after(&env->driver_blocks, 0);

    for (; entry != NULL; entry = rangemap_next(&env->driver_blocks, entry)) {
        free(entry->value);
    }
    entry = rangemap_at_or_after(&env->driver_maps, 0);
    for (; entry != NULL; entry = rangemap_next(&env->driver_maps, entry)) {
        munmap((void *)entry->range.start, entry->range.size);
    }
    rangemap_fini(&env->driver_blocks);
    rangemap_fini(&env->driver_maps);
}
