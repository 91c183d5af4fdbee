/*
 * Crashes. x86: a triple fault, by an invalid instruction with an empty interrupt table.
 *
 * Host: vm_run returns -1, the vcpu is offline.
 */
#include "lib/machine.h"
#include "lib/print.h"

void guest_main(void)
{
    print("triple fault\n");
    machine_crash();
}
