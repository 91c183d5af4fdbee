/* Where the RAM of every guest begins: at 1 GiB, as on QEMU's machine virt; below are devices. */
#ifndef PLACE_H
#define PLACE_H

#define GUEST_RAM_BASE 0x40000000

/* What has a port's number elsewhere is a byte behind this address. */
#define GUEST_PORTS_BASE 0x30000000

/* The first interrupt that a device can raise. */
#define GUEST_IRQ_FIRST 32

#endif
