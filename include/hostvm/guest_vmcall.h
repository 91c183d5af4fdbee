/*
 * For guests: hypercalls by a port, which work on every host. Needs no library and no operating
 * system; the port's number is for the assembler, too. x86 only.
 */
#ifndef HOSTVM_GUEST_VMCALL_H
#define HOSTVM_GUEST_VMCALL_H

/* An OUT of 4 bytes from EAX is the hypercall. A choice: no chip of a PC stands at 0x5e0. */
#define HOSTVM_VMCALL_PORT 0x5e0

#ifndef __ASSEMBLER__

/**
 * Makes a hypercall. The caller may use ports (IOPL).
 *
 * @param token  what the handler is registered for
 * @param args   RBX, RCX, RSI and RDI (their 32-bit halves in a 32-bit guest): what the handler
 * finds there, and afterwards what it left there. RDX holds the port
 * @return RAX: what the handler set; the token, when it did not or when there is no handler
 */
static inline unsigned long hostvm_vmcall(unsigned int token, unsigned long args[4])
{
    unsigned long rax = token;
    unsigned long rdx = HOSTVM_VMCALL_PORT;

    __asm__ volatile("outl %%eax, %%dx"
                     : "+a"(rax), "+b"(args[0]), "+c"(args[1]), "+S"(args[2]), "+D"(args[3]),
                       "+d"(rdx)
                     :
                     : "memory");
    return rax;
}

#endif

#endif
