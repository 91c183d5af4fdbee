/*
 * Accesses where no reservation is reach the unhandled-fault callback, whose verdict counts.
 *
 * Host: nothing at the addresses of lib/contract.h named GUEST_HOLE_*; the callback advances and
 * gives what is said there. Without a callback, the first load ends vm_run.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

#define BEFORE 0x1122334455667788ull

void guest_main(void)
{
    check("load", mmio_read32(GUEST_HOLE_BASE + 4), GUEST_HOLE_VALUE);
    mmio_write32(GUEST_HOLE_BASE + 4, 1);
    check("load behind a store", mmio_read32(GUEST_HOLE_BASE + 4), GUEST_HOLE_VALUE);
    check("ignored load", mmio_read64_into(GUEST_HOLE_IGNORED, BEFORE), BEFORE);
    mmio_write64(GUEST_HOLE_IGNORED, 2);
    machine_map(GUEST_HOLE_HIGH);
    check("load at 40 bits", mmio_read32(GUEST_HOLE_HIGH), GUEST_HOLE_VALUE);
    report_end();
}
