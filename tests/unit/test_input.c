/* Input on its way to the guest: nothing is lost, and escape keys work whatever the guest does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"

enum { GUEST_ROOM = 64 << 10 };

/* A guest with room for so much, and an event loop that only notes what it is to watch. */
struct bench {
    struct console console;
    struct input input;
    int keys; /* what is written here is typed */
    size_t room;
    uint8_t got[GUEST_ROOM];
    size_t nr_got;
    int watched; /* -1: nothing */
    bool refuses_watch;
    unsigned nr_ends;
    const char *shown;
};

static size_t receive(void *cookie, const uint8_t *bytes, size_t nr_bytes)
{
    struct bench *bench = cookie;
    size_t n = nr_bytes < bench->room ? nr_bytes : bench->room;

    assert_true(nr_bytes > 0);
    memcpy(bench->got + bench->nr_got, bytes, n);
    bench->nr_got += n;
    bench->room -= n;
    return n;
}

static bool watch(void *cookie, int fd, bool wanted)
{
    struct bench *bench = cookie;

    if (bench->refuses_watch) {
        return false;
    }
    assert_int_equal(bench->watched, wanted ? -1 : fd);
    bench->watched = wanted ? fd : -1;
    return true;
}

static void show(void *cookie, const char *text)
{
    struct bench *bench = cookie;

    bench->shown = text;
}

static void end(void *cookie)
{
    struct bench *bench = cookie;

    bench->nr_ends++;
}

static const struct input_ops ops = {.receive = receive, .watch = watch, .show = show, .end = end};

static void bench_init(struct bench *bench, int in)
{
    memset(bench, 0, sizeof(*bench));
    bench->console = (struct console){.in = in, .out = -1, .interrupt = -1};
    bench->watched = -1;
}

/* A terminal that is a pipe: all keys of it are typed by hand. */
static void terminal_init(struct bench *bench, bool is_raw)
{
    int in[2];

    assert_int_equal(pipe(in), 0);
    bench_init(bench, in[0]);
    bench->console.is_raw = is_raw;
    bench->keys = in[1];
    input_start(&bench->input, &bench->console, &ops, bench);
}

static void terminal_fini(struct bench *bench)
{
    input_end(&bench->input);
    assert_int_equal(bench->watched, -1);
    input_end(&bench->input);
    (void)close(bench->console.in);
    (void)close(bench->keys);
}

static void type(struct bench *bench, const char *text)
{
    assert_int_equal(write(bench->keys, text, strlen(text)), strlen(text));
    assert_int_equal(bench->watched, bench->console.in);
    input_ready(&bench->input);
}

static void test_guest_gets_what_is_typed(void **state)
{
    static struct bench b;

    (void)state;
    terminal_init(&b, true);
    b.room = 100;
    type(&b, "hello");
    assert_int_equal(b.nr_got, 5);
    assert_memory_equal(b.got, "hello", 5);
    terminal_fini(&b);
}

static void test_what_the_guest_has_no_room_for_waits(void **state)
{
    static struct bench b;

    (void)state;
    terminal_init(&b, true);
    b.room = 2;
    type(&b, "hel");
    type(&b, "lo");
    assert_int_equal(b.nr_got, 2);
    b.room = 1;
    input_drained(&b.input);
    assert_int_equal(b.nr_got, 3);
    b.room = 100;
    input_drained(&b.input);
    assert_int_equal(b.nr_got, 5);
    assert_memory_equal(b.got, "hello", 5);
    terminal_fini(&b);
}

static void test_escape_keys_work_though_the_guest_takes_nothing(void **state)
{
    static struct bench b;

    (void)state;
    terminal_init(&b, true);
    type(&b, "many keys that nobody takes");
    assert_null(b.shown);
    type(&b, "\001h");
    assert_ptr_equal(b.shown, console_help);
    assert_false(b.console.wants_help);
    assert_int_equal(b.nr_ends, 0);
    type(&b, "\001x");
    assert_int_equal(b.nr_ends, 1);
    terminal_fini(&b);
}

static void test_reading_pauses_when_there_is_no_room_and_goes_on(void **state)
{
    static uint8_t bytes[INPUT_SIZE + 1000];
    static struct bench b;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i % 251);
    }
    terminal_init(&b, false);
    assert_int_equal(write(b.keys, bytes, sizeof(bytes)), sizeof(bytes));
    input_ready(&b.input);
    assert_int_equal(b.watched, -1);
    b.room = 10;
    input_drained(&b.input);
    assert_int_equal(b.watched, b.console.in);
    input_ready(&b.input);
    assert_int_equal(b.watched, -1);
    b.room = sizeof(b.got) - b.nr_got;
    input_drained(&b.input);
    input_ready(&b.input);
    assert_int_equal(b.nr_got, sizeof(bytes));
    assert_memory_equal(b.got, bytes, sizeof(bytes));
    terminal_fini(&b);
}

