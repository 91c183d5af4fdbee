/*
 * Memory that the guest may only read: loads need no fault, stores fault and change nothing.
 *
 * Host: the page at GUEST_READONLY_BASE (lib/contract.h). Its fault callback sees the two stores
 * below, in this order, with their data, advances and says FAULT_HANDLED; and it sees no load.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

static uint64_t word(unsigned i)
{
    return mmio_read64(GUEST_READONLY_BASE + i * 8ull);
}

void guest_main(void)
{
    check("first word", word(0), GUEST_PATTERN(GUEST_READONLY_SALT, 0));
    check("last word", word(511), GUEST_PATTERN(GUEST_READONLY_SALT, 511));
    mmio_write64(GUEST_READONLY_BASE + 8, 0x1122334455667788);
    check("word behind a store of 8 bytes", word(1), GUEST_PATTERN(GUEST_READONLY_SALT, 1));
    mmio_write8(GUEST_READONLY_BASE + 0xfff, 0x99);
    check("word behind a store of a byte", word(511), GUEST_PATTERN(GUEST_READONLY_SALT, 511));
    report_end();
}
