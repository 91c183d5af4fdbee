/* How tests' guests say things on Arm, and the registers they say them with. */
#ifndef SUPPORT_ARM64_MACHINE_H
#define SUPPORT_ARM64_MACHINE_H

#include <stddef.h>

#include <sel4vm/arch/guest_arm_context.h>

/* A page whose bytes are what ports are elsewhere. */
enum { PORTS_GPA = 0x30000000, EXIT_PORT = 0xf4, KNOCK_PORT = 0x80 };

typedef unsigned testvm_reg_t;
typedef seL4_UserContext testvm_context_t;

#define CONTEXT_REG(name) (offsetof(seL4_UserContext, name) / sizeof(seL4_Word))

/* The two that guests' loads go to, two that are theirs to keep numbers in, and the one that counts
 * interrupts (testvm_take_irqs). */
#define REG_B       CONTEXT_REG(x1)
#define REG_C       CONTEXT_REG(x2)
#define REG_D       CONTEXT_REG(x3)
#define REG_E       CONTEXT_REG(x4)
#define REG_NR_IRQS CONTEXT_REG(x20)

/* Interrupts that guests take, all of them levels, for of edges' ends KVM does not tell; and one of
 * a VM's own. */
enum { TEST_IRQ = 40, TEST_LEVEL_IRQ = 41, OTHER_IRQ = 50, NR_IRQS = 256 };

#define NO_SUCH_IRQ "there is no interrupt 256: they are 0 to 255"

/* Where the controllers are: nothing else can be. The second is the processors' part. */
enum { IRQ_CONTROLLER_GPA = 0x8000000 };
#define OTHER_IRQ_CONTROLLER_GPA(gic_version) ((gic_version) == 2 ? 0x8010000 : 0x80a0000)

/* Does a read's data lie at its place in the word of 32 bits around it? */
enum { READS_HAVE_LANES = 1 };

/* Is code fetched where nothing is the guest's own exception? */
enum { FETCHES_FAULT_IN_GUEST = 1 };

/* Of vm_run, when the notification callback has returned 1. */
enum { NOTIFICATION_RESULT_OF_ONE = -1 };

/* The controllers' lines. */
enum { FIRST_LINE = 32, LAST_LINE = 255 };
#define NO_SUCH_LINE "there is no interrupt line 256: the controllers have 32 to 255"

/* Of vm_set_irq_level, for a line that the guest has masked. */
enum { MASKED_RESULT = 0 };

/* The first vcpu brings no memory along. */
enum { NR_VCPU_SLOTS = 0 };

/* Images to boot may lie anywhere. */
enum { BOOTS_FROM_LOW_RAM = 0 };

/* The assembler's text of a guest: GUEST_CODE(name, "wfi"). x13 to x15 are the macros' own. */
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
#define GUEST_LOAD_D(address)       "ldr x15, =" #address "\nldr w3, [x15]\n"
#define GUEST_STORE_C(address)      "ldr x15, =" #address "\nstr w2, [x15]\n"

/* Such a load's instruction lies so many bytes behind its beginning. */
enum { LOAD_OFFSET = 4 };

/* Of 8, 16 and 64 bits. */
#define GUEST_STORE8(address, value)                                                               \
    "ldr x15, =" #address "\nldr w14, =" #value "\nstrb w14, [x15]\n"
#define GUEST_STORE16(address, value)                                                              \
    "ldr x15, =" #address "\nldr w14, =" #value "\nstrh w14, [x15]\n"
#define GUEST_STORE64(address, value)                                                              \
    "ldr x15, =" #address "\nldr x14, =" #value "\nstr x14, [x15]\n"
#define GUEST_LOAD8_B(address)  "ldr x15, =" #address "\nldrb w1, [x15]\n"
#define GUEST_LOAD16_B(address) "ldr x15, =" #address "\nldrh w1, [x15]\n"
#define GUEST_LOAD64_B(address) "ldr x15, =" #address "\nldr x1, [x15]\n"

/* All 64 bits. */
#define GUEST_SET_B(value) "ldr x1, =" #value "\n"
#define GUEST_SET_C(value) "ldr x2, =" #value "\n"
#define GUEST_SET_D(value) "ldr x3, =" #value "\n"

/* What was read last into B goes on to another address, one more than it was. */
#define GUEST_ADD_1_TO_B       "add x1, x1, #1\n"
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
#define GUEST_WHILE_VALUE(address, value, text)                                                    \
    "8: ldr x15, =" #address "\nldar w14, [x15]\ncmp w14, #" #value "\nb.ne 9f\n" text "b "        \
    "8b\n9:\n"
#define GUEST_UNTIL_D(text) "8: " text "cbz x3, 8b\n"

