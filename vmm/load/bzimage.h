/*
 * Linux's bzImage: real-mode setup, protected-mode code, and in it the compressed kernel.
 *
 * The kernel is unpacked here, segment by segment to where it was linked, and the guest starts at
 * its first instruction. When it is packed in a way that is not supported the protected-mode code
 * is loaded instead, and the guest unpacks it (decompresses_itself).
 * Documentation/arch/x86/boot.rst.
 */
#ifndef LOAD_BZIMAGE_H
#define LOAD_BZIMAGE_H

#include <stdbool.h>

#include "load/image.h"

bool bzimage_has_magic(const uint8_t *data, size_t size);

int bzimage_load(const uint8_t *data, size_t size, const char *name, const struct load_ram *ram,
                 struct image *ret_image, struct load_error *err);

#endif
