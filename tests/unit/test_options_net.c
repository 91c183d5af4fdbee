/* What --net says, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "options/net.h"

static void assert_refused(const char *text, const char *expected)
{
    struct options_net options = {.queues = 77};
    char why[NET_OPTIONS_REASON] = "";

    assert_int_equal(options_net_parse(text, 0, &options, why), -1);
    assert_string_equal(why, expected);
    assert_int_equal(options.queues, 77);
}

static struct options_net parse(const char *text)
{
    struct options_net options = {.queues = 77};
    char why[NET_OPTIONS_REASON] = "";

    assert_int_equal(options_net_parse(text, 0, &options, why), 0);
    assert_string_equal(why, "");
    return options;
}

static void test_kinds_are_told(void **state)
{
    (void)state;
    assert_int_equal(parse("none").kind, NET_NONE);
    assert_int_equal(parse("user").kind, NET_USER);
    assert_int_equal(parse("user").nr_forwards, 0);
    assert_int_equal(parse("tap=tap0").kind, NET_TAP);
    assert_string_equal(parse("tap=tap0").tap, "tap0");
    assert_int_equal(parse("tap=tap0").queues, 1);
    assert_string_equal(parse("tap=fifteen-letters").tap, "fifteen-letters");
}

static void test_details_are_taken(void **state)
{
    const struct options_net tap = parse("tap=t,queues=16,mac=52:54:00:aB:Cd:eF");
    const struct options_net user = parse(
        "user,hostfwd=tcp::2222-:22,mac=02:00:00:00:00:01,hostfwd=udp:127.0.0.1:1-10.0.2.9:65535");

    (void)state;
    assert_int_equal(tap.queues, 16);
    assert_memory_equal(tap.mac, "\x52\x54\x00\xab\xcd\xef", 6);
    assert_int_equal(user.nr_forwards, 2);
    assert_false(user.forwards[0].is_udp);
    assert_int_equal(user.forwards[0].host.s_addr, htonl(INADDR_ANY));
    assert_int_equal(user.forwards[0].host_port, 2222);
    assert_int_equal(user.forwards[0].guest.s_addr, inet_addr("10.0.2.15"));
    assert_int_equal(user.forwards[0].guest_port, 22);
    assert_true(user.forwards[1].is_udp);
    assert_int_equal(user.forwards[1].host.s_addr, htonl(INADDR_LOOPBACK));
    assert_int_equal(user.forwards[1].host_port, 1);
    assert_int_equal(user.forwards[1].guest.s_addr, inet_addr("10.0.2.9"));
    assert_int_equal(user.forwards[1].guest_port, 65535);
    assert_memory_equal(user.mac, "\x02\0\0\0\0\x01", 6);
}

static void test_address_lasts_and_differs_by_tap(void **state)
{
    const struct options_net one = parse("tap=tap0"), again = parse("tap=tap0,queues=2"),
                             other = parse("tap=tap1");
    struct options_net first, second;
    char why[NET_OPTIONS_REASON];

    (void)state;
    assert_memory_equal(one.mac, again.mac, 6);
    assert_memory_not_equal(one.mac, other.mac, 6);
    assert_int_equal(one.mac[0], 0x02); /* nobody's, and of one card */
    assert_int_equal(options_net_parse("user", 0, &first, why), 0);
    assert_int_equal(options_net_parse("user", 1, &second, why), 0);
    assert_memory_not_equal(first.mac, second.mac, 6);
}

static void test_forward_is_printed_with_all_its_parts(void **state)
{
    char text[NET_FORWARD_TEXT];
    struct net_forward forward;

    (void)state;
    forward = parse("user,hostfwd=udp::53-:5353").forwards[0];
    net_forward_print(&forward, text);
    assert_string_equal(text, "udp:0.0.0.0:53-10.0.2.15:5353");
    forward = parse("user,hostfwd=tcp:255.255.255.255:65535-255.255.255.255:65535").forwards[0];
    net_forward_print(&forward, text);
    assert_string_equal(text, "tcp:255.255.255.255:65535-255.255.255.255:65535");
    assert_int_equal(net_forward_parse(text, strlen(text), &forward), 0);
}

