/* Linux's Image on arm64: a 64-byte header, then the kernel (Documentation/arch/arm64/booting). */
#ifndef LOAD_ARM64_IMAGE_H
#define LOAD_ARM64_IMAGE_H

#include <stdbool.h>

#include "load/image.h"
#include "load/payload.h"

enum { ARM64_HEADER_SIZE = 64 };

bool arm64_image_has_magic(const uint8_t *data, size_t size);

/* At text_offset from the start of RAM rounded up to 2 MiB; the entry is the first byte. */
int arm64_image_load(const struct payload *payload, const struct load_ram *ram,
                     struct image *ret_image, struct load_error *err);

#endif
