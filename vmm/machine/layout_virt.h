/* Where everything stands in the arm64 machine: guest addresses, interrupts. Named here, repeated
 * nowhere. */
#ifndef MACHINE_LAYOUT_VIRT_H
#define MACHINE_LAYOUT_VIRT_H

/*
 * Nothing prescribes where things stand on arm64: guests read it in the device tree. What does not
 * read it was made for the machine that QEMU calls virt, or for libsel4vm's port to it: addresses
 * and interrupts are theirs (QEMU, docs/system/arm/virt.rst; libsel4vm, plat qemu-arm-virt).
 */

/* --- interrupt controller: the library creates it, and says where (hostvm/chipset.h); its
 * distributor is of 4 KiB as GICv2 and of 64 KiB as GICv3 (Linux, vgic) --- */

#define VIRT_GICV2_DIST_SIZE 0x1000ull
#define VIRT_GICV3_DIST_SIZE 0x10000ull

/* --- devices --- */

#define VIRT_UART       0x09000000ull
#define VIRT_RTC        0x09010000ull
#define VIRT_VIRTIO     0x0a000000ull /* a page each, not 512 bytes as QEMU has it */
#define VIRT_DEBUG_EXIT 0x090f4000ull /* a choice */

/* --- PCI: registers of one bus, not of 16 as QEMU has them --- */

#define VIRT_PCI_MEMORY      0x10000000ull
#define VIRT_PCI_MEMORY_SIZE 0x2eff0000ull
#define VIRT_PCI_ECAM        0x3f000000ull

/* --- RAM: from here up to where the machine's memory ends --- */

#define VIRT_RAM 0x40000000ull

/* --- interrupts: shared ones count from 0 here and from 32 in the controller (GIC architecture,
 * IHI 0048, 2.2.1) --- */

enum {
    VIRT_SPI_UART = 1,
    VIRT_SPI_RTC = 2,
    VIRT_SPI_PCI = 3,     /* and the three behind it */
    VIRT_SPI_VIRTIO = 16, /* and those behind it */
    VIRT_SPI_BASE = 32,
};

/* Private ones of the timers, counted from 16 (Arm SBSA, PPI assignments; KVM's, too). */
enum {
    VIRT_PPI_TIMER_SECURE = 13,
    VIRT_PPI_TIMER_PHYSICAL = 14,
    VIRT_PPI_TIMER_VIRTUAL = 11,
    VIRT_PPI_TIMER_HYPERVISOR = 10,
};

/* Of the performance counters, likewise: the library's (hostvm/chipset.h). */
#define VIRT_PPI_PMU (HOSTVM_PMU_IRQ - 16)

/* --- what the guest is told (Documentation/arch/arm64/booting.rst, 2 and 4) --- */

#define VIRT_DTB_ROOM         0x10000ull    /* for our own device tree */
#define VIRT_DTB_MAX          0x200000ull   /* for any */
#define VIRT_DTB_WINDOW       0x20000000ull /* where kernels before 4.2 look for it */
#define VIRT_COMMAND_LINE_MAX 2047          /* COMMAND_LINE_SIZE of arm64, without the final zero */

/* --- how fast the clock of the PrimeCells runs: a choice, which nothing here depends on --- */

#define VIRT_CLOCK_HZ 24000000

#endif
