/*
 * Stores to a device with an instruction that KVM cannot do: x86 fnstenv, Arm a pair of registers.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h); vm_run returns -1, and the
 * report tells of the instruction (x86: its bytes, d9 30).
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/print.h"

void guest_main(void)
{
    print("odd store to a device\n");
    machine_store_oddly(GUEST_DEVICE_BASE);
    machine_exit(GUEST_EXIT_SURVIVED);
}
