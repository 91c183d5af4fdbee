/* The queues of a socket device, and the event thread that serves them. */
#include "virtio/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "back/vsock_unix.h"
#include "back/worker.h"
#include "virtio/vsock_table.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, NR_QUEUES };

enum {
    ID_SOCKET = 19, /* virtio 1.2, 5 */
    QUEUE_SIZE = 256,
    EVENT_QUEUE_SIZE = 8,
    PIECES_MAX = 64,      /* of a packet */
    PACKETS_AT_ONCE = 64, /* of either direction, before others have their turn */
    EVENT_TRANSPORT_RESET = 0,
};

/* 5.10.3: STREAM is what there is without any feature, too. */
#define FEATURE_STREAM (1ull << 0)

struct vsock {
    hostvm_virtio_t *device;
    hostvm_virtqueue_t *queues[NR_QUEUES];
    struct worker *worker;
    struct vsock_listener listener;
    struct vsock_table *table;

    /* The worker's. */
    bool is_started;
    bool owes_event;
    bool has_buffer; /* from the receive queue, to be filled */
    hostvm_virtio_buffer_t buffer;
    struct iovec buffer_iov[PIECES_MAX];
    int result; /* of what it was called for */
};

/* What lies behind the header: at most size bytes of the pieces; returns how many. */
static unsigned int behind_header(const struct iovec *iov, unsigned int nr_iov, size_t size,
                                  struct iovec ret[PIECES_MAX])
{
    size_t skip = sizeof(struct vsock_header);
    unsigned int n = 0;

    for (unsigned int i = 0; i < nr_iov && size > 0; i++) {
        size_t passed = iov[i].iov_len < skip ? iov[i].iov_len : skip;
        size_t rest = iov[i].iov_len - passed;

        skip -= passed;
        if (rest > 0) {
            rest = rest < size ? rest : size;
            ret[n++] = (struct iovec){(char *)iov[i].iov_base + passed, rest};
            size -= rest;
        }
    }
    return n;
}

static void look_again(const hostvm_virtqueue_t *queue)
{
    const uint64_t one = 1;

    /* It is full only if it is readable already. */
    (void)!write(hostvm_virtqueue_fd(queue), &one, sizeof(one));
}

static void take_signal(const hostvm_virtqueue_t *queue)
{
    uint64_t count;

    (void)!read(hostvm_virtqueue_fd(queue), &count, sizeof(count)); /* none is fine */
}

/* --- to the guest --- */

/* A buffer to fill. False: there is none; the guest tells when there is. */
static bool get_buffer(struct vsock *vsock)
{
    hostvm_virtqueue_t *queue = vsock->queues[QUEUE_RX];
    int r;

    if (vsock->has_buffer) {
        return true;
    }
    vsock->buffer.iov = vsock->buffer_iov;
    vsock->buffer.iov_max = PIECES_MAX;
    do {
        r = hostvm_virtqueue_pop(queue, &vsock->buffer);
    } while (r == 0 && hostvm_virtqueue_rearm(queue));
    if (r <= 0) {
        return false;
    }
    hostvm_virtqueue_disarm(queue);
    if (vsock->buffer.in_size <= sizeof(struct vsock_header)) {
        hostvm_virtio_fail(vsock->device, "a receive buffer has no room for a packet");
        return false;
    }
    vsock->has_buffer = true;
    return true;
}

static void give_packets(struct vsock *vsock)
{
    const struct iovec *in;
    struct iovec data[PIECES_MAX];
    struct vsock_header header;
    unsigned int n = 0;

    while (n < PACKETS_AT_ONCE && vsock_table_has_packet(vsock->table) && get_buffer(vsock)) {
        unsigned int nr_data;

        in = vsock->buffer.iov + vsock->buffer.nr_out;
        nr_data = behind_header(in, vsock->buffer.nr_in, vsock->buffer.in_size, data);
        if (!vsock_table_send(vsock->table, data, nr_data, &header)) {
            break; /* the buffer is for the next one */
        }
        (void)hostvm_virtio_write(&vsock->buffer, 0, &header, sizeof(header));
        hostvm_virtqueue_push(vsock->queues[QUEUE_RX], &vsock->buffer, sizeof(header) + header.len);
        vsock->has_buffer = false;
        n++;
    }
    if (n > 0) {
        hostvm_virtqueue_publish(vsock->queues[QUEUE_RX]);
    }
    if (n == PACKETS_AT_ONCE) {
        look_again(vsock->queues[QUEUE_RX]);
    }
}

