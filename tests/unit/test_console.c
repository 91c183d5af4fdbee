/* The command's terminal: output in full, escape keys, and the terminal's state given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console.h"

/* A console between two pipes. */
struct bench {
    struct console console;
    int keys;   /* what is written here is typed */
    int screen; /* what is read here was shown */
};

static void bench_init(struct bench *bench)
{
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    memset(&bench->console, 0, sizeof(bench->console));
    bench->console.in = in[0];
    bench->console.out = out[1];
    bench->console.interrupt = -1;
    bench->keys = in[1];
    bench->screen = out[0];
}

static void bench_fini(struct bench *bench)
{
    (void)close(bench->console.in);
    (void)close(bench->console.out);
    (void)close(bench->keys);
    (void)close(bench->screen);
}

static void put_text(struct console *console, const char *text)
{
    for (; *text != '\0'; text++) {
        console_put(console, (uint8_t)*text);
    }
}

/* Types text; what the guest gets of it. */
static enum console_key type(struct bench *bench, const char *text, uint8_t *bytes,
                             size_t *ret_nr_bytes)
{
    size_t length = strlen(text);

    assert_int_equal(write(bench->keys, text, length), length);
    return console_read(&bench->console, bytes, 64, ret_nr_bytes);
}

static void assert_typed(struct bench *bench, const char *text, const char *expected)
{
    uint8_t bytes[64];
    size_t n;

    assert_int_equal(type(bench, text, bytes, &n), CONSOLE_DATA);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, n);
}

static void test_output_waits_for_a_flush(void **state)
{
    struct bench b;
    char shown[16];

    (void)state;
    bench_init(&b);
    assert_int_equal(fcntl(b.screen, F_SETFL, O_NONBLOCK), 0);
    put_text(&b.console, "hello");
    assert_int_equal(read(b.screen, shown, sizeof(shown)), -1);
    console_flush(&b.console);
    assert_int_equal(read(b.screen, shown, sizeof(shown)), 5);
    assert_memory_equal(shown, "hello", 5);
    bench_fini(&b);
}

static void test_full_buffer_flushes_itself(void **state)
{
    static uint8_t shown[CONSOLE_BUFFER];
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned i = 0; i < CONSOLE_BUFFER; i++) {
        console_put(&b.console, (uint8_t)i);
    }
    assert_int_equal(read(b.screen, shown, sizeof(shown)), CONSOLE_BUFFER);
    assert_int_equal(shown[1000], 1000 & 0xff);
    assert_int_equal(b.console.nr_pending, 0);
    bench_fini(&b);
}

struct slow_reader {
    int fd;
    size_t wanted, count;
};

static void *read_slowly(void *cookie)
{
    struct slow_reader *reader = cookie;
    uint8_t byte;

    while (reader->count < reader->wanted && read(reader->fd, &byte, 1) == 1 &&
           byte == (uint8_t)reader->count) {
        reader->count++;
    }
    return NULL;
}

static void test_output_that_does_not_fit_at_once_arrives_in_full(void **state)
{
    struct slow_reader reader;
    pthread_t thread;
    struct bench b;

    (void)state;
    bench_init(&b);
    assert_int_equal(fcntl(b.console.out, F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(b.console.out, F_SETPIPE_SZ, 4096) >= 4096);
    reader = (struct slow_reader){b.screen, 3 * 65536, 0};
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    for (size_t i = 0; i < reader.wanted; i++) {
        console_put(&b.console, (uint8_t)i);
    }
    console_flush(&b.console);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reader.count, reader.wanted);
    bench_fini(&b);
}

static void test_a_hurried_console_waits_for_no_reader(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.console.is_hurried = true;
    for (int i = 0; i < 2 * 65536; i++) {
        console_put(&b.console, 'x');
    }
    console_close(&b.console);
    assert_int_equal(b.console.nr_pending, 0);
    assert_false(b.console.is_broken);
    bench_fini(&b);
}

static void test_a_hurried_console_writes_what_has_room(void **state)
{
    struct bench b;
    char text[8] = "";

    (void)state;
    bench_init(&b);
    b.console.is_hurried = true;
    for (const char *p = "last"; *p != '\0'; p++) {
        console_put(&b.console, (uint8_t)*p);
    }
    console_close(&b.console);
    assert_int_equal(read(b.screen, text, sizeof(text)), 4);
    assert_string_equal(text, "last");
    bench_fini(&b);
}

/* The reader takes nothing, the pipe is full: without the interrupt this would wait for ever. */
static void test_interrupt_ends_the_wait_for_a_reader(void **state)
{
    struct bench b;
    int urgent[2];

    (void)state;
    bench_init(&b);
    assert_int_equal(pipe(urgent), 0);
    assert_int_equal(write(urgent[1], "!", 1), 1);
    b.console.interrupt = urgent[0];
    for (int i = 0; i < 2 * 65536; i++) {
        console_put(&b.console, 'x');
    }
    console_flush(&b.console);
    assert_int_equal(b.console.nr_pending, 0);
    assert_false(b.console.is_broken);
    (void)close(urgent[0]);
    (void)close(urgent[1]);
    bench_fini(&b);
}

