/* Flat binaries, what is mistaken for them, and compressed files of every kind. */
#include "load_fixture.h"

#include <stdio.h>

enum { RAM_SIZE = 2 << 20 };

static struct blob code_make(size_t size)
{
    struct blob blob = blob_make(size);

    fill_mixed(blob.data, size, 21);
    blob.data[0] = 0xfa;
    return blob;
}

static void test_flat_code_runs_in_real_mode_at_one_page(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    struct blob blob = code_make(3000);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_FLAT);
    assert_int_equal(image.mode, ENTRY_REAL16);
    assert_int_equal(image.entry, 0x1000);
    assert_int_equal(image.low, 0x1000);
    assert_int_equal(image.high, 0x1000 + 3000);
    assert_memory_equal(ram.host + 0x1000, blob.data, 3000);
    assert_int_equal(ram.host[0xfff], 0xee);
    assert_int_equal(ram.host[0x1000 + 3000], 0xee);
    blob.size = 1;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.high, 0x1001);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_flat_code_on_arm64_runs_at_the_start_of_ram(void **state)
{
    struct load_ram ram = ram_make(0x40000000, RAM_SIZE, true);
    struct blob blob = code_make(3000);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_ARM64, &ram, &image);
    assert_int_equal(image.mode, ENTRY_ARM64);
    assert_int_equal(image.entry, 0x40000000);
    assert_memory_equal(ram.host, blob.data, 3000);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_flat_code_ends_below_640_kib(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct load_ram small = ram_make(0, 0x2000, true);
    struct blob blob = code_make(0x9f001);
    struct image image;

    (void)state;
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -EFBIG,
        "cannot load kernel 'k': it is taken for flat code, whose 651265 bytes at 0x1000 do "
        "not fit below 0xa0000; give an ELF file");
    blob.size = 0x9f000;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.high, 0xa0000);
    assert_refused(
        blob, IMAGE_FOR_X86, &small, -EFBIG,
        "cannot load kernel 'k': it is taken for flat code, whose 651264 bytes at 0x1000 do "
        "not fit below 0x2000; give an ELF file");
    blob_free(&blob);
    ram_free(&ram);
    ram_free(&small);
}

static void test_files_of_other_kinds_are_named(void **state)
{
    static const struct {
        size_t offset;
        const char *magic;
        size_t size;
        const char *what;
    } cases[] = {
        {0, "#!/bin/sh\n\x80", 11, "a script"},
        {0, "MZ", 2, "a Windows or EFI program"},
        {0, "\x89PNG\r\n", 6, "a picture (PNG)"},
        {0, "\xff\xd8\xff", 3, "a picture (JPEG)"},
        {0, "GIF8", 4, "a picture (GIF)"},
        {0, "%PDF-", 5, "a PDF document"},
        {0, "!<arch>\n", 8, "an archive of object files (.a)"},
        {0, "070701", 6, "a cpio archive (an initrd?)"},
        {257, "ustar", 5, "a tar archive"},
        {0, "PK\3\4", 4, "a zip archive"},
        {0, "\xd0\x0d\xfe\xed", 4, "a device tree (.dtb)"},
        {0, "QFI\xfb", 4, "a qcow2 disk"},
        {0, "hsqs", 4, "a squashfs file system"},
        {1080, "\x53\xef", 2, "an ext file system"},
        {0x8001, "CD001", 5, "a CD image"},
        {0, "", 0, "nothing but zeros"},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob text = blob_copy("hello\nworld\t!\r\n", 15);
    char line[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob blob = blob_make(cases[i].offset + cases[i].size + 3);

        memcpy(blob.data + cases[i].offset, cases[i].magic, cases[i].size);
        (void)snprintf(
            line, sizeof(line),
            "cannot load kernel 'k': it is %s; give a bzImage, an ELF file, an arm64 Image "
            "or flat code",
            cases[i].what);
        assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC, line);
        blob_free(&blob);
    }
    assert_refused(
        text, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is a text file; give a bzImage, an ELF file, an arm64 "
        "Image or flat code");
    blob_free(&text);
    ram_free(&ram);
}

static void test_compressed_files_are_looked_into_once(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = code_make(3000);
    struct blob packed = xz_pack(blob);
    struct blob twice = gzip_pack(packed);
    struct blob elf_payload = gzip_pack(blob);
    struct blob bzimage = bzimage_make(elf_payload, 0);
    struct blob bzimage_packed = zstd_pack(bzimage);
    struct blob empty = {blob.data, 0};
    struct blob empty_packed = gzip_pack(empty);
    struct image image;

    (void)state;
    assert_loaded(packed, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_FLAT);
    assert_memory_equal(ram.host + 0x1000, blob.data, 3000);
    assert_loaded(bzimage_packed, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_BZIMAGE);
    assert_refused(twice, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': it is compressed twice; decompress it first");
    assert_refused(empty_packed, IMAGE_FOR_X86, &ram, -ENODATA,
                   "cannot load kernel 'k': its gzip data decompresses to nothing");
    blob_free(&blob);
    blob_free(&packed);
    blob_free(&twice);
    blob_free(&elf_payload);
    blob_free(&bzimage);
    blob_free(&bzimage_packed);
    blob_free(&empty_packed);
    ram_free(&ram);
}

static void test_more_than_ram_is_not_unpacked(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = blob_make(RAM_SIZE + 1);
    struct blob packed = gzip_pack(blob);

    (void)state;
    assert_refused(
        packed, IMAGE_FOR_X86, &ram, -EFBIG,
        "cannot load kernel 'k': its gzip data decompresses to more than the RAM of 2 MiB; "
        "give more RAM");
    blob_free(&blob);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_unsupported_compression_is_named(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = blob_copy("BZh91AY&SY", 10);

    (void)state;
    assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': it is compressed with bzip2, which is not supported; "
                   "decompress it first");
    blob_free(&blob);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_code_runs_in_real_mode_at_one_page),
        cmocka_unit_test(test_flat_code_on_arm64_runs_at_the_start_of_ram),
        cmocka_unit_test(test_flat_code_ends_below_640_kib),
        cmocka_unit_test(test_files_of_other_kinds_are_named),
        cmocka_unit_test(test_compressed_files_are_looked_into_once),
        cmocka_unit_test(test_more_than_ram_is_not_unpacked),
        cmocka_unit_test(test_unsupported_compression_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
