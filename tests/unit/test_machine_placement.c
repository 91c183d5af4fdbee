/* Where device tree and initrd go: by the kernel's rules, whatever RAM and image are like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "machine/layout_virt.h"
#include "machine/placement.h"

static const uint64_t mib = 1ull << 20;
static const uint64_t gib = 1ull << 30;

/* A kernel of size bytes at the start of RAM, in its window of 32 GiB. */
static struct image kernel(uint64_t size)
{
    return (struct image){
        .low = VIRT_RAM, .high = VIRT_RAM + size, .linux_boot.initrd_max = VIRT_RAM + 32 * gib - 1};
}

static struct load_ram ram_of(uint64_t size)
{
    return (struct load_ram){.base = VIRT_RAM, .size = size};
}

static void test_rules_hold_for_all_sizes(void **state)
{
    static const uint64_t rams[] = {2,   3,   16,  64,   255,  256,   511,   512,
                                    513, 767, 768, 1024, 1536, 32768, 65536, 524288};
    static const uint64_t kernels[] = {4096, 1ull << 20, 33ull << 20, 200ull << 20, 600ull << 20};
    static const uint64_t rooms[] = {VIRT_DTB_ROOM, VIRT_DTB_MAX};
    unsigned nr_placed = 0;

    (void)state;
    for (unsigned i = 0; i < 16 * 5 * 2; i++) {
        struct load_ram ram = ram_of(rams[i / 10] * mib);
        struct image image = kernel(kernels[i / 2 % 5]);
        uint64_t room = rooms[i % 2];
        uint64_t end = VIRT_RAM + ram.size;
        struct load_error err = {""};
        struct placement p;

        if (placement_choose(&ram, &image, room, &p, &err) != 0) {
            assert_true(image.high + 2 * room > end);
            continue;
        }
        nr_placed++;
        assert_true(p.dtb >= image.high && p.dtb + room <= end);
        assert_int_equal(p.dtb / VIRT_DTB_MAX, (p.dtb + room - 1) / VIRT_DTB_MAX);
        assert_int_equal(p.dtb % 8, 0);
        if (image.high + room <= VIRT_RAM + VIRT_DTB_WINDOW - room) {
            assert_true(p.dtb + room <= VIRT_RAM + VIRT_DTB_WINDOW);
        }
        assert_true(p.modules_low >= image.high && p.modules_high <= end);
        assert_true(p.modules_high <= p.dtb || p.modules_low >= p.dtb + room);
        assert_true(p.modules_high - 1 <= image.linux_boot.initrd_max);
        assert_true(p.modules_high - p.modules_low >=
                    (end < VIRT_RAM + 32 * gib ? (end - room - image.high) / 2 - room : 16 * gib));
    }
    assert_in_range(nr_placed, 100, 159);
}

static void test_small_ram_has_the_tree_at_its_end_and_modules_below(void **state)
{
    struct load_ram ram = ram_of(256 * mib);
    struct image image = kernel(32 * mib);
    struct placement p;

    (void)state;
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_ROOM, &p, NULL), 0);
    assert_int_equal(p.dtb, VIRT_RAM + 256 * mib - VIRT_DTB_ROOM);
    assert_int_equal(p.modules_low, VIRT_RAM + 32 * mib);
    assert_int_equal(p.modules_high, p.dtb);
}

static void test_large_ram_has_modules_above_the_tree(void **state)
{
    struct load_ram ram = ram_of(64 * gib);
    struct image image = kernel(32 * mib);
    struct placement p;

    (void)state;
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_ROOM, &p, NULL), 0);
    assert_int_equal(p.dtb, VIRT_RAM + 512 * mib - VIRT_DTB_ROOM);
    assert_int_equal(p.modules_low, VIRT_RAM + 512 * mib);
    assert_int_equal(p.modules_high, VIRT_RAM + 32 * gib);
    image.linux_boot.initrd_max = 0; /* code that says nothing of it */
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_ROOM, &p, NULL), 0);
    assert_int_equal(p.modules_high, VIRT_RAM + 64 * gib);
}

static void test_image_beyond_the_window_has_the_tree_at_the_end_of_ram(void **state)
{
    struct load_ram ram = ram_of(2 * gib);
    struct image image = kernel(600 * mib);
    struct placement p;

    (void)state;
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_MAX, &p, NULL), 0);
    assert_int_equal(p.dtb, VIRT_RAM + 2 * gib - VIRT_DTB_MAX);
    assert_int_equal(p.modules_high, p.dtb);
}

static void test_image_that_fills_ram_is_refused(void **state)
{
    struct load_ram ram = ram_of(4 * mib);
    struct image image = kernel(4 * mib - VIRT_DTB_ROOM);
    struct load_error err = {""};
    struct placement p;

    (void)state;
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_ROOM, &p, &err), 0);
    assert_int_equal(p.modules_low, p.modules_high);
    image.high += 4096;
    assert_int_equal(placement_choose(&ram, &image, VIRT_DTB_ROOM, &p, &err), -EFBIG);
    assert_string_equal(err.text,
                        "cannot place the device tree: its 64 KiB do not fit into "
                        "[0x403f1000..0x40400000) between the kernel and the end of RAM; give more "
                        "RAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_hold_for_all_sizes),
        cmocka_unit_test(test_small_ram_has_the_tree_at_its_end_and_modules_below),
        cmocka_unit_test(test_large_ram_has_modules_above_the_tree),
        cmocka_unit_test(test_image_beyond_the_window_has_the_tree_at_the_end_of_ram),
        cmocka_unit_test(test_image_that_fills_ram_is_refused),
    };

    return cmocka_run_group_tests_name("machine_placement", tests, NULL, NULL);
}
