/* ELF executables of both classes: segments, entries, the PVH note, and headers that lie. */
#include "load_fixture.h"

enum { RAM_SIZE = 1 << 20, PVH_TYPE = 18 };

/* As a kernel has them: high virtual addresses, one segment with other distances, bss, a note. */
static const struct elf_part kernel_parts[] = {
    {PT_LOAD, PF_R | PF_X, 0x1000, 0xffffffff80010000, 0x10000, 0x2345, 0x2345},
    {PT_LOAD, PF_R | PF_W, 0x5000, 0, 0x14000, 0x800, 0x800},
    {PT_LOAD, PF_R | PF_W | PF_X, 0x6000, 0xffffffff80015000, 0x15000, 0x1000, 0x9000},
    {PT_NOTE, PF_R, 0x1100, 0xffffffff80010100, 0x10100, 0x40, 0x40},
};

static struct blob kernel_make(bool has_pvh)
{
    struct blob blob = elf64_make(EM_X86_64, 0x10000, kernel_parts, has_pvh ? 4 : 3, 0x7000);
    size_t at = 0x1100;

    memset(blob.data + at, 0, 0x40);
    at += note_put(&blob, at, "Linux", PVH_TYPE, 0x11111);
    at += note_put(&blob, at, "Xen", 6, 0x22222);
    (void)note_put(&blob, at, "Xen", PVH_TYPE, 0x10850);
    return blob;
}

static void check_kernel_bytes(struct blob blob, const struct load_ram *ram)
{
    uint8_t untouched = ram->is_zero ? 0 : 0xee;

    assert_memory_equal(ram->host + 0x10000, blob.data + 0x1000, 0x2345);
    assert_memory_equal(ram->host + 0x14000, blob.data + 0x5000, 0x800);
    assert_memory_equal(ram->host + 0x15000, blob.data + 0x6000, 0x1000);
    for (unsigned at = 0x16000; at < 0x1e000; at++) {
        assert_int_equal(ram->host[at], 0);
    }
    assert_int_equal(ram->host[0xffff], untouched);
    assert_int_equal(ram->host[0x12345], untouched);
    assert_int_equal(ram->host[0x14800], untouched);
    assert_int_equal(ram->host[0x1e000], untouched);
}

static void test_kernel_with_pvh_note_is_entered_there(void **state)
{
    struct blob blob = kernel_make(true);
    struct image image;

    (void)state;
    for (unsigned is_zero = 0; is_zero < 2; is_zero++) {
        struct load_ram ram = ram_make(0, RAM_SIZE, is_zero);

        assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
        assert_int_equal(image.format, IMAGE_ELF_LINUX);
        assert_int_equal(image.mode, ENTRY_PVH32);
        assert_true(image.has_pvh);
        assert_int_equal(image.entry, 0x10850);
        assert_int_equal(image.low, 0x10000);
        assert_int_equal(image.high, 0x1e000);
        assert_int_equal(image.linux_boot.setup_header_size, 0);
        check_kernel_bytes(blob, &ram);
        ram_free(&ram);
    }
    blob_free(&blob);
}

static void test_compressed_kernel_is_loaded_like_a_plain_one(void **state)
{
    static struct blob (*const packs[])(struct blob) = {gzip_pack, xz_pack, zstd_pack, lz4_pack,
                                                        lz4_frame_pack};
    struct blob blob = kernel_make(true);
    struct image image;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct load_ram ram = ram_make(0, RAM_SIZE, i & 1);
        struct blob packed = packs[i / 2](blob);

        assert_loaded(packed, IMAGE_FOR_X86, &ram, &image);
        assert_int_equal(image.mode, ENTRY_PVH32);
        assert_int_equal(image.entry, 0x10850);
        check_kernel_bytes(blob, &ram);
        blob_free(&packed);
        ram_free(&ram);
    }
    blob_free(&blob);
}

