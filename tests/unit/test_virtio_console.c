/* The virtio console: bytes both ways, a terminal or a guest that takes nothing, sizes, resets. */
#include "support/virtio_driver.h"

#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "back/worker.h"
#include "input.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/console.h"

enum { RECEIVE = 0, TRANSMIT = 1, BOTH = 3, PIPE_SIZE = 65536 };

#define SIZE        (1ull << 0)
#define EMERG_WRITE (1ull << 2)

struct bench {
    vm_t vm;
    struct worker *worker;
    struct console terminal;
    struct virtio_console *console;
    struct driver driver;
    int keys;   /* what is written here is typed */
    int screen; /* what is read here was shown; non-blocking */
};

static void nothing(void *cookie)
{
    (void)cookie;
}

/* All that could be served has been. */
static void settle(struct bench *b)
{
    for (unsigned i = 0; i < 6; i++) {
        worker_call(b->worker, nothing, NULL);
    }
}

static void create(struct bench *b)
{
    b->console = virtio_console_create(&b->vm, b->worker, &b->terminal);
    assert_non_null(b->console);
    driver_attach(&b->driver, virtio_console_device(b->console));
    settle(b);
}

/* Between two pipes; raw, that is, with escape keys. */
static void prepare(struct bench *b)
{
    int in[2], out[2];

    memset(b, 0, sizeof(*b));
    atomic_store(&driver_nr_stops, 0);
    atomic_store(&driver_nr_config_interrupts, 0);
    driver_ram_open();
    b->worker = worker_create("test");
    assert_non_null(b->worker);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    b->terminal = (struct console){.in = in[0], .out = out[1], .interrupt = -1, .is_raw = true};
    b->keys = in[1];
    b->screen = out[0];
}

static struct bench *begin(void)
{
    static struct bench b;

    prepare(&b);
    create(&b);
    return &b;
}

static void end(struct bench *b)
{
    virtio_console_destroy(b->console);
    worker_destroy(b->worker);
    driver_ram_close();
    (void)close(b->terminal.in);
    (void)close(b->terminal.out);
    (void)close(b->keys);
    (void)close(b->screen);
}

static void guest_writes(struct bench *b, uint64_t gpa, const char *text)
{
    const struct driver_piece piece = {gpa, (uint32_t)strlen(text), false};

    memcpy(driver_ram + gpa, text, piece.size);
    (void)driver_add(&b->driver, TRANSMIT, &piece, 1);
    driver_kick(&b->driver, TRANSMIT);
}

static void guest_has_room(struct bench *b, uint64_t gpa, uint32_t size)
{
    const struct driver_piece piece = {gpa, size, true};

    (void)driver_add(&b->driver, RECEIVE, &piece, 1);
    driver_kick(&b->driver, RECEIVE);
}

static void type(struct bench *b, const char *text)
{
    assert_int_equal(write(b->keys, text, strlen(text)), strlen(text));
    settle(b);
}

static void assert_shown(struct bench *b, const char *expected)
{
    char shown[512];
    ssize_t n = read(b->screen, shown, sizeof(shown) - 1);

    shown[n < 0 ? 0 : n] = '\0';
    assert_string_equal(shown, expected);
}

/* Until there is room for nothing more. */
static void fill_terminal(struct bench *b)
{
    char byte = '-';
    struct iovec piece = {&byte, 1};
    static char page[PIPE_SIZE];
    struct iovec much = {page, sizeof(page)};

    memset(page, '-', sizeof(page));
    while (console_write(&b->terminal, &much, 1) > 0 ||
           console_write(&b->terminal, &piece, 1) > 0) {
    }
}

static void empty_terminal(struct bench *b)
{
    static char bytes[PIPE_SIZE];

    assert_int_equal(read(b->screen, bytes, sizeof(bytes)), PIPE_SIZE);
}

/* --- both ways --- */

static void test_what_the_guest_writes_is_shown(void **state)
{
    struct bench *b = begin();
    const struct driver_piece pieces[] = {
        {0x1000, 3, false}, {0x3000, 0, false}, {0x2000, 2, false}};

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    memcpy(driver_ram + 0x1000, "hel", 3);
    memcpy(driver_ram + 0x2000, "lo", 2);
    (void)driver_add(&b->driver, TRANSMIT, pieces, 3);
    guest_writes(b, 0x4000, ", world\n");
    settle(b);
    assert_shown(b, "hello, world\n");
    assert_int_equal(driver_nr_used(TRANSMIT), 2);
    assert_int_equal(driver_written(&b->driver, TRANSMIT, 0), 0);
    guest_writes(b, 0x4000, "again");
    settle(b);
    assert_shown(b, "again");
    end(b);
}

