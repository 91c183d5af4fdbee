/* Where the RAM of every guest begins: on a PC at 0. */
#ifndef PLACE_H
#define PLACE_H

#define GUEST_RAM_BASE 0x0

#endif
