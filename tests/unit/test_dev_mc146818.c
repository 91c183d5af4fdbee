/* The MC146818: time in all its notations, setting it, memory sizes, and hostile accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/mc146818.h"

enum {
    SECONDS = 0,
    MINUTES = 2,
    HOURS = 4,
    WEEKDAY = 6,
    DAY = 7,
    MONTH = 8,
    YEAR = 9,
    CENTURY = 0x32
};

/* 2024-02-29 13:59:58 UTC, a Thursday */
static const int64_t leap_day = 1709215198;

static int64_t host_now;

static int64_t now(void *cookie)
{
    (void)cookie;
    return host_now;
}

static void clock_init(struct mc146818 *clock, uint64_t ram_size)
{
    host_now = leap_day;
    memset(clock, 0, sizeof(*clock));
    clock->now = now;
    mc146818_reset(clock, ram_size);
}

static uint8_t get(struct mc146818 *clock, uint8_t index)
{
    mc146818_write(clock, 0, index);
    return mc146818_read(clock, 1);
}

static void put(struct mc146818 *clock, uint8_t index, uint8_t value)
{
    mc146818_write(clock, 0, index);
    mc146818_write(clock, 1, value);
}

static void assert_time(struct mc146818 *clock, const uint8_t expected[8])
{
    static const uint8_t indices[] = {CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS};

    for (size_t i = 0; i < sizeof(indices); i++) {
        assert_int_equal(get(clock, indices[i]), expected[i]);
    }
}

static void test_time_is_bcd_and_24_hours_after_reset(void **state)
{
    static const uint8_t expected[] = {0x20, 0x24, 0x02, 0x29, 5, 0x13, 0x59, 0x58};
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    assert_int_equal(get(&clock, 0x0b), 0x02);
    assert_time(&clock, expected);
}

static void test_time_is_binary_when_asked(void **state)
{
    static const uint8_t expected[] = {20, 24, 2, 29, 5, 13, 59, 58};
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, 0x0b, 0x06);
    assert_time(&clock, expected);
}

static void test_hours_of_a_12_hour_clock(void **state)
{
    static const struct {
        unsigned hour;
        uint8_t bcd, binary;
    } cases[] = {
        {0, 0x12, 12},    {1, 0x01, 1},     {11, 0x11, 11},
        {12, 0x92, 0x8c}, {13, 0x81, 0x81}, {23, 0x91, 0x8b},
    };
    struct mc146818 clock;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clock_init(&clock, 64 << 20);
        host_now = 1709164800 + 3600 * (int64_t)cases[i].hour;
        put(&clock, 0x0b, 0x00);
        assert_int_equal(get(&clock, HOURS), cases[i].bcd);
        put(&clock, 0x0b, 0x04);
        assert_int_equal(get(&clock, HOURS), cases[i].binary);
        put(&clock, HOURS, cases[i].binary);
        assert_int_equal(get(&clock, HOURS), cases[i].binary);
    }
}

static void test_clock_runs_with_the_host(void **state)
{
    static const uint8_t expected[] = {0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00};
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    host_now = 1709251200;
    assert_time(&clock, expected);
}

static void test_time_that_the_guest_sets_runs_on(void **state)
{
    static const uint8_t set[] = {0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59};
    static const uint8_t later[] = {0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00};
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, DAY, 0x01);
    put(&clock, CENTURY, 0x19);
    put(&clock, YEAR, 0x99);
    put(&clock, MONTH, 0x12);
    put(&clock, DAY, 0x31);
    put(&clock, HOURS, 0x23);
    put(&clock, MINUTES, 0x59);
    put(&clock, SECONDS, 0x59);
    assert_time(&clock, set);
    host_now++;
    assert_time(&clock, later);
}

static void test_guest_never_waits_for_an_update(void **state)
{
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, 0x0a, 0xff);
    assert_int_equal(get(&clock, 0x0a) & 0x80, 0);
}

static void test_flags_are_clear_and_power_is_good_whatever_is_written(void **state)
{
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, 0x0c, 0xff);
    put(&clock, 0x0d, 0x00);
    assert_int_equal(get(&clock, 0x0c), 0);
    assert_int_equal(get(&clock, 0x0d), 0x80);
}

