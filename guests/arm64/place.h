/* Where the RAM of every guest begins: at 1 GiB, as on QEMU's machine virt; below are devices. */
#ifndef PLACE_H
#define PLACE_H

#define GUEST_RAM_BASE 0x40000000

/* What has a port's number elsewhere is a byte behind this address. */
#define GUEST_PORTS_BASE 0x30000000

/* The first interrupt that a device can raise. */
#define GUEST_IRQ_FIRST 32

/* The command's machine: virtio devices in memory, a page each, and the registers of its PCI bus
 * (vmm/machine/layout_virt.h). */
#define GUEST_VIRTIO_BASE 0x0a000000
#define GUEST_ECAM_BASE   0x3f000000

#endif
