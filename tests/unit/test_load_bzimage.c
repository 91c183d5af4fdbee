/* Linux's bzImage: unpacked straight into RAM, left to unpack itself, or refused. */
#include "load_fixture.h"

#include <stdio.h>

enum { RAM_SIZE = 4 << 20 };

static const struct elf_part parts[] = {
    {PT_LOAD, PF_R | PF_X, 0x1000, 0xffffffff80110000, 0x110000, 0x2345, 0x2345},
    {PT_LOAD, PF_R | PF_W | PF_X, 0x6000, 0xffffffff80115000, 0x115000, 0x1000, 0x9000},
};

static struct blob kernel_make(void)
{
    return elf64_make(EM_X86_64, 0x110000, parts, 2, 0x7000 + 300);
}

/* A bzImage around the kernel, packed by pack. */
static struct blob packed_make(struct blob (*pack)(struct blob), size_t size_tail)
{
    struct blob kernel = kernel_make();
    struct blob payload = pack(kernel);
    struct blob blob = bzimage_make(payload, size_tail);

    blob_free(&kernel);
    blob_free(&payload);
    return blob;
}

/* What no codec knows. */
static struct blob scramble(struct blob plain)
{
    struct blob blob = blob_copy(plain.data, plain.size);

    blob.data[0] = 0x33;
    return blob;
}

static struct blob copy(struct blob plain)
{
    return blob_copy(plain.data, plain.size);
}

static void test_each_compression_is_unpacked_to_the_linked_address(void **state)
{
    static const struct {
        const char *name;
        struct blob (*pack)(struct blob);
        size_t size_tail;
    } cases[] = {
        {"gzip", gzip_pack, 0},
        {"xz", xz_pack, 4},
        {"zstd", zstd_pack, 4},
        {"lz4", lz4_pack, 4},
    };
    struct blob kernel = kernel_make();
    struct image image;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct load_ram ram = ram_make(0, RAM_SIZE, i & 1);
        struct blob blob = packed_make(cases[i / 2].pack, cases[i / 2].size_tail);

        assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
        assert_int_equal(image.format, IMAGE_BZIMAGE);
        assert_int_equal(image.mode, ENTRY_LONG64);
        assert_int_equal(image.entry, 0x110000);
        assert_int_equal(image.low, 0x110000);
        assert_int_equal(image.high, 0x11e000);
        assert_false(image.has_pvh);
        assert_false(image.linux_boot.decompresses_itself);
        assert_string_equal(image.linux_boot.compression, cases[i / 2].name);
        assert_memory_equal(ram.host + 0x110000, kernel.data + 0x1000, 0x2345);
        assert_memory_equal(ram.host + 0x115000, kernel.data + 0x6000, 0x1000);
        assert_int_equal(ram.host[0x10ffff], ram.is_zero ? 0 : 0xee);
        assert_int_equal(ram.host[0x116000], 0);
        assert_int_equal(ram.host[0x11dfff], 0);
        assert_int_equal(ram.host[0x11e000], ram.is_zero ? 0 : 0xee);
        blob_free(&blob);
        ram_free(&ram);
    }
    blob_free(&kernel);
}

static void test_setup_header_is_handed_on(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = packed_make(gzip_pack, 0);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.linux_boot.version, 0x20f);
    assert_int_equal(image.linux_boot.setup_header_size, 0x202 + 0x6a - 0x1f1);
    assert_memory_equal(image.linux_boot.setup_header, blob.data + 0x1f1, 0x202 + 0x6a - 0x1f1);
    assert_int_equal(image.linux_boot.initrd_max, 0x7fffffff);
    assert_int_equal(image.linux_boot.cmdline_max, 2047);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_unknown_payloads_are_left_to_the_guest(void **state)
{
    static struct blob (*const packs[])(struct blob) = {scramble, copy};
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct image image;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct blob blob = packed_make(packs[i], 4);

        assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
        assert_int_equal(image.format, IMAGE_BZIMAGE);
        assert_int_equal(image.mode, ENTRY_LONG64);
        assert_true(image.linux_boot.decompresses_itself);
        assert_null(image.linux_boot.compression);
        assert_int_equal(image.entry, 0x100200);
        assert_int_equal(image.low, 0x100000);
        assert_int_equal(image.high, 0x140000);
        assert_memory_equal(ram.host + 0x100000, blob.data + BZIMAGE_SETUP_SIZE,
                            blob.size - BZIMAGE_SETUP_SIZE);
        blob_free(&blob);
    }
    ram_free(&ram);
}

