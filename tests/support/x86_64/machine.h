/* How tests' guests say things on x86, and the registers they say them with. */
#ifndef SUPPORT_X86_64_MACHINE_H
#define SUPPORT_X86_64_MACHINE_H

#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>

enum { EXIT_PORT = 0xf4, KNOCK_PORT = 0x80 };

typedef vcpu_context_reg_t testvm_reg_t;
typedef seL4_VCPUContext testvm_context_t;

/* The two that guests' loads go to, two that are theirs to keep numbers in, and the one that counts
 * interrupts (testvm_take_irqs). */
#define REG_B       VCPU_CONTEXT_EBX
#define REG_C       VCPU_CONTEXT_ECX
#define REG_D       VCPU_CONTEXT_R12
#define REG_E       VCPU_CONTEXT_R14
#define REG_NR_IRQS VCPU_CONTEXT_R15

/* Interrupts that guests take, one that is an edge, one that is a level; and one of a VM's own. */
enum { TEST_IRQ = 4, TEST_LEVEL_IRQ = 5, OTHER_IRQ = 10, NR_IRQS = 16 };

#define NO_SUCH_IRQ "there is no interrupt line 16: lines are 0 to 15"

/* Where the controllers are: nothing else can be. */
enum { IRQ_CONTROLLER_GPA = 0xfec00000 };
#define OTHER_IRQ_CONTROLLER_GPA(gic_version) ((void)(gic_version), 0xfee00000)

/* Does a read's data lie at its place in the word of 32 bits around it? */
enum { READS_HAVE_LANES = 0 };

/* Is code fetched where nothing is the guest's own exception? */
enum { FETCHES_FAULT_IN_GUEST = 0 };

/* Of vm_run, when the notification callback has returned 1. */
enum { NOTIFICATION_RESULT_OF_ONE = 0 };

/* The controllers' lines. */
enum { FIRST_LINE = 0, LAST_LINE = 23 };
#define NO_SUCH_LINE "there is no interrupt line 24: the controllers have 0 to 23"

/* Of vm_set_irq_level, for a line that the guest has masked. */
enum { MASKED_RESULT = -1 };

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
#define GUEST_LOAD_D(address)       "mov " #address ", %r12d\n"
#define GUEST_STORE_C(address)      "mov %ecx, " #address "\n"

/* Such a load's instruction lies so many bytes behind its beginning. */
enum { LOAD_OFFSET = 0 };

/* Of 8, 16 and 64 bits. */
#define GUEST_STORE8(address, value)  "movb $" #value ", " #address "\n"
#define GUEST_STORE16(address, value) "movw $" #value ", " #address "\n"
#define GUEST_STORE64(address, value) "mov $" #value ", %rax\nmov %rax, " #address "\n"
#define GUEST_LOAD8_B(address)        "mov " #address ", %bl\n"
#define GUEST_LOAD16_B(address)       "mov " #address ", %bx\n"
#define GUEST_LOAD64_B(address)       "mov " #address ", %rbx\n"

/* All 64 bits. */
#define GUEST_SET_B(value) "mov $" #value ", %rbx\n"
#define GUEST_SET_C(value) "mov $" #value ", %rcx\n"
#define GUEST_SET_D(value) "mov $" #value ", %r12\n"

/* What was read last into B goes on to another address, one more than it was. */
#define GUEST_ADD_1_TO_B       "add $1, %rbx\n"
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
#define GUEST_WHILE_VALUE(address, value, text)                                                    \
    "8: cmpl $" #value ", " #address "\njne 9f\n" text "jmp 8b\n9:\n"
#define GUEST_UNTIL_D(text) "8: " text "test %r12, %r12\njz 8b\n"

/* B, one more than before, goes to memory; unless it comes back, GUEST_OTHERWISE goes on. */
#define GUEST_COUNT_AT(address)                                                                    \
    "inc %ebx\nmov %ebx, " #address "\nmov " #address ", %eax\ncmp %eax, %ebx\njne 5f\n"
#define GUEST_OTHERWISE "5:\n"

#define GUEST_RETURN(value) "mov $" #value ", %al\n" GUEST_EXIT

/* Waits for an interrupt that does not come. */
#define GUEST_HALT "cli\nhlt\n"

/* Ends in a crash, of this reason. */
#define GUEST_DIE  "ud2\n"
#define DIE_REASON "triple fault"

/* Of a run that a guest's odd store to a device ends. */
#define ODD_STORE_REASON                                                                           \
    "KVM cannot emulate the instruction, or there is no memory where it should be"

/* What the report of a crash says when a guest's first instruction was GUEST_LOAD_B(0x200004). */
#define CRASH_TEXTS                                                                                \
    "  rip 0000000000001000", "  rax 0000000000000000", "  cr0 80000011",                          \
        "  code at rip: 8b 1c 25 04 00 20 00", "  reserved above: [0x10000000..0x10001000)"

/*
 * Interrupts (testvm_take_irqs). The set-up leaves the lines masked, as vectors from IRQ_VECTOR on
 * (8259A data sheet: ICW1 to ICW4, then the masks; ELCR: 82371SB data sheet, 4.2).
 */
enum { IRQ_VECTOR = 0x20 };

#define GUEST_IRQ_SET_UP                                                                           \
    "mov $0x11, %al\nout %al, $0x20\nout %al, $0xa0\n"                                             \
    "mov $0x20, %al\nout %al, $0x21\nmov $0x28, %al\nout %al, $0xa1\n"                             \
    "mov $4, %al\nout %al, $0x21\nmov $2, %al\nout %al, $0xa1\n"                                   \
    "mov $1, %al\nout %al, $0x21\nout %al, $0xa1\n"                                                \
    "mov $0x20, %al\nmov $0x4d0, %dx\nout %al, %dx\n"                                              \
    "mov $0xff, %al\nout %al, $0x21\nout %al, $0xa1\n"
#define GUEST_IRQ_UNMASK       "mov $0xef, %al\nout %al, $0x21\n" /* TEST_IRQ alone */
#define GUEST_LEVEL_IRQ_UNMASK "mov $0xdf, %al\nout %al, $0x21\n"
#define GUEST_IRQS_ON          "sti\nnop\n"
#define GUEST_IRQS_OFF         "cli\n"

/* On the spot, until there have been so many. */
#define GUEST_AWAIT_IRQS(number) "7: cmp $" #number ", %r15\njb 7b\n"
#define GUEST_STORE_NR_IRQS_TO_E "mov %r15, %r14\n"

/* Asleep, until the first; interrupts are off before. */
#define GUEST_SLEEP_UNTIL_IRQ "sti\nhlt\n"

/* testvm_machine_call. */
enum { NR_MACHINE_CALLS = 3 };

/* Registers of the system's, of all the kinds that KVM has calls for; the first of them with values
 * that nothing in a test's guest minds. */
struct kept_reg {
    seL4_Word reg;
    seL4_Word value;
};
enum { NR_KEPT_REGS = 4, NR_SYSTEM_REGS = 13, MOVING_REG = VMX_GUEST_RIP };

#endif
