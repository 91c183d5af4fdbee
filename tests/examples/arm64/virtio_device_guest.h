/* The guest of virtio_device.c on AArch64. */
#ifndef EXAMPLES_ARM64_VIRTIO_DEVICE_GUEST_H
#define EXAMPLES_ARM64_VIRTIO_DEVICE_GUEST_H

#include "guest.h"

enum { LINE = 48 }; /* of the device: one of those that are shared by all processors */

/* Walks through the addresses and values at WRITES, waits for a buffer to be DONE, writes to STOP.
 */
__asm__(".pushsection .rodata\n"
        "guest:\n"
        "mov x1, #0x2000\n"
        "1: ldp w2, w3, [x1], #8; cbz w2, 2f\n"
        "dmb sy; str w3, [x2]; b 1b\n"
        "2: mov x1, #0x5002\n"
        "3: ldrh w0, [x1]; cmp w0, #1; b.ne 3b\n"
        "mov x1, #0xd0000000; add x1, x1, #0x1000; str w0, [x1]\n"
        "4: wfi; b 4b\n"
        "guest_end: .popsection\n");
/* Hidden: no table of addresses stands between, which has no room for what lies behind a label. */
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

#endif
