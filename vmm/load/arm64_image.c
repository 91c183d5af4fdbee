/* Linux's Image on arm64: its header checked, its bytes put where they run. */
#include "load/arm64_image.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "load/bytes.h"

/* Offsets in the header (booting.rst, 4). */
enum {
    TEXT_OFFSET = 8,
    IMAGE_SIZE = 16, /* 0 before Linux 3.17, which also leaves the endianness of text_offset open */
    FLAGS = 24,
    MAGIC = 56,
};

enum {
    FLAG_BIG_ENDIAN = 1 << 0, /* page size and placement are no matter: RAM's start suits all */
    BASE_ALIGN = 2 << 20,
    OLD_TEXT_OFFSET = 0x80000,
    CMDLINE_MAX = 2047, /* COMMAND_LINE_SIZE, without the final zero */
};

/* Offsets in the EFI header, where there is one (Microsoft, PE Format: MS-DOS stub, COFF file
 * header, section table). */
enum {
    PE_OFFSET = 60,
    PE_NR_SECTIONS = 6,
    PE_OPTIONAL_SIZE = 20,
    PE_HEADERS = 24,
    SECTION_SIZE = 40,
    SECTION_FILE_SIZE = 16,
    SECTION_FILE_OFFSET = 20,
};

/* Kernel and initrd lie in one such window, which begins at a multiple of a GiB. */
#define INITRD_WINDOW (32ull << 30)
#define WINDOW_ALIGN  (1ull << 30)

bool arm64_image_has_magic(const uint8_t *data, size_t size)
{
    return size >= ARM64_HEADER_SIZE && memcmp(data + MAGIC, "ARM\x64", 4) == 0;
}

/* Where the last of the sections ends in the file; 0 where nothing says so. */
static uint64_t size_of_sections(const uint8_t *data, size_t size)
{
    uint64_t pe = load_le32(data + PE_OFFSET);
    uint64_t end = 0;
    uint64_t section;
    unsigned nr;

    if (memcmp(data, "MZ", 2) != 0 || pe > size || size - pe < PE_HEADERS ||
        memcmp(data + pe, "PE\0\0", 4) != 0) {
        return 0;
    }
    nr = load_le16(data + pe + PE_NR_SECTIONS);
    section = pe + PE_HEADERS + load_le16(data + pe + PE_OPTIONAL_SIZE);
    for (; nr > 0 && section + SECTION_SIZE <= size; nr--, section += SECTION_SIZE) {
        uint64_t section_end = (uint64_t)load_le32(data + section + SECTION_FILE_OFFSET) +
                               load_le32(data + section + SECTION_FILE_SIZE);

        end = section_end > end ? section_end : end;
    }
    return end;
}

int arm64_image_load(const struct payload *payload, const struct load_ram *ram,
                     struct image *ret_image, struct load_error *err)
{
    uint8_t header[ARM64_HEADER_SIZE];
    uint64_t text_offset, image_size, start, room, promised;
    size_t got;
    int r;

    r = payload_read(payload, header, sizeof(header), false, &got, err);
    if (r < 0) {
        return r;
    }
    image_size = load_le64(header + IMAGE_SIZE);
    text_offset = image_size == 0 ? OLD_TEXT_OFFSET : load_le64(header + TEXT_OFFSET);
    if ((load_le64(header + FLAGS) & FLAG_BIG_ENDIAN) != 0) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is a big-endian arm64 kernel; give a little-endian one");
    }
    start = ((ram->base + BASE_ALIGN - 1) & ~(uint64_t)(BASE_ALIGN - 1)) + text_offset;
    if (text_offset >= ram->size || !load_ram_has(ram, start, image_size)) {
        return kernel_fail(err, -EFBIG, payload->name,
                           "its 0x%" PRIx64 " bytes at 0x%" PRIx64 " from the start of RAM lie "
                           "outside RAM [0x%" PRIx64 "..0x%" PRIx64 "); give more RAM",
                           image_size, text_offset, ram->base, ram->base + ram->size);
    }
    room = image_size == 0 ? ram->size - (start - ram->base) : image_size;
    r = payload_read(payload, load_ram_at(ram, start), room, ram->is_zero, &got, err);
    if (r < 0) {
        return r;
    }
    if (image_size == 0 && got == room) {
        return kernel_fail(err, -EFBIG, payload->name,
                           "it leaves no room up to the end of RAM at 0x%" PRIx64 "; give more RAM",
                           ram->base + ram->size);
    }
    promised = got < sizeof(header) ? 0 : size_of_sections(load_ram_at(ram, start), got);
    if (got < promised) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "the kernel ends at byte %zu, its EFI header promises %" PRIu64
                           "; is the download complete?",
                           got, promised);
    }
    *ret_image = (struct image){
        .format = IMAGE_ARM64,
        .mode = ENTRY_ARM64,
        .entry = start,
        .low = start,
        .high = start + (image_size == 0 ? got : image_size),
        .linux_boot =
            {
                .initrd_max = (start & ~(WINDOW_ALIGN - 1)) + INITRD_WINDOW - 1,
                .cmdline_max = CMDLINE_MAX,
            },
    };
    return 0;
}
