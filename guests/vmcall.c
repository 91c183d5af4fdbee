/*
 * Hypercalls reach the handler of their token, by whichever way this host has.
 *
 * Host: before the start, the 4 bytes at GUEST_VMCALL_PORT_AT (lib/contract.h): the hypercall port,
 * or 0 for the vmcall instruction, which is right only where KVM hands hypercalls to the VMM; KVMs
 * without that answer themselves, or never get past the instruction. A handler for
 * GUEST_VMCALL_TOKEN, called once; none for GUEST_VMCALL_UNKNOWN.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "mmio.h"

static void hypercall(uint16_t port, uint64_t *rax, uint64_t *rbx)
{
    if (port != 0) {
        __asm__ volatile("outl %%eax, %%dx" : "+a"(*rax), "+b"(*rbx) : "d"(port) : "memory");
    } else {
        __asm__ volatile("vmcall" : "+a"(*rax), "+b"(*rbx) : : "memory");
    }
}

void guest_main(void)
{
    uint16_t port = (uint16_t)mmio_read32(GUEST_VMCALL_PORT_AT);
    uint64_t rax = GUEST_VMCALL_TOKEN;
    uint64_t rbx = 7;

    hypercall(port, &rax, &rbx);
    check("rbx, which the handler changed", rbx, 7 + GUEST_VMCALL_ADDEND);
    check("rax, which it did not", rax, GUEST_VMCALL_TOKEN);
    rax = GUEST_VMCALL_UNKNOWN;
    hypercall(port, &rax, &rbx);
    check("rax behind an unknown token", rax, GUEST_VMCALL_UNKNOWN);
    check("rbx behind an unknown token", rbx, 7 + GUEST_VMCALL_ADDEND);
    report_end();
}
