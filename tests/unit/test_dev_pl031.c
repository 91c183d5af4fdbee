/* The PL031 as a driver sees it: identification, time, alarm, and hostile accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/pl031.h"

enum {
    DR = 0x00,
    MR = 0x04,
    LR = 0x08,
    CR = 0x0c,
    IMSC = 0x10,
    RIS = 0x14,
    MIS = 0x18,
    ICR = 0x1c
};

enum { START = 1700000000 };

struct bench {
    struct pl031 clock;
    int64_t now;
    int64_t wish; /* of the last wake; 0: none */
    unsigned nr_wishes;
    int level;
};

static void set_level(void *cookie, int level)
{
    struct bench *bench = cookie;

    assert_int_not_equal(level, bench->level); /* a change costs a system call: none for nothing */
    bench->level = level;
}

static int64_t now(void *cookie)
{
    return ((struct bench *)cookie)->now;
}

static void wake(void *cookie, int64_t at)
{
    struct bench *bench = cookie;

    bench->wish = at;
    bench->nr_wishes++;
}

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->now = START;
    bench->clock.irq = (struct irq_line){set_level, bench};
    bench->clock.now = now;
    bench->clock.wake = wake;
    bench->clock.cookie = bench;
    pl031_reset(&bench->clock);
}

static void bench_open(struct bench *bench)
{
    bench_init(bench);
    pl031_open(&bench->clock);
}

static void put(struct bench *bench, unsigned offset, uint32_t value)
{
    pl031_write(&bench->clock, offset, value);
}

static uint32_t get(struct bench *bench, unsigned offset)
{
    return pl031_read(&bench->clock, offset);
}

static void test_reset_state_is_the_manuals(void **state)
{
    static const uint32_t ids[] = {0x31, 0x10, 0x04, 0, 0x0d, 0xf0, 0x05, 0xb1};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned offset = 0; offset < 0xfe0; offset += 4) {
        assert_int_equal(get(&b, offset), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(get(&b, 0xfe0 + 4 * i), ids[i]);
    }
    b.now += 10;
    assert_int_equal(get(&b, DR), 0); /* it does not run */
    assert_int_equal(b.nr_wishes, 0);
}

static void test_firmware_leaves_the_hosts_time(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    assert_int_equal(get(&b, CR), 1);
    assert_int_equal(get(&b, DR), START);
    assert_int_equal(get(&b, RIS), 0);
    b.now += 3600;
    assert_int_equal(get(&b, DR), START + 3600);
    assert_int_equal(b.nr_wishes, 0);
}

static void test_loaded_time_goes_on_and_stays_apart_from_the_hosts(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, LR, 1000);
    assert_int_equal(get(&b, DR), 1000);
    assert_int_equal(get(&b, LR), 1000);
    b.now += 5;
    assert_int_equal(get(&b, DR), 1005);
    assert_int_equal(get(&b, LR), 1000);
    put(&b, DR, 7);
    assert_int_equal(get(&b, DR), 1005); /* read-only */
}

static void test_loaded_time_waits_for_the_start(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, LR, 50);
    b.now += 5;
    assert_int_equal(get(&b, DR), 50);
    put(&b, CR, 1);
    b.now += 5;
    assert_int_equal(get(&b, DR), 55);
    put(&b, CR, 0); /* only a reset stops it */
    b.now += 5;
    assert_int_equal(get(&b, CR), 1);
    assert_int_equal(get(&b, DR), 60);
}

static void test_alarm_comes_when_the_counter_is_there(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, IMSC, 1);
    put(&b, MR, START + 60);
    assert_int_equal(b.wish, START + 60);
    b.now += 59;
    pl031_tick(&b.clock); /* early: asks again */
    assert_int_equal(b.level, 0);
    assert_int_equal(b.wish, START + 60);
    b.now += 1;
    pl031_tick(&b.clock);
    assert_int_equal(b.level, 1);
    assert_int_equal(get(&b, RIS), 1);
    assert_int_equal(get(&b, MIS), 1);
    put(&b, ICR, 0);
    assert_int_equal(b.level, 1);
    put(&b, ICR, 1);
    assert_int_equal(b.level, 0);
    assert_int_equal(get(&b, RIS), 0);
}

