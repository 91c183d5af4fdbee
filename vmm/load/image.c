/* Says by content what a file is, and hands it to the loader of that format. */
#include "load/image.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "load/arm64_image.h"
#include "load/bytes.h"
#include "load/bzimage.h"
#include "load/elf.h"
#include "load/flat.h"
#include "load/multiboot.h"
#include "load/payload.h"

/* What every loader is given. */
struct request {
    enum image_machine machine;
    const struct load_ram *ram;
    struct image *image;
    struct load_error *err;
};

/* What of a zboot header is read. */
enum { ZBOOT_HEADER = 16 };

/* Of a vmlinux, which has no setup header: what x86 Linux has had for long. */
enum {
    VMLINUX_INITRD_MAX = 0x7fffffff,
    VMLINUX_CMDLINE_MAX = 2047,
};

static const char *machine_name(enum image_machine machine)
{
    return machine == IMAGE_FOR_X86 ? "x86_64" : "arm64";
}

static int wrong_machine(const struct request *request, const char *name, const char *what)
{
    return kernel_fail(request->err, -ENOEXEC, name, "it is %s, the machine is %s; give one for %s",
                       what, machine_name(request->machine), machine_name(request->machine));
}

static bool elf_fits_machine(const struct elf *elf, enum image_machine machine)
{
    if (machine == IMAGE_FOR_ARM64) {
        return elf->is_64 && elf->machine == EM_AARCH64;
    }
    return elf->machine == (elf->is_64 ? EM_X86_64 : EM_386);
}

static const char *elf_machine_name(const struct elf *elf)
{
    switch (elf->machine) {
    case EM_X86_64:
        return elf->is_64 ? "an ELF file for x86_64" : "an x32 ELF file for x86_64";
    case EM_386:
        return "an ELF file for i386";
    case EM_AARCH64:
        return "an ELF file for arm64";
    case EM_ARM:
        return "an ELF file for arm";
    case EM_RISCV:
        return "an ELF file for riscv";
    default:
        return "an ELF file for another machine";
    }
}

/* A PVH note or a high address makes it a kernel for the Linux boot protocols. */
static void set_elf_mode(const struct request *request, const struct elf *elf)
{
    struct image *image = request->image;
    bool is_high = request->machine == IMAGE_FOR_X86 && elf->is_64 && elf_is_high(elf);

    image->format = IMAGE_ELF_BARE;
    if (request->machine == IMAGE_FOR_ARM64) {
        image->mode = ENTRY_ARM64;
    } else {
        image->mode = elf->is_64 ? ENTRY_LONG64 : ENTRY_PROTECTED32;
    }
    if (image->has_pvh || is_high) {
        image->format = IMAGE_ELF_LINUX;
        image->linux_boot.initrd_max = VMLINUX_INITRD_MAX;
        image->linux_boot.cmdline_max = VMLINUX_CMDLINE_MAX;
    }
    if (image->has_pvh) {
        image->mode = ENTRY_PVH32;
        image->entry = image->pvh_entry;
    }
}

static int load_elf(const struct request *request, const struct payload *payload)
{
    struct image *image = request->image;
    struct elf elf;
    int r;

    r = elf_parse(payload, &elf, request->err);
    if (r < 0) {
        return r;
    }
    if (!elf_fits_machine(&elf, request->machine)) {
        return wrong_machine(request, payload->name, elf_machine_name(&elf));
    }
    memset(image, 0, sizeof(*image));
    r = elf_load(payload, &elf, request->ram, &image->low, &image->high, request->err);
    if (r < 0) {
        return r;
    }
    image->has_pvh = request->machine == IMAGE_FOR_X86 &&
                     elf_pvh_entry(payload, &elf, request->ram, &image->pvh_entry);
    if (!image->has_pvh) {
        r = elf_entry(payload, &elf, &image->entry, request->err);
    } else if (image->pvh_entry < image->low || image->pvh_entry >= image->high) {
        r = kernel_fail(request->err, -ENOEXEC, payload->name,
                        "its PVH note names the entry 0x%" PRIx64 ", outside the kernel; "
                        "is the file damaged?",
                        image->pvh_entry);
    }
    set_elf_mode(request, &elf);
    return r;
}

