/* Linux's arm64 Image: plain, compressed, in an EFI zboot file, or refused. */
#include "load_fixture.h"

#include <stdio.h>

enum {
    RAM_BASE = 0x40000000,
    RAM_SIZE = 8 << 20,
    FILE_SIZE = 0x5000,
    IMAGE_SIZE = 0x9000,
    TEXT_OFFSET = 0x10000,
};

static struct blob image_make(void)
{
    struct blob blob = blob_make(FILE_SIZE);

    fill_mixed(blob.data + 64, FILE_SIZE - 64, 2);
    store_le32(blob.data, 0x91005a4d);
    store_le64(blob.data + 8, TEXT_OFFSET);
    store_le64(blob.data + 16, IMAGE_SIZE);
    store_le64(blob.data + 24, 0xa);
    memcpy(blob.data + 56, "ARM\x64", 4);
    return blob;
}

static void check_image(struct blob blob, struct blob plain)
{
    struct load_ram ram = ram_make(RAM_BASE, RAM_SIZE, true);
    struct image image;

    assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
    assert_int_equal(image.format, IMAGE_ARM64);
    assert_int_equal(image.mode, ENTRY_ARM64);
    assert_int_equal(image.entry, RAM_BASE + TEXT_OFFSET);
    assert_int_equal(image.low, RAM_BASE + TEXT_OFFSET);
    assert_int_equal(image.high, RAM_BASE + TEXT_OFFSET + IMAGE_SIZE);
    assert_memory_equal(ram.host + TEXT_OFFSET, plain.data, FILE_SIZE);
    assert_int_equal(ram.host[TEXT_OFFSET + FILE_SIZE], 0);
    ram_free(&ram);
}

static void test_image_is_loaded_at_its_text_offset(void **state)
{
    struct blob blob = image_make();

    (void)state;
    check_image(blob, blob);
    blob_free(&blob);
}

static void test_compressed_image_is_loaded_like_a_plain_one(void **state)
{
    static struct blob (*const packs[])(struct blob) = {gzip_pack, xz_pack, zstd_pack, lz4_pack,
                                                        lz4_frame_pack};
    struct blob blob = image_make();

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct blob packed = packs[i](blob);

        check_image(packed, blob);
        blob_free(&packed);
    }
    blob_free(&blob);
}

static void test_image_in_a_zboot_file_is_found(void **state)
{
    struct blob blob = image_make();
    struct blob packed = gzip_pack(blob);
    struct blob zboot = blob_make(0x400 + packed.size + 100);
    struct load_ram ram = ram_make(RAM_BASE, RAM_SIZE, true);
    char line[256];

    (void)state;
    memcpy(zboot.data, "MZ\0\0zimg", 8);
    store_le32(zboot.data + 8, 0x400);
    store_le32(zboot.data + 12, (uint32_t)packed.size);
    memcpy(zboot.data + 0x400, packed.data, packed.size);
    check_image(zboot, blob);
    store_le32(zboot.data + 8, 0xfffffff0);
    (void)snprintf(line, sizeof(line),
                   "cannot load kernel 'k': its EFI header promises a kernel of %zu bytes at "
                   "0xfffffff0, the file has %zu; is the download complete?",
                   packed.size, zboot.size);
    assert_refused(zboot, IMAGE_FOR_ARM64, &ram, -ENOEXEC, line);
    store_le32(zboot.data + 8, 0x400);
    store_le32(zboot.data + 12, 0);
    (void)snprintf(line, sizeof(line),
                   "cannot load kernel 'k': its EFI header promises a kernel of 0 bytes at 0x400, "
                   "the file has %zu; is the download complete?",
                   zboot.size);
    assert_refused(zboot, IMAGE_FOR_ARM64, &ram, -ENOEXEC, line);
    store_le32(zboot.data + 12, (uint32_t)packed.size);
    memcpy(zboot.data + 0x400, "BZh9", 4);
    assert_refused(zboot, IMAGE_FOR_ARM64, &ram, -ENOEXEC,
                   "cannot load kernel 'k': it is compressed with bzip2, which is not supported; "
                   "decompress it first");
    blob_free(&blob);
    blob_free(&packed);
    blob_free(&zboot);
    ram_free(&ram);
}

static void test_old_image_without_size_goes_to_the_old_offset(void **state)
{
    struct load_ram ram = ram_make(RAM_BASE + 0x1000, RAM_SIZE, true);
    struct blob blob = image_make();
    struct image image;

    (void)state;
    store_le64(blob.data + 16, 0);
    assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
    assert_int_equal(image.entry, RAM_BASE + (2 << 20) + 0x80000);
    assert_int_equal(image.high, image.entry + FILE_SIZE);
    assert_memory_equal(load_ram_at(&ram, image.entry), blob.data, FILE_SIZE);
    blob_free(&blob);
    ram_free(&ram);
}

/* Its bss follows, and nobody knows how far. */
static void test_old_image_that_fills_ram_is_refused(void **state)
{
    enum { ROOM = 0x80000 + FILE_SIZE };
    struct load_ram ram = ram_make(RAM_BASE, ROOM + 0x1000, true);
    struct blob blob = image_make();
    struct blob packed;
    struct image image;

    (void)state;
    store_le64(blob.data + 16, 0);
    packed = gzip_pack(blob);
    assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
    ram.size = ROOM;
    for (unsigned i = 0; i < 2; i++) {
        assert_refused(i == 0 ? blob : packed, IMAGE_FOR_ARM64, &ram, -EFBIG,
                       "cannot load kernel 'k': it leaves no room up to the end of RAM at "
                       "0x40085000; give more RAM");
    }
    ram.size = ROOM + 0x1000;
    blob_free(&blob);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_initrd_lies_in_the_kernels_window(void **state)
{
    static const uint64_t bases[] = {0, RAM_BASE, 0x7fe00000, 0x123400000};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct load_ram ram = ram_make(bases[i], RAM_SIZE, true);
        struct blob blob = image_make();
        uint64_t window = bases[i] & ~((1ull << 30) - 1);
        struct image image;

        assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
        assert_int_equal(image.linux_boot.initrd_max, window + (32ull << 30) - 1);
        assert_int_equal(image.linux_boot.cmdline_max, 2047);
        blob_free(&blob);
        ram_free(&ram);
    }
}