/* --- from the guest --- */

static void take_packet(struct vsock *vsock, const hostvm_virtio_buffer_t *buffer)
{
    struct vsock_header header;
    struct iovec data[PIECES_MAX];
    unsigned int nr_data;
    size_t size = buffer->out_size - sizeof(header);

    (void)hostvm_virtio_read(buffer, 0, &header, sizeof(header));
    size = header.len < size ? header.len : size;
    nr_data = behind_header(buffer->iov, buffer->nr_out, size, data);
    vsock_table_receive(vsock->table, &header, data, nr_data, size);
}

/* Until there are no more, there is no room for answers, or others are to have their turn. */
static void take_packets(struct vsock *vsock)
{
    hostvm_virtqueue_t *queue = vsock->queues[QUEUE_TX];
    struct iovec iov[PIECES_MAX];
    hostvm_virtio_buffer_t buffer = {.iov = iov, .iov_max = PIECES_MAX};
    unsigned int n = 0;
    int r = 1;

    while (n < PACKETS_AT_ONCE && vsock_table_can_receive(vsock->table)) {
        r = hostvm_virtqueue_pop(queue, &buffer);
        if (r < 0 || (r == 0 && !hostvm_virtqueue_rearm(queue))) {
            break;
        }
        if (r == 0) {
            continue;
        }
        if (buffer.out_size < sizeof(struct vsock_header)) {
            hostvm_virtio_fail(vsock->device, "a packet is shorter than its header");
            break;
        }
        take_packet(vsock, &buffer);
        hostvm_virtqueue_push(queue, &buffer, 0);
        n++;
    }
    if (n > 0) {
        hostvm_virtqueue_publish(queue);
    }
    if (n == PACKETS_AT_ONCE) {
        look_again(queue);
    }
}

static void give_event(struct vsock *vsock)
{
    const uint32_t id = EVENT_TRANSPORT_RESET;
    hostvm_virtqueue_t *queue = vsock->queues[QUEUE_EVENT];
    struct iovec iov[PIECES_MAX];
    hostvm_virtio_buffer_t buffer = {.iov = iov, .iov_max = PIECES_MAX};

    if (!vsock->owes_event || hostvm_virtqueue_pop(queue, &buffer) <= 0) {
        return;
    }
    hostvm_virtqueue_push(queue, &buffer, hostvm_virtio_write(&buffer, 0, &id, sizeof(id)));
    hostvm_virtqueue_publish(queue);
    vsock->owes_event = false;
}

/* --- what the worker watches --- */

/* Answers make room for packets, and packets for answers. */
static void serve(void *cookie)
{
    struct vsock *vsock = cookie;
    bool was_full = !vsock_table_can_receive(vsock->table);

    give_packets(vsock);
    if (was_full && vsock_table_can_receive(vsock->table)) {
        look_again(vsock->queues[QUEUE_TX]);
    }
}

static void rx_event(void *cookie, uint32_t events)
{
    struct vsock *vsock = cookie;

    (void)events;
    take_signal(vsock->queues[QUEUE_RX]);
    serve(vsock);
}

static void tx_event(void *cookie, uint32_t events)
{
    struct vsock *vsock = cookie;

    (void)events;
    take_signal(vsock->queues[QUEUE_TX]);
    hostvm_virtqueue_disarm(vsock->queues[QUEUE_TX]);
    take_packets(vsock);
    serve(vsock);
}

static void event_event(void *cookie, uint32_t events)
{
    struct vsock *vsock = cookie;

    (void)events;
    take_signal(vsock->queues[QUEUE_EVENT]);
    give_event(vsock);
}

static void listener_event(void *cookie, uint32_t events)
{
    struct vsock *vsock = cookie;
    int fd = vsock_listener_accept(&vsock->listener);

    (void)events;
    if (fd >= 0 && vsock->is_started) {
        vsock_table_accept(vsock->table, fd);
    } else if (fd >= 0) {
        (void)close(fd); /* the guest has no driver: nobody listens */
    }
}

/* --- the device's life --- */

static const worker_fn queue_fns[NR_QUEUES] = {rx_event, tx_event, event_event};

static void end(void *cookie)
{
    struct vsock *vsock = cookie;

    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        worker_unwatch(vsock->worker, hostvm_virtqueue_fd(vsock->queues[i]));
    }
    vsock_table_clear(vsock->table);
    vsock->is_started = false;
    vsock->owes_event = false;
    vsock->has_buffer = false;
}