static int load_arm64(const struct request *request, const struct payload *payload)
{
    if (request->machine != IMAGE_FOR_ARM64) {
        return wrong_machine(request, payload->name, "a Linux kernel for arm64");
    }
    return arm64_image_load(payload, request->ram, request->image, request->err);
}

static int load_bzimage(const struct request *request, const struct payload *payload)
{
    if (request->machine != IMAGE_FOR_X86) {
        return wrong_machine(request, payload->name, "a Linux kernel for x86");
    }
    return bzimage_load(payload->data, payload->size, payload->name, request->ram, request->image,
                        request->err);
}

/* Bytes as they are, not compressed. */
static int load_stored(const struct request *request, const struct payload *payload)
{
    if (bzimage_has_magic(payload->data, payload->size)) {
        return load_bzimage(request, payload);
    }
    if (arm64_image_has_magic(payload->data, payload->size)) {
        return load_arm64(request, payload);
    }
    if (request->machine == IMAGE_FOR_X86 && multiboot_has_header(payload->data, payload->size)) {
        return multiboot_load(payload, request->ram, request->image, request->err);
    }
    if (elf_has_magic(payload->data, payload->size)) {
        return load_elf(request, payload);
    }
    return flat_load(payload, request->machine, request->ram, request->image, request->err);
}

static int load_unpacked(const struct request *request, const struct payload *payload)
{
    struct payload plain;
    int r;

    r = payload_unpack(payload, request->ram->size, &plain, request->err);
    if (r < 0) {
        return r;
    }
    if (plain.size == 0) {
        r = kernel_fail(request->err, -ENODATA, payload->name,
                        "its %s data decompresses to nothing", payload->codec->name);
    } else if (codec_find(plain.data, plain.size) != NULL) {
        r = kernel_fail(request->err, -ENOEXEC, payload->name,
                        "it is compressed twice; decompress it first");
    } else {
        r = load_stored(request, &plain);
    }
    payload_free(&plain, request->ram->size);
    return r;
}

/*
 * An ELF file or an Image goes straight from its compressed data into RAM; whatever else is
 * unpacked first and looked at again, once.
 */
static int load_compressed(const struct request *request, const struct payload *payload)
{
    uint8_t head[MULTIBOOT_SEARCH];
    size_t size;
    int r;

    if (payload->codec->decode == NULL) {
        return kernel_fail(request->err, -ENOEXEC, payload->name,
                           "it is compressed with %s, which is not supported; decompress it first",
                           payload->codec->name);
    }
    r = payload_read(payload, head, sizeof(head), false, &size, request->err);
    if (r < 0) {
        return r;
    }
    if (arm64_image_has_magic(head, size)) {
        return load_arm64(request, payload);
    }
    if (elf_has_magic(head, size) && !multiboot_has_header(head, size)) {
        return load_elf(request, payload);
    }
    return load_unpacked(request, payload);
}

/*
 * Linux's EFI zboot, which hides a compressed Image in an EFI program: "zimg" at 4, where the data
 * is at 8, its length at 12 (drivers/firmware/efi/libstub/zboot-header.S).
 */
static int enter_zboot(struct payload *payload, struct load_error *err)
{
    uint32_t offset, size;

    if (payload->size < ZBOOT_HEADER || memcmp(payload->data, "MZ", 2) != 0 ||
        memcmp(payload->data + 4, "zimg", 4) != 0) {
        return 0;
    }
    offset = load_le32(payload->data + 8);
    size = load_le32(payload->data + 12);
    if (size == 0 || offset > payload->size || size > payload->size - offset) {
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its EFI header promises a kernel of %" PRIu32 " bytes at 0x%" PRIx32
                           ", the file has %zu; is the download complete?",
                           size, offset, payload->size);
    }
    payload->data += offset;
    payload->size = size;
    return 0;
}

int image_load(const struct image_file *file, enum image_machine machine,
               const struct load_ram *ram, struct image *ret_image, struct load_error *err)
{
    struct payload payload = {.data = file->data, .size = file->size, .name = file->name};
    struct request request = {machine, ram, ret_image, err};

    int r = 0;

    if (!bzimage_has_magic(file->data, file->size)) {
        r = enter_zboot(&payload, err);
    }
    if (r < 0) {
        return r;
    }
    payload.codec = codec_find(payload.data, payload.size);
    if (payload.codec != NULL) {
        return load_compressed(&request, &payload);
    }
    return load_stored(&request, &payload);
}
