/* Multiboot 1 kernels: by ELF headers, by their own addresses, or refused. */
#include "load_fixture.h"

enum { RAM_SIZE = 4 << 20, MAGIC = 0x1badb002, HEADER = 0x200 };

static const struct elf_part parts[] = {
    {PT_LOAD, PF_R | PF_X, 0x200, 0x100000, 0x100000, 0x400, 0x800},
};

static void header_put(struct blob *blob, size_t offset, uint32_t flags)
{
    store_le32(blob->data + offset, MAGIC);
    store_le32(blob->data + offset + 4, flags);
    store_le32(blob->data + offset + 8, (uint32_t) - (MAGIC + flags));
}

static struct blob elf_make(uint32_t flags)
{
    struct blob blob = elf32_make(EM_386, 0x10000c, parts, 1, 0x800);

    header_put(&blob, HEADER, flags);
    return blob;
}

/*
 * A flat file whose header at 0x200 says to load [0x100000..0x100400) from 0x100 bytes before it.
 */
static struct blob addressed_make(void)
{
    struct blob blob = blob_make(0x800);
    static const uint32_t addresses[] = {0x100100, 0x100000, 0x100400, 0x100900, 0x100120};

    fill_mixed(blob.data, blob.size, 1);
    header_put(&blob, HEADER, 1 << 16);
    for (unsigned i = 0; i < 5; i++) {
        store_le32(blob.data + HEADER + 12 + 4 * i, addresses[i]);
    }
    return blob;
}

static void test_elf_files_are_loaded_by_their_headers(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = elf_make(3);
    struct blob wide = elf64_make(EM_X86_64, 0x10000c, parts, 1, 0x800);
    struct blob packed = gzip_pack(blob);
    struct image image;

    (void)state;
    header_put(&wide, 0x400, 0);
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_MULTIBOOT);
    assert_int_equal(image.mode, ENTRY_MULTIBOOT32);
    assert_int_equal(image.entry, 0x10000c);
    assert_int_equal(image.low, 0x100000);
    assert_int_equal(image.high, 0x100800);
    assert_int_equal(image.multiboot.flags, 3);
    assert_true(image.multiboot.wants_page_alignment);
    assert_true(image.multiboot.wants_memory_map);
    assert_memory_equal(ram.host + 0x100000, blob.data + 0x200, 0x400);
    assert_loaded(packed, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_MULTIBOOT);
    assert_loaded(wide, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.mode, ENTRY_MULTIBOOT32);
    assert_false(image.multiboot.wants_memory_map);
    blob_free(&blob);
    blob_free(&wide);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_addresses_of_the_header_are_obeyed(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    struct blob blob = addressed_make();
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.entry, 0x100120);
    assert_int_equal(image.low, 0x100000);
    assert_int_equal(image.high, 0x100900);
    assert_memory_equal(ram.host + 0x100000, blob.data + 0x100, 0x400);
    assert_int_equal(ram.host[0x100400], 0);
    assert_int_equal(ram.host[0x1008ff], 0);
    assert_int_equal(ram.host[0x100900], 0xee);
    assert_int_equal(ram.host[0x0fffff], 0xee);
    store_le32(blob.data + HEADER + 20, 0);
    store_le32(blob.data + HEADER + 24, 0);
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.high, 0x100700);
    assert_memory_equal(ram.host + 0x100000, blob.data + 0x100, 0x700);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_header_that_is_none_is_passed_over(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = elf32_make(EM_386, 0x10000c, parts, 1, 0x3000);
    struct image image;

    (void)state;
    header_put(&blob, 0x202, 0);
    header_put(&blob, 8192 - 8, 0);
    header_put(&blob, 0x300, 0);
    blob.data[0x308] ^= 1;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_ELF_BARE);
    header_put(&blob, 8192 - 12, 0);
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_MULTIBOOT);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_features_that_are_not_there_are_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob video = elf_make(4);
    struct blob unknown = elf_make(0x8021);
    struct blob optional = elf_make(1u << 31);
    struct image image;

    (void)state;
    assert_refused(
        video, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': its multiboot header requires a video mode, there is no "
        "display; clear flag 2");
    assert_refused(unknown, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': its multiboot header requires features 0x8020, which "
                   "multiboot 0.6.96 does not know; clear these flags");
    assert_loaded(optional, IMAGE_FOR_X86, &ram, &image);
    blob_free(&video);
    blob_free(&unknown);
    blob_free(&optional);
    ram_free(&ram);
}

