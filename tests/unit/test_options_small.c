/* The texts of --console and --balloon, and sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "options/balloon.h"
#include "options/console.h"
#include "options/size.h"

static void test_console_is_serial_or_virtio(void **state)
{
    bool is_virtio = false;
    char why[128] = "";

    (void)state;
    assert_int_equal(options_console_parse("virtio", &is_virtio, why, sizeof(why)), 0);
    assert_true(is_virtio);
    assert_int_equal(options_console_parse("serial", &is_virtio, why, sizeof(why)), 0);
    assert_false(is_virtio);
    assert_string_equal(why, "");
}

static void test_console_of_another_kind_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "--console wants serial or virtio, not ''"},
        {"hvc0", "--console wants serial or virtio, not 'hvc0'"},
        {"virtio,", "--console wants serial or virtio, not 'virtio,'"},
        {"Serial", "--console wants serial or virtio, not 'Serial'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_virtio;
        char why[128];

        assert_int_equal(options_console_parse(cases[i].text, &is_virtio, why, sizeof(why)), -1);
        assert_string_equal(why, cases[i].why);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {
        {"0", 0},
        {"1", 1 << 20},
        {"4k", 4096},
        {"4K", 4096},
        {"0x10M", 16 << 20},
        {"3g", 3ull << 30},
        {"2T", 2ull << 40},
        {"17592186044415", 0xfffffffffff00000},
        {"17592186044416", UINT64_MAX},
        {"18446744073709551615T", UINT64_MAX},
    };
    static const char *const wrong[] = {
        "", "M", "-1", " 1", "+1", "1 ", "1B", "1MB", "1.5G", "18446744073709551616", "0x",
    };
    uint64_t size;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(options_size_parse(cases[i].text, &size));
        assert_int_equal(size, cases[i].size);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(options_size_parse(wrong[i], &size));
    }
}

static void test_balloon_has_a_target_or_is_not_there(void **state)
{
    struct options_balloon balloon;
    char why[128] = "";

    (void)state;
    assert_int_equal(options_balloon_parse("64M", &balloon, why, sizeof(why)), 0);
    assert_true(balloon.is_there);
    assert_int_equal(balloon.target, 64 << 20);
    assert_int_equal(options_balloon_parse("none", &balloon, why, sizeof(why)), 0);
    assert_false(balloon.is_there);
    assert_int_equal(balloon.target, 0);
    assert_int_equal(options_balloon_parse("big", &balloon, why, sizeof(why)), -1);
    assert_string_equal(why, "--balloon wants a size such as 256M, or none, not 'big'");
}

static void test_balloon_leaves_the_guest_something(void **state)
{
    const uint64_t mem = 256 << 20;
    struct options_balloon balloon = {.is_there = true, .target = mem - 1};
    char why[128] = "";

    (void)state;
    assert_int_equal(options_balloon_check(&balloon, mem, why, sizeof(why)), 0);
    assert_string_equal(why, "");
    balloon.target = mem;
    assert_int_equal(options_balloon_check(&balloon, mem, why, sizeof(why)), -1);
    assert_string_equal(why, "--balloon leaves the guest nothing of its 256 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_console_is_serial_or_virtio),
        cmocka_unit_test(test_console_of_another_kind_is_refused),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_balloon_has_a_target_or_is_not_there),
        cmocka_unit_test(test_balloon_leaves_the_guest_something),
    };

    return cmocka_run_group_tests_name("options of small devices", tests, NULL, NULL);
}
