/*
 * What guests and the host halves of their tests agree on: numbers only, for C and assembler alike.
 *
 * Every guest lies in [GUEST_IMAGE_BASE, GUEST_IMAGE_END), needs RAM there, and starts at the ELF
 * file's e_entry in whatever mode a vcpu has at first (start.S). It prints to the 16550 at 0x3f8
 * when one answers there (arm64: to the PL011 of a machine that has a device tree), else byte by
 * byte to GUEST_PRINT_PORT. Ports are bytes behind GUEST_PORTS_BASE on arm64.
 */
#ifndef LIB_CONTRACT_H
#define LIB_CONTRACT_H

#include "place.h"

#define GUEST_IMAGE_BASE (GUEST_RAM_BASE + 0x100000)
#define GUEST_IMAGE_END  (GUEST_RAM_BASE + 0x200000)

/* RAM that guest and host write to each other: every guest's RAM is
 * [GUEST_RAM_BASE..GUEST_RAM_END), which place.h has for each architecture. */
#define GUEST_SHARED_BASE (GUEST_RAM_BASE + 0x200000)
#define GUEST_SHARED_SIZE 0x4000
#define GUEST_RAM_END     (GUEST_RAM_BASE + 0x400000)

/* Word i of 8 bytes in a page that one of them fills for the other; salt tells pages apart. */
#define GUEST_PATTERN(salt, i) (((i) + 1) * 0x0123456789abcdefull + (salt))

/* Out of 8 bits: a character. */
#define GUEST_PRINT_PORT 0xe9

/* Out of 8 bits: the end, with 0 (every check passed), a check's number, or one of these. */
#define GUEST_EXIT_PORT      0xf4
#define GUEST_EXIT_EXCEPTION 126 /* an exception that the guest did not expect */
#define GUEST_EXIT_SURVIVED  125 /* a guest that should have ended went on */

/* Out of 8 bits: the guest has come to this step, it is the host's turn. */
#define GUEST_SYNC_PORT 0x650

/* Two reservations, a page each, side by side: bytes that keep what is stored there, 0 at first. */
#define GUEST_DEVICE_BASE 0x20000000
#define GUEST_DEVICE_PAGE 0x1000
#define GUEST_DEVICE_SIZE 0x2000

/* A page that the guest may only read, filled with GUEST_PATTERN(GUEST_READONLY_SALT, i). */
#define GUEST_READONLY_BASE 0x24000000
#define GUEST_READONLY_SALT 0x100

/* No reservation: the unhandled-fault callback answers every read with GUEST_HOLE_VALUE. */
#define GUEST_HOLE_BASE    0x28000000   /* FAULT_HANDLED */
#define GUEST_HOLE_IGNORED 0x28001000   /* the page from here on: FAULT_IGNORE */
#define GUEST_HOLE_HIGH    0xab12345678 /* 40 bits; FAULT_HANDLED */
#define GUEST_HOLE_VALUE   0x5eedf00d

/* Two pages that have no memory until they are touched; each has this in its first 8 bytes then. */
#define GUEST_DEFERRED_BASE  0x2c000000
#define GUEST_DEFERRED_SIZE  0x2000
#define GUEST_DEFERRED_VALUE 0xdefe44ed00c0ffee

/* A reservation that ends within its page: bytes that keep what is stored in them. */
#define GUEST_SHORT_BASE 0x2d000000
#define GUEST_SHORT_SIZE 0x10

/* No reservation, and nobody answers. */
#define GUEST_NOWHERE 0x2f000000

/* x86: ports with one handler each; a range is [BASE..BASE + SIZE). */
#define GUEST_PORT_FILE_BASE  0x600 /* bytes that keep what is written, 0 at first */
#define GUEST_PORT_FILE_SIZE  8
#define GUEST_PORT_FIFO       0x610 /* gives back the bytes written to it, in their order */
#define GUEST_PORT_WIDE       0x618 /* answers IN of any size with GUEST_PORT_WIDE_VALUE */
#define GUEST_PORT_WIDE_VALUE 0x89abcdef
#define GUEST_PORT_NOBODY     0x620 /* no handler at [0x620..0x624) */

/* Out of 8 bits: an interrupt, as its distance from GUEST_IRQ_FIRST; and what the host does with it
 * in the handler. */
#define GUEST_IRQ_INJECT 0x630 /* vm_inject_irq */
#define GUEST_IRQ_RAISE  0x631 /* vm_set_irq_level 1 */
#define GUEST_IRQ_LOWER  0x632 /* vm_set_irq_level 0 */

/* In of 8 bits from this port + that distance: how often its acknowledge function was called. */
#define GUEST_IRQ_ACKS_BASE 0x640
#define GUEST_IRQ_ACKS_SIZE 16

/* Interrupts of the irq and wake guests; place.h has the first. All but the last two have an
 * acknowledge function that counts. */
#define GUEST_IRQ_INJECTED    (GUEST_IRQ_FIRST + 4)
#define GUEST_IRQ_ACKED_LEVEL (GUEST_IRQ_FIRST + 5)  /* ... and lowers it, the second time */
#define GUEST_IRQ_OTHER       (GUEST_IRQ_FIRST + 10) /* x86: of the second chip */
#define GUEST_IRQ_BETWEEN     (GUEST_IRQ_FIRST + 2)  /* x86: between the two chips */
#define GUEST_IRQ_LEVEL       (GUEST_IRQ_FIRST + 11) /* acknowledged to nobody */

/* x86: hypercalls, by the low 32 bits of rax. */
#define GUEST_VMCALL_TOKEN   0x4711 /* adds GUEST_VMCALL_ADDEND to rbx */
#define GUEST_VMCALL_ADDEND  0x1000
#define GUEST_VMCALL_UNKNOWN 0x4712 /* nobody registered it */

/* x86: 4 bytes, the port that takes hypercalls as an OUT of eax; 0: the vmcall instruction does. */
#define GUEST_VMCALL_PORT_AT GUEST_SHARED_BASE

/* What the fault callback of fault_registers puts into rbx, or x1. */
#define GUEST_CHANGED_VALUE 0xc4a96ed

#endif
