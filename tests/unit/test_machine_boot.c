/* What a guest finds in RAM at its start: memory map, Linux's zero page, page tables, segments. */
#include "load_fixture.h"

#include "machine/boot_state.h"
#include "machine/bootparams.h"
#include "machine/layout_pc.h"
#include "machine/memmap.h"

enum { RAM_SIZE = 0x40000 };

static const uint64_t gib = 1ull << 30;

/* --- memory map --- */

static void test_map_is_sorted_and_holds_all_ram_but_the_holes(void **state)
{
    static const uint64_t sizes[] = {2ull << 20, 256ull << 20, 3ull << 30, (3ull << 30) + 4096,
                                     64ull << 30};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint64_t end = 0, ram = 0;
        struct memmap map;

        memmap_init(&map, sizes[s]);
        assert_in_range(map.nr_entries, 1, MEMMAP_MAX);
        for (unsigned i = 0; i < map.nr_entries; i++) {
            assert_true(map.entries[i].start >= end);
            assert_int_not_equal(map.entries[i].size, 0);
            end = map.entries[i].start + map.entries[i].size;
            ram += map.entries[i].type == MEMMAP_RAM ? map.entries[i].size : 0;
        }
        assert_int_equal(ram, sizes[s] - (PC_LEGACY_HOLE_END - PC_EBDA_START));
    }
}

static void test_ram_beyond_the_device_hole_starts_at_4_gib(void **state)
{
    struct memmap map;

    (void)state;
    memmap_init(&map, 5 * gib);
    assert_int_equal(map.entries[map.nr_entries - 2].start, 0x100000);
    assert_int_equal(map.entries[map.nr_entries - 2].size, 3 * gib - 0x100000);
    assert_int_equal(map.entries[map.nr_entries - 1].start, 4 * gib);
    assert_int_equal(map.entries[map.nr_entries - 1].size, 2 * gib);
}

/* --- Linux's boot parameters --- */

struct start {
    struct load_ram ram;
    struct image image;
    struct memmap map;
    struct bootparams params;
};

static void start_init(struct start *start, const char *cmdline)
{
    *start = (struct start){.ram = ram_make(0, RAM_SIZE, false)};
    start->image.linux_boot.cmdline_max = 2047;
    memmap_init(&start->map, 5 * gib);
    start->params = (struct bootparams){
        .image = &start->image,
        .memmap = &start->map,
        .cmdline = cmdline,
        .initrd = 0x7ff0000,
        .initrd_size = 0x1234,
        .rsdp = PC_ACPI,
    };
}

static void test_zero_page_names_everything(void **state)
{
    struct load_error err;
    struct start start;
    const uint8_t *page;

    (void)state;
    start_init(&start, "console=ttyS0 quiet");
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), 0);
    page = load_ram_at(&start.ram, PC_BOOT_PARAMS);
    assert_int_equal(load_le64(page + 0x070), PC_ACPI);
    assert_int_equal(page[0x1ef], 0); /* the sentinel: this page was cleared */
    assert_int_equal(load_le16(page + 0x1fe), 0xaa55);
    assert_memory_equal(page + 0x202, "HdrS", 4);
    assert_int_equal(page[0x210], 0xff);
    assert_int_equal(load_le32(page + 0x218), 0x7ff0000);
    assert_int_equal(load_le32(page + 0x21c), 0x1234);
    assert_int_equal(load_le32(page + 0x0c0), 0);
    assert_int_equal(load_le32(page + 0x228), PC_COMMAND_LINE);
    assert_string_equal((const char *)load_ram_at(&start.ram, PC_COMMAND_LINE),
                        "console=ttyS0 quiet");
    ram_free(&start.ram);
}

static void test_zero_page_carries_the_memory_map(void **state)
{
    struct load_error err;
    struct start start;
    const uint8_t *page;

    (void)state;
    start_init(&start, "");
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), 0);
    page = load_ram_at(&start.ram, PC_BOOT_PARAMS);
    assert_int_equal(page[0x1e8], start.map.nr_entries);
    for (unsigned i = 0; i < start.map.nr_entries; i++) {
        assert_int_equal(load_le64(page + 0x2d0 + 20 * i), start.map.entries[i].start);
        assert_int_equal(load_le64(page + 0x2d8 + 20 * i), start.map.entries[i].size);
        assert_int_equal(load_le32(page + 0x2e0 + 20 * i), start.map.entries[i].type);
    }
    ram_free(&start.ram);
}

static void test_setup_header_of_the_kernel_is_kept(void **state)
{
    struct load_error err;
    struct start start;
    const uint8_t *page;

    (void)state;
    start_init(&start, "");
    memset(start.image.linux_boot.setup_header, 0x5a, SETUP_HEADER_MAX);
    start.image.linux_boot.setup_header_size = SETUP_HEADER_MAX;
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), 0);
    page = load_ram_at(&start.ram, PC_BOOT_PARAMS);
    assert_int_equal(page[0x1f0], 0);
    assert_int_equal(page[0x1f1], 0x5a);
    assert_int_equal(page[0x206], 0x5a);
    assert_int_equal(page[0x28f], 0x5a);
    assert_int_equal(page[0x290], 0);
    assert_int_equal(page[0x210], 0xff);
    assert_int_equal(load_le32(page + 0x228), PC_COMMAND_LINE);
    ram_free(&start.ram);
}

