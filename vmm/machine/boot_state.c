/* Tables in guest RAM that the boot processor starts with: page tables and segments. */
#include "machine/boot_state.h"

#include <string.h>

#include "machine/layout_pc.h"

/* Page-table entries: present and writable; a page of 2 MiB (Intel SDM 3A, 4.5). */
#define PTE_TABLE 0x3ull
#define PTE_LARGE 0x83ull

enum { PAGE = 4096, ENTRIES = 512, NR_DIRECTORIES = 4, LARGE_BITS = 21 };

void boot_page_tables_write(const struct load_ram *ram)
{
    uint64_t *tables = (uint64_t *)(void *)load_ram_at(ram, PC_PAGE_TABLES);
    uint64_t *pointers = tables + ENTRIES;
    uint64_t *directories = tables + 2 * ENTRIES;

    memset(tables, 0, 2 * PAGE);
    tables[0] = (PC_PAGE_TABLES + PAGE) | PTE_TABLE;
    for (uint64_t i = 0; i < NR_DIRECTORIES; i++) {
        pointers[i] = (PC_PAGE_TABLES + (2 + i) * PAGE) | PTE_TABLE;
    }
    for (uint64_t i = 0; i < NR_DIRECTORIES * ENTRIES; i++) {
        directories[i] = i << LARGE_BITS | PTE_LARGE;
    }
}

/* Descriptors (SDM 3A, 3.4.5) in the order of Linux's boot protocol: 0x10 code, 0x18 data. */
uint16_t boot_gdt_write(const struct load_ram *ram, bool is_long)
{
    const uint64_t gdt[] = {
        0,
        0,
        is_long ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull, /* code */
        0x00cf93000000ffffull,                                   /* data */
        0x008f8b000000ffffull,                                   /* task state */
    };

    memcpy(load_ram_at(ram, PC_GDT), gdt, sizeof(gdt));
    return sizeof(gdt) - 1;
}

void boot_reset_vector_write(const struct load_ram *ram)
{
    static const uint8_t code[] = {
        0xb0,
        0x06, /* mov $6, %al: a full reset */
        0xba,
        PC_PORT_RESET & 0xff,
        PC_PORT_RESET >> 8, /* mov $PC_PORT_RESET, %dx */
        0xee,               /* out %al, %dx */
        0xf4,               /* hlt */
        0xeb,
        0xfd, /* jmp to hlt */
    };

    memcpy(load_ram_at(ram, PC_RESET_VECTOR), code, sizeof(code));
}
