/* What a driver asks of its platform: memory, ports, DMA, interrupts, a device tree. */
#pragma once

#include <errno.h>
#include <platsupport/arch/board.h>
#include <platsupport/irq.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <utils/util.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Each group of operations is a structure of function pointers with a cookie that they are given
 * first. The inline functions here dispatch through it and answer for a group, or a member of it,
 * that is not there. An environment (hostvm/env.h) fills a ps_io_ops_t in; a client that needs no
 * more than malloc_ops can zero one and fill in those.
 */
typedef struct ps_io_ops ps_io_ops_t;

/**
 * How memory will mostly be used; a hint.
 */
typedef enum ps_mem_flags {
    PS_MEM_NORMAL, /* no hint */
    PS_MEM_HR,     /* mostly read by the host */
    PS_MEM_HW      /* mostly written by the host */
} ps_mem_flags_t;

/* Device memory. */

typedef void *(*ps_io_map_fn_t)(void *cookie, uintptr_t paddr, size_t size, int cached,
                                ps_mem_flags_t flags);
typedef void (*ps_io_unmap_fn_t)(void *cookie, void *vaddr, size_t size);

typedef struct ps_io_mapper {
    void *cookie;
    ps_io_map_fn_t io_map_fn;
    ps_io_unmap_fn_t io_unmap_fn;
} ps_io_mapper_t;

/**
 * Maps physical memory into this process. In a hosted environment only what hostvm_env_add_phys
 * registered has a physical address.
 *
 * @return where [paddr, paddr + size) can be accessed, until ps_io_unmap; NULL on failure
 */
static inline void *ps_io_map(const ps_io_mapper_t *io_mapper, uintptr_t paddr, size_t size,
                              int cached, ps_mem_flags_t flags)
{
    if (io_mapper == NULL || io_mapper->io_map_fn == NULL) {
        ZF_LOGE("ps_io_map: no mapper");
        return NULL;
    }
    return io_mapper->io_map_fn(io_mapper->cookie, paddr, size, cached, flags);
}

/**
 * Takes a mapping of ps_io_map back, with the size it was made with.
 */
static inline void ps_io_unmap(const ps_io_mapper_t *io_mapper, void *vaddr, size_t size)
{
    if (io_mapper == NULL || io_mapper->io_unmap_fn == NULL) {
        ZF_LOGE("ps_io_unmap: no mapper");
        return;
    }
    io_mapper->io_unmap_fn(io_mapper->cookie, vaddr, size);
}

/* I/O ports of the host. */

typedef int (*ps_io_port_in_fn_t)(void *cookie, uint32_t port, int io_size, uint32_t *result);
typedef int (*ps_io_port_out_fn_t)(void *cookie, uint32_t port, int io_size, uint32_t val);

typedef struct ps_io_port_ops {
    void *cookie;
    ps_io_port_in_fn_t io_port_in_fn;
    ps_io_port_out_fn_t io_port_out_fn;
} ps_io_port_ops_t;

/**
 * Reads io_size (1, 2, 4) bytes from a port of the host.
 *
 * @return 0; EINVAL without ops or result, ENOSYS when they cannot do this, or their own error
 */
static inline int ps_io_port_in(const ps_io_port_ops_t *port_ops, uint32_t port, int io_size,
                                uint32_t *result)
{
    if (port_ops == NULL || result == NULL) {
        return EINVAL;
    }
    if (port_ops->io_port_in_fn == NULL) {
        return ENOSYS;
    }
    return port_ops->io_port_in_fn(port_ops->cookie, port, io_size, result);
}

/**
 * Writes io_size (1, 2, 4) bytes to a port of the host. Returns as ps_io_port_in does.
 */
static inline int ps_io_port_out(const ps_io_port_ops_t *port_ops, uint32_t port, int io_size,
                                 uint32_t val)
{
    if (port_ops == NULL) {
        return EINVAL;
    }
    if (port_ops->io_port_out_fn == NULL) {
        return ENOSYS;
    }
    return port_ops->io_port_out_fn(port_ops->cookie, port, io_size, val);
}

/* Memory that devices access. */

typedef enum dma_cache_op {
    DMA_CACHE_OP_CLEAN,
    DMA_CACHE_OP_INVALIDATE,
    DMA_CACHE_OP_CLEAN_INVALIDATE
} dma_cache_op_t;

