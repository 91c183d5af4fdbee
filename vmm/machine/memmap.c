/* The PC's memory map. */
#include "machine/memmap.h"

#include "machine/layout_pc.h"

static void add(struct memmap *map, uint64_t start, uint64_t end, uint32_t type)
{
    map->entries[map->nr_entries++] = (struct load_memmap_entry){start, end - start, type};
}

void memmap_init(struct memmap *map, uint64_t ram_size)
{
    uint64_t low_end = ram_size < PC_LOW_RAM_END ? ram_size : PC_LOW_RAM_END;

    map->nr_entries = 0;
    add(map, 0, PC_EBDA_START, MEMMAP_RAM);
    add(map, PC_EBDA_START, PC_LEGACY_HOLE, MEMMAP_RESERVED);
    add(map, PC_ACPI, PC_LEGACY_HOLE_END, MEMMAP_RESERVED);
    add(map, PC_LEGACY_HOLE_END, low_end, MEMMAP_RAM);
    if (ram_size > PC_LOW_RAM_END) {
        add(map, PC_HIGH_RAM_START, PC_HIGH_RAM_START + (ram_size - PC_LOW_RAM_END), MEMMAP_RAM);
    }
}