static void test_what_is_typed_is_the_guests(void **state)
{
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    guest_has_room(b, 0x1000, 3);
    guest_has_room(b, 0x2000, 100);
    settle(b);
    assert_int_equal(driver_nr_used(RECEIVE), 0);
    type(b, "hello");
    assert_int_equal(driver_nr_used(RECEIVE), 2);
    assert_int_equal(driver_written(&b->driver, RECEIVE, 0), 3);
    assert_int_equal(driver_written(&b->driver, RECEIVE, 1), 2);
    assert_memory_equal(driver_ram + 0x1000, "hel\0", 4);
    assert_memory_equal(driver_ram + 0x2000, "lo\0", 3);
    end(b);
}

static void test_what_is_typed_before_there_is_a_driver_waits_for_it(void **state)
{
    struct bench *b = begin();

    (void)state;
    type(b, "early");
    driver_start(&b->driver, 0, BOTH);
    guest_has_room(b, 0x1000, 100);
    settle(b);
    assert_int_equal(driver_nr_used(RECEIVE), 1);
    assert_memory_equal(driver_ram + 0x1000, "early", 5);
    end(b);
}

/* More than is typed ahead: reading pauses, and goes on. */
static void test_input_of_many_pages_arrives_complete(void **state)
{
    static char text[3 * INPUT_SIZE];
    struct bench *b = begin();
    uint32_t done = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + i % 23);
    }
    assert_int_equal(write(b->keys, text, sizeof(text)), sizeof(text));
    settle(b);
    driver_start(&b->driver, 0, BOTH);
    for (unsigned i = 0; done < sizeof(text); i++) {
        guest_has_room(b, 0x1000 + done, 1000);
        settle(b);
        assert_int_equal(driver_nr_used(RECEIVE), i + 1);
        assert_true(driver_written(&b->driver, RECEIVE, i) > 0);
        done += driver_written(&b->driver, RECEIVE, i);
    }
    assert_int_equal(done, sizeof(text));
    assert_memory_equal(driver_ram + 0x1000, text, sizeof(text));
    end(b);
}

static void test_input_from_a_file_arrives_complete(void **state)
{
    static struct bench b;
    int file = memfd_create("input", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(file, 3 * INPUT_SIZE), 0);
    assert_int_equal(pwrite(file, "end", 3, 3 * INPUT_SIZE - 3), 3);
    prepare(&b);
    assert_int_equal(dup2(file, b.terminal.in), b.terminal.in);
    (void)close(file);
    create(&b);
    driver_start(&b.driver, 0, BOTH);
    for (unsigned i = 0; i < 16; i++) {
        guest_has_room(&b, 0x1000 + i * 1024, 1024);
    }
    settle(&b);
    assert_int_equal(driver_nr_used(RECEIVE), 12);
    assert_memory_equal(driver_ram + 0x1000 + 3 * INPUT_SIZE - 3, "end", 3);
    end(&b);
}

/* --- a terminal that takes nothing --- */

static void test_output_that_finds_no_room_waits_in_the_guest(void **state)
{
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "first ");
    guest_writes(b, 0x2000, "second");
    settle(b);
    assert_int_equal(driver_nr_used(TRANSMIT), 0);
    guest_has_room(b, 0x3000, 100);
    type(b, "input works");
    assert_memory_equal(driver_ram + 0x3000, "input works", 11);
    empty_terminal(b);
    settle(b);
    assert_shown(b, "first second");
    assert_int_equal(driver_nr_used(TRANSMIT), 2);
    end(b);
}

