/* The ports by which a guest ends itself: which writes do it, and that no other does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/power.h"

struct seen {
    unsigned count;
    enum power_event event;
    uint8_t status;
};

static void note(void *cookie, enum power_event event, uint8_t status)
{
    struct seen *seen = cookie;

    *seen = (struct seen){seen->count + 1, event, status};
}

static struct power power_of(struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    return (struct power){.event = note, .cookie = seen};
}

static void test_only_sleep_type_5_with_enable_powers_off(void **state)
{
    struct seen seen;
    struct power power;

    (void)state;
    for (unsigned offset = 0; offset < 4; offset++) {
        for (unsigned value = 0; value < 256; value++) {
            bool is_off = offset == 0 && (value & 0x20) != 0 && (value >> 2 & 7) == 5;

            power = power_of(&seen);
            power_sleep_write(&power, offset, (uint8_t)value);
            assert_int_equal(seen.count, is_off);
            assert_true(!is_off || seen.event == POWER_OFF);
        }
    }
}

static void test_sleep_registers_read_as_never_woken(void **state)
{
    struct seen seen;
    struct power power = power_of(&seen);

    (void)state;
    power_sleep_write(&power, 1, 0x80);
    assert_int_equal(power_sleep_read(&power, 0), 0);
    assert_int_equal(power_sleep_read(&power, 1), 0);
    assert_int_equal(seen.count, 0);
}

static void test_reset_control_resets_with_bit_2_alone(void **state)
{
    struct seen seen;
    struct power power;

    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        power = power_of(&seen);
        power_reset_write(&power, 0, (uint8_t)value);
        assert_int_equal(seen.count, (value & 4) != 0);
        assert_true(seen.count == 0 || seen.event == POWER_RESET);
    }
}

static void test_keyboard_controller_resets_with_the_pulse_command_alone(void **state)
{
    struct seen seen;
    struct power power;

    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        power = power_of(&seen);
        power_keyboard_write(&power, 0, (uint8_t)value);
        assert_int_equal(seen.count, value == 0xfe);
        assert_true(seen.count == 0 || seen.event == POWER_RESET);
    }
}

static void test_debug_exit_status_is_twice_the_value_and_one(void **state)
{
    struct seen seen;
    struct power power;

    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        power = power_of(&seen);
        power_debug_exit_write(&power, 0, (uint8_t)value);
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.event, POWER_DEBUG_EXIT);
        assert_int_equal(seen.status, (value << 1 | 1) & 0xff);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_sleep_type_5_with_enable_powers_off),
        cmocka_unit_test(test_sleep_registers_read_as_never_woken),
        cmocka_unit_test(test_reset_control_resets_with_bit_2_alone),
        cmocka_unit_test(test_keyboard_controller_resets_with_the_pulse_command_alone),
        cmocka_unit_test(test_debug_exit_status_is_twice_the_value_and_one),
    };

    return cmocka_run_group_tests_name("dev_power", tests, NULL, NULL);
}
