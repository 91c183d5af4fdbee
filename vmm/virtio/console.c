/* The virtio console: the guest's queues on one side, the terminal on the other. */
#include "virtio/console.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <hostvm/vm.h>

#include "back/worker.h"
#include "input.h"
#include "virtio/console_output.h"

/* virtio 1.2, 5.3. MULTIPORT is not offered: there is one terminal. */
enum {
    DEVICE_ID = 3,
    QUEUE_RECEIVE = 0, /* what is typed, 5.3.2 */
    QUEUE_TRANSMIT = 1,
    NR_QUEUES,
    QUEUE_SIZE = CONSOLE_QUEUE_SIZE,
};

#define FEATURE_SIZE        (1ull << 0) /* 5.3.3 */
#define FEATURE_EMERG_WRITE (1ull << 2)

/* 5.3.4 */
struct layout {
    uint16_t cols, rows;
    uint32_t max_nr_ports; /* MULTIPORT's */
    uint32_t emerg_wr;
};

/* What is served before others have their turn: a guest that never stops writing must not keep the
 * worker from its other devices, nor from being told to stop; nor are its last words to last for
 * ever. */
enum {
    TURN_BUFFERS = 2 * QUEUE_SIZE, /* to fill */
    TURN_BYTES = 256 << 10,
    LAST_BYTES = 1 << 20,
};

struct virtio_console {
    vm_t *vm;
    struct console *terminal;
    struct worker *worker;
    hostvm_virtio_t *device;
    hostvm_virtqueue_t *receive, *transmit;

    /* Of the worker's thread alone. */
    struct input input;
    bool is_started;
    bool waits_for_room; /* the terminal takes no output, and is watched */
    struct console_output output;
};

/* An eventfd is written to have its queue looked at again, and read when it is looked at. */
static void look_again(hostvm_virtqueue_t *queue)
{
    const uint64_t one = 1;

    (void)!write(hostvm_virtqueue_fd(queue), &one, sizeof(one)); /* full: readable as well */
}

static void looked(hostvm_virtqueue_t *queue)
{
    uint64_t count;

    (void)!read(hostvm_virtqueue_fd(queue), &count, sizeof(count));
}

/* --- output --- */

static void room_arrived(void *cookie, uint32_t events);

static void wait_for_room(struct virtio_console *console, bool wanted)
{
    if (console->waits_for_room == wanted) {
        return;
    }
    console->waits_for_room = wanted;
    if (!wanted) {
        worker_unwatch(console->worker, console->terminal->out);
    } else if (worker_watch(console->worker, console->terminal->out, EPOLLOUT, room_arrived,
                            console) < 0) {
        console->terminal->is_broken = true; /* else the guest would wait for ever */
        console->waits_for_room = false;
        look_again(console->transmit);
    }
}

/* Sends what there is, and sees to it that the rest gets its turn. */
static void transmit(struct virtio_console *console)
{
    size_t left = TURN_BYTES;
    enum console_outcome outcome;

    if (console->is_started) {
        hostvm_virtqueue_disarm(console->transmit);
    }
    outcome = console_output_send(&console->output, console->is_started, &left);
    if (console->is_started) {
        hostvm_virtqueue_publish(console->transmit);
    }
    if (outcome == SENT_ITS_TURN ||
        (outcome == SENT_ALL && console->is_started && hostvm_virtqueue_rearm(console->transmit))) {
        look_again(console->transmit);
    }
    wait_for_room(console, outcome == NO_ROOM);
}

static void transmit_kicked(void *cookie, uint32_t events)
{
    struct virtio_console *console = cookie;

    (void)events;
    looked(console->transmit);
    if (!console->waits_for_room) {
        transmit(console);
    }
}

static void room_arrived(void *cookie, uint32_t events)
{
    (void)events;
    transmit(cookie);
}

/* --- input --- */