static void test_end_of_input_ends_the_watch_and_not_the_vm(void **state)
{
    static struct bench b;

    (void)state;
    terminal_init(&b, true);
    type(&b, "last");
    (void)close(b.keys);
    input_ready(&b.input);
    assert_int_equal(b.watched, -1);
    assert_int_equal(b.nr_ends, 0);
    b.room = 100;
    input_drained(&b.input);
    assert_int_equal(b.nr_got, 4);
    assert_int_equal(b.watched, -1);
    b.keys = -1;
    terminal_fini(&b);
}

/* Files cannot be watched. */
static void test_a_file_is_read_as_the_guest_takes_it(void **state)
{
    static struct bench b;
    unsigned nr_times = 0;
    int file = memfd_create("input", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(file, 3 * INPUT_SIZE), 0);
    assert_int_equal(pwrite(file, "end", 3, 3 * INPUT_SIZE - 3), 3);
    bench_init(&b, file);
    input_start(&b.input, &b.console, &ops, &b);
    assert_int_equal(b.nr_got, 0);
    b.room = INPUT_SIZE + 1;
    assert_true(input_drained(&b.input));
    assert_false(input_drained(&b.input));
    assert_false(input_drained(&b.input));
    assert_int_equal(b.nr_got, INPUT_SIZE + 1);
    b.room = sizeof(b.got) - b.nr_got;
    do {
        nr_times++;
    } while (input_drained(&b.input) || nr_times == 1);
    assert_int_equal(b.nr_got, 3 * INPUT_SIZE);
    assert_memory_equal(b.got + b.nr_got - 3, "end", 3);
    assert_true(nr_times <= 4);
    assert_int_equal(b.watched, -1);
    input_end(&b.input);
    (void)close(file);
}

static void test_no_input_at_all_is_its_end(void **state)
{
    static struct bench b;

    (void)state;
    bench_init(&b, -1);
    input_start(&b.input, &b.console, &ops, &b);
    assert_false(input_drained(&b.input));
    input_end(&b.input);
}

/* Nobody waits in a read: what may block is watched. */
static void test_what_may_block_is_watched(void **state)
{
    static struct bench b;
    int null = open("/dev/null", O_RDONLY);
    int pair[2], terminal, other;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(openpty(&terminal, &other, NULL, NULL, NULL), 0);
    bench_init(&b, pair[0]);
    input_start(&b.input, &b.console, &ops, &b);
    assert_int_equal(b.watched, pair[0]);
    input_end(&b.input);
    bench_init(&b, other);
    input_start(&b.input, &b.console, &ops, &b);
    assert_int_equal(b.watched, other);
    input_end(&b.input);
    bench_init(&b, null);
    input_start(&b.input, &b.console, &ops, &b);
    assert_int_equal(b.watched, -1);
    input_end(&b.input);
    (void)close(pair[0]);
    (void)close(pair[1]);
    (void)close(terminal);
    (void)close(other);
    (void)close(null);
}

static void test_watch_that_is_refused_is_tried_again(void **state)
{
    static struct bench b;
    int in[2];

    (void)state;
    assert_int_equal(pipe(in), 0);
    bench_init(&b, in[0]);
    b.refuses_watch = true;
    input_start(&b.input, &b.console, &ops, &b);
    assert_int_equal(b.watched, -1);
    b.refuses_watch = false;
    input_drained(&b.input);
    assert_int_equal(b.watched, in[0]);
    input_end(&b.input);
    (void)close(in[0]);
    (void)close(in[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_gets_what_is_typed),
        cmocka_unit_test(test_what_the_guest_has_no_room_for_waits),
        cmocka_unit_test(test_escape_keys_work_though_the_guest_takes_nothing),
        cmocka_unit_test(test_reading_pauses_when_there_is_no_room_and_goes_on),
        cmocka_unit_test(test_end_of_input_ends_the_watch_and_not_the_vm),
        cmocka_unit_test(test_a_file_is_read_as_the_guest_takes_it),
        cmocka_unit_test(test_no_input_at_all_is_its_end),
        cmocka_unit_test(test_what_may_block_is_watched),
        cmocka_unit_test(test_watch_that_is_refused_is_tried_again),
    };

    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
