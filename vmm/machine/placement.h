/* Where an arm64 guest finds its device tree and its initrd
 * (Documentation/arch/arm64/booting.rst). */
#ifndef MACHINE_PLACEMENT_H
#define MACHINE_PLACEMENT_H

#include <stdint.h>

#include "load/image.h"

struct placement {
    uint64_t dtb;
    uint64_t modules_low, modules_high; /* [modules_low, modules_high) may hold an initrd */
};

/*
 * For a device tree of at most dtb_room bytes, a power of two. It lies as high as kernels of any
 * age look for it, so that as much as possible behind the kernel stays free, and not across a
 * border of 2 MiB; the initrd in the larger part of the RAM below and above it. -EFBIG when RAM has
 * no room.
 */
int placement_choose(const struct load_ram *ram, const struct image *image, uint64_t dtb_room,
                     struct placement *ret, struct load_error *err);

#endif
