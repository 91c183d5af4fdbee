/* Multiboot 1 kernels (specification 0.6.96). What they are told at their start: boot_info.h. */
#ifndef LOAD_MULTIBOOT_H
#define LOAD_MULTIBOOT_H

#include <stdbool.h>

#include "load/image.h"
#include "load/payload.h"

/* The header lies within this many first bytes. */
enum { MULTIBOOT_SEARCH = 8192 };

bool multiboot_has_header(const uint8_t *data, size_t size);

int multiboot_load(const struct payload *payload, const struct load_ram *ram,
                   struct image *ret_image, struct load_error *err);

#endif
