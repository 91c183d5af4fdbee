/* The guest of event_loop.c on AArch64. */
#ifndef EXAMPLES_ARM64_EVENT_LOOP_GUEST_H
#define EXAMPLES_ARM64_EVENT_LOOP_GUEST_H

#include "guest.h"

/* Reads memory at TICKS until it is 3, then writes to END. */
__asm__(".pushsection .rodata\n"
        "guest:\n"
        "mov x1, #0x5000\n"
        "1: ldr w0, [x1]; cmp w0, #3; b.lo 1b\n"
        "mov x1, #0x200000; str w0, [x1]\n"
        "2: wfi; b 2b\n"
        "guest_end: .popsection\n");
/* Hidden: no table of addresses stands between, which has no room for what lies behind a label. */
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

#endif