static void test_kernel_without_note_is_entered_in_long_mode(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = kernel_make(false);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_ELF_LINUX);
    assert_int_equal(image.mode, ENTRY_LONG64);
    assert_int_equal(image.entry, 0x10000);
    assert_int_equal(image.linux_boot.initrd_max, 0x7fffffff);
    assert_int_equal(image.linux_boot.cmdline_max, 2047);
    store_le64(blob.data + offsetof(Elf64_Ehdr, e_entry), 0xffffffff80015010);
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.entry, 0x15010);
    blob_free(&blob);
    ram_free(&ram);
}

static void test_bare_programs_of_both_classes_and_machines(void **state)
{
    static const struct elf_part parts[] = {
        {PT_LOAD, PF_R | PF_X, 0x200, 0x8000, 0x8000, 0x100, 0x180},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob wide = elf64_make(EM_X86_64, 0x8004, parts, 1, 0x300);
    struct blob narrow = elf32_make(EM_386, 0x8008, parts, 1, 0x300);
    struct blob arm = elf64_make(EM_AARCH64, 0x800c, parts, 1, 0x300);
    struct image image;

    (void)state;
    assert_loaded(wide, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_ELF_BARE);
    assert_int_equal(image.mode, ENTRY_LONG64);
    assert_int_equal(image.entry, 0x8004);
    assert_loaded(narrow, IMAGE_FOR_X86, &ram, &image);
    assert_int_equal(image.format, IMAGE_ELF_BARE);
    assert_int_equal(image.mode, ENTRY_PROTECTED32);
    assert_int_equal(image.entry, 0x8008);
    assert_int_equal(image.high, 0x8180);
    assert_memory_equal(ram.host + 0x8000, narrow.data + 0x200, 0x100);
    assert_loaded(arm, IMAGE_FOR_ARM64, &ram, &image);
    assert_int_equal(image.mode, ENTRY_ARM64);
    assert_int_equal(image.entry, 0x800c);
    blob_free(&wide);
    blob_free(&narrow);
    blob_free(&arm);
    ram_free(&ram);
}

static void test_other_machines_are_refused(void **state)
{
    static const struct {
        uint16_t elf;
        enum image_machine machine;
        const char *line;
    } cases[] = {
        {EM_AARCH64, IMAGE_FOR_X86,
         "cannot load kernel 'k': it is an ELF file for arm64, the machine "
         "is x86_64; give one for x86_64"},
        {EM_X86_64, IMAGE_FOR_ARM64,
         "cannot load kernel 'k': it is an ELF file for x86_64, the "
         "machine is arm64; give one for arm64"},
        {EM_386, IMAGE_FOR_X86,
         "cannot load kernel 'k': it is an ELF file for i386, the machine is "
         "x86_64; give one for x86_64"},
        {EM_RISCV, IMAGE_FOR_X86,
         "cannot load kernel 'k': it is an ELF file for riscv, the machine is "
         "x86_64; give one for x86_64"},
        {EM_ARM, IMAGE_FOR_ARM64,
         "cannot load kernel 'k': it is an ELF file for arm, the machine is "
         "arm64; give one for arm64"},
        {EM_S390, IMAGE_FOR_X86,
         "cannot load kernel 'k': it is an ELF file for another machine, the "
         "machine is x86_64; give one for x86_64"},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob narrow = elf32_make(EM_X86_64, 0x10000, kernel_parts, 1, 0x7000);

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob blob = elf64_make(cases[i].elf, 0x10000, kernel_parts, 3, 0x7000);

        assert_refused(blob, cases[i].machine, &ram, -ENOEXEC, cases[i].line);
        blob_free(&blob);
    }
    assert_refused(
        narrow, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is an x32 ELF file for x86_64, the machine is x86_64; "
        "give one for x86_64");
    blob_free(&narrow);
    ram_free(&ram);
}

struct lie {
    size_t offset, size;
    uint64_t value;
    int code;
    const char *reason;
};

enum {
    FIRST = ELF_FIXTURE_TABLE,
    SECOND = FIRST + sizeof(Elf64_Phdr),
    P_OFFSET = offsetof(Elf64_Phdr, p_offset),
    P_PADDR = offsetof(Elf64_Phdr, p_paddr),
    P_FILESZ = offsetof(Elf64_Phdr, p_filesz),
    P_MEMSZ = offsetof(Elf64_Phdr, p_memsz),
};

static const struct lie lies[] = {
    {EI_CLASS, 1, 7, -ENOEXEC, "ELF class 7 is neither 32 nor 64 bit; is the file damaged?"},
    {EI_DATA, 1, 2, -ENOEXEC, "it is a big-endian ELF file; give one for a little-endian machine"},
    {offsetof(Elf64_Ehdr, e_type), 2, ET_REL, -ENOEXEC,
     "it is an ELF object file (.o); link it first"},
    {offsetof(Elf64_Ehdr, e_type), 2, ET_CORE, -ENOEXEC, "it is a core dump; give an executable"},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0, -ENOEXEC,
     "it is an ELF file without program headers; link it as an executable"},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, -ENOEXEC,
     "its 65535 program headers at 0x40 lie outside the first 28672 bytes; is the download "
     "complete?"},
    {offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX, -ENOEXEC,
     "its 3 program headers at 0xffffffffffffffff lie outside the first 28672 bytes; is the "
     "download complete?"},
    {offsetof(Elf64_Ehdr, e_phentsize), 2, 32, -ENOEXEC,
     "its program headers take 32 bytes each, ELF has them with 56; is the file damaged?"},
    {offsetof(Elf64_Ehdr, e_entry), 8, 0x14000, -ENOEXEC,
     "its entry 0x14000 lies in none of its executable segments; link it with the right entry"},
    {FIRST + P_OFFSET, 8, 0x6fff, -ENOEXEC,
     "the file ends at byte 28672, its headers promise 37700; is the download complete?"},
    {FIRST + P_OFFSET, 8, UINT64_MAX - 5, -ENOEXEC,
     "the segment at 0x10000 ends behind any possible file; is the file damaged?"},
    {FIRST + P_MEMSZ, 8, 0x100, -ENOEXEC,
     "the segment at 0x10000 takes 0x2345 bytes in the file but 0x100 in memory; is the file "
     "damaged?"},
    {FIRST + P_MEMSZ, 8, UINT64_MAX, -EFBIG,
     "its segment of 0xffffffffffffffff bytes at 0x10000 lies outside RAM [0x0..0x100000); give "
     "more RAM"},
    {FIRST + P_PADDR, 8, UINT64_MAX - 0xfff, -EFBIG,
     "its segment of 0x2345 bytes at 0xfffffffffffff000 lies outside RAM [0x0..0x100000); give "
     "more RAM"},
    {FIRST + P_MEMSZ, 8, 0x4001, -ENOEXEC,
     "its segments at 0x10000 and 0x14000 overlap in memory; is the file damaged?"},
    {SECOND + P_PADDR, 8, 0x15800, -ENOEXEC,
     "its segments at 0x15800 and 0x15000 overlap in memory; is the file damaged?"},
};