static void test_masked_alarm_wakes_nobody_and_is_seen_by_who_looks(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, MR, START + 60);
    assert_int_equal(b.nr_wishes, 0);
    b.now += 100;
    assert_int_equal(get(&b, RIS), 1);
    assert_int_equal(get(&b, MIS), 0);
    assert_int_equal(b.level, 0);
    put(&b, IMSC, 1);
    assert_int_equal(b.level, 1);
    put(&b, IMSC, 0xfffffffe);
    assert_int_equal(get(&b, IMSC), 0);
    assert_int_equal(b.level, 0);
}

static void test_alarm_at_this_second_is_due_at_once(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, IMSC, 1);
    put(&b, MR, START);
    assert_int_equal(b.level, 1);
    put(&b, ICR, 1);
    assert_int_equal(b.level, 0); /* and not again for 136 years */
    assert_int_equal(b.wish, START + ((int64_t)1 << 32));
}

static void test_alarm_before_the_time_waits_until_the_counter_runs_round(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, IMSC, 1);
    put(&b, LR, 0xfffffff0);
    put(&b, MR, 5);
    assert_int_equal(b.wish, START + 21);
    b.now += 21;
    pl031_tick(&b.clock);
    assert_int_equal(b.level, 1);
    assert_int_equal(get(&b, DR), 5);
}

static void test_new_time_moves_the_alarm(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put(&b, IMSC, 1);
    put(&b, MR, START + 60);
    put(&b, LR, START + 50);
    assert_int_equal(b.wish, START + 10);
    assert_int_equal(b.nr_wishes, 3);
    (void)get(&b, DR);
    assert_int_equal(b.nr_wishes, 3); /* the same wish is not told twice */
}

static void test_stopped_clock_has_no_alarm(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, IMSC, 1);
    put(&b, MR, 3);
    put(&b, LR, 3);
    pl031_tick(&b.clock);
    assert_int_equal(b.level, 0);
    assert_int_equal(b.nr_wishes, 0);
}

static void test_any_access_sequence_keeps_the_chip_consistent(void **state)
{
    uint32_t seed = 1;
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned offset;

        seed = seed * 1664525 + 1013904223;
        offset = seed >> 8 & 0x1f;
        b.now += (int64_t)(seed >> 20 & 7) - 2; /* hosts' clocks are set back, too */
        switch (seed >> 28 & 3) {
        case 0:
            (void)get(&b, offset);
            break;
        case 1:
            pl031_tick(&b.clock);
            break;
        default:
            put(&b, offset, (seed & 1) != 0 ? (uint32_t)b.now + (seed >> 24) : seed);
            break;
        }
        assert_int_equal(b.level, b.clock.is_raised && b.clock.is_enabled);
        if (b.clock.is_running && b.clock.is_enabled && !b.clock.is_raised) {
            assert_int_equal(b.wish, b.clock.alarm); /* an alarm that is due is never forgotten */
        }
    }
    put(&b, 0x2000, 1);
    assert_int_equal(get(&b, 0x2000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_state_is_the_manuals),
        cmocka_unit_test(test_firmware_leaves_the_hosts_time),
        cmocka_unit_test(test_loaded_time_goes_on_and_stays_apart_from_the_hosts),
        cmocka_unit_test(test_loaded_time_waits_for_the_start),
        cmocka_unit_test(test_alarm_comes_when_the_counter_is_there),
        cmocka_unit_test(test_masked_alarm_wakes_nobody_and_is_seen_by_who_looks),
        cmocka_unit_test(test_alarm_at_this_second_is_due_at_once),
        cmocka_unit_test(test_alarm_before_the_time_waits_until_the_counter_runs_round),
        cmocka_unit_test(test_new_time_moves_the_alarm),
        cmocka_unit_test(test_stopped_clock_has_no_alarm),
        cmocka_unit_test(test_any_access_sequence_keeps_the_chip_consistent),
    };

    return cmocka_run_group_tests_name("dev_pl031", tests, NULL, NULL);
}
