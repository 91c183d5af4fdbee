/*
 * A reservation ends where it was said to, also within a page.
 *
 * Host: the reservation at GUEST_SHORT_BASE (lib/contract.h); the unhandled-fault callback answers
 * GUEST_HOLE_VALUE behind it. The last load begins inside and ends outside: vm_run ends there.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    END = GUEST_SHORT_BASE + GUEST_SHORT_SIZE,
};

void guest_main(void)
{
    mmio_write32(END - 4, 0x44332211);
    check("its last bytes", mmio_read32(END - 4), 0x44332211);
    check("first bytes behind it", mmio_read32(END), GUEST_HOLE_VALUE);
    check("later in its page", mmio_read32(END + 0x10), GUEST_HOLE_VALUE);
    (void)mmio_read32(END - 2);
    machine_exit(GUEST_EXIT_SURVIVED);
}
