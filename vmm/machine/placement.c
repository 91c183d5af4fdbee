/* Where an arm64 guest finds its device tree and its initrd. */
#include "machine/placement.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "machine/layout_virt.h"

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The highest multiple of room that leaves so much below end. */
static bool place_below(uint64_t end, uint64_t low, uint64_t room, uint64_t *ret)
{
    uint64_t start;

    if (end < room) {
        return false;
    }
    start = (end - room) & ~(room - 1);
    if (start < low) {
        return false;
    }
    *ret = start;
    return true;
}

int placement_choose(const struct load_ram *ram, const struct image *image, uint64_t dtb_room,
                     struct placement *ret, struct load_error *err)
{
    uint64_t ram_end = ram->base + ram->size;
    uint64_t window_end = (image->low & ~(VIRT_DTB_MAX - 1)) + VIRT_DTB_WINDOW;
    uint64_t max = image->linux_boot.initrd_max;
    uint64_t high, dtb;

    if (!place_below(min(ram_end, window_end), image->high, dtb_room, &dtb) &&
        !place_below(ram_end, image->high, dtb_room, &dtb)) {
        return load_fail(err, -EFBIG,
                         "cannot place the device tree: its %" PRIu64
                         " KiB do not fit into [0x%" PRIx64 "..0x%" PRIx64
                         ") between the kernel and the end of RAM; give more RAM",
                         dtb_room >> 10, image->high, ram_end);
    }
    high = max == 0 ? ram_end : min(ram_end, max + 1);
    *ret = (struct placement){dtb, image->high, min(dtb, high)};
    if (high > dtb + dtb_room && high - (dtb + dtb_room) > dtb - image->high) {
        ret->modules_low = dtb + dtb_room;
        ret->modules_high = high;
    }
    return 0;
}
