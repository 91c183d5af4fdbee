/* Linux's boot parameters: the zero page (Documentation/arch/x86/zero-page.rst, boot.rst). */
#ifndef MACHINE_BOOTPARAMS_H
#define MACHINE_BOOTPARAMS_H

#include <stdint.h>

#include "load/image.h"
#include "machine/memmap.h"

struct bootparams {
    const struct image *image;
    const struct memmap *memmap;
    const char *cmdline;
    uint64_t initrd; /* guest address; with size 0: none */
    uint64_t initrd_size;
    uint64_t rsdp; /* ACPI's root pointer */
};

/* Writes them at PC_BOOT_PARAMS, and the command line. -E2BIG when that is too long for the kernel.
 */
int bootparams_write(const struct load_ram *ram, const struct bootparams *params,
                     struct load_error *err);

#endif
