/*
 * Stores to a device with an instruction that KVM's emulator does not know: fnstenv.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h); vm_run returns -1, and the
 * report shows the instruction's bytes, d9 30.
 */
#include <stdint.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/print.h"

void guest_main(void)
{
    print("fnstenv to a device\n");
    __asm__ volatile("fnstenv (%0)" : : "a"((uint64_t)GUEST_DEVICE_BASE) : "memory");
    machine_exit(GUEST_EXIT_SURVIVED);
}