static void test_neither_addresses_nor_elf_is_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = addressed_make();
    struct blob arm = elf64_make(EM_AARCH64, 0x100000, parts, 1, 0x800);

    (void)state;
    header_put(&blob, HEADER, 0);
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': its multiboot header has no addresses and it is not an ELF "
        "file; set flag 16 and give them");
    header_put(&arm, HEADER, 0);
    assert_refused(
        arm, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is a multiboot ELF file for machine 183; give one for "
        "x86");
    blob_free(&blob);
    blob_free(&arm);
    ram_free(&ram);
}

static void test_lying_addresses_are_refused(void **state)
{
    static const struct {
        unsigned field;
        uint32_t value;
        int code;
        const char *line;
    } cases[] = {
        {0, 0x90000, -ENOEXEC,
         "cannot load kernel 'k': its multiboot header at 0x90000 does not lie in "
         "[0x100000..0x100400), which it says to load"},
        {1, 0x90000, -ENOEXEC,
         "cannot load kernel 'k': its multiboot header at 0x100100 does not lie in "
         "[0x90000..0x100400), which it says to load"},
        {2, 0x100000, -ENOEXEC,
         "cannot load kernel 'k': its multiboot header at 0x100100 does not lie in "
         "[0x100000..0x100000), which it says to load"},
        {2, 0x100800, -ENOEXEC,
         "cannot load kernel 'k': the file ends at byte 2048, its headers promise 2304; is the "
         "download complete?"},
        {3, 0xfffff000, -EFBIG,
         "cannot load kernel 'k': its 0xffeff000 bytes at 0x100000 lie outside RAM "
         "[0x0..0x400000); give more RAM"},
        {4, 0x100400, -ENOEXEC,
         "cannot load kernel 'k': its multiboot entry 0x100400 lies outside what is loaded at "
         "0x100000; link it with the right entry"},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob blob = addressed_make();

        store_le32(blob.data + HEADER + 12 + 4 * cases[i].field, cases[i].value);
        assert_refused(blob, IMAGE_FOR_X86, &ram, cases[i].code, cases[i].line);
        blob_free(&blob);
    }
    ram_free(&ram);
}

static void test_damaged_kernels_load_or_are_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob elf = elf_make(3);
    struct blob addressed = addressed_make();
    struct blob cut = {addressed.data, HEADER + 20};

    (void)state;
    assert_refused(
        cut, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': the file ends at byte 532, in the middle of its multiboot "
        "header; is the download complete?");
    try_damaged(elf, IMAGE_FOR_X86, &ram, HEADER + 12);
    try_damaged(addressed, IMAGE_FOR_X86, &ram, HEADER + 32);
    for (size_t at = HEADER; at < HEADER + 32; at += 4) {
        try_lying_field(addressed, IMAGE_FOR_X86, &ram, at, 4);
    }
    blob_free(&elf);
    blob_free(&addressed);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf_files_are_loaded_by_their_headers),
        cmocka_unit_test(test_addresses_of_the_header_are_obeyed),
        cmocka_unit_test(test_header_that_is_none_is_passed_over),
        cmocka_unit_test(test_features_that_are_not_there_are_refused),
        cmocka_unit_test(test_neither_addresses_nor_elf_is_refused),
        cmocka_unit_test(test_lying_addresses_are_refused),
        cmocka_unit_test(test_damaged_kernels_load_or_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
