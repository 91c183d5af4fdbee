/*
 * Waits, interrupts off, for an interrupt that cannot come.
 *
 * Host: GUEST_SYNC_PORT 1 comes right before; vm_run does not return until it is told to.
 */
#include "lib/machine.h"

void guest_main(void)
{
    machine_sync(1);
    machine_stop();
}
