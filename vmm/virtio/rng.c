/* Virtio's entropy device: the host's random numbers for the guest. */
#include "virtio/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/vm.h>

enum {
    DEVICE_ID = 4,
    QUEUE_SIZE = 64,
    MAX_BYTES = 1 << 16, /* of one request: what is not filled, the driver asks for again */
    MAX_REQUESTS = 16,   /* at a time: others wait for the worker, too */
};

struct rng {
    vm_t *vm;
    hostvm_virtio_t *device;
    struct worker *worker;
};

/* How much was filled. The kernel's generator does not fail once it is set up, nor block. */
static size_t fill(const hostvm_virtio_buffer_t *buffer)
{
    const struct iovec *pieces = buffer->iov + buffer->nr_out;
    size_t total = 0;

    for (unsigned i = 0; i < buffer->nr_in && total < MAX_BYTES; i++) {
        size_t wanted = pieces[i].iov_len;
        ssize_t n;

        if (wanted > MAX_BYTES - total) {
            wanted = MAX_BYTES - total;
        }
        n = getrandom(pieces[i].iov_base, wanted, 0);
        if (n > 0) {
            total += (size_t)n;
        }
        if (n != (ssize_t)wanted) {
            break; /* pieces are filled from the first on, without a gap */
        }
    }
    return total;
}

static void serve(void *cookie, uint32_t events)
{
    struct rng *rng = cookie;
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(rng->device, 0);
    struct iovec pieces[QUEUE_SIZE]; /* a driver may make use of them all for one buffer */
    hostvm_virtio_buffer_t buffer = {.iov = pieces, .iov_max = QUEUE_SIZE};
    eventfd_t count;

    (void)events;
    (void)eventfd_read(hostvm_virtqueue_fd(queue), &count);
    for (int i = 0; i < MAX_REQUESTS && hostvm_virtqueue_pop(queue, &buffer) > 0; i++) {
        size_t filled = fill(&buffer);

        if (filled == 0 && buffer.in_size > 0) { /* it is never empty: virtio 1.2, 5.4.6.1 */
            hostvm_virtio_fail(rng->device, "the host has no random numbers");
            return;
        }
        hostvm_virtqueue_push(queue, &buffer, filled);
    }
    hostvm_virtqueue_publish(queue);
    if (hostvm_virtqueue_rearm(queue)) {
        (void)eventfd_write(hostvm_virtqueue_fd(queue), 1);
    }
}

static int start(void *cookie, uint64_t features)
{
    struct rng *rng = cookie;
    int r = worker_watch(rng->worker, hostvm_virtqueue_fd(hostvm_virtio_queue(rng->device, 0)),
                         EPOLLIN, serve, rng);

    (void)features;
    if (r < 0) {
        hostvm_vm_log(rng->vm, HOSTVM_LOG_ERROR, "cannot watch the entropy device's queue: %s",
                      strerror(-r));
        return -1;
    }
    return 0;
}

static void stop(void *cookie)
{
    struct rng *rng = cookie;

    worker_unwatch(rng->worker, hostvm_virtqueue_fd(hostvm_virtio_queue(rng->device, 0)));
}

struct rng *rng_create(vm_t *vm, struct worker *worker)
{
    static const hostvm_virtio_ops_t ops = {.start = start, .stop = stop};
    static const uint16_t queue_size = QUEUE_SIZE;
    struct rng *rng = calloc(1, sizeof(*rng));
    const hostvm_virtio_config_t config = {
        .id = DEVICE_ID,
        .nr_queues = 1,
        .queue_sizes = &queue_size,
        .ops = &ops,
        .cookie = rng,
    };

    if (rng == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for the entropy device: %s\n", strerror(ENOMEM));
        return NULL;
    }
    rng->vm = vm;
    rng->worker = worker;
    rng->device = hostvm_virtio_create(vm, &config);
    if (rng->device == NULL) {
        free(rng);
        return NULL;
    }
    return rng;
}

hostvm_virtio_t *rng_device(struct rng *rng)
{
    return rng->device;
}

void rng_destroy(struct rng *rng)
{
    if (rng != NULL) {
        hostvm_virtio_destroy(rng->device);
        free(rng);
    }
}
