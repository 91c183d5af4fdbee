/*
 * Jumps to an address without memory.
 *
 * Host: nothing at GUEST_NOWHERE (lib/contract.h); nobody is asked.
 * x86: vm_run returns -1. Arm: the guest has an exception, and ends with GUEST_EXIT_EXCEPTION.
 */
#include <stdint.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/print.h"

void guest_main(void)
{
    void (*nowhere)(void) = (void (*)(void))(uintptr_t)GUEST_NOWHERE;

    print("jump to no memory\n");
    nowhere();
    machine_exit(GUEST_EXIT_SURVIVED);
}
