/*
 * Signals reach the host while the guest runs on the spot and while it is halted.
 *
 * Host: at GUEST_SYNC_PORT 1 another thread signals; the notification callback writes a number that
 * is not 0 into the 4 bytes at GUEST_SHARED_BASE, for which the guest waits. At step 2 the guest is
 * about to halt; another thread signals; the notification callback injects line GUEST_IRQ_EDGE.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"
#include "x86_64/exceptions.h"
#include "x86_64/pic.h"

static volatile unsigned nr_interrupts;

static void handle(unsigned vector)
{
    nr_interrupts++;
    pic_end(vector - PIC_VECTOR);
}

void guest_main(void)
{
    interrupts_handle(handle);
    pic_init();
    pic_mask(GUEST_IRQ_EDGE, false);
    mmio_write32(GUEST_SHARED_BASE, 0);
    machine_sync(1);
    while (mmio_read32(GUEST_SHARED_BASE) == 0) {
    }
    check("interrupts before hlt", nr_interrupts, 0);
    machine_sync(2);
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    check("interrupts behind it", nr_interrupts, 1);
    report_end();
}
