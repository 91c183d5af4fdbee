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

#include <hostvm/guest_vmcall.h>

/* rbx, rcx, rsi and rdi are the arguments and the results, rax what comes back. */
static uint64_t hypercall(uint32_t port, uint32_t token, uint64_t args[4])
{
    uint64_t rax = token;

    if (port != 0) {
        return hostvm_vmcall(token, args);
    }
    __asm__ volatile("vmcall"
                     : "+a"(rax), "+b"(args[0]), "+c"(args[1]), "+S"(args[2]), "+D"(args[3])
                     :
                     : "memory");
    return rax;
}

static void check_args(const uint64_t args[4], uint64_t rbx)
{
    check("rbx", args[0], rbx);
    check("rcx", args[1], 2);
    check("rsi", args[2], 3);
    check("rdi", args[3], 4);
}

void guest_main(void)
{
    uint32_t port = mmio_read32(GUEST_VMCALL_PORT_AT);
    uint64_t args[4] = {7, 2, 3, 4};

    check("the port", port, port == 0 ? 0 : HOSTVM_VMCALL_PORT);
    check("rax, which the handler did not change", hypercall(port, GUEST_VMCALL_TOKEN, args),
          GUEST_VMCALL_TOKEN);
    check_args(args, 7 + GUEST_VMCALL_ADDEND);
    check("rax behind an unknown token", hypercall(port, GUEST_VMCALL_UNKNOWN, args),
          GUEST_VMCALL_UNKNOWN);
    check_args(args, 7 + GUEST_VMCALL_ADDEND);
    report_end();
}
