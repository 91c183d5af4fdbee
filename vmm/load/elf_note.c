/* The PVH note of an ELF file, found among its other notes. */
#include "load/elf.h"

#include <elf.h>
#include <string.h>

#include "load/bytes.h"

/*
 * The file's bytes [offset, offset + size) where they are to be had; NULL when they were not
 * loaded.
 */
static const uint8_t *loaded_bytes(const struct payload *payload, const struct elf *elf,
                                   const struct load_ram *ram, uint64_t offset, uint64_t size)
{
    if (payload->codec == NULL) {
        bool is_there = offset <= payload->size && size <= payload->size - offset;

        return is_there ? payload->data + offset : NULL;
    }
    for (unsigned i = 0; i < elf->nr_segments; i++) {
        const struct elf_segment *segment = &elf->segments[i];
        uint64_t skip = offset - segment->offset;

        if (offset >= segment->offset && skip <= segment->file_size &&
            size <= segment->file_size - skip) {
            return load_ram_at(ram, segment->paddr) + skip;
        }
    }
    return NULL;
}

static uint64_t padded(uint32_t size)
{
    return ((uint64_t)size + 3) & ~(uint64_t)3;
}

/* Xen's public/elfnote.h: name "Xen", the descriptor is the 32-bit entry, 4 or 8 bytes long. */
static bool is_pvh_note(const uint8_t *name, uint32_t name_size, uint32_t desc_size, uint32_t type)
{
    enum { XEN_ELFNOTE_PHYS32_ENTRY = 18 };

    return type == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 && memcmp(name, "Xen", 4) == 0 &&
           (desc_size == 4 || desc_size == 8);
}

static bool find_pvh_note(const uint8_t *notes, uint64_t size, uint64_t *ret_entry)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        uint32_t name_size = load_le32(notes);
        uint32_t desc_size = load_le32(notes + 4);
        uint32_t type = load_le32(notes + 8);
        const uint8_t *name = notes + sizeof(Elf64_Nhdr);
        uint64_t note_size = sizeof(Elf64_Nhdr) + padded(name_size) + padded(desc_size);

        if (note_size > size) {
            return false;
        }
        if (is_pvh_note(name, name_size, desc_size, type)) {
            *ret_entry = load_le32(name + padded(name_size));
            return true;
        }
        notes += note_size;
        size -= note_size;
    }
    return false;
}

bool elf_pvh_entry(const struct payload *payload, const struct elf *elf, const struct load_ram *ram,
                   uint64_t *ret_entry)
{
    for (unsigned i = 0; i < elf->nr_notes; i++) {
        const struct elf_segment *note = &elf->notes[i];
        const uint8_t *bytes = loaded_bytes(payload, elf, ram, note->offset, note->file_size);

        if (bytes != NULL && find_pvh_note(bytes, note->file_size, ret_entry)) {
            return true;
        }
    }
    return false;
}
