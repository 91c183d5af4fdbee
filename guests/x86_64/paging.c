/* Page tables beyond the first 4 GiB, which start.S maps. */
#include "lib/machine.h"

/* SDM 3A, 4.5: present, writable, accessed; dirty; large. */
enum {
    PTE_TABLE = 0x23,
    PTE_LARGE = 0xe3,
    ENTRIES = 512,
    TABLES_MAX = 2,
};

#define PTE_ADDRESS 0x000ffffffffff000ull

extern uint64_t pml4[ENTRIES];

static uint64_t tables[TABLES_MAX][ENTRIES] __attribute__((aligned(4096)));
static unsigned nr_tables;

/* The next level below an entry, made when there is none. */
static uint64_t *enter(uint64_t *entry)
{
    if (*entry == 0) {
        *entry = (uintptr_t)tables[nr_tables++] | PTE_TABLE;
    }
    return (uint64_t *)(*entry & PTE_ADDRESS);
}

/* An entry that was not present is cached nowhere: nothing to invalidate. */
void machine_map(uint64_t gpa)
{
    uint64_t *pdpt = enter(&pml4[gpa >> 39 & (ENTRIES - 1)]);
    uint64_t *directory = enter(&pdpt[gpa >> 30 & (ENTRIES - 1)]);

    directory[gpa >> 21 & (ENTRIES - 1)] = (gpa & ~0x1fffffull) | PTE_LARGE;
}
