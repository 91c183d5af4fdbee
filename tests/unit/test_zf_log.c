/* What ZF_LOGx writes to standard error, and what it leaves alone. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Before the first include of it: lets everything through but VERBOSE. */
#define ZF_LOG_LEVEL 2
#include <sel4utils/sel4_zf_logif.h>
#include <utils/util.h>

/* Standard error, redirected into a pipe that is read when it is restored. */
struct capture {
    int saved_fd;
    int read_fd;
    char text[4096];
};

static void capture_begin(struct capture *capture)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    capture->saved_fd = dup(STDERR_FILENO);
    assert_true(capture->saved_fd >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    capture->read_fd = ends[0];
}

static const char *capture_end(struct capture *capture)
{
    size_t length = 0;
    ssize_t n;

    assert_true(dup2(capture->saved_fd, STDERR_FILENO) >= 0);
    close(capture->saved_fd);
    while ((n = read(capture->read_fd, capture->text + length,
                     sizeof(capture->text) - 1 - length)) > 0) {
        length += (size_t)n;
    }
    close(capture->read_fd);
    capture->text[length] = '\0';
    return capture->text;
}

static void test_each_level_has_its_letter(void **state)
{
    static const struct {
        int level;
        const char *line;
    } cases[] = {
        {0, "V f.c:7: x\n"},          {ZF_LOG_VERBOSE, "V f.c:7: x\n"},
        {ZF_LOG_DEBUG, "D f.c:7: x\n"}, {ZF_LOG_INFO, "I f.c:7: x\n"},
        {ZF_LOG_WARN, "W f.c:7: x\n"},  {ZF_LOG_ERROR, "E f.c:7: x\n"},
        {ZF_LOG_FATAL, "F f.c:7: x\n"},
    };
    struct capture capture;
    size_t i;

    (void)state;
    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        capture_begin(&capture);
        hostvm_zf_log(cases[i].level, "some/dir/f.c", 7, "%c", 'x');
        assert_string_equal(capture_end(&capture), cases[i].line);
    }
}

static void test_macros_name_file_and_line(void **state)
{
    struct capture capture;
    char expected[64];

    (void)state;
    capture_begin(&capture);
    ZF_LOGE("%d apples", 3);
    (void)snprintf(expected, sizeof(expected), "E test_zf_log.c:%d: 3 apples\n", __LINE__ - 1);
    assert_string_equal(capture_end(&capture), expected);
}

static void test_older_names_are_the_same(void **state)
{
    struct capture capture;
    const char *text;

    (void)state;
    capture_begin(&capture);
    LOG_ERROR("one %d", 1);
    LOG_INFO("two");
    text = capture_end(&capture);
    assert_ptr_equal(strstr(text, "E test_zf_log.c:"), text);
    assert_non_null(strstr(text, ": one 1\nI test_zf_log.c:"));
    assert_non_null(strstr(text, ": two\n"));
}

static void test_levels_below_the_threshold_cost_nothing(void **state)
{
    struct capture capture;
    int n = 0;

    (void)state;
    capture_begin(&capture);
    ZF_LOGV("%d", n++);
    assert_string_equal(capture_end(&capture), "");
    assert_int_equal(n, 0);
}

static void test_newline_at_the_end_is_not_doubled(void **state)
{
    struct capture capture;

    (void)state;
    capture_begin(&capture);
    hostvm_zf_log(ZF_LOG_WARN, "f.c", 1, "done\n");
    assert_string_equal(capture_end(&capture), "W f.c:1: done\n");
}

static void test_long_message_is_cut(void **state)
{
    struct capture capture;
    char *message = malloc(3001);

    (void)state;
    assert_non_null(message);
    memset(message, 'm', 3000);
    message[3000] = '\0';
    capture_begin(&capture);
    hostvm_zf_log(ZF_LOG_WARN, "f.c", 1, "%s", message);
    assert_int_equal(strlen(capture_end(&capture)), strlen("W f.c:1: \n") + 1023);
    free(message);
}

static void test_errno_is_left_alone(void **state)
{
    struct capture capture;

    (void)state;
    capture_begin(&capture);
    errno = ENOTTY;
    close(STDERR_FILENO);
    ZF_LOGE("nobody hears this");
    assert_int_equal(errno, ENOTTY);
    (void)capture_end(&capture);
}

static void test_conditional_messages_need_their_condition(void **state)
{
    struct capture capture;

    (void)state;
    capture_begin(&capture);
    ZF_LOGE_IF(0, "no")
    ZF_LOGF_IF(0, "no")
    ZF_LOGW_IF(1, "yes")
    assert_non_null(strstr(capture_end(&capture), ": yes\n"));
    assert_null(strstr(capture.text, "no"));
}

static void test_error_code_is_named_before_the_message(void **state)
{
    struct capture capture;
    int n = 0;

    (void)state;
    capture_begin(&capture);
    ZF_LOGE_IFERR(seL4_NoError, "silent");
    ZF_LOGE_IFERR((n++, seL4_RangeError), "copying %s", "it");
    (void)capture_end(&capture);
    assert_int_equal(n, 1);
    assert_null(strstr(capture.text, "silent"));
    assert_non_null(strstr(capture.text, ": error 4, seL4_RangeError:\n"));
    assert_non_null(strstr(capture.text, ": copying it\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_level_has_its_letter),
        cmocka_unit_test(test_macros_name_file_and_line),
        cmocka_unit_test(test_older_names_are_the_same),
        cmocka_unit_test(test_levels_below_the_threshold_cost_nothing),
        cmocka_unit_test(test_newline_at_the_end_is_not_doubled),
        cmocka_unit_test(test_long_message_is_cut),
        cmocka_unit_test(test_errno_is_left_alone),
        cmocka_unit_test(test_conditional_messages_need_their_condition),
        cmocka_unit_test(test_error_code_is_named_before_the_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
