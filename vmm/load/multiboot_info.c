/* The information structure that a multiboot kernel gets (Multiboot 0.6.96, 3.3). */
#include "load/boot_info.h"

#include "load/bytes.h"

/* Offsets in the structure. */
enum {
    INFO_FLAGS = 0,
    INFO_MEM_LOWER = 4,
    INFO_MEM_UPPER = 8,
    INFO_CMDLINE = 16,
    INFO_NR_MODULES = 20,
    INFO_MODULES = 24,
    INFO_MEMMAP_SIZE = 44,
    INFO_MEMMAP = 48,
    INFO_LOADER_NAME = 64,
    INFO_SIZE = 88,
};

enum {
    HAS_MEMORY = 1 << 0,
    HAS_CMDLINE = 1 << 2,
    HAS_MODULES = 1 << 3,
    HAS_MEMMAP = 1 << 6,
    HAS_LOADER_NAME = 1 << 9,
};

/* Offsets in a module's entry. */
enum {
    MODULE_START = 0,
    MODULE_END = 4,
    MODULE_STRING = 8,
    MODULE_ENTRY_SIZE = 16,
};

/* Offsets in an entry of the memory map, whose first field does not count itself. */
enum {
    MEMMAP_ENTRY_LENGTH = 0,
    MEMMAP_START = 4,
    MEMMAP_LENGTH = 12,
    MEMMAP_TYPE = 20,
    MEMMAP_ENTRY_SIZE = 24,
};

enum {
    LOWER_END = 640 << 10,
    UPPER_START = 1 << 20,
};

/* KiB of RAM from start on without a hole, up to limit. */
static uint32_t ram_kib(const struct boot_info *info, uint64_t start, uint64_t limit)
{
    uint64_t end = start;

    for (unsigned i = 0; i < info->nr_memmap; i++) {
        const struct load_memmap_entry *entry = &info->memmap[i];

        if (entry->type == MEMMAP_RAM && entry->start <= end && entry->start + entry->size > end) {
            end = entry->start + entry->size;
        }
    }
    end = end < limit ? end : limit;
    return (uint32_t)((end - start) >> 10);
}

static uint32_t put_modules(struct boot_room *room, const struct boot_info *info)
{
    uint64_t gpa = 0;
    uint8_t *entry;

    entry = boot_room_take(room, (uint64_t)info->nr_modules * MODULE_ENTRY_SIZE, 4, &gpa);
    for (unsigned i = 0; entry != NULL && i < info->nr_modules; i++, entry += MODULE_ENTRY_SIZE) {
        const struct load_module *module = &info->modules[i];
        const char *text = module->cmdline == NULL ? "" : module->cmdline;

        store_le32(entry + MODULE_START, (uint32_t)module->gpa);
        store_le32(entry + MODULE_END, (uint32_t)(module->gpa + module->size));
        store_le32(entry + MODULE_STRING, (uint32_t)boot_room_put_text(room, text));
    }
    return (uint32_t)gpa;
}

static uint32_t put_memmap(struct boot_room *room, const struct boot_info *info)
{
    uint64_t gpa = 0;
    uint8_t *entry;

    entry = boot_room_take(room, (uint64_t)info->nr_memmap * MEMMAP_ENTRY_SIZE, 4, &gpa);
    for (unsigned i = 0; entry != NULL && i < info->nr_memmap; i++, entry += MEMMAP_ENTRY_SIZE) {
        store_le32(entry + MEMMAP_ENTRY_LENGTH, MEMMAP_ENTRY_SIZE - 4);
        store_le64(entry + MEMMAP_START, info->memmap[i].start);
        store_le64(entry + MEMMAP_LENGTH, info->memmap[i].size);
        store_le32(entry + MEMMAP_TYPE, info->memmap[i].type);
    }
    return (uint32_t)gpa;
}

static void put_info(struct boot_room *room, const struct boot_info *info, uint8_t *at)
{
    const uint64_t top = (uint64_t)1 << 32;
    const char *cmdline = info->cmdline == NULL ? "" : info->cmdline;

    store_le32(at + INFO_FLAGS,
               HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MEMMAP | HAS_LOADER_NAME);
    store_le32(at + INFO_MEM_LOWER, ram_kib(info, 0, LOWER_END));
    store_le32(at + INFO_MEM_UPPER, ram_kib(info, UPPER_START, top));
    store_le32(at + INFO_MEMMAP_SIZE, info->nr_memmap * MEMMAP_ENTRY_SIZE);
    store_le32(at + INFO_MEMMAP, put_memmap(room, info));
    store_le32(at + INFO_NR_MODULES, info->nr_modules);
    store_le32(at + INFO_MODULES, put_modules(room, info));
    store_le32(at + INFO_CMDLINE, (uint32_t)boot_room_put_text(room, cmdline));
    store_le32(at + INFO_LOADER_NAME, (uint32_t)boot_room_put_text(room, "hostvm"));
}

int multiboot_info_write(const struct load_ram *ram, uint64_t gpa, uint64_t room_size,
                         const struct boot_info *info, uint64_t *ret_size, struct load_error *err)
{
    struct boot_room room = {0};
    uint64_t start_gpa;
    uint8_t *start;
    int r;

    r = boot_room_init(&room, "multiboot information", ram, gpa, room_size, err);
    if (r < 0) {
        return r;
    }
    start = boot_room_take(&room, INFO_SIZE, 1, &start_gpa);
    if (start != NULL) {
        put_info(&room, info, start);
    }
    *ret_size = room.next - gpa;
    return boot_room_check(&room, "multiboot information", err);
}
