/* A device of three queues, which uses all that the core has for devices: buffers come, and go in
 * another order. */
#include "echo.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "driver.h"

enum { NR_QUEUES = 3, DEVICE_ID = 4, CONFIG_SIZE = 24, MAX_PIECES = 16, HELD = 4, TURN = 64 };

/* Of a buffer that is written and read: the rest of large ones is left alone. */
enum { MOST_BYTES = 1 << 16 };

struct echo_queue {
    hostvm_virtqueue_t *queue;
    hostvm_virtio_buffer_t held[HELD];
    struct iovec pieces[HELD][MAX_PIECES];
    unsigned nr_held;
};

static struct {
    hostvm_virtio_t *device;
    struct worker *worker;
    struct echo_queue queues[NR_QUEUES];
    bool is_started;
    uint8_t sum; /* of what was read, so that it is */
} echo;

static void check_buffer(const hostvm_virtio_buffer_t *buffer)
{
    size_t sizes[2] = {0, 0};

    fuzz_check(buffer->nr_out + buffer->nr_in <= MAX_PIECES);
    for (unsigned i = 0; i < buffer->nr_out + buffer->nr_in; i++) {
        fuzz_check(buffer->iov[i].iov_len > 0);
        fuzz_check(i < buffer->nr_out
                       ? fuzz_is_memory(buffer->iov[i].iov_base, buffer->iov[i].iov_len)
                       : fuzz_is_ram(buffer->iov[i].iov_base, buffer->iov[i].iov_len));
        sizes[i >= buffer->nr_out] += buffer->iov[i].iov_len;
    }
    fuzz_check(sizes[0] == buffer->out_size && sizes[1] == buffer->in_size);
}

/* Reads all, writes all. */
static size_t answer(const hostvm_virtio_buffer_t *buffer)
{
    static uint8_t bytes[MOST_BYTES];
    size_t n = hostvm_virtio_read(buffer, 0, bytes, sizeof(bytes));

    for (size_t i = 0; i < n; i++) {
        echo.sum ^= bytes[i];
    }
    (void)hostvm_virtio_read(buffer, buffer->out_size / 2, bytes, sizeof(bytes));
    n = buffer->in_size < sizeof(bytes) ? buffer->in_size : sizeof(bytes);
    fuzz_check(hostvm_virtio_write(buffer, 0, bytes, n) == n);
    fuzz_check(hostvm_virtio_write(buffer, buffer->in_size, bytes, 1) == 0);
    return n;
}

static void give_back(struct echo_queue *q)
{
    while (q->nr_held > 0) {
        const hostvm_virtio_buffer_t *buffer = &q->held[--q->nr_held];

        hostvm_virtqueue_push(q->queue, buffer, answer(buffer));
    }
    hostvm_virtqueue_publish(q->queue);
}

static void look_again(const struct echo_queue *q)
{
    const uint64_t one = 1;

    (void)!write(hostvm_virtqueue_fd(q->queue), &one, sizeof(one));
}

static void serve(void *cookie, uint32_t events)
{
    struct echo_queue *q = cookie;
    uint64_t count;
    unsigned n = 0;

    (void)events;
    (void)!read(hostvm_virtqueue_fd(q->queue), &count, sizeof(count));
    hostvm_virtqueue_disarm(q->queue);
    for (; n < TURN; n++) {
        hostvm_virtio_buffer_t *buffer = &q->held[q->nr_held];

        buffer->iov = q->pieces[q->nr_held];
        buffer->iov_max = MAX_PIECES;
        if (hostvm_virtqueue_pop(q->queue, buffer) <= 0) {
            break;
        }
        check_buffer(buffer);
        if (++q->nr_held == HELD) {
            give_back(q);
        }
    }
    if (q != &echo.queues[NR_QUEUES - 1]) { /* the last one keeps some until more come */
        give_back(q);
    }
    if (n == TURN || hostvm_virtqueue_rearm(q->queue)) {
        look_again(q);
    }
}

static int start(void *cookie, uint64_t features)
{
    (void)cookie;
    fuzz_check((features & ~1ull) == 0);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        struct echo_queue *q = &echo.queues[i];

        if (hostvm_virtqueue_is_ready(q->queue)) {
            fuzz_check(
                worker_watch(echo.worker, hostvm_virtqueue_fd(q->queue), EPOLLIN, serve, q) == 0);
        }
    }
    echo.is_started = true;
    return (features & 1) != 0 ? 0 : 0;
}

static void stop(void *cookie)
{
    (void)cookie;
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        worker_unwatch(echo.worker, hostvm_virtqueue_fd(echo.queues[i].queue));
        echo.queues[i].nr_held = 0;
    }
    echo.is_started = false;
}

static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    (void)cookie;
    fuzz_check(offset < CONFIG_SIZE && size >= 1 && size <= 8 && offset + size <= CONFIG_SIZE);
    (void)hostvm_virtio_set_config(echo.device, offset, bytes, size);
}

hostvm_virtio_t *echo_create(vm_t *vm, struct worker *worker)
{
    static const hostvm_virtio_ops_t ops = {
        .start = start, .stop = stop, .write_config = write_config};
    static const uint16_t sizes[NR_QUEUES] = {256, 16, 256};
    static const uint8_t space[CONFIG_SIZE] = {1, 2, 3};
    const hostvm_virtio_config_t config = {
        .id = DEVICE_ID,
        .features = 1,
        .nr_queues = NR_QUEUES,
        .queue_sizes = sizes,
        .config = space,
        .config_size = sizeof(space),
        .ops = &ops,
    };

    memset(&echo, 0, sizeof(echo));
    echo.worker = worker;
    echo.device = hostvm_virtio_create(vm, &config);
    for (unsigned i = 0; echo.device != NULL && i < NR_QUEUES; i++) {
        echo.queues[i].queue = hostvm_virtio_queue(echo.device, i);
    }
    return echo.device;
}

void echo_destroy(void)
{
    hostvm_virtio_destroy(echo.device);
}

struct take_back {
    struct echo_queue *q;
};

/* As a device does whose server has gone: also where no server was. */
static void take_back(void *cookie)
{
    struct echo_queue *q = cookie;

    q->nr_held = 0;
    (void)hostvm_virtqueue_take_back(q->queue);
    look_again(q);
}

void echo_host(void)
{
    struct echo_queue *q = &echo.queues[fuzz_u8() % NR_QUEUES];

    switch (fuzz_u8() & 3) {
    case 0:
        if (echo.is_started) {
            worker_call(echo.worker, take_back, q);
        }
        break;
    case 1: {
        uint8_t bytes[8];
        size_t offset = fuzz_u8() % CONFIG_SIZE;

        fuzz_bytes(bytes, sizeof(bytes));
        (void)hostvm_virtio_set_config(echo.device, offset, bytes, 1);
        break;
    }
    case 2:
        hostvm_virtio_fail(echo.device, "the input wants it so");
        break;
    default:
        if (echo.is_started && hostvm_virtqueue_is_ready(q->queue)) {
            hostvm_virtqueue_interrupt(q->queue);
        }
        break;
    }
}