static void test_lying_headers_are_refused_with_a_reason(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    char line[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct blob blob = kernel_make(false);
        uint64_t value = htole64(lies[i].value);

        memcpy(blob.data + lies[i].offset, &value, lies[i].size);
        strcpy(line, "cannot load kernel 'k': ");
        strcat(line, lies[i].reason);
        assert_refused(blob, IMAGE_FOR_X86, &ram, lies[i].code, line);
        blob_free(&blob);
    }
    ram_free(&ram);
}

static void test_segments_sharing_bytes_load_unless_compressed(void **state)
{
    static const struct elf_part parts[] = {
        {PT_LOAD, PF_R | PF_X, 0x200, 0x8000, 0x8000, 0x100, 0x100},
        {PT_LOAD, PF_R, 0x280, 0x9000, 0x9000, 0x100, 0x100},
    };
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = elf64_make(EM_X86_64, 0x8000, parts, 2, 0x400);
    struct blob packed = gzip_pack(blob);
    struct image image;

    (void)state;
    assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
    assert_memory_equal(ram.host + 0x9000, blob.data + 0x280, 0x100);
    assert_refused(packed, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': its segments at 0x8000 and 0x9000 overlap in the file; "
                   "decompress it first");
    blob_free(&blob);
    blob_free(&packed);
    ram_free(&ram);
}

