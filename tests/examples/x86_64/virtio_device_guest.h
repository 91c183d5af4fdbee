/* The guest of virtio_device.c on x86-64. */
#ifndef EXAMPLES_X86_64_VIRTIO_DEVICE_GUEST_H
#define EXAMPLES_X86_64_VIRTIO_DEVICE_GUEST_H

#include "guest.h"

enum { LINE = 16 }; /* of the device: the first that a PC has no other use for */

/* Walks through the addresses and values at WRITES, waits for a buffer to be DONE, writes to STOP.
 * In 32-bit mode, which sees all of 4 GiB. */
__asm__(".pushsection .rodata\n"
        ".code32\n"
        "guest:\n"
        "mov $0x2000, %esi\n"
        "1: lodsl; mov %eax, %ebx; test %eax, %eax; jz 2f\n"
        "lodsl; mov %eax, (%ebx); jmp 1b\n"
        "2: cmpw $1, 0x5002; jne 2b\n"
        "mov %eax, 0xd0001000\n"
        "3: hlt; jmp 3b\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection\n");
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

#endif
