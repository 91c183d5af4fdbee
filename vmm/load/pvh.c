/* Start information of the PVH boot protocol: Xen's public/arch-x86/hvm/start_info.h, version 1. */
#include "load/boot_info.h"

#include "load/bytes.h"

enum { START_MAGIC = 0x336ec578 };

/* Offsets in hvm_start_info. */
enum {
    START_VERSION = 4,
    START_NR_MODULES = 12,
    START_MODULES = 16,
    START_CMDLINE = 24,
    START_RSDP = 32,
    START_MEMMAP = 40,
    START_NR_MEMMAP = 48,
    START_SIZE = 56,
};

/* Offsets in hvm_modlist_entry. */
enum {
    MODULE_START = 0,
    MODULE_LENGTH = 8,
    MODULE_CMDLINE = 16,
    MODULE_ENTRY_SIZE = 32,
};

/* Offsets in hvm_memmap_table_entry. */
enum {
    MEMMAP_START = 0,
    MEMMAP_LENGTH = 8,
    MEMMAP_TYPE = 16,
    MEMMAP_ENTRY_SIZE = 24,
};

static uint64_t put_modules(struct boot_room *room, const struct boot_info *info)
{
    uint64_t gpa = 0;
    uint8_t *entry;

    entry = boot_room_take(room, (uint64_t)info->nr_modules * MODULE_ENTRY_SIZE, 8, &gpa);
    for (unsigned i = 0; entry != NULL && i < info->nr_modules; i++, entry += MODULE_ENTRY_SIZE) {
        const struct load_module *module = &info->modules[i];

        store_le64(entry + MODULE_START, module->gpa);
        store_le64(entry + MODULE_LENGTH, module->size);
        store_le64(entry + MODULE_CMDLINE, boot_room_put_text(room, module->cmdline));
    }
    return gpa;
}

static uint64_t put_memmap(struct boot_room *room, const struct boot_info *info)
{
    uint64_t gpa = 0;
    uint8_t *entry;

    entry = boot_room_take(room, (uint64_t)info->nr_memmap * MEMMAP_ENTRY_SIZE, 8, &gpa);
    for (unsigned i = 0; entry != NULL && i < info->nr_memmap; i++, entry += MEMMAP_ENTRY_SIZE) {
        store_le64(entry + MEMMAP_START, info->memmap[i].start);
        store_le64(entry + MEMMAP_LENGTH, info->memmap[i].size);
        store_le32(entry + MEMMAP_TYPE, info->memmap[i].type);
    }
    return gpa;
}

int pvh_start_info_write(const struct load_ram *ram, uint64_t gpa, uint64_t room_size,
                         const struct boot_info *info, uint64_t *ret_size, struct load_error *err)
{
    struct boot_room room = {0};
    uint64_t start_gpa;
    uint8_t *start;
    int r;

    r = boot_room_init(&room, "PVH start information", ram, gpa, room_size, err);
    if (r < 0) {
        return r;
    }
    start = boot_room_take(&room, START_SIZE, 1, &start_gpa);
    if (start != NULL) {
        store_le32(start, START_MAGIC);
        store_le32(start + START_VERSION, 1);
        store_le64(start + START_RSDP, info->rsdp);
        store_le32(start + START_NR_MEMMAP, info->nr_memmap);
        store_le64(start + START_MEMMAP, put_memmap(&room, info));
        store_le32(start + START_NR_MODULES, info->nr_modules);
        store_le64(start + START_MODULES, put_modules(&room, info));
        store_le64(start + START_CMDLINE, boot_room_put_text(&room, info->cmdline));
    }
    *ret_size = room.next - gpa;
    return boot_room_check(&room, "PVH start information", err);
}
