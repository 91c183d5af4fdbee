/*
 * The first instructions of every guest.
 *
 * One file boots everywhere, because it has one entry that finds out by itself where it is:
 *   - a multiboot 1 loader finds the header below (the file is handed out as ELF32, which the
 *     specification asks for), and enters in protected mode with a magic number in eax;
 *   - a PVH loader finds the note below, and enters in protected mode with hvm_start_info in ebx;
 *   - tests load the segments and set rip to e_entry in the vcpu's first state: long mode, or
 *     protected mode with paging off, with 0 in eax and ebx. No other register matters.
 * All ways meet in long_mode, on page tables, GDT and stack of the guest's own: nothing that the
 * loader had is needed any more, but for what ebx points at.
 *
 * GUEST_WITHOUT_MULTIBOOT and GUEST_WITHOUT_PVH leave out a header, for tests of the other ways.
 */

/* Multiboot 0.6.96, 3.1: magic; flags (modules on page boundaries, memory map wanted). */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x3

/* Xen's public/elfnote.h: the note that names the 32-bit entry. */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* Intel SDM 3A, 2.5 and 2.2.1. */
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

/* Page-table entries (SDM 3A, 4.5): present, writable, for all rings, accessed; dirty; large. */
#define PTE_TABLE 0x27
#define PTE_LARGE 0xe7

#define CODE64_SELECTOR 0x08
#define DATA_SELECTOR   0x10

#define STACK_SIZE 0x2000

    .section .multiboot, "a"
#ifndef GUEST_WITHOUT_MULTIBOOT
    .balign 4
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
#endif

#ifndef GUEST_WITHOUT_PVH
    .section .note.pvh, "a", @note
    .balign 4
    .long 4                         /* size of the name */
    .long 4                         /* size of the value */
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start
#endif

    .section .text.start, "ax"
    .code32
    .globl _start
_start:
    cli
    cld
    mov %eax, %ecx
    dec %eax                        /* in long mode this byte is a prefix to the nop */
    nop
    cmp %eax, %ecx
    mov %ecx, %eax
    je _start64

_start32:
    mov %eax, %ebp                  /* wrmsr takes eax */
    lgdt gdt_pointer
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
    or $CR0_PG, %eax
    mov %eax, %cr0
    mov %ebp, %eax
    ljmp $CODE64_SELECTOR, $long_mode

    .code64
    .globl _start64
_start64:
    mov $stack_top, %esp
    mov $pml4, %ecx
    mov %rcx, %cr3
    lgdt gdt_pointer
    push $CODE64_SELECTOR
    push $long_mode
    lretq

long_mode:
    mov $DATA_SELECTOR, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %ss
    mov $stack_top, %esp
    mov %eax, %edi
    mov %ebx, %esi
    call guest_start                /* does not return */

    .section .rodata.start, "a"
    .balign 8
    .globl gdt
gdt:                                /* SDM 3A, 3.4.5 */
    .quad 0
    .quad 0x00af9b000000ffff        /* 64-bit code */
    .quad 0x00cf93000000ffff        /* data */
    .quad 0x00cff3000000ffff        /* data of ring 3 */
    .quad 0x00affb000000ffff        /* 64-bit code of ring 3 */
gdt_pointer:
    .word . - gdt - 1
    .quad gdt

/*
 * Guest-physical memory as it is, up to 4 GiB: written by the assembler, because each instruction
 * that would fill it is emulated on some hosts.
 */
    .section .data.tables, "aw"
    .balign 0x1000
    .globl pml4
pml4:
    .quad pdpt + PTE_TABLE
    .fill 511, 8, 0
pdpt:
    .set i, 0
    .rept 4
    .quad directories + i * 0x1000 + PTE_TABLE
    .set i, i + 1
    .endr
    .fill 508, 8, 0
directories:
    .set i, 0
    .rept 4 * 512
    .quad i << 21 | PTE_LARGE
    .set i, i + 1
    .endr

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip STACK_SIZE
stack_top:

    .section .note.GNU-stack, "", @progbits
