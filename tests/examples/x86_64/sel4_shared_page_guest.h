/* The guests of sel4_shared_page.c on x86-64. */
#ifndef EXAMPLES_X86_64_SEL4_SHARED_PAGE_GUEST_H
#define EXAMPLES_X86_64_SEL4_SHARED_PAGE_GUEST_H

#include "guest.h"

/* One stores 0x600d to the page that is SHARED and says to REPORT that it has; the other tries to
 * store 0xbad, and says what it reads then. */
__asm__(".pushsection .rodata\n"
        "writer_code:\n"
        "movl $0x600d, 0x180000; mov %eax, 0x200000\n"
        "1: hlt; jmp 1b\n"
        "writer_end:\n"
        "reader_code:\n"
        "movl $0xbad, 0x180000\n"
        "mov 0x180000, %eax; mov %eax, 0x200000\n"
        "2: hlt; jmp 2b\n"
        "reader_end: .popsection\n");
extern __attribute__((visibility("hidden"))) const char writer_code[], writer_end[], reader_code[],
    reader_end[];

#endif
