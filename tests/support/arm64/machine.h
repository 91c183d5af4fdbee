/* How tests' guests say things on Arm, and the registers they say them with. */
#ifndef SUPPORT_ARM64_MACHINE_H
#define SUPPORT_ARM64_MACHINE_H

#include <stddef.h>

#include <sel4vm/arch/guest_arm_context.h>

/* A page whose bytes are what ports are elsewhere. */
enum { PORTS_GPA = 0x30000000, EXIT_PORT = 0xf4, KNOCK_PORT = 0x80 };

typedef unsigned testvm_reg_t;

#define CONTEXT_REG(name) (offsetof(seL4_UserContext, name) / sizeof(seL4_Word))

/* The two that guests' loads go to. */
#define REG_B CONTEXT_REG(x1)
#define REG_C CONTEXT_REG(x2)

/* The first vcpu brings no memory along. */
enum { NR_VCPU_SLOTS = 0 };

/* Images to boot may lie anywhere. */
enum { BOOTS_FROM_LOW_RAM = 0 };

/* The assembler's text of a guest: GUEST_CODE(name, "wfi"). x14 and x15 are the macros' own. */
#define GUEST_CODE(name, text)                                                                     \
    __asm__(".pushsection .rodata\n.balign 8\n" #name "_begin:\n" text "\n.ltorg\n" #name          \
            "_end:\n.popsection\n");                                                               \
    GUEST_CODE_DECLARE(name)

/* How a guest ends, with what is in w0. */
#define GUEST_EXIT "ldr x15, =0x300000f4\nstrb w0, [x15]\n"

/* Whoever listens (testvm_listen) is called. */
#define GUEST_KNOCK "ldr x15, =0x30000080\nstrb w0, [x15]\n"

/* Of 32 bits, at an address below 1 GiB; numbers are literals. */
#define GUEST_STORE(address, value) "ldr x15, =" #address "\nldr w14, =" #value "\nstr w14, [x15]\n"
#define GUEST_LOAD_B(address)       "ldr x15, =" #address "\nldr w1, [x15]\n"
#define GUEST_LOAD_C(address)       "ldr x15, =" #address "\nldr w2, [x15]\n"
#define GUEST_STORE_C(address)      "ldr x15, =" #address "\nstr w2, [x15]\n"
#define GUEST_SET_B(value)          "ldr w1, =" #value "\n"

/* What was read last into B goes on to another address, one more than it was. */
#define GUEST_ADD_1_TO_B       "add w1, w1, #1\n"
#define GUEST_STORE_B(address) "ldr x15, =" #address "\nstr w1, [x15]\n"

/* As one. */
#define GUEST_INC(address)                                                                         \
    "ldr x15, =" #address "\n7: ldaxr w14, [x15]\nadd w14, w14, #1\nstlxr w13, w14, [x15]\n"       \
    "cbnz w13, 7b\n"

/* On the spot, until the word there is not 0, or is a number. */
#define GUEST_AWAIT(address) "ldr x15, =" #address "\n9: ldar w14, [x15]\ncbz w14, 9b\n"
#define GUEST_AWAIT_VALUE(address, value)                                                          \
    "ldr x15, =" #address "\n9: ldar w14, [x15]\ncmp w14, #" #value "\nb.ne 9b\n"

/* C counts down from the number to 1. */
#define GUEST_REPEAT(number, text) "mov w2, #" #number "\n8: " text "subs w2, w2, #1\nb.ne 8b\n"
#define GUEST_FOR_EVER(text)       "8: " text "b 8b\n"

#define GUEST_UNTIL(address, text)                                                                 \
    "8: " text "ldr x15, =" #address "\nldar w14, [x15]\ncbz w14, 8b\n"

/* B, one more than before, goes to memory; unless it comes back, GUEST_OTHERWISE goes on. */
#define GUEST_COUNT_AT(address)                                                                    \
    "add w1, w1, #1\nldr x15, =" #address "\nstr w1, [x15]\nldr w14, [x15]\n"                      \
    "cmp w14, w1\nb.ne 5f\n"
#define GUEST_OTHERWISE "5:\n"

#define GUEST_RETURN(value) "mov w0, #" #value "\n" GUEST_EXIT

/* Waits for an interrupt that does not come. */
#define GUEST_HALT "6: wfi\nb 6b\n"

#endif
