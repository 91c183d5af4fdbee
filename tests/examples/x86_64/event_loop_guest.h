/* The guest of event_loop.c on x86-64. */
#ifndef EXAMPLES_X86_64_EVENT_LOOP_GUEST_H
#define EXAMPLES_X86_64_EVENT_LOOP_GUEST_H

#include "guest.h"

/* Reads memory at TICKS until it is 3, then writes to END. */
__asm__(".pushsection .rodata\n"
        "guest:\n"
        "1: cmpl $3, 0x5000; jb 1b\n"
        "mov %eax, 0x200000\n"
        "2: hlt; jmp 2b\n"
        "guest_end: .popsection\n");
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

#endif
