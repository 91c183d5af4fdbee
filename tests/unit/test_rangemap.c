/* The range map: order, overlaps, and room that was made in advance. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/rangemap.h"
#include "base/reason.h"
#include "support/inject.h"
#include "support/leak.h"

static int values[64];

static void add(struct rangemap *map, uint64_t start, uint64_t size, int *value)
{
    assert_int_equal(rangemap_add(map, (struct range){start, size}, value), 0);
}

static void test_entries_come_in_order_of_address(void **state)
{
    static const uint64_t starts[] = {0x5000, 0x1000, 0x9000, 0x3000, 0x7000};
    struct rangemap map = {0};
    const struct rangemap_entry *entry;
    uint64_t expected = 0x1000;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        add(&map, starts[i], 0x1000, &values[i]);
    }
    for (entry = rangemap_at_or_after(&map, 0); entry != NULL; entry = rangemap_next(&map, entry)) {
        assert_int_equal(entry->range.start, expected);
        expected += 0x2000;
    }
    assert_int_equal(expected, 0xb000);
    rangemap_fini(&map);
}

static void test_overlap_is_refused_and_changes_nothing(void **state)
{
    static const struct range bad[] = {
        {0x1000, 1}, {0x1fff, 0x1000}, {0x0fff, 2}, {0, 0x10000}, {0x1800, 0x10},
    };
    struct rangemap map = {0};

    (void)state;
    add(&map, 0x1000, 0x1000, &values[0]);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rangemap_add(&map, bad[i], &values[1]), -EEXIST);
    }
    assert_string_equal(reason_last(), "cannot add [0x1800..0x1810): it overlaps [0x1000..0x2000)");
    assert_int_equal(map.nr_entries, 1);
    add(&map, 0x2000, 0x1000, &values[1]);
    add(&map, 0, 0x1000, &values[2]);
    rangemap_fini(&map);
}

static void test_empty_and_wrapping_ranges_are_refused(void **state)
{
    struct rangemap map = {0};

    (void)state;
    assert_int_equal(rangemap_add(&map, (struct range){0x1000, 0}, NULL), -EINVAL);
    assert_string_equal(reason_last(), "cannot add a range of 0x0 bytes at 0x1000: it is empty");
    assert_int_equal(rangemap_add(&map, (struct range){UINT64_MAX, 1}, NULL), -EINVAL);
    assert_string_equal(reason_last(), "cannot add a range of 0x1 bytes at 0xffffffffffffffff: "
                                       "it is past the last address");
    assert_int_equal(map.nr_entries, 0);
    rangemap_fini(&map);
}

static void test_find_meets_first_and_last_byte_only(void **state)
{
    struct rangemap map = {0};

    (void)state;
    add(&map, 0x1000, 0x1000, &values[0]);
    add(&map, 0x4000, 0x1000, &values[1]);
    assert_null(rangemap_find(&map, 0xfff));
    assert_ptr_equal(rangemap_find(&map, 0x1000)->value, &values[0]);
    assert_ptr_equal(rangemap_find(&map, 0x1fff)->value, &values[0]);
    assert_null(rangemap_find(&map, 0x2000));
    assert_ptr_equal(rangemap_at_or_after(&map, 0x2000)->value, &values[1]);
    assert_ptr_equal(rangemap_at_or_after(&map, 0x4fff)->value, &values[1]);
    assert_null(rangemap_at_or_after(&map, 0x5000));
    rangemap_fini(&map);
}

static void test_first_overlap_is_the_lowest(void **state)
{
    struct rangemap map = {0};

    (void)state;
    add(&map, 0x1000, 0x1000, &values[0]);
    add(&map, 0x3000, 0x1000, &values[1]);
    assert_ptr_equal(rangemap_first_overlap(&map, (struct range){0, 0x10000})->value, &values[0]);
    assert_ptr_equal(rangemap_first_overlap(&map, (struct range){0x2000, 0x1001})->value,
                     &values[1]);
    assert_null(rangemap_first_overlap(&map, (struct range){0x2000, 0x1000}));
    assert_null(rangemap_first_overlap(&map, (struct range){0x1000, 0}));
    rangemap_fini(&map);
}

static void test_last_overlap_is_the_highest(void **state)
{
    struct rangemap map = {0};

    (void)state;
    assert_null(rangemap_last_overlap(&map, (struct range){0, UINT64_MAX}));
    add(&map, 0x1000, 0x1000, &values[0]);
    add(&map, 0x3000, 0x1000, &values[1]);
    add(&map, 0x5000, 0x1000, &values[2]);
    assert_ptr_equal(rangemap_last_overlap(&map, (struct range){0, UINT64_MAX})->value, &values[2]);
    assert_ptr_equal(rangemap_last_overlap(&map, (struct range){0, 0x5000})->value, &values[1]);
    assert_ptr_equal(rangemap_last_overlap(&map, (struct range){0, 0x5001})->value, &values[2]);
    assert_ptr_equal(rangemap_last_overlap(&map, (struct range){0x1fff, 2})->value, &values[0]);
    assert_ptr_equal(rangemap_last_overlap(&map, (struct range){0x3800, 1})->value, &values[1]);
    assert_null(rangemap_last_overlap(&map, (struct range){0x2000, 0x1000}));
    assert_null(rangemap_last_overlap(&map, (struct range){0x6000, 0x1000}));
    assert_null(rangemap_last_overlap(&map, (struct range){0x3000, 0}));
    rangemap_fini(&map);
}

static void test_remove_takes_what_begins_there(void **state)
{
    struct rangemap map = {0};

    (void)state;
    add(&map, 0x1000, 0x1000, &values[0]);
    add(&map, 0x3000, 0x1000, &values[1]);
    assert_null(rangemap_remove(&map, 0x1001));
    assert_null(rangemap_remove(&map, 0x2000));
    assert_ptr_equal(rangemap_remove(&map, 0x1000), &values[0]);
    assert_null(rangemap_remove(&map, 0x1000));
    assert_int_equal(map.nr_entries, 1);
    assert_ptr_equal(rangemap_remove(&map, 0x3000), &values[1]);
    assert_null(rangemap_at_or_after(&map, 0));
    rangemap_fini(&map);
}

static void test_reserved_room_cannot_fail(void **state)
{
    struct rangemap map = {0};

    (void)state;
    assert_int_equal(rangemap_reserve(&map, 64), 0);
    for (uint64_t i = 0; i < 64; i++) {
        inject_fail_nth(1);
        add(&map, i * 0x1000, 0x1000, &values[i]);
        assert_false(inject_disarm());
    }
    rangemap_fini(&map);
}

static void test_no_memory_leaves_the_map_as_it_was(void **state)
{
    struct rangemap map = {0};
    struct leak_state before;

    (void)state;
    leak_begin(&before);
    for (uint64_t i = 0; i < 8; i++) {
        add(&map, i * 0x1000, 0x1000, &values[i]);
    }
    inject_fail_nth(1);
    assert_int_equal(rangemap_add(&map, (struct range){0x8000, 1}, NULL), -ENOMEM);
    assert_true(inject_disarm());
    assert_string_equal(reason_last(), "cannot make room for 1 more ranges: out of memory");
    assert_int_equal(map.nr_entries, 8);
    assert_ptr_equal(rangemap_find(&map, 0x7000)->value, &values[7]);
    assert_int_equal(rangemap_reserve(&map, SIZE_MAX), -ENOMEM);
    rangemap_fini(&map);
    leak_check(&before);
}

/* The same operations on a plain array of bytes say what must come out. */
static void test_random_operations_agree_with_a_byte_array(void **state)
{
    enum { SIZE = 256 };
    unsigned char owner[SIZE] = {0};
    struct rangemap map = {0};
    unsigned seed = 12345;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        unsigned start, size;
        const struct rangemap_entry *entry;

        seed = seed * 1103515245 + 12345;
        start = seed >> 16 & (SIZE - 1);
        size = (seed >> 8 & 15) + 1;
        entry = rangemap_find(&map, start);
        assert_int_equal(entry != NULL, owner[start] != 0);
        if (entry != NULL && (seed & 1) != 0) {
            struct range r = entry->range;

            assert_non_null(rangemap_remove(&map, r.start));
            memset(owner + r.start, 0, r.size);
        } else if (start + size <= SIZE) {
            int r = rangemap_add(&map, (struct range){start, size}, &values[0]);

            if (memchr(owner + start, 1, size) != NULL) {
                assert_int_equal(r, -EEXIST);
            } else {
                assert_int_equal(r, 0);
                memset(owner + start, 1, size);
            }
        }
    }
    rangemap_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_come_in_order_of_address),
        cmocka_unit_test(test_overlap_is_refused_and_changes_nothing),
        cmocka_unit_test(test_empty_and_wrapping_ranges_are_refused),
        cmocka_unit_test(test_find_meets_first_and_last_byte_only),
        cmocka_unit_test(test_first_overlap_is_the_lowest),
        cmocka_unit_test(test_last_overlap_is_the_highest),
        cmocka_unit_test(test_remove_takes_what_begins_there),
        cmocka_unit_test(test_reserved_room_cannot_fail),
        cmocka_unit_test(test_no_memory_leaves_the_map_as_it_was),
        cmocka_unit_test(test_random_operations_agree_with_a_byte_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