/* More than fits a pipe, and more than is served at a time. */
static void test_large_output_arrives_complete(void **state)
{
    enum { NR = 60, EACH = 32 << 10 };
    static char bytes[NR * EACH];
    struct bench *b = begin();
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        driver_ram[0x1000 + i] = (uint8_t)(i % 241);
    }
    driver_start(&b->driver, 0, BOTH);
    for (unsigned i = 0; i < NR; i++) {
        const struct driver_piece piece = {0x1000 + i * EACH, EACH, false};

        (void)driver_add(&b->driver, TRANSMIT, &piece, 1);
    }
    driver_kick(&b->driver, TRANSMIT);
    while (done < sizeof(bytes)) {
        ssize_t n = read(b->screen, bytes + done, sizeof(bytes) - done);

        done += n > 0 ? (size_t)n : 0;
    }
    settle(b);
    assert_memory_equal(bytes, driver_ram + 0x1000, sizeof(bytes));
    assert_int_equal(driver_nr_used(TRANSMIT), NR);
    end(b);
}

static void test_file_takes_output_of_any_size(void **state)
{
    enum { NR = 60, EACH = 32 << 10 };
    static struct bench b;
    int file = memfd_create("output", MFD_CLOEXEC);

    (void)state;
    prepare(&b);
    assert_int_equal(dup2(file, b.terminal.out), b.terminal.out);
    create(&b);
    driver_start(&b.driver, 0, BOTH);
    for (unsigned i = 0; i < NR; i++) {
        const struct driver_piece piece = {0x1000, EACH, false};

        (void)driver_add(&b.driver, TRANSMIT, &piece, 1);
    }
    driver_kick(&b.driver, TRANSMIT);
    for (unsigned i = 0; i < 4; i++) {
        settle(&b);
    }
    assert_int_equal(driver_nr_used(TRANSMIT), NR);
    assert_int_equal(lseek(file, 0, SEEK_END), NR * EACH);
    (void)close(file);
    end(&b);
}

static void test_reader_that_left_does_not_stop_the_guest(void **state)
{
    struct bench *b = begin();

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(b->screen);
    b->screen = -1;
    driver_start(&b->driver, 0, BOTH);
    guest_writes(b, 0x1000, "unheard");
    settle(b);
    assert_int_equal(driver_nr_used(TRANSMIT), 1);
    end(b);
}

/* --- escape keys --- */

static void test_escape_keys_work_without_a_driver(void **state)
{
    struct bench *b = begin();

    (void)state;
    type(b, "\001h");
    assert_shown(b, console_help);
    assert_int_equal(atomic_load(&driver_nr_stops), 0);
    type(b, "\001x");
    assert_int_equal(atomic_load(&driver_nr_stops), 1);
    end(b);
}

static void test_help_waits_for_a_terminal_that_takes_nothing(void **state)
{
    struct bench *b = begin();
    char expected[256];

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "guest");
    settle(b);
    type(b, "\001h\001h");
    empty_terminal(b);
    settle(b);
    (void)snprintf(expected, sizeof(expected), "%sguest", console_help);
    assert_shown(b, expected);
    end(b);
}

static void test_vm_can_be_ended_while_guest_and_terminal_take_nothing(void **state)
{
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "stuck");
    type(b, "nobody takes this");
    type(b, "\001x");
    assert_int_equal(atomic_load(&driver_nr_stops), 1);
    b->terminal.is_hurried = true;
    end(b);
}

/* --- the configuration space --- */

static void test_size_is_the_terminals_and_its_change_is_told(void **state)
{
    static struct bench b;
    struct winsize size = {.ws_col = 120, .ws_row = 40};
    uint8_t config[12];
    int terminal, other;

    (void)state;
    prepare(&b);
    assert_int_equal(openpty(&terminal, &other, NULL, NULL, &size), 0);
    assert_int_equal(dup2(other, b.terminal.out), b.terminal.out);
    create(&b);
    assert_int_equal(virtio_offered(b.driver.device, 0) & SIZE, SIZE);
    virtio_read_config(b.driver.device, 0, config, sizeof(config));
    assert_memory_equal(config, "\170\0\50\0\1\0\0\0\0\0\0\0", 12);
    driver_start(&b.driver, SIZE, BOTH);
    assert_int_equal(atomic_load(&driver_nr_config_interrupts), 1);
    size = (struct winsize){.ws_col = 300, .ws_row = 2};
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    b.terminal.resized(b.terminal.resized_cookie);
    assert_int_equal(atomic_load(&driver_nr_config_interrupts), 2);
    virtio_read_config(b.driver.device, 0, config, sizeof(config));
    assert_memory_equal(config, "\54\1\2\0\1\0\0\0\0\0\0\0", 12);
    virtio_console_destroy(b.console);
    assert_null(b.terminal.resized);
    b.console = NULL;
    end(&b);
    (void)close(terminal);
    (void)close(other);
}