/* Fills one of the guest's buffers; false: there is none. */
static bool fill_buffer(struct virtio_console *console, const uint8_t *bytes, size_t nr_bytes,
                        size_t *done)
{
    struct iovec iov[QUEUE_SIZE];
    hostvm_virtio_buffer_t buffer = {.iov = iov, .iov_max = QUEUE_SIZE};
    size_t n;

    if (hostvm_virtqueue_pop(console->receive, &buffer) <= 0) {
        return false;
    }
    n = hostvm_virtio_write(&buffer, 0, bytes + *done, nr_bytes - *done);
    hostvm_virtqueue_push(console->receive, &buffer, n);
    *done += n;
    return true;
}

static size_t receive(void *cookie, const uint8_t *bytes, size_t nr_bytes)
{
    struct virtio_console *console = cookie;
    size_t done = 0;

    if (!console->is_started) {
        return 0;
    }
    for (unsigned i = 0; i < TURN_BUFFERS && done < nr_bytes; i++) {
        if (!fill_buffer(console, bytes, nr_bytes, &done) &&
            !hostvm_virtqueue_rearm(console->receive)) {
            break;
        }
    }
    hostvm_virtqueue_publish(console->receive);
    return done;
}

static void input_is_readable(void *cookie, uint32_t events)
{
    struct virtio_console *console = cookie;

    (void)events;
    input_ready(&console->input);
}

static bool watch_input(void *cookie, int fd, bool wanted)
{
    struct virtio_console *console = cookie;

    if (wanted) {
        return worker_watch(console->worker, fd, EPOLLIN, input_is_readable, console) == 0;
    }
    worker_unwatch(console->worker, fd);
    return true;
}

static void show(void *cookie, const char *text)
{
    struct virtio_console *console = cookie;

    console->output.message = text;
    if (!console->waits_for_room) {
        transmit(console);
    }
}

static void end(void *cookie)
{
    struct virtio_console *console = cookie;

    (void)hostvm_vm_stop(console->vm); /* it is there: cannot fail */
}

static const struct input_ops input_ops = {
    .receive = receive,
    .watch = watch_input,
    .show = show,
    .end = end,
};

static void receive_kicked(void *cookie, uint32_t events)
{
    struct virtio_console *console = cookie;

    (void)events;
    looked(console->receive);
    if (input_drained(&console->input)) {
        look_again(console->receive);
    }
}

/* --- the driver --- */

static void set_size(void *cookie)
{
    struct virtio_console *console = cookie;
    uint16_t cols, rows;
    uint16_t size[2];

    if (console_size(console->terminal, &cols, &rows)) {
        size[0] = htole16(cols);
        size[1] = htole16(rows);
        (void)hostvm_virtio_set_config(console->device, 0, size, sizeof(size)); /* they fit */
    }
}

/* Of two at once the later one tells what is true: sizes are read and told by one thread. */
static void tell_size(void *cookie)
{
    struct virtio_console *console = cookie;

    worker_call(console->worker, set_size, console);
}

/* The watches are always there: a queue without a driver does not ask for anything. */
static int watch_queues(struct virtio_console *console)
{
    int r = worker_watch(console->worker, hostvm_virtqueue_fd(console->transmit), EPOLLIN,
                         transmit_kicked, console);

    return r < 0 ? r
                 : worker_watch(console->worker, hostvm_virtqueue_fd(console->receive), EPOLLIN,
                                receive_kicked, console);
}

static void unwatch_queues(struct virtio_console *console)
{
    worker_unwatch(console->worker, hostvm_virtqueue_fd(console->transmit));
    worker_unwatch(console->worker, hostvm_virtqueue_fd(console->receive));
}

static void start_on_worker(void *cookie)
{
    struct virtio_console *console = cookie;

    console->is_started = true;
    look_again(console->transmit);
    look_again(console->receive);
}

/* Linux looks at the size when it is told that it has changed, and only then. */
static int start(void *cookie, uint64_t features)
{
    struct virtio_console *console = cookie;

    worker_call(console->worker, start_on_worker, console);
    if ((features & FEATURE_SIZE) != 0) {
        tell_size(console);
    }
    return 0;
}

