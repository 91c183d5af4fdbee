/*
 * Runs on the spot for ever, interrupts off: only its host can end it.
 *
 * Host: GUEST_SYNC_PORT 1 comes right before; hostvm_vm_stop makes vm_run return 0.
 */
#include "lib/machine.h"

void guest_main(void)
{
    machine_sync(1);
    machine_spin();
}
