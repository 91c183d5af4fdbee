/* Where things are for every guest: its RAM begins at 0, as on a PC. */
#ifndef PLACE_H
#define PLACE_H

#define GUEST_RAM_BASE 0x0

/* The first interrupt that a device can raise. */
#define GUEST_IRQ_FIRST 0

/* The command's machine: virtio devices in memory, a page each, and the registers of its PCI bus
 * (vmm/machine/layout_pc.h). */
#define GUEST_VIRTIO_BASE 0xfe000000
#define GUEST_ECAM_BASE   0xe0000000

#endif