static void test_any_page_size_and_placement_will_do(void **state)
{
    struct blob blob = image_make();

    (void)state;
    for (uint64_t flags = 0; flags < 16; flags += 2) {
        store_le64(blob.data + 24, flags);
        check_image(blob, blob);
    }
    blob_free(&blob);
}

static void test_x86_refuses_it_with_a_reason(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = image_make();
    struct blob packed = gzip_pack(blob);
    const char *line =
        "cannot load kernel 'k': it is a Linux kernel for arm64, the machine is x86_64; "
        "give one for x86_64";

    (void)state;
    assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC, line);
    assert_refused(packed, IMAGE_FOR_X86, &ram, -ENOEXEC, line);
    blob_free(&blob);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_big_endian_or_too_large_is_refused(void **state)
{
    struct load_ram ram = ram_make(RAM_BASE, RAM_SIZE, true);
    struct blob blob = image_make();

    (void)state;
    store_le64(blob.data + 24, 1);
    assert_refused(
        blob, IMAGE_FOR_ARM64, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is a big-endian arm64 kernel; give a little-endian one");
    store_le64(blob.data + 24, 0);
    store_le64(blob.data + 16, RAM_SIZE);
    assert_refused(
        blob, IMAGE_FOR_ARM64, &ram, -EFBIG,
        "cannot load kernel 'k': its 0x800000 bytes at 0x10000 from the start of RAM lie "
        "outside RAM [0x40000000..0x40800000); give more RAM");
    store_le64(blob.data + 16, IMAGE_SIZE);
    store_le64(blob.data + 8, UINT64_MAX - RAM_BASE + 1);
    assert_refused(
        blob, IMAGE_FOR_ARM64, &ram, -EFBIG,
        "cannot load kernel 'k': its 0x9000 bytes at 0xffffffffc0000000 from the start of "
        "RAM lie outside RAM [0x40000000..0x40800000); give more RAM");
    blob_free(&blob);
    ram_free(&ram);
}

static void test_damaged_images_load_or_are_refused(void **state)
{
    struct load_ram ram = ram_make(RAM_BASE, RAM_SIZE, true);
    struct blob blob = image_make();
    struct blob packed = gzip_pack(blob);

    (void)state;
    try_damaged(blob, IMAGE_FOR_ARM64, &ram, 64);
    try_damaged(packed, IMAGE_FOR_ARM64, &ram, 64);
    for (size_t at = 8; at < 32; at += 8) {
        try_lying_field(blob, IMAGE_FOR_ARM64, &ram, at, 8);
    }
    blob_free(&blob);
    blob_free(&packed);
    ram_free(&ram);
}

/* Two sections, of which the first ends last, at FILE_SIZE. */
static void add_efi_header(struct blob *blob)
{
    enum { PE = 0x80, OPTIONAL_SIZE = 0x20, SECTIONS = PE + 24 + OPTIONAL_SIZE };

    store_le32(blob->data + 60, PE);
    memset(blob->data + PE, 0, SECTIONS + 2 * 40 - PE);
    memcpy(blob->data + PE, "PE", 2);
    blob->data[PE + 6] = 2;
    blob->data[PE + 20] = OPTIONAL_SIZE;
    store_le32(blob->data + SECTIONS + 16, FILE_SIZE - 0x1000);
    store_le32(blob->data + SECTIONS + 20, 0x1000);
    store_le32(blob->data + SECTIONS + 40 + 16, 0x10);
    store_le32(blob->data + SECTIONS + 40 + 20, 0x1000);
}

static void test_an_image_shorter_than_its_efi_header_says_is_refused(void **state)
{
    struct load_ram ram = ram_make(RAM_BASE, RAM_SIZE, true);
    struct blob blob = image_make();
    struct image image;

    (void)state;
    add_efi_header(&blob);
    assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
    blob.size = FILE_SIZE - 1;
    assert_refused(blob, IMAGE_FOR_ARM64, &ram, -ENOEXEC,
                   "cannot load kernel 'k': the kernel ends at byte 20479, its EFI header promises "
                   "20480; is the download complete?");
    try_damaged(blob, IMAGE_FOR_ARM64, &ram, 0x100);
    for (size_t at = 60; at < 0x80 + 24 + 0x20 + 40; at += 4) {
        try_lying_field(blob, IMAGE_FOR_ARM64, &ram, at, 4);
    }
    blob_free(&blob);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_is_loaded_at_its_text_offset),
        cmocka_unit_test(test_compressed_image_is_loaded_like_a_plain_one),
        cmocka_unit_test(test_image_in_a_zboot_file_is_found),
        cmocka_unit_test(test_old_image_without_size_goes_to_the_old_offset),
        cmocka_unit_test(test_old_image_that_fills_ram_is_refused),
        cmocka_unit_test(test_initrd_lies_in_the_kernels_window),
        cmocka_unit_test(test_any_page_size_and_placement_will_do),
        cmocka_unit_test(test_x86_refuses_it_with_a_reason),
        cmocka_unit_test(test_big_endian_or_too_large_is_refused),
        cmocka_unit_test(test_damaged_images_load_or_are_refused),
        cmocka_unit_test(test_an_image_shorter_than_its_efi_header_says_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
