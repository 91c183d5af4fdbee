/*
 * A fault callback changes another register than the one that is loaded: both changes hold.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h); the callback of a load gives
 * GUEST_HOLE_VALUE and sets a register (x86: rbx, Arm: x1) to GUEST_CHANGED_VALUE; that of a store
 * sets it as well, and wants the value given before.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

void guest_main(void)
{
    uint64_t other = 0;
    uint64_t value = mmio_read32_beside(GUEST_DEVICE_BASE, &other);

    check("loaded register", value, GUEST_HOLE_VALUE);
    check("register that the callback of a load set", other, GUEST_CHANGED_VALUE);
    other = 0;
    mmio_write32_beside(GUEST_DEVICE_BASE, (uint32_t)value, &other);
    check("register that the callback of a store set", other, GUEST_CHANGED_VALUE);
    report_end();
}