static void test_payload_that_is_no_elf_file_is_left_to_the_guest(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob text = blob_copy("not ELF, but of some length all the same", 41);
    struct blob payload = gzip_pack(text);
    struct blob blob = bzimage_make(payload, 0);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_true(image.linux_boot.decompresses_itself);
    blob_free(&text);
    blob_free(&payload);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_old_headers_have_defaults(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = packed_make(gzip_pack, 0);
    struct image image;

    (void)state;
    blob.data[0x206] = 0x02;
    blob.data[0x201] = 0x22;
    blob.data[0x1f1] = 0;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.linux_boot.version, 0x202);
    assert_int_equal(image.linux_boot.initrd_max, 0x37ffffff);
    assert_int_equal(image.linux_boot.cmdline_max, 255);
    assert_true(image.linux_boot.decompresses_itself);
    assert_int_equal(image.mode, ENTRY_LINUX32);
    assert_int_equal(image.entry, 0x100000);
    assert_int_equal(image.high, 0x100000 + blob.size - BZIMAGE_SETUP_SIZE);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_kernel_for_i386_is_entered_in_protected_mode(void **state)
{
    static const struct elf_part narrow_parts[] = {
        {PT_LOAD, PF_R | PF_X, 0x1000, 0xc0100000, 0x100000, 0x1000, 0x2000},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob kernel = elf32_make(EM_386, 0x100000, narrow_parts, 1, 0x2000);
    struct blob payload = gzip_pack(kernel);
    struct blob blob = bzimage_make(payload, 0);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.mode, ENTRY_LINUX32);
    assert_int_equal(image.entry, 0x100000);
    assert_int_equal(image.high, 0x102000);
    blob_free(&kernel);
    blob_free(&payload);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_kernel_for_another_machine_is_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob kernel = elf64_make(EM_AARCH64, 0x110000, parts, 2, 0x7000);
    struct blob payload = gzip_pack(kernel);
    struct blob blob = bzimage_make(payload, 0);

    (void)state;
    assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': the kernel packed in it is for ELF machine 183; is the "
                   "file damaged?");
    assert_refused(
        blob, IMAGE_FOR_ARM64, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is a Linux kernel for x86, the machine is arm64; give "
        "one for arm64");
    blob_free(&kernel);
    blob_free(&payload);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_cut_off_files_are_refused_with_what_is_missing(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = packed_make(gzip_pack, 0);
    struct blob cut = {blob.data, 512 + 8};
    char line[256];

    (void)state;
    assert_refused(cut, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': the file ends at byte 520, in the middle of its setup "
                   "header; is the download complete?");
    cut.size = blob.size - 1;
    (void)snprintf(
        line, sizeof(line),
        "cannot load kernel 'k': the file ends at byte %zu, its setup header promises %zu; "
        "is the download complete?",
        cut.size, blob.size);
    assert_refused(cut, IMAGE_FOR_X86, &ram, -ENOEXEC, line);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_lying_setup_headers_are_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = packed_make(gzip_pack, 0);

    (void)state;
    blob.data[0x201] = 3;
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': its setup header ends at 0x205, before its load flags; is "
        "the file damaged?");
    blob.data[0x201] = 0x6a;
    blob.data[0x211] = 0;
    assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': it is a zImage of boot protocol 2.15, which loads low; "
                   "give a bzImage");
    blob.data[0x211] = 1;
    store_le32(blob.data + 0x1f4, 0);
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': its setup header says that there is no kernel behind it; "
        "is the file damaged?");
    blob_free(&blob);
    ram_free(&ram);
}

static void test_damaged_payload_is_refused_not_left_to_the_guest(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = packed_make(gzip_pack, 0);

    (void)state;
    blob.data[BZIMAGE_SETUP_SIZE + BZIMAGE_PAYLOAD + 10] = 0xff;
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -EILSEQ,
        "cannot load kernel 'k': its gzip data is damaged after 0 decompressed bytes; get "
        "the file again");
    blob_free(&blob);
    ram_free(&ram);
}

static void test_kernel_larger_than_ram_is_refused(void **state)
{
    struct load_ram ram = ram_make(0, 0x11d000, true);
    struct blob unpacked = packed_make(gzip_pack, 0);
    struct blob packed = packed_make(scramble, 0);

    (void)state;
    assert_refused(
        unpacked, IMAGE_FOR_X86, &ram, -EFBIG,
        "cannot load kernel 'k': its segment of 0x9000 bytes at 0x115000 lies outside RAM "
        "[0x0..0x11d000); give more RAM");
    assert_refused(packed, IMAGE_FOR_X86, &ram, -EFBIG,
                   "cannot load kernel 'k': it decompresses itself in 0x40000 bytes at 0x100000, "
                   "outside RAM [0x0..0x11d000); give more RAM");
    store_le64(packed.data + 0x258, UINT64_MAX - 0xfff);
    assert_refused(packed, IMAGE_FOR_X86, &ram, -EFBIG,
                   "cannot load kernel 'k': it decompresses itself in 0x40000 bytes at "
                   "0xfffffffffffff000, outside RAM [0x0..0x11d000); give more RAM");
    blob_free(&unpacked);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_damaged_images_load_or_are_refused(void **state)
{
    static struct blob (*const packs[])(struct blob) = {gzip_pack, lz4_pack, scramble};
    static const uint16_t fields[] = {0x1f1, 0x1f4, 0x201, 0x206, 0x211, 0x22c, 0x230,
                                      0x234, 0x236, 0x238, 0x248, 0x24c, 0x258, 0x260};
    struct load_ram ram = ram_make(0, RAM_SIZE, true);

    (void)state;
    for (unsigned p = 0; p < 3; p++) {
        struct blob blob = packed_make(packs[p], 4);

        try_damaged(blob, IMAGE_FOR_X86, &ram, 0);
        for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
            for (size_t size = 1; size <= 8; size *= 2) {
                try_lying_field(blob, IMAGE_FOR_X86, &ram, fields[i], size);
            }
        }
        blob_free(&blob);
    }
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_compression_is_unpacked_to_the_linked_address),
        cmocka_unit_test(test_setup_header_is_handed_on),
        cmocka_unit_test(test_unknown_payloads_are_left_to_the_guest),
        cmocka_unit_test(test_payload_that_is_no_elf_file_is_left_to_the_guest),
        cmocka_unit_test(test_old_headers_have_defaults),
        cmocka_unit_test(test_kernel_for_i386_is_entered_in_protected_mode),
        cmocka_unit_test(test_kernel_for_another_machine_is_refused),
        cmocka_unit_test(test_cut_off_files_are_refused_with_what_is_missing),
        cmocka_unit_test(test_lying_setup_headers_are_refused),
        cmocka_unit_test(test_damaged_payload_is_refused_not_left_to_the_guest),
        cmocka_unit_test(test_kernel_larger_than_ram_is_refused),
        cmocka_unit_test(test_damaged_images_load_or_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