/* B, one more than before, goes to memory; unless it comes back, GUEST_OTHERWISE goes on. */
#define GUEST_COUNT_AT(address)                                                                    \
    "add w1, w1, #1\nldr x15, =" #address "\nstr w1, [x15]\nldr w14, [x15]\n"                      \
    "cmp w14, w1\nb.ne 5f\n"
#define GUEST_OTHERWISE "5:\n"

#define GUEST_RETURN(value) "mov w0, #" #value "\n" GUEST_EXIT

/* Waits for an interrupt that does not come. */
#define GUEST_HALT "msr daifset, #15\n6: wfi\nb 6b\n"

/* Ends in a crash, of this reason. */
#define GUEST_DIE "ldr x15, =0x2f000000\nstp xzr, xzr, [x15]\n"
#define DIE_REASON                                                                                 \
    "write at 0x2f000000 by an instruction that the processor does not describe (a pair of "       \
    "registers, an atomic operation, a base register written back): there is no memory"

/* Of a run that a guest's odd store to a device ends. */
#define ODD_STORE_REASON                                                                           \
    "write at 0x20000000 by an instruction that the processor does not describe (a pair of "       \
    "registers, an atomic operation, a base register written back): there is no memory"

/* What the report of a crash says when a guest's first instruction was GUEST_LOAD_B(0x200004). */
#define CRASH_TEXTS                                                                                \
    "  pc  0000000000001004", "x15 0000000000200004", "  sctlr 0000000030d01805",                  \
        "  code at pc: where the guest's page tables say",                                         \
        "  reserved above: [0x30000000..0x30001000)"

/*
 * Interrupts (testvm_take_irqs). The set-up leaves them disabled, as levels, for the first
 * processor. A processor that has registers for its interface (ID_AA64PFR0_EL1.GIC) has a GICv3
 * (Arm IHI 0069, 12): distributor, with affinities; redistributor awake; group 1. Else it is a
 * GICv2 (Arm IHI 0048, 4).
 */
#define GUEST_IRQ_SET_UP                                                                           \
    "ldr x15, =0x8000000\nmov w14, #0x13\nstr w14, [x15]\nstr wzr, [x15, #0xc08]\n"                \
    "mrs x14, id_aa64pfr0_el1\ntst x14, #0xf000000\nb.eq 4f\n"                                     \
    "mov w14, #0x300\nstr w14, [x15, #0x84]\n"                                                     \
    "add x15, x15, #0x6000\nstr xzr, [x15, #0x140]\nstr xzr, [x15, #0x148]\n"                      \
    "ldr x15, =0x80a0000\nstr wzr, [x15, #0x14]\n"                                                 \
    "mov x14, #1\nmsr S3_0_C12_C12_5, x14\nisb\nmov x14, #0xff\nmsr S3_0_C4_C6_0, x14\n"           \
    "mov x14, #1\nmsr S3_0_C12_C12_7, x14\nisb\nb 5f\n"                                            \
    "4: mov w14, #1\nstrb w14, [x15, #0x828]\nstrb w14, [x15, #0x829]\n"                           \
    "ldr x15, =0x8010000\nmov w14, #0xff\nstr w14, [x15, #4]\nmov w14, #1\nstr w14, [x15]\n5:\n"
#define GUEST_IRQ_UNMASK       "ldr x15, =0x8000104\nmov w14, #0x100\nstr w14, [x15]\ndsb sy\n"
#define GUEST_LEVEL_IRQ_UNMASK "ldr x15, =0x8000104\nmov w14, #0x200\nstr w14, [x15]\ndsb sy\n"
#define GUEST_IRQS_ON          "msr daifclr, #2\nisb\n"
#define GUEST_IRQS_OFF         "msr daifset, #2\nisb\n"

/* On the spot, until there have been so many. */
#define GUEST_AWAIT_IRQS(number) "7: cmp x20, #" #number "\nb.lo 7b\n"
#define GUEST_STORE_NR_IRQS_TO_E "mov x4, x20\n"

/* Asleep, until the first; interrupts are off before, so that none is taken before it sleeps. It
 * may wake up before: KVM_RUN that returns has ended it. */
#define GUEST_SLEEP_UNTIL_IRQ                                                                      \
    "6: wfi\nmsr daifclr, #2\nisb\nmsr daifset, #2\ncbz x20, 6b\nmsr daifclr, #2\n"

/* testvm_machine_call. */
enum { NR_MACHINE_CALLS = 1 };

/* Registers of the system's, each with its own call of KVM's; the first of them with values that
 * nothing in a test's guest minds. */
struct kept_reg {
    seL4_Word reg;
    seL4_Word value;
};
enum { NR_KEPT_REGS = 4, NR_SYSTEM_REGS = 8, MOVING_REG = -1 };

#endif