typedef void *(*ps_dma_alloc_fn_t)(void *cookie, size_t size, int align, int cached,
                                   ps_mem_flags_t flags);
typedef void (*ps_dma_free_fn_t)(void *cookie, void *addr, size_t size);
typedef uintptr_t (*ps_dma_pin_fn_t)(void *cookie, void *addr, size_t size);
typedef void (*ps_dma_unpin_fn_t)(void *cookie, void *addr, size_t size);
typedef void (*ps_dma_cache_op_fn_t)(void *cookie, void *addr, size_t size, dma_cache_op_t op);

typedef struct ps_dma_man {
    void *cookie;
    ps_dma_alloc_fn_t dma_alloc_fn;
    ps_dma_free_fn_t dma_free_fn;
    ps_dma_pin_fn_t dma_pin_fn;
    ps_dma_unpin_fn_t dma_unpin_fn;
    ps_dma_cache_op_fn_t dma_cache_op_fn;
} ps_dma_man_t;

/**
 * Allocates size bytes at a multiple of align.
 *
 * @return the memory, until ps_dma_free; NULL on failure
 */
static inline void *ps_dma_alloc(const ps_dma_man_t *dma_man, size_t size, int align, int cached,
                                 ps_mem_flags_t flags)
{
    if (dma_man == NULL || dma_man->dma_alloc_fn == NULL) {
        ZF_LOGE("ps_dma_alloc: no DMA manager");
        return NULL;
    }
    return dma_man->dma_alloc_fn(dma_man->cookie, size, align, cached, flags);
}

/**
 * Frees what ps_dma_alloc gave, with the size it was asked for.
 */
static inline void ps_dma_free(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    if (dma_man == NULL || dma_man->dma_free_fn == NULL) {
        ZF_LOGE("ps_dma_free: no DMA manager");
        return;
    }
    dma_man->dma_free_fn(dma_man->cookie, addr, size);
}

/**
 * Keeps memory in place for a device.
 *
 * @return the address that a device uses for it; 0 on failure
 */
static inline uintptr_t ps_dma_pin(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    if (dma_man == NULL || dma_man->dma_pin_fn == NULL) {
        ZF_LOGE("ps_dma_pin: no DMA manager");
        return 0;
    }
    return dma_man->dma_pin_fn(dma_man->cookie, addr, size);
}

/**
 * Ends what ps_dma_pin began, for the same range.
 */
static inline void ps_dma_unpin(const ps_dma_man_t *dma_man, void *addr, size_t size)
{
    if (dma_man == NULL || dma_man->dma_unpin_fn == NULL) {
        ZF_LOGE("ps_dma_unpin: no DMA manager");
        return;
    }
    dma_man->dma_unpin_fn(dma_man->cookie, addr, size);
}

/**
 * Makes caches and memory agree about a range.
 */
static inline void ps_dma_cache_op(const ps_dma_man_t *dma_man, void *addr, size_t size,
                                   dma_cache_op_t op)
{
    if (dma_man == NULL || dma_man->dma_cache_op_fn == NULL) {
        ZF_LOGE("ps_dma_cache_op: no DMA manager");
        return;
    }
    dma_man->dma_cache_op_fn(dma_man->cookie, addr, size, op);
}

/* The platform's device tree. */

typedef char *(*ps_io_fdt_get_fn_t)(void *cookie);

typedef struct ps_io_fdt {
    void *cookie;
    ps_io_fdt_get_fn_t get_fn;
} ps_io_fdt_t;

/**
 * The flattened device tree of the platform; NULL when there is none, as in a hosted environment.
 */
static inline char *ps_io_fdt_get(const ps_io_fdt_t *io_fdt)
{
    if (io_fdt == NULL || io_fdt->get_fn == NULL) {
        return NULL;
    }
    return io_fdt->get_fn(io_fdt->cookie);
}

/* Heap memory. */

typedef int (*ps_malloc_fn_t)(void *cookie, size_t size, void **ptr);
typedef int (*ps_calloc_fn_t)(void *cookie, size_t nmemb, size_t size, void **ptr);
typedef int (*ps_free_fn_t)(void *cookie, size_t size, void *ptr);

typedef struct ps_malloc_ops {
    ps_malloc_fn_t malloc;
    ps_calloc_fn_t calloc;
    ps_free_fn_t free;
    void *cookie;
} ps_malloc_ops_t;