static void begin(void *cookie)
{
    struct vsock *vsock = cookie;

    vsock->is_started = true;
    vsock->result = 0;
    for (unsigned int i = 0; i < NR_QUEUES && vsock->result == 0; i++) {
        if (hostvm_virtqueue_is_ready(vsock->queues[i])) {
            vsock->result = worker_watch(vsock->worker, hostvm_virtqueue_fd(vsock->queues[i]),
                                         EPOLLIN, queue_fns[i], vsock);
            look_again(vsock->queues[i]); /* what was made available before */
        }
    }
    if (vsock->result < 0) {
        end(vsock);
    }
}

static int start(void *cookie, uint64_t features)
{
    struct vsock *vsock = cookie;

    (void)features;
    worker_call(vsock->worker, begin, vsock);
    return vsock->result < 0 ? -1 : 0;
}

static void stop(void *cookie)
{
    struct vsock *vsock = cookie;

    worker_call(vsock->worker, end, vsock);
}

static void reset_transport(void *cookie)
{
    struct vsock *vsock = cookie;

    if (vsock->is_started) {
        vsock_table_clear(vsock->table);
        vsock->owes_event = true;
        give_event(vsock);
    }
}

void vsock_transport_reset(struct vsock *vsock)
{
    worker_call(vsock->worker, reset_transport, vsock);
}

static int open_device(struct vsock *vsock, vm_t *vm, const struct vsock_config *config)
{
    static const hostvm_virtio_ops_t ops = {.start = start, .stop = stop};
    static const uint16_t sizes[NR_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, EVENT_QUEUE_SIZE};
    const uint64_t guest_cid = config->guest_cid;
    const hostvm_virtio_config_t virtio = {
        .id = ID_SOCKET,
        .features = FEATURE_STREAM,
        .nr_queues = NR_QUEUES,
        .queue_sizes = sizes,
        .config = &guest_cid,
        .config_size = sizeof(guest_cid),
        .ops = &ops,
        .cookie = vsock,
    };

    vsock->device = hostvm_virtio_create(vm, &virtio);
    for (unsigned int i = 0; vsock->device != NULL && i < NR_QUEUES; i++) {
        vsock->queues[i] = hostvm_virtio_queue(vsock->device, i);
    }
    return vsock->device != NULL ? 0 : -1;
}

static int open_host_side(struct vsock *vsock, const struct vsock_config *config)
{
    struct vsock_table_config table = {
        .guest_cid = config->guest_cid,
        .path = config->path,
        .packets_ready = serve,
        .cookie = vsock,
    };
    char why[256];
    int r;

    if (vsock_listener_open(&vsock->listener, config->path, why, sizeof(why)) < 0) {
        (void)fprintf(stderr, "hostvm: --vsock: %s\n", why);
        return -1;
    }
    vsock->worker = worker_create("vsock");
    if (vsock->worker == NULL) {
        return -1; /* it was said */
    }
    table.worker = vsock->worker;
    vsock->table = vsock_table_create(&table);
    r = vsock->table == NULL
            ? -errno
            : worker_watch(vsock->worker, vsock->listener.fd, EPOLLIN, listener_event, vsock);
    if (r < 0) {
        (void)fprintf(stderr, "hostvm: --vsock: the host refuses: %s\n", strerror(-r));
        return -1;
    }
    return 0;
}

struct vsock *vsock_create(vm_t *vm, const struct vsock_config *config)
{
    struct vsock *vsock = calloc(1, sizeof(*vsock));

    if (vsock == NULL) {
        (void)fputs("hostvm: --vsock: out of memory\n", stderr);
        return NULL;
    }
    vsock->listener = (struct vsock_listener){.fd = -1, .spare_fd = -1};
    if (open_device(vsock, vm, config) != 0 || open_host_side(vsock, config) != 0) {
        vsock_destroy(vsock);
        return NULL;
    }
    return vsock;
}

hostvm_virtio_t *vsock_device(struct vsock *vsock)
{
    return vsock->device;
}

void vsock_destroy(struct vsock *vsock)
{
    if (vsock == NULL) {
        return;
    }
    hostvm_virtio_destroy(vsock->device); /* which stops it, if need be */
    if (vsock->listener.fd >= 0 && vsock->worker != NULL) {
        worker_unwatch(vsock->worker, vsock->listener.fd);
    }
    vsock_table_destroy(vsock->table);
    worker_destroy(vsock->worker);
    vsock_listener_close(&vsock->listener);
    free(vsock);
}