static void test_index_leaves_the_nmi_mask_out(void **state)
{
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, 0x40, 0x77);
    assert_int_equal(get(&clock, 0xc0), 0x77);
}

static unsigned get16(struct mc146818 *clock, uint8_t index)
{
    return get(clock, index) | (unsigned)get(clock, (uint8_t)(index + 1)) << 8;
}

static void test_memory_sizes_are_told_as_a_bios_does(void **state)
{
    static const struct {
        uint64_t mib;
        unsigned kib, units;
    } cases[] = {
        {2, 1024, 0},
        {16, 15 * 1024, 0},
        {64, 63 * 1024, 48 * 16},
        {1024, 65535, 1008 * 16},
        {3072, 65535, 3056 * 16},
    };
    struct mc146818 clock;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clock_init(&clock, cases[i].mib << 20);
        assert_int_equal(get16(&clock, 0x15), 640);
        assert_int_equal(get16(&clock, 0x17), cases[i].kib);
        assert_int_equal(get16(&clock, 0x30), cases[i].kib);
        assert_int_equal(get16(&clock, 0x34), cases[i].units);
    }
}

static void test_any_byte_in_any_register_is_survived(void **state)
{
    static const uint8_t formats[] = {0x00, 0x02, 0x04, 0x06, 0x80, 0xff};
    struct mc146818 clock;

    (void)state;
    for (size_t f = 0; f < sizeof(formats); f++) {
        clock_init(&clock, UINT64_MAX);
        put(&clock, 0x0b, formats[f]);
        for (unsigned index = 0; index < 256; index++) {
            for (unsigned value = 0; value < 256; value++) {
                if ((index & 0x7f) != 0x0b) {
                    put(&clock, (uint8_t)index, (uint8_t)value);
                    (void)get(&clock, (uint8_t)(value ^ index));
                }
            }
        }
    }
}

static void test_any_host_time_is_survived(void **state)
{
    static const int64_t times[] = {
        0, -1, -62167219200 * 10, INT32_MAX, 253402300800 * 1000, INT64_MAX, INT64_MIN};
    struct mc146818 clock;

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        clock_init(&clock, 64 << 20);
        host_now = times[i];
        for (unsigned index = 0; index < CMOS_SIZE; index++) {
            (void)get(&clock, (uint8_t)index);
        }
    }
}

/* From 31 March to 15 February: 31 February on the way there is no date. */
static void test_date_set_while_updates_are_halted_is_that_date(void **state)
{
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    host_now = 1711886400;
    put(&clock, 0x0b, 0x82);
    put(&clock, YEAR, 0x24);
    put(&clock, MONTH, 0x02);
    put(&clock, DAY, 0x15);
    put(&clock, 0x0b, 0x02);
    assert_int_equal(get(&clock, MONTH), 0x02);
    assert_int_equal(get(&clock, DAY), 0x15);
}

static void test_year_before_1900_is_told_as_set(void **state)
{
    struct mc146818 clock;

    (void)state;
    clock_init(&clock, 64 << 20);
    put(&clock, CENTURY, 0x18);
    assert_int_equal(get(&clock, YEAR), 0x24);
    assert_int_equal(get(&clock, CENTURY), 0x18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_is_bcd_and_24_hours_after_reset),
        cmocka_unit_test(test_time_is_binary_when_asked),
        cmocka_unit_test(test_hours_of_a_12_hour_clock),
        cmocka_unit_test(test_clock_runs_with_the_host),
        cmocka_unit_test(test_time_that_the_guest_sets_runs_on),
        cmocka_unit_test(test_guest_never_waits_for_an_update),
        cmocka_unit_test(test_flags_are_clear_and_power_is_good_whatever_is_written),
        cmocka_unit_test(test_index_leaves_the_nmi_mask_out),
        cmocka_unit_test(test_memory_sizes_are_told_as_a_bios_does),
        cmocka_unit_test(test_any_byte_in_any_register_is_survived),
        cmocka_unit_test(test_any_host_time_is_survived),
        cmocka_unit_test(test_date_set_while_updates_are_halted_is_that_date),
        cmocka_unit_test(test_year_before_1900_is_told_as_set),
    };

    return cmocka_run_group_tests_name("dev_mc146818", tests, NULL, NULL);
}
