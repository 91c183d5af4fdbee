/* What multiboot and PVH guests are told at their start, byte by byte. */
#include "load_fixture.h"

#include "load/boot_info.h"

enum { RAM_SIZE = 0x10000, AT = 0x9000, ROOM = 0x1000 };

static const struct load_memmap_entry memmap[] = {
    {0, 0x9fc00, MEMMAP_RAM},
    {0x9fc00, 0x60400, MEMMAP_RESERVED},
    {0x100000, 0x700000, MEMMAP_RAM},
    {0x800000, 0x800000, MEMMAP_RAM},
    {0x100000000, 0x40000000, MEMMAP_RAM},
};

static const struct load_module modules[] = {
    {0x200000, 0x1234, "first one"},
    {0x300000, 0x10, NULL},
};

static const struct boot_info everything = {
    .cmdline = "console=ttyS0 quiet",
    .memmap = memmap,
    .nr_memmap = 5,
    .modules = modules,
    .nr_modules = 2,
    .rsdp = 0xe0000,
};

static const struct boot_info nothing = {0};

static uint32_t word(const struct load_ram *ram, uint64_t gpa)
{
    return load_le32(load_ram_at(ram, gpa));
}

static uint64_t quad(const struct load_ram *ram, uint64_t gpa)
{
    return load_le64(load_ram_at(ram, gpa));
}

static const char *text(const struct load_ram *ram, uint64_t gpa)
{
    return (const char *)load_ram_at(ram, gpa);
}

static void test_multiboot_information_has_it_all(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    uint64_t size;
    uint32_t map, mods;

    (void)state;
    assert_int_equal(multiboot_info_write(&ram, AT, ROOM, &everything, &size, NULL), 0);
    assert_int_equal(word(&ram, AT), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    assert_int_equal(word(&ram, AT + 4), 639);
    assert_int_equal(word(&ram, AT + 8), 15 << 10);
    assert_string_equal(text(&ram, word(&ram, AT + 16)), "console=ttyS0 quiet");
    assert_int_equal(word(&ram, AT + 20), 2);
    mods = word(&ram, AT + 24);
    assert_int_equal(word(&ram, mods), 0x200000);
    assert_int_equal(word(&ram, mods + 4), 0x201234);
    assert_string_equal(text(&ram, word(&ram, mods + 8)), "first one");
    assert_int_equal(word(&ram, mods + 12), 0);
    assert_int_equal(word(&ram, mods + 16), 0x300000);
    assert_string_equal(text(&ram, word(&ram, mods + 24)), "");
    assert_int_equal(word(&ram, AT + 44), 5 * 24);
    map = word(&ram, AT + 48);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(word(&ram, map + 24 * i), 20);
        assert_int_equal(quad(&ram, map + 24 * i + 4), memmap[i].start);
        assert_int_equal(quad(&ram, map + 24 * i + 12), memmap[i].size);
        assert_int_equal(word(&ram, map + 24 * i + 20), memmap[i].type);
    }
    assert_string_equal(text(&ram, word(&ram, AT + 64)), "hostvm");
    assert_int_equal(ram.host[AT - 1], 0xee);
    assert_int_equal(ram.host[AT + size - 1], 0);
    assert_int_equal(ram.host[AT + size], 0xee);
    ram_free(&ram);
}

static void test_multiboot_information_about_nothing_is_empty(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    uint64_t size;

    (void)state;
    assert_int_equal(multiboot_info_write(&ram, AT, ROOM, &nothing, &size, NULL), 0);
    assert_int_equal(word(&ram, AT + 4), 0);
    assert_int_equal(word(&ram, AT + 8), 0);
    assert_string_equal(text(&ram, word(&ram, AT + 16)), "");
    assert_int_equal(word(&ram, AT + 20), 0);
    assert_int_equal(word(&ram, AT + 44), 0);
    ram_free(&ram);
}