static void test_reader_that_left_ends_the_output_only(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(b.screen);
    put_text(&b.console, "unheard");
    console_flush(&b.console);
    assert_true(b.console.is_broken);
    for (unsigned i = 0; i < 2 * CONSOLE_BUFFER; i++) {
        console_put(&b.console, 'x');
    }
    assert_true(b.console.nr_pending < CONSOLE_BUFFER);
    bench_fini(&b);
}

static void test_what_comes_through_a_pipe_is_passed_as_it_is(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    assert_typed(&b, "\001xyz\001h", "\001xyz\001h");
    bench_fini(&b);
}

static void test_escape_keys_of_a_terminal(void **state)
{
    static const struct {
        const char *typed, *passed;
    } cases[] = {
        {"abc", "abc"}, {"a\001ab", "a\001b"},      {"a\001", "a"},
        {"a", "\001"},  {"\001z\001\001", "z\001"},
    };
    struct bench b;

    (void)state;
    bench_init(&b);
    b.console.is_raw = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_typed(&b, cases[i].typed, cases[i].passed);
    }
    b.console.is_raw = false;
    bench_fini(&b);
}

static void test_end_key_works_also_in_two_pieces(void **state)
{
    uint8_t bytes[64];
    struct bench b;
    size_t n;

    (void)state;
    bench_init(&b);
    b.console.is_raw = true;
    assert_int_equal(type(&b, "\001", bytes, &n), CONSOLE_DATA);
    assert_int_equal(n, 0);
    assert_int_equal(type(&b, "x", bytes, &n), CONSOLE_END);
    b.console.is_raw = false;
    bench_fini(&b);
}

static void test_help_key_shows_the_keys_and_passes_nothing(void **state)
{
    struct bench b;
    char shown[256];
    ssize_t n;

    (void)state;
    bench_init(&b);
    b.console.is_raw = true;
    assert_typed(&b, "\001h", "");
    n = read(b.screen, shown, sizeof(shown) - 1);
    assert_true(n > 0);
    shown[n] = '\0';
    assert_non_null(strstr(shown, "Ctrl-a x"));
    b.console.is_raw = false;
    bench_fini(&b);
}

static void test_end_of_input_is_told(void **state)
{
    uint8_t bytes[8];
    struct bench b;
    size_t n = 7;

    (void)state;
    bench_init(&b);
    (void)close(b.keys);
    b.keys = -1;
    assert_int_equal(console_read(&b.console, bytes, sizeof(bytes), &n), CONSOLE_CLOSED);
    assert_int_equal(n, 0);
    bench_fini(&b);
}

static void test_empty_nonblocking_input_is_not_its_end(void **state)
{
    uint8_t bytes[8];
    struct bench b;
    size_t n = 7;

    (void)state;
    bench_init(&b);
    assert_int_equal(fcntl(b.console.in, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(console_read(&b.console, bytes, sizeof(bytes), &n), CONSOLE_DATA);
    assert_int_equal(n, 0);
    bench_fini(&b);
}

/* In a session of its own, whose terminal is standard input. Its exit status says what went wrong.
 */
static int use_terminal(void)
{
    struct termios before, during, after;
    struct console console;

    if (tcgetattr(0, &before) < 0) {
        return 1;
    }
    console_open(&console);
    if (!console.is_raw || tcgetattr(0, &during) < 0 ||
        (during.c_lflag & (ICANON | ECHO | ISIG)) != 0) {
        return 2;
    }
    console_close(&console);
    console_close(&console);
    if (tcgetattr(0, &after) < 0 || after.c_lflag != before.c_lflag ||
        after.c_iflag != before.c_iflag) {
        return 3;
    }
    return 0;
}

static void test_terminal_is_raw_between_open_and_close(void **state)
{
    int terminal, status;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);

    (void)state;
    if (child == 0) {
        _exit(use_terminal());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(terminal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_waits_for_a_flush),
        cmocka_unit_test(test_full_buffer_flushes_itself),
        cmocka_unit_test(test_output_that_does_not_fit_at_once_arrives_in_full),
        cmocka_unit_test(test_interrupt_ends_the_wait_for_a_reader),
        cmocka_unit_test(test_a_hurried_console_waits_for_no_reader),
        cmocka_unit_test(test_a_hurried_console_writes_what_has_room),
        cmocka_unit_test(test_reader_that_left_ends_the_output_only),
        cmocka_unit_test(test_what_comes_through_a_pipe_is_passed_as_it_is),
        cmocka_unit_test(test_escape_keys_of_a_terminal),
        cmocka_unit_test(test_end_key_works_also_in_two_pieces),
        cmocka_unit_test(test_help_key_shows_the_keys_and_passes_nothing),
        cmocka_unit_test(test_end_of_input_is_told),
        cmocka_unit_test(test_empty_nonblocking_input_is_not_its_end),
        cmocka_unit_test(test_terminal_is_raw_between_open_and_close),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
