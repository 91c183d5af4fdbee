/* The guest of embed.cpp on AArch64. */
#ifndef EXAMPLES_ARM64_EMBED_GUEST_H
#define EXAMPLES_ARM64_EMBED_GUEST_H

#include "guest.h"

/* mov x0, #0x200000; mov w1, #42; str w1, [x0]; ldr w1, [x0]; wfi */
static const uint32_t code[] = {0xd2a00400, 0x52800541, 0xb9000001, 0xb9400001, 0xd503207f};

/* The register with what was read. */
#define GUEST_RESULT GUEST_REG(x1)

#endif
