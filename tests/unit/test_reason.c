/* Reasons per thread, the log, and its limits. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/reason.h"

/* What a log function was told. */
struct heard {
    unsigned nr;
    enum hostvm_log_level level;
    char last[REASON_SIZE];
};

static void hear(void *cookie, enum hostvm_log_level level, const char *message)
{
    struct heard *heard = cookie;

    heard->nr++;
    heard->level = level;
    snprintf(heard->last, sizeof(heard->last), "%s", message);
}

static int record(int err)
{
    return (fail)(err, "cannot open %s: %d of %d", "it", 3, 4);
}

static void test_a_reason_is_kept_and_the_error_returned(void **state)
{
    (void)state;
    assert_int_equal(record(-EPERM), -EPERM);
    assert_string_equal(hostvm_last_error(), "cannot open it: 3 of 4");
    assert_string_equal(reason_last(), "cannot open it: 3 of 4");
}

static void test_a_reason_may_quote_the_last_one(void **state)
{
    (void)state;
    (void)record(-EPERM);
    (void)(fail)(-EIO, "cannot boot: %s", reason_last());
    assert_string_equal(reason_last(), "cannot boot: cannot open it: 3 of 4");
    assert_int_equal(fail_text(-EIO, reason_last() + 13), -EIO);
    assert_string_equal(reason_last(), "cannot open it: 3 of 4");
}

static void test_a_long_reason_is_cut(void **state)
{
    char text[2 * REASON_SIZE];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)(fail)(-EIO, "%s", text);
    assert_int_equal(strlen(reason_last()), REASON_SIZE - 1);
    (void)fail_text(-EIO, text);
    assert_int_equal(strlen(reason_last()), REASON_SIZE - 1);
}

static void *last_error_of_fresh_thread(void *cookie)
{
    char *copy = cookie;

    snprintf(copy, 64, "[%s]", hostvm_last_error());
    return NULL;
}

static void test_each_thread_has_its_own_reason(void **state)
{
    char copy[64];
    pthread_t thread;

    (void)state;
    (void)record(-EPERM);
    assert_int_equal(pthread_create(&thread, NULL, last_error_of_fresh_thread, copy), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(copy, "[]");
    assert_string_equal(hostvm_last_error(), "cannot open it: 3 of 4");
}

static void test_the_log_drops_what_is_below_its_level(void **state)
{
    static const struct {
        int log_level;
        int level;
        bool is_heard;
    } cases[] = {
        {HOSTVM_LOG_DEFAULT, HOSTVM_LOG_INFO, false}, {HOSTVM_LOG_DEFAULT, HOSTVM_LOG_WARN, true},
        {HOSTVM_LOG_DEBUG, HOSTVM_LOG_DEBUG, true},   {HOSTVM_LOG_INFO, HOSTVM_LOG_DEBUG, false},
        {HOSTVM_LOG_ERROR, HOSTVM_LOG_WARN, false},   {HOSTVM_LOG_ERROR, HOSTVM_LOG_ERROR, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct heard heard = {0};
        struct log log = {hear, &heard, cases[i].log_level};

        assert_int_equal(log_wants(&log, cases[i].level), cases[i].is_heard);
        log_at(&log, cases[i].level, "number %zu", i);
        assert_int_equal(heard.nr, cases[i].is_heard);
        assert_int_equal(heard.level, cases[i].is_heard ? cases[i].level : 0);
    }
}

static void test_the_log_changes_no_errno(void **state)
{
    struct heard heard = {0};
    struct log log = {hear, &heard, HOSTVM_LOG_DEBUG};

    (void)state;
    errno = 77;
    log_at(&log, HOSTVM_LOG_ERROR, "%s", "text");
    assert_int_equal(errno, 77);
    assert_string_equal(heard.last, "text");
}

static void test_a_limited_message_falls_silent_after_its_burst(void **state)
{
    struct heard heard = {0};
    struct log log = {hear, &heard, HOSTVM_LOG_DEBUG};
    struct rate_limit limit = RATE_LIMIT_INIT(2);

    (void)state;
    log_limited(&log, &limit, HOSTVM_LOG_WARN, "bad queue");
    assert_string_equal(heard.last, "bad queue");
    log_limited(&log, &limit, HOSTVM_LOG_WARN, "bad queue");
    assert_string_equal(heard.last, "bad queue (more of these are counted, not shown)");
    for (int i = 0; i < 5; i++) {
        log_limited(&log, &limit, HOSTVM_LOG_WARN, "bad queue");
    }
    assert_int_equal(heard.nr, 2);
    assert_int_equal(rate_limit_suppressed(&limit), 5);
    rate_limit_flush(&log, &limit, HOSTVM_LOG_WARN, "bad queue");
    assert_string_equal(heard.last, "5 more not shown: bad queue");
    assert_int_equal(rate_limit_suppressed(&limit), 0);
    rate_limit_flush(&log, &limit, HOSTVM_LOG_WARN, "bad queue");
    assert_int_equal(heard.nr, 3);
}

static void test_a_limit_passes_its_burst_and_never_wraps(void **state)
{
    struct rate_limit limit = RATE_LIMIT_INIT(3);

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(rate_limit_pass(&limit));
    }
    assert_false(rate_limit_pass(&limit));
    assert_int_equal(rate_limit_suppressed(&limit), 1);
    atomic_store(&limit.nr_seen, UINT_MAX);
    assert_false(rate_limit_pass(&limit));
    assert_false(rate_limit_pass(&limit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reason_is_kept_and_the_error_returned),
        cmocka_unit_test(test_a_reason_may_quote_the_last_one),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_each_thread_has_its_own_reason),
        cmocka_unit_test(test_the_log_drops_what_is_below_its_level),
        cmocka_unit_test(test_the_log_changes_no_errno),
        cmocka_unit_test(test_a_limited_message_falls_silent_after_its_burst),
        cmocka_unit_test(test_a_limit_passes_its_burst_and_never_wraps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