static void test_longest_command_line_fits_and_one_more_is_refused(void **state)
{
    struct load_error err = {""};
    struct start start;
    char text[12];

    (void)state;
    memset(text, 'a', sizeof(text));
    text[11] = '\0';
    start_init(&start, text);
    start.image.linux_boot.cmdline_max = 11;
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), 0);
    start.image.linux_boot.cmdline_max = 10;
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), -E2BIG);
    assert_string_equal(err.text,
                        "cannot pass the command line: it has 11 characters, the kernel takes 10");
    ram_free(&start.ram);
}

/* A kernel that takes any length does not make us write behind the command line's place. */
static void test_command_line_stays_in_its_place(void **state)
{
    const size_t room = PC_COMMAND_LINE_END - PC_COMMAND_LINE;
    char *text = malloc(room + 1);
    struct load_error err = {""};
    struct start start;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', room);
    text[room] = '\0';
    start_init(&start, text);
    start.image.linux_boot.cmdline_max = UINT32_MAX;
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), -E2BIG);
    text[room - 1] = '\0';
    assert_int_equal(bootparams_write(&start.ram, &start.params, &err), 0);
    assert_int_equal(*load_ram_at(&start.ram, PC_COMMAND_LINE_END), 0xee);
    ram_free(&start.ram);
    free(text);
}

/* --- what the boot processor starts with --- */

/* As the processor walks them. */
static uint64_t translate(const struct load_ram *ram, uint64_t addr)
{
    uint64_t entry = load_le64(load_ram_at(ram, PC_PAGE_TABLES) + 8 * (addr >> 39 & 511));

    for (unsigned shift = 30; shift >= 21; shift -= 9) {
        assert_int_equal(entry & 0x83, 0x03);
        entry = load_le64(load_ram_at(ram, entry & ~0xfffull) + 8 * (addr >> shift & 511));
    }
    assert_int_equal(entry & 0x83, 0x83);
    return (entry & ~0x1fffffull) | (addr & 0x1fffff);
}

static void test_page_tables_map_4_gib_as_they_are(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);

    (void)state;
    boot_page_tables_write(&ram);
    for (uint64_t addr = 0; addr < 4 * gib; addr += 0x200000) {
        assert_int_equal(translate(&ram, addr + 0x12345), addr + 0x12345);
    }
    assert_int_equal(load_le64(load_ram_at(&ram, PC_PAGE_TABLES + 0x1000 + 4 * 8)), 0);
    assert_int_equal(load_le64(load_ram_at(&ram, PC_PAGE_TABLES + 8)), 0);
    assert_int_equal(*load_ram_at(&ram, PC_PAGE_TABLES_END), 0xee);
    ram_free(&ram);
}

static void test_segments_stand_where_linux_expects_them(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    const uint8_t *gdt = load_ram_at(&ram, PC_GDT);
    uint16_t limit = boot_gdt_write(&ram, true);

    (void)state;
    assert_true(limit >= 0x1f);
    assert_int_equal(load_le64(gdt), 0);
    assert_int_equal(gdt[0x10 + 5] & 0x9a, 0x9a); /* present, code, readable */
    assert_int_equal(gdt[0x10 + 6] & 0x20, 0x20); /* 64-bit */
    assert_int_equal(gdt[0x18 + 5] & 0x92, 0x92); /* present, data, writable */
    assert_int_equal(gdt[limit + 1], 0xee);
    ram_free(&ram);
}

static void test_code_segment_of_a_32_bit_start_is_32_bit(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);

    (void)state;
    (void)boot_gdt_write(&ram, false);
    assert_int_equal(load_ram_at(&ram, PC_GDT)[0x16] & 0x60, 0x40);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_is_sorted_and_holds_all_ram_but_the_holes),
        cmocka_unit_test(test_ram_beyond_the_device_hole_starts_at_4_gib),
        cmocka_unit_test(test_zero_page_names_everything),
        cmocka_unit_test(test_zero_page_carries_the_memory_map),
        cmocka_unit_test(test_setup_header_of_the_kernel_is_kept),
        cmocka_unit_test(test_longest_command_line_fits_and_one_more_is_refused),
        cmocka_unit_test(test_command_line_stays_in_its_place),
        cmocka_unit_test(test_page_tables_map_4_gib_as_they_are),
        cmocka_unit_test(test_segments_stand_where_linux_expects_them),
        cmocka_unit_test(test_code_segment_of_a_32_bit_start_is_32_bit),
    };

    return cmocka_run_group_tests_name("machine_boot", tests, NULL, NULL);
}
