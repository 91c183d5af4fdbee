/*
 * An access to memory that comes into being because of it is completed in that memory.
 *
 * Host: the pages at GUEST_DEFERRED_BASE (lib/contract.h), mapped one by one by the fault callback
 * that answers FAULT_RESTART, or as deferred mappings. The callback is called once per page; the
 * second page ends with 0x0102030405060708 in its first 8 bytes, and 0x77 behind them.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    LOADED_FIRST = GUEST_DEFERRED_BASE,
    STORED_FIRST = GUEST_DEFERRED_BASE + 0x1000,
};

void guest_main(void)
{
    check("load that maps", mmio_read64(LOADED_FIRST), GUEST_DEFERRED_VALUE);
    check("load from what is there", mmio_read32(LOADED_FIRST), GUEST_DEFERRED_VALUE & 0xffffffff);
    mmio_write64(STORED_FIRST, 0x0102030405060708);
    check("store that maps", mmio_read64(STORED_FIRST), 0x0102030405060708);
    mmio_write8(STORED_FIRST + 8, 0x77);
    check("store to what is there", mmio_read8(STORED_FIRST + 8), 0x77);
    report_end();
}
