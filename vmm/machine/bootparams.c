/* Linux's boot parameters. */
#include "machine/bootparams.h"

#include <errno.h>
#include <string.h>

#include "load/bytes.h"
#include "machine/layout_pc.h"

/* Offsets in the zero page (zero-page.rst) and in the setup header that is part of it (boot.rst).
 */
enum {
    RSDP_ADDR = 0x070,
    EXT_RAMDISK_IMAGE = 0x0c0,
    EXT_RAMDISK_SIZE = 0x0c4,
    E820_ENTRIES = 0x1e8,
    BOOT_FLAG = 0x1fe,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    HEAP_END_PTR = 0x224,
    CMD_LINE_PTR = 0x228,
    CMDLINE_SIZE = 0x238,
    E820_TABLE = 0x2d0,
    ZERO_PAGE_SIZE = 4096,
};

enum {
    E820_ENTRY_SIZE = 20,
    LOADER_UNDEFINED = 0xff, /* no number assigned */
    CAN_USE_HEAP = 0x80,
    HEAP_END = 0xfe00,
    BOOT_FLAG_VALUE = 0xaa55,
    PROTOCOL_2_15 = 0x20f,
};

static void put16(uint8_t *page, unsigned offset, uint16_t value)
{
    memcpy(page + offset, &value, sizeof(value));
}

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof(value));
}

static void put64(uint8_t *page, unsigned offset, uint64_t value)
{
    memcpy(page + offset, &value, sizeof(value));
}

/* A vmlinux brings no header: what the kernel reads of it is made up. */
static void write_header(uint8_t *page, const struct image_linux *image)
{
    if (image->setup_header_size > 0) {
        memcpy(page + SETUP_HEADER_START, image->setup_header, image->setup_header_size);
    } else {
        put16(page, BOOT_FLAG, BOOT_FLAG_VALUE);
        memcpy(page + HEADER_MAGIC, "HdrS", 4);
        put16(page, VERSION, PROTOCOL_2_15);
    }
    page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    page[LOADFLAGS] |= CAN_USE_HEAP;
    put16(page, HEAP_END_PTR, HEAP_END);
}

static void write_memmap(uint8_t *page, const struct memmap *map)
{
    for (unsigned i = 0; i < map->nr_entries; i++) {
        unsigned at = E820_TABLE + i * E820_ENTRY_SIZE;

        put64(page, at, map->entries[i].start);
        put64(page, at + 8, map->entries[i].size);
        put32(page, at + 16, map->entries[i].type);
    }
    page[E820_ENTRIES] = (uint8_t)map->nr_entries;
}

static void write_initrd(uint8_t *page, uint64_t gpa, uint64_t size)
{
    put32(page, RAMDISK_IMAGE, (uint32_t)gpa);
    put32(page, RAMDISK_SIZE, (uint32_t)size);
    put32(page, EXT_RAMDISK_IMAGE, (uint32_t)(gpa >> 32));
    put32(page, EXT_RAMDISK_SIZE, (uint32_t)(size >> 32));
}

int bootparams_write(const struct load_ram *ram, const struct bootparams *params,
                     struct load_error *err)
{
    uint8_t *page = load_ram_at(ram, PC_BOOT_PARAMS);
    size_t length = strlen(params->cmdline);

    if (length > params->image->linux_boot.cmdline_max ||
        length >= PC_COMMAND_LINE_END - PC_COMMAND_LINE) {
        return load_fail(err, -E2BIG,
                         "cannot pass the command line: it has %zu characters, the kernel takes %u",
                         length, params->image->linux_boot.cmdline_max);
    }
    memset(page, 0, ZERO_PAGE_SIZE);
    write_header(page, &params->image->linux_boot);
    write_memmap(page, params->memmap);
    write_initrd(page, params->initrd, params->initrd_size);
    put64(page, RSDP_ADDR, params->rsdp);
    memcpy(load_ram_at(ram, PC_COMMAND_LINE), params->cmdline, length + 1);
    put32(page, CMD_LINE_PTR, (uint32_t)PC_COMMAND_LINE);
    return 0;
}
