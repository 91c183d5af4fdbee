/* Flat binaries: told from files that somebody gave by mistake, and loaded. */
#include "load/flat.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct known_file {
    size_t offset;
    const char *magic;
    uint8_t magic_size;
    const char *what;
};

static const struct known_file known_files[] = {
    {0, "#!", 2, "a script"},
    {0, "MZ", 2, "a Windows or EFI program"},
    {0, "\x89PNG\r\n", 6, "a picture (PNG)"},
    {0, "\xff\xd8\xff", 3, "a picture (JPEG)"},
    {0, "GIF8", 4, "a picture (GIF)"},
    {0, "%PDF-", 5, "a PDF document"},
    {0, "!<arch>\n", 8, "an archive of object files (.a)"},
    {0, "070701", 6, "a cpio archive (an initrd?)"},
    {0, "070702", 6, "a cpio archive (an initrd?)"},
    {0, "\xc7\x71", 2, "a cpio archive (an initrd?)"},
    {257, "ustar", 5, "a tar archive"},
    {0, "PK\x03\x04", 4, "a zip archive"},
    {0, "\xd0\x0d\xfe\xed", 4, "a device tree (.dtb)"},
    {0, "QFI\xfb", 4, "a qcow2 disk"},
    {0, "hsqs", 4, "a squashfs file system"},
    {1080, "\x53\xef", 2, "an ext file system"},
    {0x8001, "CD001", 5, "a CD image"},
    {0, "\x27\x05\x19\x56", 4, "a U-Boot image"},
};

static bool is_text(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool is_printable = data[i] >= 0x20 && data[i] < 0x7f;

        if (!is_printable && data[i] != '\n' && data[i] != '\r' && data[i] != '\t') {
            return false;
        }
    }
    return true;
}

static bool is_all_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

const char *flat_known_otherwise(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof(known_files) / sizeof(known_files[0]); i++) {
        const struct known_file *known = &known_files[i];

        if (size >= known->offset + known->magic_size &&
            memcmp(data + known->offset, known->magic, known->magic_size) == 0) {
            return known->what;
        }
    }
    if (is_all_zero(data, size)) {
        return "nothing but zeros";
    }
    return is_text(data, size) ? "a text file" : NULL;
}

int flat_load(const struct payload *payload, enum image_machine machine, const struct load_ram *ram,
              struct image *ret_image, struct load_error *err)
{
    uint64_t start = machine == IMAGE_FOR_X86 ? FLAT_X86_START : ram->base;
    uint64_t end = machine == IMAGE_FOR_X86 ? FLAT_X86_END : ram->base + ram->size;
    const char *what = flat_known_otherwise(payload->data, payload->size);
    size_t size;
    int r;

    if (what != NULL) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "it is %s; give a bzImage, an ELF file, an arm64 Image or flat code",
                           what);
    }
    if (payload->size > end - start || !load_ram_has(ram, start, payload->size)) {
        return kernel_fail(err, -EFBIG, payload->name,
                           "it is taken for flat code, whose %zu bytes at 0x%" PRIx64
                           " do not fit below 0x%" PRIx64 "; give an ELF file",
                           payload->size, start,
                           end < ram->base + ram->size ? end : ram->base + ram->size);
    }
    r = payload_read(payload, load_ram_at(ram, start), payload->size, ram->is_zero, &size, err);
    if (r < 0) {
        return r;
    }
    *ret_image = (struct image){
        .format = IMAGE_FLAT,
        .mode = machine == IMAGE_FOR_X86 ? ENTRY_REAL16 : ENTRY_ARM64,
        .entry = start,
        .low = start,
        .high = start + size,
    };
    return 0;
}
