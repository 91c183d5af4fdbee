/* How tests' guests say things on x86, and the registers they say them with. */
#ifndef SUPPORT_X86_64_MACHINE_H
#define SUPPORT_X86_64_MACHINE_H

#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>

enum { EXIT_PORT = 0xf4, KNOCK_PORT = 0x80 };

typedef vcpu_context_reg_t testvm_reg_t;

/* The two that guests' loads go to. */
#define REG_B VCPU_CONTEXT_EBX
#define REG_C VCPU_CONTEXT_ECX

/* The memory that the first vcpu brings along: its page tables. */
enum { NR_VCPU_SLOTS = 1 };

/* Images for boot protocols of 32-bit times have to lie below 4 GiB. */
enum { BOOTS_FROM_LOW_RAM = 1 };

/* The assembler's text of a guest, 64-bit code: GUEST_CODE(name, "hlt"). */
#define GUEST_CODE(name, text)                                                                     \
    __asm__(".pushsection .rodata\n.code64\n" #name "_begin:\n" text "\n" #name                    \
            "_end:\n.code64\n.popsection\n");                                                      \
    GUEST_CODE_DECLARE(name)

/* How a guest ends, with what is in al. */
#define GUEST_EXIT "out %al, $0xf4\n"

/* Whoever listens (testvm_listen) is called. */
#define GUEST_KNOCK "out %al, $0x80\n"

/* Of 32 bits, at an address below 1 GiB; numbers are literals. */
#define GUEST_STORE(address, value) "movl $" #value ", " #address "\n"
#define GUEST_LOAD_B(address)       "mov " #address ", %ebx\n"
#define GUEST_LOAD_C(address)       "mov " #address ", %ecx\n"
#define GUEST_STORE_C(address)      "mov %ecx, " #address "\n"
#define GUEST_SET_B(value)          "mov $" #value ", %ebx\n"

/* What was read last into B goes on to another address, one more than it was. */
#define GUEST_ADD_1_TO_B       "add $1, %ebx\n"
#define GUEST_STORE_B(address) "mov %ebx, " #address "\n"

/* As one. */
#define GUEST_INC(address) "lock incl " #address "\n"

/* On the spot, until the word there is not 0, or is a number. */
#define GUEST_AWAIT(address)              "9: cmpl $0, " #address "\nje 9b\n"
#define GUEST_AWAIT_VALUE(address, value) "9: cmpl $" #value ", " #address "\njne 9b\n"

/* C counts down from the number to 1. */
#define GUEST_REPEAT(number, text) "mov $" #number ", %ecx\n8: " text "dec %ecx\njnz 8b\n"
#define GUEST_FOR_EVER(text)       "8: " text "jmp 8b\n"

#define GUEST_UNTIL(address, text) "8: " text "cmpl $0, " #address "\nje 8b\n"

/* B, one more than before, goes to memory; unless it comes back, GUEST_OTHERWISE goes on. */
#define GUEST_COUNT_AT(address)                                                                    \
    "inc %ebx\nmov %ebx, " #address "\nmov " #address ", %eax\ncmp %eax, %ebx\njne 5f\n"
#define GUEST_OTHERWISE "5:\n"

#define GUEST_RETURN(value) "mov $" #value ", %al\n" GUEST_EXIT

/* Waits for an interrupt that does not come. */
#define GUEST_HALT "hlt\n"

#endif
