/* The PC's memory map, as every boot protocol tells it. */
#ifndef MACHINE_MEMMAP_H
#define MACHINE_MEMMAP_H

#include <stdint.h>

#include "load/boot_info.h"

enum { MEMMAP_MAX = 8 };

struct memmap {
    struct load_memmap_entry entries[MEMMAP_MAX]; /* sorted by address */
    unsigned nr_entries;
};

/* The map of a machine with this much RAM: 2 MiB at least. */
void memmap_init(struct memmap *map, uint64_t ram_size);

#endif