/* What is on its way and not through by now is lost with the queues. */
static void stop_on_worker(void *cookie)
{
    struct virtio_console *console = cookie;

    console->is_started = false;
    console->output.has_buffer = false;
}

static void stop(void *cookie)
{
    struct virtio_console *console = cookie;

    worker_call(console->worker, stop_on_worker, console);
}

/* Works from the first instruction on, without a driver (5.3.6.1). On a vcpu's thread: a byte for
 * which there is no room at once is lost. */
static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    struct virtio_console *console = cookie;
    const size_t at = offsetof(struct layout, emerg_wr);
    struct iovec byte = {.iov_len = 1};

    if (offset <= at && at - offset < size) {
        byte.iov_base = (uint8_t *)(uintptr_t)bytes + (at - offset); /* only read */
        (void)console_write(console->terminal, &byte, 1);
    }
}

/* --- its life --- */

static void start_input(void *cookie)
{
    struct virtio_console *console = cookie;

    input_start(&console->input, console->terminal, &input_ops, console);
}

/* The guest writes no more. */
static void finish(void *cookie)
{
    struct virtio_console *console = cookie;
    size_t left = LAST_BYTES;
    enum console_outcome outcome;

    input_end(&console->input);
    do {
        outcome = console_output_send(&console->output, console->is_started, &left);
    } while (left > 0 &&
             (outcome == SENT_ITS_TURN || (outcome == NO_ROOM && console_wait(console->terminal))));
    wait_for_room(console, false);
}

static hostvm_virtio_t *create_device(struct virtio_console *console)
{
    static const hostvm_virtio_ops_t ops = {
        .start = start, .stop = stop, .write_config = write_config};
    static const uint16_t queue_sizes[NR_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE};
    struct layout layout = {.max_nr_ports = htole32(1)};
    hostvm_virtio_config_t config = {
        .id = DEVICE_ID,
        .features = FEATURE_EMERG_WRITE,
        .nr_queues = NR_QUEUES,
        .queue_sizes = queue_sizes,
        .config = &layout,
        .config_size = sizeof(layout),
        .ops = &ops,
        .cookie = console,
    };

    if (console_size(console->terminal, &layout.cols, &layout.rows)) {
        layout.cols = htole16(layout.cols);
        layout.rows = htole16(layout.rows);
        config.features |= FEATURE_SIZE;
    }
    return hostvm_virtio_create(console->vm, &config);
}

/* 0; negative: the host refuses, and it was said. */
static int set_up(struct virtio_console *console)
{
    int r;

    console->device = create_device(console);
    if (console->device == NULL) {
        return -1;
    }
    console->receive = hostvm_virtio_queue(console->device, QUEUE_RECEIVE);
    console->transmit = hostvm_virtio_queue(console->device, QUEUE_TRANSMIT);
    console_output_init(&console->output, console->terminal, console->transmit);
    r = watch_queues(console);
    if (r < 0) {
        (void)fprintf(stderr, "hostvm: cannot watch the console's queues: %s\n", strerror(-r));
        return r;
    }
    console->terminal->resized_cookie = console;
    console->terminal->resized = tell_size;
    worker_call(console->worker, start_input, console);
    return 0;
}

struct virtio_console *virtio_console_create(vm_t *vm, struct worker *worker,
                                             struct console *terminal)
{
    struct virtio_console *console = calloc(1, sizeof(*console));

    if (console == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for the console: %s\n", strerror(ENOMEM));
        return NULL;
    }
    console->vm = vm;
    console->worker = worker;
    console->terminal = terminal;
    if (set_up(console) < 0) {
        virtio_console_destroy(console);
        return NULL;
    }
    return console;
}

hostvm_virtio_t *virtio_console_device(struct virtio_console *console)
{
    return console->device;
}

void virtio_console_destroy(struct virtio_console *console)
{
    if (console == NULL) {
        return;
    }
    if (console->device != NULL) {
        worker_call(console->worker, finish, console);
        unwatch_queues(console);
        console->terminal->resized = NULL;
        hostvm_virtio_destroy(console->device);
    }
    free(console);
}
