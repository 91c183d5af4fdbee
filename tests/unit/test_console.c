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
#include <sys/ioctl.h>
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

/* --- output at once --- */

static size_t write_all(struct console *console, const char *text, size_t size)
{
    char copy[2][32];
    struct iovec iov[3] = {{NULL, 0}, {copy[0], 2}, {copy[1], size - 2}};

    memcpy(copy[0], text, 2);
    memcpy(copy[1], text + 2, size - 2);
    return console_write(console, iov, 3);
}

static void test_write_at_once_begins_with_the_first_bytes(void **state)
{
    struct bench b;
    char shown[32];

    (void)state;
    for (int owns_out = 0; owns_out < 2; owns_out++) {
        size_t n;

        bench_init(&b);
        b.console.owns_out = owns_out != 0;
        n = write_all(&b.console, "hello", 5);
        assert_true(n >= 2 && n <= 5);
        assert_int_equal(read(b.screen, shown, sizeof(shown)), n);
        assert_memory_equal(shown, "hello", n);
        b.console.owns_out = false;
        bench_fini(&b);
    }
}

/* A pipe that blocks holds 64 KiB. */
static void test_write_at_once_ends_where_there_is_no_room(void **state)
{
    static char bytes[100000];
    struct iovec piece = {bytes, sizeof(bytes)};
    size_t total = 0, n;
    struct bench b;

    (void)state;
    bench_init(&b);
    while ((n = console_write(&b.console, &piece, 1)) > 0) {
        total += n;
    }
    assert_int_equal(total, 65536);
    assert_false(b.console.is_broken);
    assert_int_equal(read(b.screen, bytes, sizeof(bytes)), 65536);
    assert_true(console_write(&b.console, &piece, 1) > 0);
    bench_fini(&b);
}

static void test_write_to_a_reader_that_left_takes_all(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(b.screen);
    assert_int_equal(write_all(&b.console, "unheard", 7), 7);
    assert_true(b.console.is_broken);
    assert_int_equal(write_all(&b.console, "unheard", 7), 7);
    bench_fini(&b);
}

static void test_size_is_the_terminals(void **state)
{
    struct winsize size = {.ws_col = 123, .ws_row = 45};
    uint16_t columns = 0, rows = 0;
    struct bench b;
    int terminal, other;

    (void)state;
    bench_init(&b);
    assert_false(console_size(&b.console, &columns, &rows));
    assert_int_equal(openpty(&terminal, &other, NULL, NULL, &size), 0);
    (void)close(b.console.out);
    b.console.out = other;
    assert_true(console_size(&b.console, &columns, &rows));
    assert_int_equal(columns, 123);
    assert_int_equal(rows, 45);
    (void)close(terminal);
    bench_fini(&b);
}

/* --- input --- */

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

static void test_help_key_asks_for_help_and_passes_nothing(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.console.is_raw = true;
    assert_typed(&b, "a\001", "a");
    assert_false(b.console.wants_help);
    assert_typed(&b, "hb", "b");
    assert_true(b.console.wants_help);
    assert_string_equal(console_help, "\r\nhostvm: Ctrl-a x ends the VM, Ctrl-a a sends Ctrl-a, "
                                      "Ctrl-a h shows this\r\n");
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
    console_suspend(&console);
    if (tcgetattr(0, &after) < 0 || after.c_lflag != before.c_lflag) {
        return 4;
    }
    console_resume(&console);
    if (!console.is_raw || tcgetattr(0, &after) < 0 || after.c_lflag != during.c_lflag) {
        return 5;
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

/* Nobody reads what is shown: a write that waited would not come back. What others have of the same
 * terminal stays as it is. */
static int fill_terminal(void)
{
    char text[4096];
    struct iovec piece = {text, sizeof(text)};
    struct console console;

    memset(text, 'x', sizeof(text));
    console_open(&console);
    if (!console.owns_in || !console.owns_out || (fcntl(1, F_GETFL) & O_NONBLOCK) != 0) {
        return 1;
    }
    while (console_write(&console, &piece, 1) > 0) {
    }
    console_close(&console);
    return console.is_broken || fcntl(console.out, F_GETFL) < 0 ? 2 : 0;
}

static void test_terminal_that_takes_nothing_keeps_nobody_waiting(void **state)
{
    int terminal, status;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);

    (void)state;
    if (child == 0) {
        _exit(fill_terminal());
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
        cmocka_unit_test(test_write_at_once_begins_with_the_first_bytes),
        cmocka_unit_test(test_write_at_once_ends_where_there_is_no_room),
        cmocka_unit_test(test_write_to_a_reader_that_left_takes_all),
        cmocka_unit_test(test_size_is_the_terminals),
        cmocka_unit_test(test_what_comes_through_a_pipe_is_passed_as_it_is),
        cmocka_unit_test(test_escape_keys_of_a_terminal),
        cmocka_unit_test(test_end_key_works_also_in_two_pieces),
        cmocka_unit_test(test_help_key_asks_for_help_and_passes_nothing),
        cmocka_unit_test(test_end_of_input_is_told),
        cmocka_unit_test(test_empty_nonblocking_input_is_not_its_end),
        cmocka_unit_test(test_terminal_is_raw_between_open_and_close),
        cmocka_unit_test(test_terminal_that_takes_nothing_keeps_nobody_waiting),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