static void test_too_many_or_no_segments_are_refused(void **state)
{
    struct elf_part parts[65];
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob;

    (void)state;
    for (unsigned i = 0; i < 65; i++) {
        parts[i] = (struct elf_part){PT_LOAD, PF_X, 0x1000, i * 0x100, i * 0x100, 1, 1};
    }
    blob = elf64_make(EM_X86_64, 0, parts, 65, 0x2000);
    assert_refused(blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
                   "cannot load kernel 'k': it has more than 64 segments to load; is the file "
                   "damaged?");
    blob_free(&blob);
    parts[0].type = PT_NOTE;
    blob = elf64_make(EM_X86_64, 0, parts, 1, 0x2000);
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': it is an ELF file without a segment to load; link it as "
        "an executable");
    blob_free(&blob);
    ram_free(&ram);
}

static void test_pvh_entry_outside_the_kernel_is_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob blob = kernel_make(true);

    (void)state;
    (void)note_put(&blob, 0x1100 + 24 + 20, "Xen", PVH_TYPE, 0x1e000);
    assert_refused(
        blob, IMAGE_FOR_X86, &ram, -ENOEXEC,
        "cannot load kernel 'k': its PVH note names the entry 0x1e000, outside the kernel; "
        "is the file damaged?");
    blob_free(&blob);
    ram_free(&ram);
}

static void test_notes_that_lie_about_their_sizes_are_no_pvh_notes(void **state)
{
    static const uint32_t sizes[] = {0,          3,          5,          0x100,
                                     0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct image image;

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (unsigned field = 0; field < 2; field++) {
            struct blob blob = kernel_make(true);

            store_le32(blob.data + 0x1100 + 24 + 20 + 4 * field, sizes[i]);
            assert_loaded(blob, IMAGE_FOR_X86, &ram, &image);
            assert_false(image.has_pvh);
            assert_int_equal(image.mode, ENTRY_LONG64);
            blob_free(&blob);
        }
    }
    ram_free(&ram);
}

static void test_damaged_kernels_load_or_are_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, true);
    struct blob wide = kernel_make(true);
    struct blob narrow = elf32_make(EM_386, 0x10000, kernel_parts, 3, 0x7000);
    struct blob packed = lz4_pack(wide);

    (void)state;
    try_damaged(wide, IMAGE_FOR_X86, &ram, FIRST + 4 * sizeof(Elf64_Phdr));
    try_damaged(narrow, IMAGE_FOR_X86, &ram, FIRST + 3 * sizeof(Elf32_Phdr));
    try_damaged(packed, IMAGE_FOR_X86, &ram, packed.size);
    for (size_t at = 16; at < FIRST + 4 * sizeof(Elf64_Phdr); at += 2) {
        try_lying_field(wide, IMAGE_FOR_X86, &ram, at, 2);
        try_lying_field(wide, IMAGE_FOR_X86, &ram, at, 4);
        try_lying_field(wide, IMAGE_FOR_X86, &ram, at, 8);
    }
    blob_free(&wide);
    blob_free(&narrow);
    blob_free(&packed);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel_with_pvh_note_is_entered_there),
        cmocka_unit_test(test_compressed_kernel_is_loaded_like_a_plain_one),
        cmocka_unit_test(test_kernel_without_note_is_entered_in_long_mode),
        cmocka_unit_test(test_bare_programs_of_both_classes_and_machines),
        cmocka_unit_test(test_other_machines_are_refused),
        cmocka_unit_test(test_lying_headers_are_refused_with_a_reason),
        cmocka_unit_test(test_segments_sharing_bytes_load_unless_compressed),
        cmocka_unit_test(test_too_many_or_no_segments_are_refused),
        cmocka_unit_test(test_pvh_entry_outside_the_kernel_is_refused),
        cmocka_unit_test(test_notes_that_lie_about_their_sizes_are_no_pvh_notes),
        cmocka_unit_test(test_damaged_kernels_load_or_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
