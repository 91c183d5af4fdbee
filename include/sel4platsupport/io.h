/* Operations for drivers, made of what the process has. */
#pragma once

#include <platsupport/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Fills ops with the C library's allocator, as ps_new_stdlib_malloc_ops does.
 */
static inline int sel4platsupport_new_malloc_ops(ps_malloc_ops_t *ops)
{
    return ps_new_stdlib_malloc_ops(ops);
}

#ifdef __cplusplus
}
#endif
