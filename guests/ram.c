/*
 * Guest and host see each other's bytes in RAM.
 *
 * Host: the pages from GUEST_SHARED_BASE on (lib/contract.h). Page 0 is filled with
 * GUEST_PATTERN(1, i) before the start. At GUEST_SYNC_PORT 1 the guest has filled page 1 with
 * GUEST_PATTERN(2, i) for i = 0, STRIDE, 2 * STRIDE, ...; the host compares and fills page 2 with
 * GUEST_PATTERN(3, i). STRIDE is 64: each instruction costs on some hosts.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

enum {
    WORDS = 512,
    STRIDE = 64,
};

static uint64_t address(unsigned page, unsigned i)
{
    return GUEST_SHARED_BASE + page * 0x1000ull + i * 8ull;
}

static unsigned count_differences(unsigned page, uint64_t salt)
{
    unsigned n = 0;

    for (unsigned i = 0; i < WORDS; i += STRIDE) {
        n += mmio_read64(address(page, i)) != GUEST_PATTERN(salt, i);
    }
    return n;
}

void guest_main(void)
{
    check("words that differ from what the host wrote before", count_differences(0, 1), 0);
    for (unsigned i = 0; i < WORDS; i += STRIDE) {
        mmio_write64(address(1, i), GUEST_PATTERN(2, i));
    }
    machine_sync(1);
    check("words that differ from what the host wrote meanwhile", count_differences(2, 3), 0);
    check("words of the guest's own that differ", count_differences(1, 2), 0);
    report_end();
}
