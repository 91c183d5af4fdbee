/* Where the RAM of every guest begins: on a PC at 0. */
#ifndef PLACE_H
#define PLACE_H

#define GUEST_RAM_BASE 0x0

/* The first interrupt that a device can raise. */
#define GUEST_IRQ_FIRST 0

#endif