static void test_pvh_start_information_has_it_all(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    uint64_t size, map, mods;

    (void)state;
    assert_int_equal(pvh_start_info_write(&ram, AT, ROOM, &everything, &size, NULL), 0);
    assert_int_equal(word(&ram, AT), 0x336ec578);
    assert_int_equal(word(&ram, AT + 4), 1);
    assert_int_equal(word(&ram, AT + 8), 0);
    assert_int_equal(word(&ram, AT + 12), 2);
    mods = quad(&ram, AT + 16);
    assert_int_equal(quad(&ram, mods), 0x200000);
    assert_int_equal(quad(&ram, mods + 8), 0x1234);
    assert_string_equal(text(&ram, quad(&ram, mods + 16)), "first one");
    assert_int_equal(quad(&ram, mods + 24), 0);
    assert_int_equal(quad(&ram, mods + 32), 0x300000);
    assert_int_equal(quad(&ram, mods + 48), 0);
    assert_string_equal(text(&ram, quad(&ram, AT + 24)), "console=ttyS0 quiet");
    assert_int_equal(quad(&ram, AT + 32), 0xe0000);
    assert_int_equal(word(&ram, AT + 48), 5);
    map = quad(&ram, AT + 40);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(quad(&ram, map + 24 * i), memmap[i].start);
        assert_int_equal(quad(&ram, map + 24 * i + 8), memmap[i].size);
        assert_int_equal(word(&ram, map + 24 * i + 16), memmap[i].type);
        assert_int_equal(word(&ram, map + 24 * i + 20), 0);
    }
    assert_int_equal(word(&ram, AT + 52), 0);
    assert_int_equal(ram.host[AT + size], 0xee);
    ram_free(&ram);
}

static void test_pvh_start_information_about_nothing_has_no_pointers(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    uint64_t size;

    (void)state;
    assert_int_equal(pvh_start_info_write(&ram, AT, 56, &nothing, &size, NULL), 0);
    assert_int_equal(size, 56);
    assert_int_equal(quad(&ram, AT + 24), 0);
    assert_int_equal(quad(&ram, AT + 32), 0);
    assert_int_equal(word(&ram, AT + 48), 0);
    ram_free(&ram);
}

typedef int (*write_fn)(const struct load_ram *ram, uint64_t gpa, uint64_t room,
                        const struct boot_info *info, uint64_t *ret_size, struct load_error *err);

static void check_short_rooms(write_fn write, const char *line)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    struct load_error err;
    uint64_t needed, size;

    assert_int_equal(write(&ram, AT, ROOM, &everything, &needed, NULL), 0);
    for (uint64_t room = 0; room < needed; room++) {
        memset(ram.host, 0xee, RAM_SIZE);
        assert_int_equal(write(&ram, AT, room, &everything, &size, &err), -E2BIG);
        assert_true(size <= room);
        assert_int_equal(ram.host[AT + room], 0xee);
    }
    assert_int_equal(write(&ram, AT, 10, &everything, &size, &err), -E2BIG);
    assert_string_equal(err.text, line);
    assert_int_equal(write(&ram, AT, needed, &everything, &size, &err), 0);
    ram_free(&ram);
}

static void test_room_that_is_short_is_refused_at_every_length(void **state)
{
    (void)state;
    check_short_rooms(
        multiboot_info_write,
        "cannot write the multiboot information: it does not fit below 0x900a; shorten "
        "the command line");
    check_short_rooms(
        pvh_start_info_write,
        "cannot write the PVH start information: it does not fit below 0x900a; shorten "
        "the command line");
}

static void test_room_outside_low_ram_is_refused(void **state)
{
    struct load_ram ram = ram_make(0, RAM_SIZE, false);
    struct load_ram high = {ram.host, 0xffff8000, RAM_SIZE, false};
    struct load_error err;
    uint64_t size;

    (void)state;
    assert_int_equal(multiboot_info_write(&ram, 0xf800, ROOM, &everything, &size, &err), -EINVAL);
    assert_string_equal(err.text, "cannot write the multiboot information to 0xf800: 0x1000 bytes "
                                  "there are not RAM below 4 GiB");
    assert_int_equal(pvh_start_info_write(&high, 0xfffff800, ROOM, &everything, &size, &err),
                     -EINVAL);
    assert_string_equal(err.text,
                        "cannot write the PVH start information to 0xfffff800: 0x1000 bytes "
                        "there are not RAM below 4 GiB");
    assert_int_equal(pvh_start_info_write(&high, 0xfffff000, ROOM, &everything, &size, &err), 0);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiboot_information_has_it_all),
        cmocka_unit_test(test_multiboot_information_about_nothing_is_empty),
        cmocka_unit_test(test_pvh_start_information_has_it_all),
        cmocka_unit_test(test_pvh_start_information_about_nothing_has_no_pointers),
        cmocka_unit_test(test_room_that_is_short_is_refused_at_every_length),
        cmocka_unit_test(test_room_outside_low_ram_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