/**
 * Allocates memory.
 *
 * @param ptr  receives the memory, until ps_free; untouched on failure and for a size of 0
 * @return 0; EINVAL without ops or ptr; ENOSYS when they cannot do this; ENOMEM
 */
static inline int ps_malloc(const ps_malloc_ops_t *ops, size_t size, void **ptr)
{
    if (ops == NULL || ptr == NULL) {
        return EINVAL;
    }
    if (ops->malloc == NULL) {
        return ENOSYS;
    }
    if (size == 0) {
        return 0;
    }
    return ops->malloc(ops->cookie, size, ptr);
}

/**
 * Allocates zeroed memory for nmemb elements. Otherwise like ps_malloc.
 */
static inline int ps_calloc(const ps_malloc_ops_t *ops, size_t nmemb, size_t size, void **ptr)
{
    if (ops == NULL || ptr == NULL) {
        return EINVAL;
    }
    if (ops->calloc == NULL) {
        return ENOSYS;
    }
    if (nmemb == 0 || size == 0) {
        return 0;
    }
    return ops->calloc(ops->cookie, nmemb, size, ptr);
}

/**
 * Frees what ps_malloc or ps_calloc gave.
 *
 * @param size  what was asked for
 * @return 0; EINVAL without ops or ptr, or for a pointer that the ops know not to be theirs;
 *         ENOSYS when they cannot do this
 */
static inline int ps_free(const ps_malloc_ops_t *ops, size_t size, void *ptr)
{
    if (ops == NULL || ptr == NULL) {
        return EINVAL;
    }
    if (ops->free == NULL) {
        return ENOSYS;
    }
    return ops->free(ops->cookie, size, ptr);
}

static inline int ps_stdlib_malloc(void *cookie, size_t size, void **ptr)
{
    void *block = malloc(size);

    (void)cookie;
    if (block == NULL) {
        return ENOMEM;
    }
    *ptr = block;
    return 0;
}

static inline int ps_stdlib_calloc(void *cookie, size_t nmemb, size_t size, void **ptr)
{
    void *block = calloc(nmemb, size);

    (void)cookie;
    if (block == NULL) {
        return ENOMEM;
    }
    *ptr = block;
    return 0;
}

static inline int ps_stdlib_free(void *cookie, size_t size, void *ptr)
{
    (void)cookie;
    (void)size;
    free(ptr);
    return 0;
}

/**
 * Fills ops with the C library's malloc, calloc and free.
 *
 * @return 0; EINVAL without ops
 */
static inline int ps_new_stdlib_malloc_ops(ps_malloc_ops_t *ops)
{
    if (ops == NULL) {
        return EINVAL;
    }
    ops->malloc = ps_stdlib_malloc;
    ops->calloc = ps_stdlib_calloc;
    ops->free = ps_stdlib_free;
    ops->cookie = NULL;
    return 0;
}

/* Interfaces that drivers offer one another. */

typedef enum ps_interface_type {
    PS_NULL_INTERFACE = 0
} ps_interface_type_t;

enum {
    PS_INTERFACE_FOUND_MATCH = 0,
    PS_INTERFACE_NO_MATCH = 1
};

typedef int (*ps_interface_search_handler_fn_t)(void *handler_data, void *interface_instance,
                                                char **properties);
typedef int (*ps_interface_register_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                          void *interface_instance, char **properties);
typedef int (*ps_interface_unregister_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                            void *interface_instance);
typedef int (*ps_interface_find_fn_t)(void *cookie, ps_interface_type_t interface_type,
                                      ps_interface_search_handler_fn_t handler,
                                      void *handler_data);

typedef struct ps_interface_registration_ops {
    void *cookie;
    ps_interface_register_fn_t interface_register_fn;
    ps_interface_unregister_fn_t interface_unregister_fn;
    ps_interface_find_fn_t interface_find_fn;
} ps_interface_registration_ops_t;

/**
 * All that a driver can ask for.
 */
struct ps_io_ops {
    ps_io_mapper_t io_mapper;
    ps_io_port_ops_t io_port_ops;
    ps_dma_man_t dma_manager;
    ps_io_fdt_t io_fdt;
    PS_IO_OPS_OF_A_BOARD /* Arm: clock_sys and mux_sys */
    ps_interface_registration_ops_t interface_registration_ops;
    ps_malloc_ops_t malloc_ops;
    ps_irq_ops_t irq_ops;
};

#ifdef __cplusplus
}
#endif
