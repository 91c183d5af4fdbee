/* Linux's bzImage: its setup header, its kernel unpacked, or its own decompressor loaded. */
#include "load/bzimage.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "load/bytes.h"
#include "load/elf.h"
#include "load/payload.h"

/* Offsets in the file, with the version of the protocol that brought them. */
enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4, /* 32 bits from 2.04 */
    BOOT_FLAG = 0x1fe,
    HEADER_LENGTH = 0x201, /* the second byte of a jump over the header */
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c,    /* 2.03 */
    RELOCATABLE_KERNEL = 0x234, /* 2.05 */
    XLOADFLAGS = 0x236,         /* 2.12 */
    CMDLINE_SIZE = 0x238,       /* 2.06 */
    PAYLOAD_OFFSET = 0x248,     /* 2.08, as is the length */
    PAYLOAD_LENGTH = 0x24c,
    PREF_ADDRESS = 0x258, /* 2.10, as is the size */
    INIT_SIZE = 0x260,
    HEADER_END_MIN = 0x212, /* of the oldest header that has loadflags */
};

enum {
    SECTOR = 512,
    PARAGRAPH = 16,
    DEFAULT_SETUP_SECTS = 4,
    LOADED_HIGH = 1 << 0,
    XLF_KERNEL_64 = 1 << 0,
    ENTRY_64_OFFSET = 0x200,
    DEFAULT_LOAD_ADDRESS = 0x100000,
    DEFAULT_INITRD_MAX = 0x37ffffff,
    DEFAULT_CMDLINE_MAX = 255,
};

/* What the setup header says, with the defaults of old versions filled in. */
struct setup {
    const uint8_t *code; /* the protected-mode part */
    size_t code_size;
    uint16_t version;
    bool has_64bit_entry;
    uint64_t load_address;
    uint64_t init_size;                    /* from load_address on, while it decompresses itself */
    uint32_t payload_offset, payload_size; /* in code; 0 when it does not say */
};

bool bzimage_has_magic(const uint8_t *data, size_t size)
{
    return size >= HEADER_MAGIC + 4 && load_le16(data + BOOT_FLAG) == 0xaa55 &&
           memcmp(data + HEADER_MAGIC, "HdrS", 4) == 0;
}

/* A field is there when the version has it and the header reaches so far. */
struct fields {
    const uint8_t *data;
    size_t end;
    uint16_t version;
};

static bool has_field(const struct fields *fields, uint16_t since, size_t offset, size_t size)
{
    return fields->version >= since && offset + size <= fields->end;
}

static uint64_t field(const struct fields *fields, uint16_t since, size_t offset, size_t size,
                      uint64_t otherwise)
{
    const uint8_t *at = fields->data + offset;

    if (!has_field(fields, since, offset, size)) {
        return otherwise;
    }
    switch (size) {
    case 1:
        return *at;
    case 2:
        return load_le16(at);
    case 4:
        return load_le32(at);
    default:
        return load_le64(at);
    }
}

/* The header's bounds: it ends where its jump leads to, and in the file. */
static int find_header(const uint8_t *data, size_t size, const char *name,
                       struct fields *ret_fields, struct load_error *err)
{
    size_t end = size > HEADER_LENGTH ? HEADER_MAGIC + (size_t)data[HEADER_LENGTH] : 0;

    if (size < end || size < HEADER_END_MIN) {
        return kernel_fail(err, -ENOEXEC, name,
                           "the file ends at byte %zu, in the middle of its setup header; "
                           "is the download complete?",
                           size);
    }
    if (end < HEADER_END_MIN) {
        return kernel_fail(err, -ENOEXEC, name,
                           "its setup header ends at 0x%zx, before its load flags; "
                           "is the file damaged?",
                           end);
    }
    *ret_fields = (struct fields){.data = data, .end = end, .version = load_le16(data + VERSION)};
    if (ret_fields->version < 0x200 || (data[LOADFLAGS] & LOADED_HIGH) == 0) {
        return kernel_fail(err, -ENOEXEC, name,
                           "it is a zImage of boot protocol %u.%02u, which loads low; "
                           "give a bzImage",
                           ret_fields->version >> 8, ret_fields->version & 0xffu);
    }
    return 0;
}

static int find_code(const struct fields *fields, size_t size, const char *name,
                     struct setup *setup, struct load_error *err)
{
    uint8_t sectors = fields->data[SETUP_SECTS];
    uint64_t start = (uint64_t)((sectors == 0 ? DEFAULT_SETUP_SECTS : sectors) + 1) * SECTOR;
    uint64_t paragraphs = fields->version >= 0x204 ? load_le32(fields->data + SYSSIZE)
                                                   : load_le16(fields->data + SYSSIZE);
    uint64_t end = start + paragraphs * PARAGRAPH;

    if (paragraphs == 0) {
        return kernel_fail(err, -ENOEXEC, name,
                           "its setup header says that there is no kernel behind it; "
                           "is the file damaged?");
    }
    if (size < end) {
        return kernel_fail(err, -ENOEXEC, name,
                           "the file ends at byte %zu, its setup header promises %" PRIu64
                           "; is the download complete?",
                           size, end);
    }
    setup->code = fields->data + start;
    setup->code_size = end - start;
    return 0;
}

static int read_setup(const uint8_t *data, size_t size, const char *name, struct setup *setup,
                      struct image_linux *linux_boot, struct load_error *err)
{
    struct fields fields = {0};
    bool is_relocatable;
    int r;