static void test_no_size_is_offered_without_a_terminal(void **state)
{
    struct bench *b = begin();

    (void)state;
    assert_int_equal(virtio_offered(b->driver.device, 0) & 0xffffff, EMERG_WRITE);
    driver_start(&b->driver, 0, BOTH);
    assert_int_equal(atomic_load(&driver_nr_config_interrupts), 0);
    end(b);
}

static void test_emergency_write_works_from_the_first_instruction_on(void **state)
{
    struct bench *b = begin();
    const uint64_t value = 0x1122334455667788;
    uint8_t config[12];

    (void)state;
    virtio_write_config(b->driver.device, 8, "h", 1);
    virtio_write_config(b->driver.device, 8, "i\0\0", 4);
    virtio_write_config(b->driver.device, 4, "\1\2\3\4!", 8);
    settle(b);
    assert_shown(b, "hi!");
    for (size_t offset = 0; offset < 20; offset++) {
        for (size_t size = 1; size <= 8; size *= 2) {
            if (offset + size <= 8 || offset > 8) {
                virtio_write_config(b->driver.device, offset, &value, size);
            }
        }
    }
    settle(b);
    assert_shown(b, "");
    virtio_read_config(b->driver.device, 0, config, sizeof(config));
    assert_memory_equal(config, "\0\0\0\0\1\0\0\0\0\0\0\0", 12);
    fill_terminal(b);
    virtio_write_config(b->driver.device, 8, "?", 1);
    empty_terminal(b);
    assert_shown(b, "");
    end(b);
}

/* --- resets --- */

static void test_reset_forgets_what_is_on_its_way(void **state)
{
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "of the first driver");
    settle(b);
    driver_reset(&b->driver);
    memset(driver_ram + 0x1000, '?', 0x1000);
    empty_terminal(b);
    settle(b);
    assert_shown(b, "");
    driver_start(&b->driver, 0, BOTH);
    guest_writes(b, 0x2000, "of the second");
    settle(b);
    assert_shown(b, "of the second");
    assert_int_equal(driver_nr_used(TRANSMIT), 1);
    end(b);
}

struct restarter {
    struct bench *bench;
    atomic_bool is_over;
};

static void *type_and_read(void *arg)
{
    struct restarter *restarter = arg;
    char bytes[512];

    while (!atomic_load(&restarter->is_over)) {
        (void)!write(restarter->bench->keys, "k", 1);
        (void)!read(restarter->bench->screen, bytes, sizeof(bytes));
    }
    return NULL;
}

