/*
 * Flat binaries: bytes of code and nothing else.
 *
 * On x86 they are loaded at 0x1000, the first page that neither the interrupt vector table nor the
 * BIOS data area takes, and started there in real mode with all segments 0; they end below 640
 * KiB. On arm64 they are loaded and started at the start of RAM.
 */
#ifndef LOAD_FLAT_H
#define LOAD_FLAT_H

#include "load/image.h"
#include "load/payload.h"

enum {
    FLAT_X86_START = 0x1000,
    FLAT_X86_END = 0xa0000,
};

/* What data looks like when it is not code ("a shell script"); NULL when it may be code. */
const char *flat_known_otherwise(const uint8_t *data, size_t size);

int flat_load(const struct payload *payload, enum image_machine machine, const struct load_ram *ram,
              struct image *ret_image, struct load_error *err);

#endif
