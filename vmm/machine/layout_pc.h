/* Where everything stands in the PC: guest addresses, ports, interrupt lines. Named here, repeated
 * nowhere. */
#ifndef MACHINE_LAYOUT_PC_H
#define MACHINE_LAYOUT_PC_H

/* --- RAM (sizes of the PC's memory map: IBM PC/AT) --- */

#define PC_LOW_RAM_END     0xc0000000ull /* from here to 4 GiB: devices */
#define PC_HIGH_RAM_START  0x100000000ull
#define PC_EBDA_START      0x9fc00ull /* extended BIOS data area: the last KiB below 640 KiB */
#define PC_LEGACY_HOLE     0xa0000ull /* video memory, option ROMs, BIOS: to 1 MiB */
#define PC_LEGACY_HOLE_END 0x100000ull

/* --- what the guest is handed, below 640 KiB; nothing of it is needed once the guest has read it
 * --- */

#define PC_GDT 0x500ull /* behind the BIOS data area */
#define PC_START_INFO                                                                              \
    0x6000ull /* PVH start info or multiboot information, modules and map behind it */
#define PC_START_INFO_END   0x9000ull
#define PC_PAGE_TABLES      0x9000ull /* PML4, PDPT, four page directories */
#define PC_PAGE_TABLES_END  0xf000ull
#define PC_BOOT_PARAMS      0x10000ull /* Linux's zero page */
#define PC_COMMAND_LINE     0x20000ull
#define PC_COMMAND_LINE_END 0x30000ull

/* --- firmware tables: the root pointer has to lie on a 16-byte boundary in [0xe0000..0x100000)
 * (ACPI 6.4, 5.2.5.1) --- */

#define PC_ACPI     0xe0000ull
#define PC_ACPI_END 0xff000ull

/* --- where a processor begins after a reset in real mode, f000:fff0 (Intel SDM 3A, 9.1.4; IBM
 * PC/AT) --- */

#define PC_RESET_VECTOR 0xffff0ull

/* --- ports and lines (IBM PC/AT; ACPI ports are a choice) --- */

enum {
    PC_PORT_KEYBOARD_DATA = 0x60,
    PC_PORT_KEYBOARD_COMMAND = 0x64,
    PC_PORT_CMOS = 0x70, /* index; data follows */
    PC_PORT_DEBUG_EXIT = 0xf4,
    PC_PORT_COM1 = 0x3f8,
    PC_PORT_SLEEP = 0x600,       /* ACPI sleep control; sleep status follows */
    PC_PORT_PCI_ADDRESS = 0xcf8, /* PCI 3.0, 3.2.2.3.2 */
    PC_PORT_RESET = 0xcf9,
    PC_PORT_PCI_DATA = 0xcfc,
    PC_IRQ_COM1 = 4,
    PC_IRQ_RTC = 8,
};

/* --- virtio devices in memory: a choice; a page each, below the interrupt controllers --- */

#define PC_VIRTIO(n) (0xfe000000ull + (n)*0x1000ull)

/* --- PCI: a choice, between RAM and what else there is below 4 GiB; lines that only the IOAPIC has
 * --- */

#define PC_PCI_MEMORY      0xd0000000ull
#define PC_PCI_MEMORY_SIZE 0x10000000ull
#define PC_PCI_ECAM        0xe0000000ull

enum { PC_IRQ_PCI = 20 }; /* and the three behind it */

/* --- interrupt controllers (82093AA data sheet, 3.0; Intel SDM 3A, 10.4.1) --- */

#define PC_IOAPIC 0xfec00000ull
#define PC_LAPIC  0xfee00000ull

#endif
