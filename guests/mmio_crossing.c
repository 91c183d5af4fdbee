/*
 * Loads and stores across a page reach two devices. x86: on Arm KVM tells of the first part alone.
 *
 * Host: the two reservations at GUEST_DEVICE_BASE (lib/contract.h). An access that crosses from one
 * into the other arrives as two, each with its own bytes.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum { BOUNDARY = GUEST_DEVICE_BASE + GUEST_DEVICE_PAGE };

static void check_crossing(void)
{
    mmio_write16(BOUNDARY - 1, 0x4241);
    check("2 bytes across", mmio_read16(BOUNDARY - 1), 0x4241);
    mmio_write32(BOUNDARY - 1, 0x54535251);
    check("4 bytes across", mmio_read32(BOUNDARY - 1), 0x54535251);
    mmio_write64(BOUNDARY - 3, 0x6867666564636261);
    check("8 bytes across", mmio_read64(BOUNDARY - 3), 0x6867666564636261);
    check("bytes before", mmio_read32(BOUNDARY - 4), 0x63626100);
    check("bytes behind", mmio_read64(BOUNDARY), 0x0000006867666564);
}

void guest_main(void)
{
    check_crossing();
    report_end();
}
