/* What a guest is told at its start: memory map, command line, modules; written into its RAM. */
#ifndef LOAD_BOOT_INFO_H
#define LOAD_BOOT_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "load/ram.h"
#include "load/reason.h"

/* Types of the memory map, the BIOS's numbers (ACPI 6.5, 15.1). */
enum {
    MEMMAP_RAM = 1,
    MEMMAP_RESERVED = 2,
};

struct load_memmap_entry {
    uint64_t start, size;
    uint32_t type;
};

struct load_module {
    uint64_t gpa, size;
    const char *cmdline; /* NULL: none */
};

struct boot_info {
    const char *cmdline;                    /* NULL: none */
    const struct load_memmap_entry *memmap; /* sorted by address */
    unsigned nr_memmap;
    const struct load_module *modules;
    unsigned nr_modules;
    uint64_t rsdp; /* ACPI's root pointer, 0: none; only PVH passes it on */
};

/*
 * Multiboot 0.6.96, 3.3: the information structure at gpa and all it points to behind it, in at
 * most room bytes; ret_size is how many it took. All of it lies below 4 GiB, or -EINVAL; -E2BIG
 * when room is short.
 */
int multiboot_info_write(const struct load_ram *ram, uint64_t gpa, uint64_t room,
                         const struct boot_info *info, uint64_t *ret_size, struct load_error *err);

/* Xen's public/arch-x86/hvm/start_info.h, version 1, in the same way. */
int pvh_start_info_write(const struct load_ram *ram, uint64_t gpa, uint64_t room,
                         const struct boot_info *info, uint64_t *ret_size, struct load_error *err);

/*
 * Room taken piece by piece out of guest RAM, each piece zeroed. Once something did not fit
 * everything after it is refused too, so that it is enough to ask in the end.
 */
struct boot_room {
    const struct load_ram *ram;
    uint64_t next, end; /* guest addresses; what is left */
    bool is_short;
};

/* Fails when the room is not RAM, or not below 4 GiB, where 32-bit pointers reach. */
int boot_room_init(struct boot_room *room, const char *what, const struct load_ram *ram,
                   uint64_t gpa, uint64_t size, struct load_error *err);

/* NULL when it does not fit. */
uint8_t *boot_room_take(struct boot_room *room, uint64_t size, uint64_t align, uint64_t *ret_gpa);

/* A copy of text; its address, or 0 for none and for what does not fit. */
uint64_t boot_room_put_text(struct boot_room *room, const char *text);

/* 0, or the reason that something did not fit. */
int boot_room_check(const struct boot_room *room, const char *what, struct load_error *err);

#endif
