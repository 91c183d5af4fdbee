/*
 * The first instructions of a processor that another one starts (Intel SDM 3A, 9.4.4), in real
 * mode on a page below 1 MiB that they are copied to: they lie by themselves. From there to long
 * mode at once, on page tables and GDT of the guest's own, and a stack of its own; then to ring 3,
 * which runs at the processor's own speed on all hosts.
 */

/* Intel SDM 3A, 2.5 and 2.2.1. */
#define CR0_PG_PE 0x80000001
#define CR4_PAE   0x20
#define MSR_EFER  0xc0000080
#define EFER_LME  0x100

#define CODE64_SELECTOR 0x08
#define USER_DATA_SELECTOR 0x1b
#define USER_CODE_SELECTOR 0x23

#define FLAGS 0x202                 /* nothing interrupts it: nobody tells its APIC to */

#define STACK_SIZE 0x2000

    .section .rodata.second, "a"
    .code16
    .globl second_begin, second_end
second_begin:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl (second_gdt - second_begin)
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG_PE, %eax
    mov %eax, %cr0
    ljmpl $CODE64_SELECTOR, $second_long_mode
second_gdt:
    .word 5 * 8 - 1
    .long gdt
second_end:

    .section .text.second, "ax"
    .code64
second_long_mode:
    mov $second_stack_top, %esp
    pushq $USER_DATA_SELECTOR
    pushq $second_stack_top
    pushq $FLAGS
    pushq $USER_CODE_SELECTOR
    pushq $second_in_ring_3
    iretq
second_in_ring_3:
    mov $USER_DATA_SELECTOR, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    call second_start               /* does not return */

    .section .bss.second, "aw", @nobits
    .balign 16
    .skip STACK_SIZE
second_stack_top:

    .section .note.GNU-stack, "", @progbits
