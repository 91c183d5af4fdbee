/* The guests of sel4_shared_page.c on AArch64. */
#ifndef EXAMPLES_ARM64_SEL4_SHARED_PAGE_GUEST_H
#define EXAMPLES_ARM64_SEL4_SHARED_PAGE_GUEST_H

#include "guest.h"

/* One stores 0x600d to the page that is SHARED and says to REPORT that it has; the other tries to
 * store 0xbad, and says what it reads then. */
__asm__(".pushsection .rodata\n"
        "writer_code:\n"
        "mov x1, #0x180000; mov x2, #0x200000\n"
        "mov w0, #0x600d; str w0, [x1]; dmb sy; str w0, [x2]\n"
        "1: wfi; b 1b\n"
        "writer_end:\n"
        "reader_code:\n"
        "mov x1, #0x180000; mov x2, #0x200000\n"
        "mov w0, #0xbad; str w0, [x1]\n"
        "ldr w0, [x1]; str w0, [x2]\n"
        "2: wfi; b 2b\n"
        "reader_end: .popsection\n");
/* Hidden: no table of addresses stands between, which has no room for what lies behind a label. */
extern __attribute__((visibility("hidden"))) const char writer_code[], writer_end[], reader_code[],
    reader_end[];

#endif
