/*
 * A fault callback changes another register than the one that is loaded: both changes hold.
 *
 * Host: the first reservation at GUEST_DEVICE_BASE (lib/contract.h); the callback of a load gives
 * GUEST_HOLE_VALUE and sets rbx to GUEST_CHANGED_RBX; that of a store sets rbx as well.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

void guest_main(void)
{
    uint64_t rax = 0;
    uint64_t rbx = 0;

    __asm__ volatile("movl (%2), %%eax"
                     : "+a"(rax), "+b"(rbx)
                     : "D"((uint64_t)GUEST_DEVICE_BASE)
                     : "memory");
    check("loaded register", rax, GUEST_HOLE_VALUE);
    check("register that the callback of a load set", rbx, GUEST_CHANGED_RBX);
    rbx = 0;
    __asm__ volatile("movl %%eax, (%2)"
                     : "+a"(rax), "+b"(rbx)
                     : "D"((uint64_t)GUEST_DEVICE_BASE)
                     : "memory");
    check("stored register", rax, GUEST_HOLE_VALUE);
    check("register that the callback of a store set", rbx, GUEST_CHANGED_RBX);
    report_end();
}
