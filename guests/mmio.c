/*
 * Loads and stores of every width reach a device, as they are: aligned, and not.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h). Every access arrives as one,
 * in the order of the lines here, with the width of its function.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    WIDTHS = GUEST_DEVICE_BASE + 0x10,
    UNALIGNED = GUEST_DEVICE_BASE + 0x40,
};

static void check_widths(void)
{
    mmio_write8(WIDTHS, 0xa1);
    check("byte", mmio_read8(WIDTHS), 0xa1);
    mmio_write16(WIDTHS, 0xb2b1);
    check("2 bytes", mmio_read16(WIDTHS), 0xb2b1);
    mmio_write32(WIDTHS, 0xc4c3c2c1);
    check("4 bytes", mmio_read32(WIDTHS), 0xc4c3c2c1);
    mmio_write64(WIDTHS, 0xd8d7d6d5d4d3d2d1);
    check("8 bytes", mmio_read64(WIDTHS), 0xd8d7d6d5d4d3d2d1);
}

/* What the 8 bytes above are in smaller pieces. */
static void check_pieces(void)
{
    check("byte of 8", mmio_read8(WIDTHS + 7), 0xd8);
    check("2 bytes of 8", mmio_read16(WIDTHS + 2), 0xd4d3);
    check("4 bytes of 8", mmio_read32(WIDTHS + 4), 0xd8d7d6d5);
    mmio_write8(WIDTHS + 3, 0xee);
    check("byte into 8", mmio_read64(WIDTHS), 0xd8d7d6d5eed3d2d1);
}

static void check_unaligned(void)
{
    mmio_write16(UNALIGNED + 1, 0x1211);
    check("2 bytes unaligned", mmio_read16(UNALIGNED + 1), 0x1211);
    mmio_write32(UNALIGNED + 5, 0x24232221);
    check("4 bytes unaligned", mmio_read32(UNALIGNED + 5), 0x24232221);
    mmio_write64(UNALIGNED + 11, 0x3837363534333231);
    check("8 bytes unaligned", mmio_read64(UNALIGNED + 11), 0x3837363534333231);
    check("unaligned bytes in place", mmio_read64(UNALIGNED + 8), 0x3534333231000024);
}

void guest_main(void)
{
    check_widths();
    check_pieces();
    check_unaligned();
    report_end();
}
