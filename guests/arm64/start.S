/*
 * The first instructions of every guest, at EL1: registers and page tables of its own, whatever the
 * loader had. x0 is the address of a device tree, or 0 in tests; no other register matters.
 */

/* Arm ARM, D17.2: SCTLR_EL1 with translation and caches off, and on; MAIR: 0 write-back, 1 not
 * cached; TCR: 48 bits by TTBR0, tables cached, 40 bits out. */
#define SCTLR_OFF 0x30d00800
#define SCTLR_ON  0x30d01805
#define MAIR      0x44ff
#define TCR       0x200803510

/* Descriptors (Arm ARM, D8.3.1): a table; blocks that were accessed, inner shareable, of type 0 or
 * 1. What is not RAM may be accessed at any alignment that way. */
#define TABLE       0x3
#define BLOCK_RAM   0x701
#define BLOCK_OTHER 0x705

#define STACK_SIZE 0x2000

    .section .text.start, "ax"
    .globl _start
_start:
    mov x19, x0
    ldr x20, =stack_top
    ldr x21, =guest_start           /* does not return */
    b set_up

/* Of a processor that another one starts. */
    .globl second_begin
second_begin:
    ldr x20, =second_stack_top
    ldr x21, =second_start          /* does not return */

/* x20: the stack, x21: where to go from there, with what x19 has. */
set_up:
    ldr x1, =SCTLR_OFF
    msr sctlr_el1, x1
    isb
    ldr x1, =MAIR
    msr mair_el1, x1
    ldr x1, =TCR
    msr tcr_el1, x1
    ldr x1, =level0
    msr ttbr0_el1, x1
    ldr x1, =vectors
    msr vbar_el1, x1
    dsb sy
    tlbi vmalle1
    dsb sy
    isb
    ldr x1, =SCTLR_ON
    msr sctlr_el1, x1
    isb
    msr spsel, #1
    mov sp, x20
    mov x0, x19
    blr x21
    .ltorg

/* An entry of the table per kind of exception and level it comes from (Arm ARM, D1.3.1.5). */
    .balign 2048
vectors:
    .set i, 0
    .rept 16
    .balign 128
    .if i == 5
    b take_irq
    .else
    mov x0, #i
    mrs x1, esr_el1
    mrs x2, elr_el1
    mrs x3, far_el1
    b handle_exception
    .endif
    .set i, i + 1
    .endr

/* An interrupt, at EL1: what a C function may change is kept (AAPCS64, 6.1.1). */
take_irq:
    stp x0, x1, [sp, #-160]!
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x30, [sp, #144]
    bl handle_irq
    ldp x18, x30, [sp, #144]
    ldp x16, x17, [sp, #128]
    ldp x14, x15, [sp, #112]
    ldp x12, x13, [sp, #96]
    ldp x10, x11, [sp, #80]
    ldp x8, x9, [sp, #64]
    ldp x6, x7, [sp, #48]
    ldp x4, x5, [sp, #32]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp], #160
    eret

/* Guest-physical memory as it is: the first 512 GiB, where the second GiB is RAM. */
    .section .data.tables, "aw"
    .balign 0x1000
    .globl level0
level0:
    .quad level1 + TABLE
    .fill 511, 8, 0
level1:
    .set i, 0
    .rept 512
    .if i == 1
    .quad i << 30 | BLOCK_RAM
    .else
    .quad i << 30 | BLOCK_OTHER
    .endif
    .set i, i + 1
    .endr

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip STACK_SIZE
stack_top:
    .skip STACK_SIZE
second_stack_top:

    .section .note.GNU-stack, "", @progbits
