/* ELF executables: their segments into guest RAM, their entry, their PVH note. */
#ifndef LOAD_ELF_H
#define LOAD_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "load/payload.h"
#include "load/ram.h"

enum {
    ELF_SEGMENTS_MAX = 64,
    ELF_HEAD_SIZE = 8192, /* of a compressed file: its headers lie in here */
};

struct elf_segment {
    uint64_t offset, file_size; /* in the file */
    uint64_t vaddr, paddr, size;
    bool is_executable;
};

struct elf {
    bool is_64;
    uint16_t machine; /* EM_X86_64 and so on */
    uint64_t entry;   /* as the file has it */
    unsigned nr_segments;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* PT_LOAD, none empty, sorted by offset */
    unsigned nr_notes;
    struct elf_segment notes[ELF_SEGMENTS_MAX]; /* PT_NOTE */
};

bool elf_has_magic(const uint8_t *data, size_t size);

/* Reads and checks the headers; nothing is loaded yet. */
int elf_parse(const struct payload *payload, struct elf *ret_elf, struct load_error *err);

/* Loads every segment at its physical address; [ret_low, ret_high) is what they cover. */
int elf_load(const struct payload *payload, const struct elf *elf, const struct load_ram *ram,
             uint64_t *ret_low, uint64_t *ret_high, struct load_error *err);

/* The entry as a physical address. */
int elf_entry(const struct payload *payload, const struct elf *elf, uint64_t *ret_entry,
              struct load_error *err);

/* The entry that a Xen PVH note names, after elf_load; false when there is no such note. */
bool elf_pvh_entry(const struct payload *payload, const struct elf *elf, const struct load_ram *ram,
                   uint64_t *ret_entry);

/* Made to run at a high virtual address: an operating system's kernel. */
bool elf_is_high(const struct elf *elf);

#endif
