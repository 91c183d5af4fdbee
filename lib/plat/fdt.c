/* What seL4's copy of libfdt has beside the original. */
#include <libfdt.h>

int fdt_appendprop_uint(void *fdt, int nodeoffset, const char *name, uint64_t val, int num_cells)
{
    switch (num_cells) {
    case 1:
        if (val > UINT32_MAX) {
            return -FDT_ERR_BADVALUE;
        }
        return fdt_appendprop_u32(fdt, nodeoffset, name, (uint32_t)val);
    case 2:
        return fdt_appendprop_u64(fdt, nodeoffset, name, val);
    default:
        return -FDT_ERR_BADNCELLS;
    }
}