static void test_what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "--net wants user, tap=NAME or none, not ''"},
        {"bridge", "--net wants user, tap=NAME or none, not 'bridge'"},
        {"users", "--net wants user, tap=NAME or none, not 'users'"},
        {"tap", "--net wants user, tap=NAME or none, not 'tap'"},
        {",user", "--net wants user, tap=NAME or none, not ''"},
        {"tap=", "tap= wants the name of a tap, of 1 to 15 characters, not ''"},
        {"tap=sixteen-letters!",
         "tap= wants the name of a tap, of 1 to 15 characters, not 'sixteen-letters!'"},
        {"tap=a/b", "tap= wants the name of a tap, of 1 to 15 characters, not 'a/b'"},
        {"none,mac=52:54:00:12:34:56", "--net none does not know 'mac=52:54:00:12:34:56'"},
        {"user,", "--net user does not know ''"},
        {"user,,", "--net user does not know ''"},
        {"user,queues=2", "--net user does not know 'queues=2'"},
        {"tap=t,hostfwd=tcp::1-:1", "--net tap= does not know 'hostfwd=tcp::1-:1'"},
        {"tap=t,queues=0", "queues= wants a number from 1 to 16, not '0'"},
        {"tap=t,queues=17", "queues= wants a number from 1 to 16, not '17'"},
        {"tap=t,queues=4294967297", "queues= wants a number from 1 to 16, not '4294967297'"},
        {"tap=t,queues=2x", "queues= wants a number from 1 to 16, not '2x'"},
        {"tap=t,queues=", "queues= wants a number from 1 to 16, not ''"},
        {"user,mac=52:54:00:12:34",
         "mac= wants an address such as 52:54:00:12:34:56, not '52:54:00:12:34'"},
        {"user,mac=52:54:00:12:34:5g",
         "mac= wants an address such as 52:54:00:12:34:56, not '52:54:00:12:34:5g'"},
        {"user,mac=52-54-00-12-34-56",
         "mac= wants an address such as 52:54:00:12:34:56, not '52-54-00-12-34-56'"},
        {"user,mac=53:54:00:12:34:56",
         "mac=53:54:00:12:34:56 is no address that a network card has"},
        {"user,mac=00:00:00:00:00:00",
         "mac=00:00:00:00:00:00 is no address that a network card has"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_refused(rows[i].text, rows[i].why);
    }
}

static void test_forwards_that_are_none_are_named(void **state)
{
    static const char *const rows[] = {
        "",
        "tcp",
        "sctp::1-:1",
        "tcp::1",
        "tcp::1-",
        "tcp::0-:1",
        "tcp::1-:65536",
        "tcp::99999999999-:1",
        "tcp::-1-:1",
        "tcp::1-:1x",
        "tcp:localhost:1-:1",
        "tcp:1.2.3:1-:1",
        "tcp:111.111.111.1111:1-:1",
        "tcp:[::1]:1-:1",
        "tcp::1-:1-:1",
        "tcp::1-10.0.2.15:000000000000000000000000000000000000000000000000001",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128] = "user,hostfwd=", why[256] = "hostfwd= wants " NET_FORWARD_SHAPE ", not '";

        strcat(text, rows[i]);
        strcat(strcat(why, rows[i]), "'");
        assert_refused(text, why);
    }
}

static void test_forwards_have_a_limit(void **state)
{
    char text[1024] = "user";

    (void)state;
    for (unsigned i = 0; i < NET_MAX_FORWARDS; i++) {
        strcat(text, ",hostfwd=tcp::1-:1");
    }
    assert_int_equal(parse(text).nr_forwards, NET_MAX_FORWARDS);
    assert_refused(strcat(text, ",hostfwd=tcp::1-:1"), "there are more than 16 hostfwd=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_are_told),
        cmocka_unit_test(test_details_are_taken),
        cmocka_unit_test(test_address_lasts_and_differs_by_tap),
        cmocka_unit_test(test_forward_is_printed_with_all_its_parts),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_forwards_that_are_none_are_named),
        cmocka_unit_test(test_forwards_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
