/* Flattened device trees: the system's libfdt, and what seL4's copy of it has beside. */
#pragma once

/* #include_next is an extension, which -Wpedantic would tell of. */
#pragma GCC system_header

#include_next <libfdt.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Appends a number to a property as one or two cells, which #address-cells and #size-cells tell.
 * Linking it takes -lfdt.
 *
 * @param num_cells  1 or 2; of one cell, the upper half of val has to be 0
 * @return 0; -FDT_ERR_BADNCELLS for another number of cells; -FDT_ERR_BADVALUE for what does not
 *         fit one; what fdt_appendprop returns
 */
int fdt_appendprop_uint(void *fdt, int nodeoffset, const char *name, uint64_t val, int num_cells);

#ifdef __cplusplus
}
#endif
