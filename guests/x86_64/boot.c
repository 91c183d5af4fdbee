/* From the loader's registers to boot_info, then to the guest's own code. */
#include "lib/boot.h"

#include <stddef.h>

#include "lib/machine.h"
#include "x86_64/exceptions.h"

/* Multiboot 0.6.96, 3.2 and 3.3. */
enum {
    MULTIBOOT_LOADED = 0x2badb002,
    MULTIBOOT_HAS_CMDLINE = 1u << 2,
    MULTIBOOT_HAS_MODULES = 1u << 3,
    MULTIBOOT_HAS_REGIONS = 1u << 6,
};

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper;
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t nr_modules, modules;
    uint32_t syms[4];
    uint32_t regions_size, regions;
};

struct multiboot_module {
    uint32_t start, end;
    uint32_t text;
    uint32_t reserved;
};

struct multiboot_region {
    uint32_t size;    /* of what follows */
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

/* Xen's public/arch-x86/hvm/start_info.h; the last three since version 1. */
enum { PVH_MAGIC = 0x336ec578 };

struct pvh_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modules;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t regions;
    uint32_t nr_regions;
    uint32_t reserved;
};

struct pvh_module {
    uint64_t start, size;
    uint64_t text;
    uint64_t reserved;
};

struct pvh_region {
    uint64_t start, size;
    uint32_t type;
    uint32_t reserved;
};

_Noreturn void guest_start(uint32_t magic, uintptr_t info);

static const char *text_at(uint64_t address)
{
    return address == 0 ? "" : (const char *)address;
}

static void add_region(uint64_t start, uint64_t size, uint32_t type)
{
    if (boot_info.nr_regions < BOOT_REGIONS_MAX) {
        boot_info.regions[boot_info.nr_regions++] = (struct boot_region){start, size, type};
    }
}

static void add_module(uint64_t start, uint64_t size, uint64_t text)
{
    if (boot_info.nr_modules < BOOT_MODULES_MAX) {
        boot_info.modules[boot_info.nr_modules++] =
            (struct boot_module){start, size, text_at(text)};
    }
}

static void read_multiboot_regions(const struct multiboot_info *info)
{
    uintptr_t end = (uintptr_t)info->regions + info->regions_size;

    for (uintptr_t at = info->regions; at < end;) {
        const struct multiboot_region *region = (const struct multiboot_region *)at;

        add_region(region->start, region->length, region->type);
        at += region->size + sizeof(region->size);
    }
}

static void read_multiboot(const struct multiboot_info *info)
{
    const struct multiboot_module *module = (const void *)(uintptr_t)info->modules;

    boot_info.method = "multiboot";
    if ((info->flags & MULTIBOOT_HAS_CMDLINE) != 0) {
        boot_info.cmdline = text_at(info->cmdline);
    }
    if ((info->flags & MULTIBOOT_HAS_REGIONS) != 0) {
        read_multiboot_regions(info);
    }
    if ((info->flags & MULTIBOOT_HAS_MODULES) != 0) {
        for (uint32_t i = 0; i < info->nr_modules; i++, module++) {
            add_module(module->start, module->end - module->start, module->text);
        }
    }
}

static void read_pvh(const struct pvh_info *info)
{
    const struct pvh_module *module = (const struct pvh_module *)info->modules;
    const struct pvh_region *region = (const struct pvh_region *)info->regions;

    boot_info.method = "PVH";
    boot_info.cmdline = text_at(info->cmdline);
    boot_info.rsdp = info->rsdp;
    for (uint32_t i = 0; i < info->nr_modules; i++, module++) {
        add_module(module->start, module->size, module->text);
    }
    if (info->version == 0) {
        return;
    }
    for (uint32_t i = 0; i < info->nr_regions; i++, region++) {
        add_region(region->start, region->size, region->type);
    }
}

/* PVH first: there are firmwares that enter this way with multiboot's magic number in eax. */
static void read_boot_info(uint32_t magic, uintptr_t info)
{
    boot_info.method = "its entry point";
    boot_info.cmdline = "";
    if (info != 0 && ((const struct pvh_info *)info)->magic == PVH_MAGIC) {
        read_pvh((const struct pvh_info *)info);
    } else if (magic == MULTIBOOT_LOADED) {
        read_multiboot((const struct multiboot_info *)info);
    }
}

void guest_start(uint32_t magic, uintptr_t info)
{
    exceptions_install();
    read_boot_info(magic, info);
    guest_main();
    machine_stop();
}