static void test_driver_that_comes_and_goes_under_load(void **state)
{
    struct bench *b = begin();
    struct restarter restarter = {.bench = b};
    pthread_t thread;

    (void)state;
    assert_int_equal(fcntl(b->keys, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, type_and_read, &restarter), 0);
    for (unsigned i = 0; i < 200; i++) {
        driver_start(&b->driver, 0, BOTH);
        for (unsigned n = 0; n < 20; n++) {
            guest_has_room(b, 0x1000 + n * 16, 16);
            guest_writes(b, 0x2000 + n * 16, "some text");
        }
        if (i % 2 == 0) {
            settle(b);
        }
    }
    atomic_store(&restarter.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    b->terminal.is_hurried = true;
    end(b);
}

/* --- hostile guests --- */

static void test_buffers_the_wrong_way_round_are_given_back_as_they_are(void **state)
{
    struct bench *b = begin();
    const struct driver_piece to_write = {0x1000, 64, true}, to_read = {0x2000, 64, false};

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    (void)driver_add(&b->driver, TRANSMIT, &to_write, 1);
    guest_writes(b, 0x3000, "text");
    (void)driver_add(&b->driver, RECEIVE, &to_read, 1);
    guest_has_room(b, 0x4000, 64);
    type(b, "keys");
    assert_shown(b, "text");
    assert_int_equal(driver_nr_used(TRANSMIT), 2);
    assert_int_equal(driver_written(&b->driver, RECEIVE, 0), 0);
    assert_int_equal(driver_written(&b->driver, RECEIVE, 1), 4);
    assert_int_equal(driver_ram[0x1000] | driver_ram[0x2000], 0);
    assert_false(driver_needs_reset(&b->driver));
    end(b);
}

static void test_broken_queue_stops_itself_alone(void **state)
{
    const struct driver_piece outside = {DRIVER_RAM_SIZE - 8, 16, false};
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    (void)driver_add(&b->driver, TRANSMIT, &outside, 1);
    guest_writes(b, 0x1000, "not any more");
    settle(b);
    assert_true(driver_needs_reset(&b->driver));
    assert_shown(b, "");
    type(b, "\001h");
    assert_shown(b, console_help);
    driver_start(&b->driver, 0, BOTH);
    guest_writes(b, 0x1000, "well again");
    settle(b);
    assert_shown(b, "well again");
    end(b);
}

static void test_one_queue_alone_works(void **state)
{
    struct bench *b = begin();

    (void)state;
    driver_start(&b->driver, 0, 1u << TRANSMIT);
    driver_kick(&b->driver, RECEIVE);
    guest_writes(b, 0x1000, "text");
    type(b, "keys");
    assert_shown(b, "text");
    driver_start(&b->driver, 0, 1u << RECEIVE);
    driver_kick(&b->driver, TRANSMIT);
    guest_has_room(b, 0x1000, 64);
    settle(b);
    assert_memory_equal(driver_ram + 0x1000, "keys", 4);
    end(b);
}

static void test_garbage_in_the_queues_leaves_escape_keys(void **state)
{
    static char bytes[PIPE_SIZE];
    struct bench *b = begin();
    unsigned seed = 1;

    (void)state;
    assert_int_equal(fcntl(b->keys, F_SETFL, O_NONBLOCK), 0);
    for (unsigned i = 0; i < 300; i++) {
        driver_start(&b->driver, 0, BOTH);
        driver_garbage(&b->driver, RECEIVE, &seed);
        driver_garbage(&b->driver, TRANSMIT, &seed);
        (void)!write(b->keys, "some keys", 9);
        worker_call(b->worker, nothing, NULL);
        while (read(b->screen, bytes, sizeof(bytes)) > 0) {
        }
    }
    driver_start(&b->driver, 0, BOTH);
    for (unsigned i = 0; i < 60; i++) {
        guest_has_room(b, 0x1000, 4096);
    }
    settle(b);
    type(b, "\001x");
    assert_int_equal(atomic_load(&driver_nr_stops), 1);
    b->terminal.is_hurried = true;
    end(b);
}

/* The guest makes buffers available faster than they are served. */
struct flood {
    struct bench *bench;
    atomic_bool is_over;
};

static void *flood_queue(void *arg)
{
    struct flood *flood = arg;
    uint8_t *ring = driver_ram + driver_ring(TRANSMIT);
    struct split_available *available = (struct split_available *)(void *)(ring + DRIVER_AVAILABLE);

    while (!atomic_load(&flood->is_over)) {
        STORE_RELEASE(available->index, (uint16_t)(driver_nr_used(TRANSMIT) + 60));
        driver_kick(&flood->bench->driver, TRANSMIT);
    }
    return NULL;
}

static void test_flood_of_output_leaves_the_worker_to_others(void **state)
{
    static struct bench b;
    const struct driver_piece piece = {0x1000, 64, false};
    struct flood flood = {.bench = &b};
    int null = open("/dev/null", O_WRONLY);
    pthread_t thread;

    (void)state;
    prepare(&b);
    assert_int_equal(dup2(null, b.terminal.out), b.terminal.out);
    (void)close(null);
    create(&b);
    driver_start(&b.driver, 0, BOTH);
    (void)driver_add(&b.driver, TRANSMIT, &piece, 1);
    assert_int_equal(pthread_create(&thread, NULL, flood_queue, &flood), 0);
    while (driver_nr_used(TRANSMIT) < 1000) {
        settle(&b);
    }
    type(&b, "\001x");
    assert_int_equal(atomic_load(&driver_nr_stops), 1);
    virtio_set_status(b.driver.device, 0);
    atomic_store(&flood.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(&b);
}

/* --- the end --- */

static void *read_later(void *arg)
{
    struct bench *b = arg;
    static char bytes[PIPE_SIZE];
    size_t left = PIPE_SIZE;

    for (unsigned i = 0; i < 1000; i++) {
        sched_yield();
    }
    while (left > 0) {
        ssize_t n = read(b->screen, bytes, left);

        left -= n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static void test_last_words_wait_for_their_reader(void **state)
{
    struct bench *b = begin();
    pthread_t thread;

    (void)state;
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "good");
    guest_writes(b, 0x2000, "bye");
    settle(b);
    assert_int_equal(pthread_create(&thread, NULL, read_later, b), 0);
    virtio_console_destroy(b->console);
    b->console = NULL;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_shown(b, "goodbye");
    end(b);
}

static void test_last_words_do_not_hold_up_what_is_urgent(void **state)
{
    struct bench *b = begin();
    int urgent[2];

    (void)state;
    assert_int_equal(pipe(urgent), 0);
    assert_int_equal(write(urgent[1], "!", 1), 1);
    b->terminal.interrupt = urgent[0];
    driver_start(&b->driver, 0, BOTH);
    fill_terminal(b);
    guest_writes(b, 0x1000, "lost");
    end(b);
    (void)close(urgent[0]);
    (void)close(urgent[1]);
}

/* --- a host that refuses --- */

static void test_creation_that_fails_leaves_nothing(void **state)
{
    static struct bench b;
    int null = open("/dev/null", O_WRONLY);
    int saved = dup(STDERR_FILENO);
    bool was_refused = true;

    (void)state;
    prepare(&b);
    b.console = virtio_console_create(&b.vm, b.worker, &b.terminal); /* the worker's table grows */
    virtio_console_destroy(b.console);
    for (unsigned n = 1; was_refused; n++) {
        struct leak_state held;

        leak_begin(&held);
        assert_true(dup2(null, STDERR_FILENO) >= 0);
        inject_fail_nth(n);
        b.console = virtio_console_create(&b.vm, b.worker, &b.terminal);
        settle(&b);
        was_refused = inject_disarm();
        (void)dup2(saved, STDERR_FILENO);
        /* That the input cannot be watched is no reason to do without a console. */
        assert_true(b.console != NULL || was_refused);
        virtio_console_destroy(b.console);
        leak_check(&held);
        assert_true(n < 20);
    }
    b.console = NULL;
    (void)close(null);
    (void)close(saved);
    end(&b);
}

static void test_nothing_is_destroyed_where_nothing_is(void **state)
{
    (void)state;
    virtio_console_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_guest_writes_is_shown),
        cmocka_unit_test(test_what_is_typed_is_the_guests),
        cmocka_unit_test(test_what_is_typed_before_there_is_a_driver_waits_for_it),
        cmocka_unit_test(test_input_of_many_pages_arrives_complete),
        cmocka_unit_test(test_input_from_a_file_arrives_complete),
        cmocka_unit_test(test_output_that_finds_no_room_waits_in_the_guest),
        cmocka_unit_test(test_large_output_arrives_complete),
        cmocka_unit_test(test_file_takes_output_of_any_size),
        cmocka_unit_test(test_reader_that_left_does_not_stop_the_guest),
        cmocka_unit_test(test_escape_keys_work_without_a_driver),
        cmocka_unit_test(test_help_waits_for_a_terminal_that_takes_nothing),
        cmocka_unit_test(test_vm_can_be_ended_while_guest_and_terminal_take_nothing),
        cmocka_unit_test(test_size_is_the_terminals_and_its_change_is_told),
        cmocka_unit_test(test_no_size_is_offered_without_a_terminal),
        cmocka_unit_test(test_emergency_write_works_from_the_first_instruction_on),
        cmocka_unit_test(test_reset_forgets_what_is_on_its_way),
        cmocka_unit_test(test_driver_that_comes_and_goes_under_load),
        cmocka_unit_test(test_buffers_the_wrong_way_round_are_given_back_as_they_are),
        cmocka_unit_test(test_broken_queue_stops_itself_alone),
        cmocka_unit_test(test_one_queue_alone_works),
        cmocka_unit_test(test_garbage_in_the_queues_leaves_escape_keys),
        cmocka_unit_test(test_flood_of_output_leaves_the_worker_to_others),
        cmocka_unit_test(test_last_words_wait_for_their_reader),
        cmocka_unit_test(test_last_words_do_not_hold_up_what_is_urgent),
        cmocka_unit_test(test_creation_that_fails_leaves_nothing),
        cmocka_unit_test(test_nothing_is_destroyed_where_nothing_is),
    };

    return cmocka_run_group_tests_name("virtio console", tests, NULL, NULL);
}
