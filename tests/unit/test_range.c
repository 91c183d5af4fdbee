/* Ranges: every question at its borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/range.h"

static const uint64_t top = UINT64_MAX;

static void test_range_is_valid_as_long_as_its_end_is_a_number(void **state)
{
    (void)state;
    assert_true(range_is_valid(0, 0));
    assert_true(range_is_valid(0, top));
    assert_true(range_is_valid(top, 0));
    assert_false(range_is_valid(top, 1));
    assert_false(range_is_valid(1, top));
}

static void test_range_has_its_first_byte_and_not_its_end(void **state)
{
    struct range r = {0x1000, 0x1000};

    (void)state;
    assert_false(range_has(r, 0xfff));
    assert_true(range_has(r, 0x1000));
    assert_true(range_has(r, 0x1fff));
    assert_false(range_has(r, 0x2000));
    assert_false(range_has((struct range){0x1000, 0}, 0x1000));
}

static void test_range_contains_at_the_borders(void **state)
{
    static const struct {
        struct range inner;
        bool is_inside;
    } cases[] = {
        {{0x1000, 0x1000}, true},  {{0x1000, 0}, true},  {{0x2000, 0}, true},
        {{0x1fff, 1}, true},       {{0x1fff, 2}, false}, {{0x0fff, 1}, false},
        {{0x0fff, 0x1001}, false}, {{0x2001, 0}, false}, {{0x1800, UINT64_MAX}, false},
        {{0, UINT64_MAX}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(range_contains((struct range){0x1000, 0x1000}, cases[i].inner),
                         cases[i].is_inside);
    }
}

static void test_ranges_overlap_in_one_byte_but_not_when_they_touch(void **state)
{
    static const struct {
        struct range a;
        struct range b;
        bool overlap;
    } cases[] = {
        {{0x1000, 0x1000}, {0x2000, 0x1000}, false},  {{0x1000, 0x1001}, {0x2000, 0x1000}, true},
        {{0x1000, 0x1000}, {0x1000, 0x1000}, true},   {{0x1000, 0x3000}, {0x2000, 1}, true},
        {{0x1000, 0}, {0x1000, 0x1000}, false},       {{0, UINT64_MAX}, {0x1000, 0}, false},
        {{UINT64_MAX - 1, 1}, {0, UINT64_MAX}, true}, {{UINT64_MAX, 1}, {0, UINT64_MAX}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(range_overlaps(cases[i].a, cases[i].b), cases[i].overlap);
        assert_int_equal(range_overlaps(cases[i].b, cases[i].a), cases[i].overlap);
    }
}

static void test_rounding_out_covers_every_page_touched(void **state)
{
    struct range r = range_round_out((struct range){0x1fff, 2}, 0x1000);

    (void)state;
    assert_int_equal(r.start, 0x1000);
    assert_int_equal(r.size, 0x2000);
    r = range_round_out((struct range){0x3000, 0}, 0x1000);
    assert_int_equal(r.start, 0x3000);
    assert_int_equal(r.size, 0);
}

static void test_rounding_out_past_the_top_is_never_smaller_than_asked(void **state)
{
    struct range r = range_round_out((struct range){top - 1, 1}, 0x1000);

    (void)state;
    assert_false(range_is_valid(r.start, r.size));
    r = range_round_out((struct range){0, top}, 0x1000);
    assert_int_equal(r.size, 0);
}

static void test_rounding_in_keeps_whole_pages_only(void **state)
{
    struct range r = range_round_in((struct range){0x1001, 0x2fff}, 0x1000);

    (void)state;
    assert_int_equal(r.start, 0x2000);
    assert_int_equal(r.size, 0x2000);
    r = range_round_in((struct range){0x1000, 0x2000}, 0x1000);
    assert_int_equal(r.start, 0x1000);
    assert_int_equal(r.size, 0x2000);
    assert_int_equal(range_round_in((struct range){0x1001, 0x1ffe}, 0x1000).size, 0);
    assert_int_equal(range_round_in((struct range){0x1001, 1}, 0x1000).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range_is_valid_as_long_as_its_end_is_a_number),
        cmocka_unit_test(test_range_has_its_first_byte_and_not_its_end),
        cmocka_unit_test(test_range_contains_at_the_borders),
        cmocka_unit_test(test_ranges_overlap_in_one_byte_but_not_when_they_touch),
        cmocka_unit_test(test_rounding_out_covers_every_page_touched),
        cmocka_unit_test(test_rounding_out_past_the_top_is_never_smaller_than_asked),
        cmocka_unit_test(test_rounding_in_keeps_whole_pages_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
