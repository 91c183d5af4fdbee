/* The initial RAM disk: a file read straight into guest RAM. */
#ifndef LOAD_INITRD_H
#define LOAD_INITRD_H

#include <stdint.h>

#include "load/ram.h"
#include "load/reason.h"

/*
 * Reads the file called name as high as it fits into [low, high), starting on a page boundary.
 * high is the end of low RAM or one more than the kernel's initrd_max, whichever is less; low is
 * where the kernel ends. -EFBIG when it does not fit; else as image_file_open.
 */
int initrd_load(const char *name, const struct load_ram *ram, uint64_t low, uint64_t high,
                uint64_t *ret_gpa, uint64_t *ret_size, struct load_error *err);

#endif