    r = find_header(data, size, name, &fields, err);
    if (r == 0) {
        r = find_code(&fields, size, name, setup, err);
    }
    if (r < 0) {
        return r;
    }
    setup->version = fields.version;
    setup->has_64bit_entry = (field(&fields, 0x20c, XLOADFLAGS, 2, 0) & XLF_KERNEL_64) != 0;
    setup->payload_offset = field(&fields, 0x208, PAYLOAD_OFFSET, 4, 0);
    setup->payload_size = field(&fields, 0x208, PAYLOAD_LENGTH, 4, 0);
    is_relocatable = field(&fields, 0x205, RELOCATABLE_KERNEL, 1, 0) != 0;
    setup->load_address = is_relocatable
                              ? field(&fields, 0x20a, PREF_ADDRESS, 8, DEFAULT_LOAD_ADDRESS)
                              : DEFAULT_LOAD_ADDRESS;
    setup->init_size = field(&fields, 0x20a, INIT_SIZE, 4, setup->code_size);

    linux_boot->version = fields.version;
    linux_boot->initrd_max = field(&fields, 0x203, INITRD_ADDR_MAX, 4, DEFAULT_INITRD_MAX);
    linux_boot->cmdline_max = field(&fields, 0x206, CMDLINE_SIZE, 4, DEFAULT_CMDLINE_MAX);
    linux_boot->setup_header_size = fields.end - SETUP_HEADER_START;
    if (linux_boot->setup_header_size > SETUP_HEADER_MAX) {
        linux_boot->setup_header_size = SETUP_HEADER_MAX;
    }
    memcpy(linux_boot->setup_header, data + SETUP_HEADER_START, linux_boot->setup_header_size);
    return 0;
}

/*
 * False: the guest has to unpack it. For most formats the build appends the unpacked size, 4
 * bytes.
 */
static bool find_payload(const struct setup *setup, const char *name, struct payload *ret_payload)
{
    const uint8_t *data = setup->code + setup->payload_offset;
    const struct codec *codec;
    size_t size = setup->payload_size;

    if (setup->payload_offset > setup->code_size ||
        size > setup->code_size - setup->payload_offset) {
        return false;
    }
    codec = codec_find(data, size);
    if (codec == NULL || codec->decode == NULL) {
        return false;
    }
    if (codec->decode != gzip_decode && size > 4) {
        size -= 4;
    }
    *ret_payload = (struct payload){.data = data, .size = size, .codec = codec, .name = name};
    return true;
}

static int check_machine(const struct elf *elf, const char *name, struct load_error *err)
{
    if (elf->machine != (elf->is_64 ? EM_X86_64 : EM_386)) {
        return kernel_fail(err, -ENOEXEC, name,
                           "the kernel packed in it is for ELF machine %u; is the file damaged?",
                           elf->machine);
    }
    return 0;
}

static int load_unpacked(const struct payload *payload, const struct load_ram *ram,
                         struct image *image, struct load_error *err)
{
    struct elf elf;
    int r;

    r = elf_parse(payload, &elf, err);
    if (r == 0) {
        r = check_machine(&elf, payload->name, err);
    }
    if (r == 0) {
        r = elf_entry(payload, &elf, &image->entry, err);
    }
    if (r == 0) {
        r = elf_load(payload, &elf, ram, &image->low, &image->high, err);
    }
    if (r < 0) {
        return r;
    }
    image->mode = elf.is_64 ? ENTRY_LONG64 : ENTRY_LINUX32;
    image->has_pvh = elf_pvh_entry(payload, &elf, ram, &image->pvh_entry);
    image->linux_boot.compression = payload->codec->name;
    return 0;
}

static int load_packed(const struct setup *setup, const char *name, const struct load_ram *ram,
                       struct image *image, struct load_error *err)
{
    uint64_t size = setup->init_size > setup->code_size ? setup->init_size : setup->code_size;

    if (!load_ram_has(ram, setup->load_address, size)) {
        return kernel_fail(err, -EFBIG, name,
                           "it decompresses itself in 0x%" PRIx64 " bytes at 0x%" PRIx64
                           ", outside RAM [0x%" PRIx64 "..0x%" PRIx64 "); give more RAM",
                           size, setup->load_address, ram->base, ram->base + ram->size);
    }
    memcpy(load_ram_at(ram, setup->load_address), setup->code, setup->code_size);
    image->low = setup->load_address;
    image->high = setup->load_address + size;
    image->mode = setup->has_64bit_entry ? ENTRY_LONG64 : ENTRY_LINUX32;
    image->entry = setup->load_address + (setup->has_64bit_entry ? ENTRY_64_OFFSET : 0);
    image->linux_boot.decompresses_itself = true;
    return 0;
}

int bzimage_load(const uint8_t *data, size_t size, const char *name, const struct load_ram *ram,
                 struct image *ret_image, struct load_error *err)
{
    struct setup setup = {0};
    struct payload payload;
    uint8_t magic[SELFMAG];
    size_t got;
    int r;

    memset(ret_image, 0, sizeof(*ret_image));
    ret_image->format = IMAGE_BZIMAGE;
    r = read_setup(data, size, name, &setup, &ret_image->linux_boot, err);
    if (r < 0) {
        return r;
    }
    if (!find_payload(&setup, name, &payload)) {
        return load_packed(&setup, name, ram, ret_image, err);
    }
    r = payload_read(&payload, magic, sizeof(magic), false, &got, err);
    if (r < 0) {
        return r;
    }
    if (!elf_has_magic(magic, got)) {
        return load_packed(&setup, name, ram, ret_image, err);
    }
    return load_unpacked(&payload, ram, ret_image, err);
}
