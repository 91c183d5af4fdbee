/*
 * Jumps to an address without memory.
 *
 * Host: nothing at GUEST_NOWHERE (lib/contract.h); vm_run returns -1 without asking a callback.
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
