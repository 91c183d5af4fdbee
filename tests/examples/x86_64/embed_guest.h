/* The guest of embed.cpp on x86-64. */
#ifndef EXAMPLES_X86_64_EMBED_GUEST_H
#define EXAMPLES_X86_64_EMBED_GUEST_H

#include "guest.h"

/* mov $0x200000, %eax; movl $42, (%rax); mov (%rax), %ebx; hlt */
static const unsigned char code[] = {0xb8, 0x00, 0x00, 0x20, 0x00, 0xc7, 0x00,
                                     0x2a, 0x00, 0x00, 0x00, 0x8b, 0x18, 0xf4};

/* The register with what was read. */
#define GUEST_RESULT VCPU_CONTEXT_EBX

#endif
