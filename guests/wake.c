/*
 * Signals reach the host while the guest runs on the spot and while it sleeps.
 *
 * Host: at GUEST_SYNC_PORT 1 another thread signals; the notification callback writes a number that
 * is not 0 into the 4 bytes at GUEST_SHARED_BASE, for which the guest waits. At step 2 the guest is
 * about to sleep; another thread signals; the notification callback injects GUEST_IRQ_INJECTED.
 */
#include "lib/contract.h"
#include "lib/irq.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

static volatile unsigned nr_interrupts;

static void handle(unsigned irq)
{
    (void)irq;
    nr_interrupts++;
}

void guest_main(void)
{
    irq_init(handle);
    irq_mask(GUEST_IRQ_INJECTED, false);
    mmio_write32(GUEST_SHARED_BASE, 0);
    machine_sync(1);
    while (mmio_read32(GUEST_SHARED_BASE) == 0) {
    }
    check("interrupts before its sleep", nr_interrupts, 0);
    machine_sync(2);
    irq_sleep();
    check("interrupts behind it", nr_interrupts, 1);
    report_end();
}
