/* Multiboot 1 kernels: the header found and obeyed, the file loaded by its addresses or as ELF. */
#include "load/multiboot.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "load/bytes.h"
#include "load/elf.h"

enum { HEADER_MAGIC = 0x1badb002 };

/* Offsets in the header (3.1.1). */
enum {
    HEADER_FLAGS = 4,
    HEADER_CHECKSUM = 8,
    HEADER_SIZE = 12,
    HEADER_ADDRESSES = 12,
    HEADER_ADDRESSES_SIZE = 20,
};

/* Flags (3.1.2): the boot loader must understand the lower 16. */
enum {
    FLAG_PAGE_ALIGN = 1 << 0,
    FLAG_MEMORY_MAP = 1 << 1,
    FLAG_VIDEO = 1 << 2,
    FLAG_ADDRESSES = 1 << 16,
    FLAGS_REQUIRED = 0xffff,
};

/* The address fields (3.1.3). */
struct addresses {
    uint32_t header, load, load_end, bss_end, entry;
};

/* NULL: there is none. */
static const uint8_t *find_header(const uint8_t *data, size_t size)
{
    size_t end = size < MULTIBOOT_SEARCH ? size : MULTIBOOT_SEARCH;

    for (size_t i = 0; i + HEADER_SIZE <= end; i += 4) {
        const uint8_t *at = data + i;

        if (load_le32(at) == HEADER_MAGIC &&
            (uint32_t)(HEADER_MAGIC + load_le32(at + HEADER_FLAGS) +
                       load_le32(at + HEADER_CHECKSUM)) == 0) {
            return at;
        }
    }
    return NULL;
}

bool multiboot_has_header(const uint8_t *data, size_t size)
{
    return find_header(data, size) != NULL;
}

static int check_flags(const char *name, uint32_t flags, struct load_error *err)
{
    uint32_t unknown = flags & FLAGS_REQUIRED & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY_MAP | FLAG_VIDEO);

    if (unknown != 0) {
        return kernel_fail(
            err, -ENOEXEC, name,
            "its multiboot header requires features 0x%x, which multiboot 0.6.96 does "
            "not know; clear these flags",
            unknown);
    }
    if ((flags & FLAG_VIDEO) != 0) {
        return kernel_fail(err, -ENOEXEC, name,
                           "its multiboot header requires a video mode, there is no display; "
                           "clear flag 2");
    }
    return 0;
}

static struct addresses read_addresses(const uint8_t *header)
{
    const uint8_t *at = header + HEADER_ADDRESSES;

    return (struct addresses){load_le32(at), load_le32(at + 4), load_le32(at + 8),
                              load_le32(at + 12), load_le32(at + 16)};
}

/*
 * Where in the file the loaded part starts, and how long it is; 0 in load_end: to the end of the
 * file.
 */
static int place_by_addresses(const struct payload *payload, uint64_t header_offset,
                              const struct addresses *a, struct piece *piece,
                              struct load_error *err)
{
    uint64_t before = a->header - (uint64_t)a->load;

    if (a->load > a->header || before > header_offset ||
        (a->load_end != 0 && a->load_end <= a->load)) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its multiboot header at 0x%" PRIx32 " does not lie in [0x%" PRIx32
                           "..0x%" PRIx32 "), which it says to load",
                           a->header, a->load, a->load_end);
    }
    piece->offset = header_offset - before;
    piece->size =
        a->load_end != 0 ? a->load_end - (uint64_t)a->load : payload->size - piece->offset;
    if (a->entry < a->load || a->entry - a->load >= piece->size) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its multiboot entry 0x%" PRIx32
                           " lies outside what is loaded at 0x%" PRIx32
                           "; link it with the right entry",
                           a->entry, a->load);
    }
    return 0;
}

static int load_by_addresses(const struct payload *payload, const uint8_t *header,
                             const struct load_ram *ram, struct image *image,
                             struct load_error *err)
{
    uint64_t header_offset = (uint64_t)(header - payload->data);
    struct piece piece = {.is_zero = ram->is_zero};
    struct addresses a;
    uint64_t size;
    int r;

    if (payload->size - header_offset < HEADER_ADDRESSES + HEADER_ADDRESSES_SIZE) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "the file ends at byte %zu, in the middle of its multiboot header; "
                           "is the download complete?",
                           payload->size);
    }
    a = read_addresses(header);
    r = place_by_addresses(payload, header_offset, &a, &piece, err);
    if (r < 0) {
        return r;
    }
    size = a.bss_end > a.load + piece.size ? a.bss_end - (uint64_t)a.load : piece.size;
    if (!load_ram_has(ram, a.load, size)) {
        return kernel_fail(err, -EFBIG, payload->name,
                           "its 0x%" PRIx64 " bytes at 0x%" PRIx32 " lie outside RAM [0x%" PRIx64
                           "..0x%" PRIx64 "); give more RAM",
                           size, a.load, ram->base, ram->base + ram->size);
    }
    piece.host = load_ram_at(ram, a.load);
    r = payload_fill(payload, &piece, 1, err);
    if (r < 0) {
        return r;
    }
    if (!ram->is_zero) {
        memset(piece.host + piece.size, 0, size - piece.size);
    }
    image->entry = a.entry;
    image->low = a.load;
    image->high = a.load + size;
    return 0;
}

static int load_as_elf(const struct payload *payload, const struct load_ram *ram,
                       struct image *image, struct load_error *err)
{
    struct elf elf;
    int r;

    if (!elf_has_magic(payload->data, payload->size)) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its multiboot header has no addresses and it is not an ELF file; "
                           "set flag 16 and give them");
    }
    r = elf_parse(payload, &elf, err);
    if (r < 0) {
        return r;
    }
    if (elf.machine != EM_386 && elf.machine != EM_X86_64) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is a multiboot ELF file for machine %u; give one for x86",
                           elf.machine);
    }
    r = elf_load(payload, &elf, ram, &image->low, &image->high, err);
    if (r < 0) {
        return r;
    }
    return elf_entry(payload, &elf, &image->entry, err);
}

int multiboot_load(const struct payload *payload, const struct load_ram *ram,
                   struct image *ret_image, struct load_error *err)
{
    const uint8_t *header = find_header(payload->data, payload->size);
    uint32_t flags = load_le32(header + HEADER_FLAGS);
    int r;

    memset(ret_image, 0, sizeof(*ret_image));
    ret_image->format = IMAGE_MULTIBOOT;
    ret_image->mode = ENTRY_MULTIBOOT32;
    ret_image->multiboot.flags = flags;
    ret_image->multiboot.wants_page_alignment = (flags & FLAG_PAGE_ALIGN) != 0;
    ret_image->multiboot.wants_memory_map = (flags & FLAG_MEMORY_MAP) != 0;
    r = check_flags(payload->name, flags, err);
    if (r < 0) {
        return r;
    }
    return (flags & FLAG_ADDRESSES) != 0 ? load_by_addresses(payload, header, ram, ret_image, err)
                                         : load_as_elf(payload, ram, ret_image, err);
}
