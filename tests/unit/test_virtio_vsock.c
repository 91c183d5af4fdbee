/* The socket device: streams both ways, credit, ends of every kind, and guests and host programs
 * that do what they must not. Queues and event thread are played by this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "back/vsock_unix.h"
#include "back/worker.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/vsock.h"
#include "virtio/vsock_table.h"

enum { GUEST_CID = 7, HEADER = sizeof(struct vsock_header), PEER_ROOM = 8192 };

/* --- an event thread that runs when it is told to --- */

enum { WATCHES_MAX = 600 };

struct worker {
    struct watch {
        int fd;
        uint32_t events;
        worker_fn fn;
        void *cookie;
    } watches[WATCHES_MAX];
    unsigned nr_watches;
    int timer_fd; /* the first that was watched */
};

static bool no_worker;
static struct worker *the_worker; /* the last one */
static unsigned fail_watch;       /* the n-th from now on; 0: none */

struct worker *worker_create(const char *name)
{
    assert_string_equal(name, "vsock");
    the_worker = no_worker ? NULL : calloc(1, sizeof(struct worker));
    return the_worker;
}

void worker_destroy(struct worker *worker)
{
    assert_true(worker == NULL || worker->nr_watches == 0);
    free(worker);
}

static struct watch *find_watch(struct worker *worker, int fd)
{
    for (unsigned i = 0; i < worker->nr_watches; i++) {
        if (worker->watches[i].fd == fd) {
            return &worker->watches[i];
        }
    }
    return NULL;
}

int worker_watch(struct worker *worker, int fd, uint32_t events, worker_fn fn, void *cookie)
{
    struct watch *watch = find_watch(worker, fd);

    if (fail_watch > 0 && --fail_watch == 0) {
        return -ENOSPC;
    }
    assert_true(poll(&(struct pollfd){.fd = fd}, 1, 0) >= 0);
    assert_int_not_equal(events, 0);
    if (worker->timer_fd == 0) {
        worker->timer_fd = fd;
    }
    if (watch == NULL) {
        assert_true(worker->nr_watches < WATCHES_MAX);
        watch = &worker->watches[worker->nr_watches++];
    }
    *watch = (struct watch){fd, events, fn, cookie};
    return 0;
}

void worker_unwatch(struct worker *worker, int fd)
{
    struct watch *watch = find_watch(worker, fd);

    if (watch != NULL) {
        *watch = worker->watches[--worker->nr_watches];
    }
}

void worker_call(struct worker *worker, void (*fn)(void *cookie), void *cookie)
{
    (void)worker;
    fn(cookie);
}

/* Time passes when this program says so. */
static bool is_ticking;

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
    assert_int_equal(fd, the_worker->timer_fd);
    (void)flags;
    (void)old;
    is_ticking = new->it_value.tv_sec != 0;
    return 0;
}

static void settle(void);

static void seconds_pass(unsigned nr)
{
    while (nr-- > 0 && is_ticking) {
        const struct watch watch = *find_watch(the_worker, the_worker->timer_fd);

        watch.fn(watch.cookie, EPOLLIN);
    }
    settle();
}

/* --- queues that this program is the driver of --- */

struct slot {
    char *bytes; /* of exactly that size */
    size_t out_size, in_size, written;
};

enum { SLOTS_MAX = 2048 };

struct hostvm_virtqueue {
    int fd;
    bool is_armed;
    struct slot slots[SLOTS_MAX]; /* available, taken, and used: in this order of their life */
    unsigned nr_offered, nr_taken, nr_used, nr_shown, nr_seen;
    unsigned pieces; /* that buffers come in */
};

struct hostvm_virtio {
    hostvm_virtio_config_t config;
    uint64_t guest_cid;
    struct hostvm_virtqueue queues[3];
    bool is_started;
    char failed[128];
};

static struct hostvm_virtio *device; /* the one there is */
static bool no_device;

hostvm_virtio_t *hostvm_virtio_create(vm_t *vm, const hostvm_virtio_config_t *config)
{
    bool is_whole = true;

    assert_non_null(vm);
    if (no_device) {
        return NULL;
    }
    device = calloc(1, sizeof(*device));
    if (device == NULL) {
        return NULL;
    }
    device->config = *config;
    assert_int_equal(config->id, 19);
    assert_int_equal(config->nr_queues, 3);
    assert_int_equal(config->config_size, 8);
    memcpy(&device->guest_cid, config->config, 8);
    for (int i = 0; i < 3; i++) {
        device->queues[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        device->queues[i].is_armed = true;
        device->queues[i].pieces = 2;
        is_whole = is_whole && device->queues[i].fd >= 0;
    }
    if (!is_whole) {
        hostvm_virtio_destroy(device);
    }
    return device;
}

static void reset_device(void)
{
    if (device->is_started) {
        device->config.ops->stop(device->config.cookie);
        device->is_started = false;
    }
    for (int i = 0; i < 3; i++) {
        struct hostvm_virtqueue *queue = &device->queues[i];

        for (unsigned n = 0; n < queue->nr_offered; n++) {
            free(queue->slots[n].bytes);
        }
        queue->nr_offered = queue->nr_taken = queue->nr_used = queue->nr_shown = queue->nr_seen = 0;
    }
}

void hostvm_virtio_destroy(hostvm_virtio_t *d)
{
    if (d == NULL) {
        return;
    }
    assert_ptr_equal(d, device);
    reset_device();
    for (int i = 0; i < 3; i++) {
        if (d->queues[i].fd >= 0) {
            (void)close(d->queues[i].fd);
        }
    }
    free(d);
    device = NULL;
}

hostvm_virtqueue_t *hostvm_virtio_queue(hostvm_virtio_t *d, unsigned int index)
{
    return &d->queues[index];
}

void hostvm_virtio_fail(hostvm_virtio_t *d, const char *why)
{
    (void)snprintf(d->failed, sizeof(d->failed), "%s", why);
}

int hostvm_virtqueue_fd(const hostvm_virtqueue_t *queue)
{
    return queue->fd;
}

bool hostvm_virtqueue_is_ready(const hostvm_virtqueue_t *queue)
{
    (void)queue;
    return true;
}

int hostvm_virtqueue_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer)
{
    struct slot *slot = &queue->slots[queue->nr_taken];
    unsigned n = 0;
    size_t size, at = 0;

    if (device->failed[0] != '\0') {
        return -1;
    }
    if (queue->nr_taken == queue->nr_offered) {
        return 0;
    }
    assert_true(buffer->iov_max >= queue->pieces);
    size = slot->out_size + slot->in_size;
    while (n + 1 < queue->pieces) { /* small ones first, one of them empty */
        size_t piece = n == 1 ? 0 : size / queue->pieces;

        buffer->iov[n++] = (struct iovec){slot->bytes + at, piece};
        at += piece;
    }
    buffer->iov[n++] = (struct iovec){slot->bytes + at, size - at};
    buffer->nr_out = slot->out_size > 0 ? n : 0;
    buffer->nr_in = slot->out_size > 0 ? 0 : n;
    buffer->out_size = slot->out_size;
    buffer->in_size = slot->in_size;
    buffer->id = (uint16_t)queue->nr_taken++;
    return 1;
}

void hostvm_virtqueue_push(hostvm_virtqueue_t *queue, const hostvm_virtio_buffer_t *buffer,
                           size_t written)
{
    assert_int_equal(buffer->id, queue->nr_used); /* this device uses them in order */
    assert_true(written <= queue->slots[queue->nr_used].in_size);
    queue->slots[queue->nr_used++].written = written;
}

void hostvm_virtqueue_publish(hostvm_virtqueue_t *queue)
{
    queue->nr_shown = queue->nr_used;
}

void hostvm_virtqueue_disarm(hostvm_virtqueue_t *queue)
{
    queue->is_armed = false;
}

bool hostvm_virtqueue_rearm(hostvm_virtqueue_t *queue)
{
    queue->is_armed = true;
    return queue->nr_taken < queue->nr_offered;
}

static size_t copy(const hostvm_virtio_buffer_t *buffer, unsigned first, unsigned nr, size_t offset,
                   char *bytes, size_t size, bool is_write)
{
    size_t done = 0;

    for (unsigned i = first; i < first + nr; i++) {
        for (size_t at = 0; at < buffer->iov[i].iov_len && done < size; at++) {
            char *p = (char *)buffer->iov[i].iov_base + at;

            if (offset > 0) {
                offset--;
            } else if (is_write) {
                *p = bytes[done++];
            } else {
                bytes[done++] = *p;
            }
        }
    }
    return done;
}

size_t hostvm_virtio_read(const hostvm_virtio_buffer_t *buffer, size_t offset, void *bytes,
                          size_t size)
{
    return copy(buffer, 0, buffer->nr_out, offset, bytes, size, false);
}

size_t hostvm_virtio_write(const hostvm_virtio_buffer_t *buffer, size_t offset, const void *bytes,
                           size_t size)
{
    return copy(buffer, buffer->nr_out, buffer->nr_in, offset, (char *)(uintptr_t)bytes, size,
                true);
}

/* --- the bench --- */

struct bench {
    struct leak_state before;
    char dir[64];
    char path[96];
    struct vsock *vsock;
};

static vm_t some_vm;

static bool turn(struct worker *worker)
{
    for (unsigned i = 0; i < worker->nr_watches; i++) {
        const struct watch watch = worker->watches[i];
        struct pollfd fd = {.fd = watch.fd};

        fd.events = (short)(((watch.events & EPOLLIN) != 0 ? POLLIN : 0) |
                            ((watch.events & EPOLLOUT) != 0 ? POLLOUT : 0));
        if (poll(&fd, 1, 0) > 0 && fd.revents != 0) {
            watch.fn(watch.cookie, (uint32_t)fd.revents); /* the same bits */
            return true;
        }
    }
    return false;
}

/* All that there is to do; it comes to an end, or something turns in circles. */
static void settle(void)
{
    unsigned nr_turns = 0;

    while (turn(the_worker)) {
        assert_true(++nr_turns < 20000);
    }
}

static void offer(unsigned index, size_t out_size, size_t in_size, const void *bytes)
{
    struct hostvm_virtqueue *queue = &device->queues[index];
    struct slot *slot = &queue->slots[queue->nr_offered];
    const uint64_t one = 1;

    assert_true(queue->nr_offered < SLOTS_MAX);
    *slot = (struct slot){malloc(out_size + in_size), out_size, in_size, 0};
    memset(slot->bytes, 0xee, out_size + in_size);
    if (out_size > 0) {
        memcpy(slot->bytes, bytes, out_size);
    }
    queue->nr_offered++;
    if (queue->is_armed) {
        assert_int_equal(write(queue->fd, &one, sizeof(one)), sizeof(one));
    }
}

static void offer_rx(unsigned nr, size_t size)
{
    for (unsigned i = 0; i < nr; i++) {
        offer(0, 0, size, NULL);
    }
    settle();
}

static struct vsock_header header_of(enum vsock_op op, uint32_t guest_port, uint32_t host_port)
{
    return (struct vsock_header){
        .src_cid = GUEST_CID,
        .dst_cid = 2,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = 1,
        .op = (uint16_t)op,
        .buf_alloc = PEER_ROOM,
    };
}

/* A packet of the guest's, with what is there of its payload. */
static void send_raw(const struct vsock_header *header, const void *payload, size_t size)
{
    char *bytes = malloc(HEADER + size);

    memcpy(bytes, header, HEADER);
    if (size > 0) {
        memcpy(bytes + HEADER, payload, size);
    }
    offer(1, HEADER + size, 0, bytes);
    free(bytes);
}

static void guest_sends(enum vsock_op op, uint32_t guest_port, uint32_t host_port)
{
    const struct vsock_header header = header_of(op, guest_port, host_port);

    send_raw(&header, NULL, 0);
    settle();
}

static void guest_shuts_down(uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
    struct vsock_header header = header_of(VSOCK_OP_SHUTDOWN, guest_port, host_port);

    header.flags = flags;
    send_raw(&header, NULL, 0);
    settle();
}

static void guest_writes(uint32_t guest_port, uint32_t host_port, const void *bytes, size_t size,
                         uint32_t fwd_cnt)
{
    struct vsock_header header = header_of(VSOCK_OP_RW, guest_port, host_port);

    header.len = (uint32_t)size;
    header.fwd_cnt = fwd_cnt;
    send_raw(&header, bytes, size);
    settle();
}

/* The next packet that the guest finds, or 0: there is none. payload: into bytes. */
static enum vsock_op receive(struct vsock_header *ret, char *bytes)
{
    struct hostvm_virtqueue *queue = &device->queues[0];
    const struct slot *slot = &queue->slots[queue->nr_seen];

    memset(ret, 0, sizeof(*ret));
    if (queue->nr_seen == queue->nr_shown) {
        return 0;
    }
    queue->nr_seen++;
    memcpy(ret, slot->bytes, HEADER);
    assert_int_equal(slot->written, HEADER + ret->len);
    assert_int_equal(ret->dst_cid, GUEST_CID);
    for (size_t i = slot->written; i < slot->in_size; i++) { /* and not a byte more */
        assert_int_equal((unsigned char)slot->bytes[i], 0xee);
    }
    if (bytes != NULL) {
        memcpy(bytes, slot->bytes + HEADER, ret->len);
    }
    return ret->op;
}

static void check_packet(enum vsock_op op, uint32_t guest_port, uint32_t host_port,
                         const char *file, int line)
{
    struct vsock_header h;

    _assert_int_equal(receive(&h, NULL), op, file, line);
    if (op != 0) {
        _assert_int_equal(h.src_cid, 2, file, line);
        _assert_int_equal(h.dst_port, guest_port, file, line);
        _assert_int_equal(h.src_port, host_port, file, line);
        _assert_int_equal(h.type, 1, file, line);
    }
}

#define assert_packet(op, guest_port, host_port)                                                   \
    check_packet((op), (guest_port), (host_port), __FILE__, __LINE__)
#define assert_no_packet() check_packet(0, 0, 0, __FILE__, __LINE__)

static void start_device(void)
{
    assert_int_equal(device->config.ops->start(device->config.cookie, device->config.features), 0);
    device->is_started = true;
    settle();
}

static int set_up(void **state)
{
    static struct bench bench;
    const struct vsock_config config = {.path = bench.path, .guest_cid = GUEST_CID};

    (void)snprintf(bench.dir, sizeof(bench.dir), "/tmp/test_vsock.XXXXXX");
    assert_non_null(mkdtemp(bench.dir));
    (void)snprintf(bench.path, sizeof(bench.path), "%s/v", bench.dir);
    leak_begin(&bench.before);
    bench.vsock = vsock_create(&some_vm, &config);
    assert_non_null(bench.vsock);
    assert_ptr_equal(vsock_device(bench.vsock), device);
    assert_int_equal(device->guest_cid, GUEST_CID);
    start_device();
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    vsock_destroy(bench->vsock);
    leak_check(&bench->before);
    assert_int_equal(rmdir(bench->dir), 0);
    return 0;
}

/* --- programs of the host --- */

static int host_connects(const struct bench *bench, const char *line)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", bench->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    settle();
    return fd;
}

static void host_reads(int fd, const char *expected)
{
    char bytes[256];
    ssize_t n = read(fd, bytes, sizeof(bytes) - 1);

    assert_int_equal(n, strlen(expected));
    bytes[n] = '\0';
    assert_string_equal(bytes, expected);
}

static void host_reads_nothing_yet(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void host_reads_the_end(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 0);
}

/* The end, or that what it wrote last was not read. */
static void host_is_cut_off(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* Listens at a port of the host. */
static struct vsock_listener host_listens(const struct bench *bench, uint32_t port)
{
    struct vsock_listener listener;
    char name[128], why[256];

    (void)snprintf(name, sizeof(name), "%s_%u", bench->path, port);
    assert_int_equal(vsock_listener_open(&listener, name, why, sizeof(why)), 0);
    return listener;
}

/* A stream that the guest has opened from port 1000 on to the host's 50; the host's end. */
static int open_from_guest(const struct bench *bench)
{
    struct vsock_listener listener = host_listens(bench, 50);
    int fd;

    guest_sends(VSOCK_OP_REQUEST, 1000, 50);
    assert_packet(VSOCK_OP_RESPONSE, 1000, 50);
    fd = vsock_listener_accept(&listener);
    assert_true(fd >= 0);
    vsock_listener_close(&listener);
    return fd;
}

/* --- opening --- */

static void test_host_program_reaches_a_port_of_the_guest(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    char bytes[64];
    int fd;

    offer_rx(8, 4096);
    fd = host_connects(bench, "CONNECT 1024\nhello");
    assert_int_equal(receive(&h, NULL), VSOCK_OP_REQUEST);
    assert_int_equal(h.dst_port, 1024);
    assert_int_equal(h.src_port, VSOCK_FIRST_HOST_PORT + 1);
    assert_int_equal(h.buf_alloc, VSOCK_ROOM);
    host_reads_nothing_yet(fd);
    guest_sends(VSOCK_OP_RESPONSE, 1024, h.src_port);
    host_reads(fd, "OK 1073741825\n");
    assert_int_equal(receive(&h, bytes), VSOCK_OP_RW);
    assert_int_equal(h.len, 5);
    assert_memory_equal(bytes, "hello", 5);
    guest_writes(1024, h.src_port, "world", 5, 5);
    host_reads(fd, "world");
    (void)close(fd);
    settle();
    assert_int_equal(receive(&h, NULL), VSOCK_OP_SHUTDOWN);
    assert_int_equal(h.flags, VSOCK_SHUTDOWN_BOTH);
    guest_sends(VSOCK_OP_RST, 1024, h.src_port);
    assert_no_packet();
}

static void test_line_may_come_in_pieces(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(2, 4096);
    fd = host_connects(bench, "CONN");
    assert_int_equal(write(fd, "ECT 10", 6), 6);
    settle();
    assert_no_packet();
    assert_int_equal(write(fd, "24\n", 3), 3);
    settle();
    assert_packet(VSOCK_OP_REQUEST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    (void)close(fd);
}

static void test_wrong_line_ends_it(void **state)
{
    struct bench *bench = *state;
    int fd = host_connects(bench, "GET / HTTP/1.0\n");

    host_is_cut_off(fd);
    (void)close(fd);
    fd = host_connects(bench, "CONNECT 1");
    (void)shutdown(fd, SHUT_WR);
    settle();
    host_reads_the_end(fd);
    (void)close(fd);
}

static void test_port_where_nobody_listens_ends_it(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(2, 4096);
    fd = host_connects(bench, "CONNECT 1024\n");
    assert_packet(VSOCK_OP_REQUEST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    guest_sends(VSOCK_OP_RST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    host_reads_the_end(fd);
    assert_no_packet();
    (void)close(fd);
}

static void test_guest_that_does_not_answer_is_given_up(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(4, 4096);
    fd = host_connects(bench, "CONNECT 1024\n");
    assert_packet(VSOCK_OP_REQUEST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    seconds_pass(VSOCK_PATIENCE_S - 1);
    host_reads_nothing_yet(fd);
    seconds_pass(1);
    host_reads_the_end(fd);
    assert_packet(VSOCK_OP_RST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    assert_false(is_ticking);
    guest_sends(VSOCK_OP_RESPONSE, 1024, VSOCK_FIRST_HOST_PORT + 1); /* too late */
    assert_packet(VSOCK_OP_RST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    (void)close(fd);
}

static void test_program_that_says_nothing_is_given_up(void **state)
{
    struct bench *bench = *state;
    int fd = host_connects(bench, "CONNECT");

    seconds_pass(VSOCK_PATIENCE_S - 1);
    host_reads_nothing_yet(fd);
    seconds_pass(1);
    host_reads_the_end(fd);
    (void)close(fd);
}

static void test_program_that_left_meanwhile_is_not_waited_for(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(4, 4096);
    fd = host_connects(bench, "CONNECT 1024\n");
    (void)close(fd);
    settle();
    assert_packet(VSOCK_OP_REQUEST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    guest_sends(VSOCK_OP_RESPONSE, 1024, VSOCK_FIRST_HOST_PORT + 1);
    assert_packet(VSOCK_OP_RST, 1024, VSOCK_FIRST_HOST_PORT + 1);
    assert_no_packet();
}

static void test_without_a_driver_programs_are_turned_away(void **state)
{
    struct bench *bench = *state;
    int fd;

    reset_device();
    fd = host_connects(bench, "CONNECT 1024\n");
    host_is_cut_off(fd);
    (void)close(fd);
    start_device();
    offer_rx(1, 4096);
    assert_no_packet();
}

static void test_guest_reaches_a_socket_of_the_host(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    char bytes[64];
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    guest_writes(1000, 50, "ping", 4, 0);
    host_reads(fd, "ping");
    assert_int_equal(write(fd, "pong!", 5), 5);
    settle();
    assert_int_equal(receive(&h, bytes), VSOCK_OP_RW);
    assert_int_equal(h.len, 5);
    assert_int_equal(h.fwd_cnt, 4);
    assert_memory_equal(bytes, "pong!", 5);
    assert_no_packet();
    (void)close(fd);
}

static void test_guest_that_connects_to_nobody_is_refused(void **state)
{
    (void)state;
    offer_rx(2, 4096);
    guest_sends(VSOCK_OP_REQUEST, 1000, 51);
    assert_packet(VSOCK_OP_RST, 1000, 51);
    assert_no_packet();
}

/* --- ends --- */

static void test_half_close_by_the_guest_lets_the_other_half_go_on(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    guest_writes(1000, 50, "last", 4, 0);
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_SEND);
    host_reads(fd, "last");
    host_reads_the_end(fd);
    assert_int_equal(write(fd, "answer", 6), 6);
    settle();
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RW);
    assert_int_equal(h.len, 6);
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_RECEIVE);
    assert_packet(VSOCK_OP_RST, 1000, 50);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    (void)close(fd);
    settle();
    assert_no_packet();
}

static void test_half_close_by_the_host_lets_the_other_half_go_on(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    assert_int_equal(write(fd, "last", 4), 4);
    (void)shutdown(fd, SHUT_WR);
    settle();
    assert_packet(VSOCK_OP_RW, 1000, 50);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_SHUTDOWN);
    assert_int_equal(h.flags, VSOCK_SHUTDOWN_SEND);
    guest_writes(1000, 50, "answer", 6, 4);
    host_reads(fd, "answer");
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_BOTH);
    assert_packet(VSOCK_OP_RST, 1000, 50);
    host_reads_the_end(fd);
    (void)close(fd);
    assert_no_packet();
}

static void test_guest_that_reads_no_more_ends_what_the_host_writes(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_RECEIVE);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    guest_writes(1000, 50, "still", 5, 0);
    host_reads(fd, "still");
    (void)close(fd);
}

static void test_host_that_reads_no_more_does_not_stop_what_it_wrote(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    int fd;

    offer_rx(1, 4096);
    fd = open_from_guest(bench);
    assert_int_equal(write(fd, "for the guest", 13), 13);
    (void)close(fd);
    guest_writes(1000, 50, "to nobody", 9, 0);
    offer_rx(8, 4096);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_SHUTDOWN);
    assert_int_equal(h.flags, VSOCK_SHUTDOWN_RECEIVE);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RW);
    assert_int_equal(h.len, 13);
    assert_int_equal(h.fwd_cnt, 9);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_SHUTDOWN);
    assert_int_equal(h.flags, VSOCK_SHUTDOWN_BOTH);
    guest_writes(1000, 50, "still", 5, 13); /* it has not seen that yet */
    assert_no_packet();
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_BOTH);
    assert_packet(VSOCK_OP_RST, 1000, 50);
}

static void test_reset_by_the_guest_ends_both_halves(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    guest_sends(VSOCK_OP_RST, 1000, 50);
    host_reads_the_end(fd);
    assert_no_packet();
    (void)close(fd);
}

static void test_reset_of_the_device_ends_all(void **state)
{
    struct bench *bench = *state;
    int first, second;

    offer_rx(8, 4096);
    first = open_from_guest(bench);
    second = host_connects(bench, "CONNECT 5\n");
    reset_device();
    host_reads_the_end(first);
    host_reads_the_end(second);
    start_device();
    offer_rx(2, 4096);
    assert_no_packet();
    guest_writes(1000, 50, "x", 1, 0);
    assert_packet(VSOCK_OP_RST, 1000, 50);
    (void)close(first);
    (void)close(second);
}

static void test_transport_reset_ends_all_and_is_told_once_there_is_room(void **state)
{
    struct bench *bench = *state;
    struct hostvm_virtqueue *queue = &device->queues[2];
    uint32_t id;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    vsock_transport_reset(bench->vsock);
    host_reads_the_end(fd);
    (void)close(fd);
    assert_int_equal(queue->nr_shown, 0);
    offer(2, 0, 8, NULL);
    settle();
    assert_int_equal(queue->nr_shown, 1);
    assert_int_equal(queue->slots[0].written, 4);
    memcpy(&id, queue->slots[0].bytes, 4);
    assert_int_equal(id, 0);
    offer(2, 0, 8, NULL);
    settle();
    assert_int_equal(queue->nr_shown, 1);
    vsock_transport_reset(bench->vsock);
    assert_int_equal(queue->nr_shown, 2);
    reset_device();
    vsock_transport_reset(bench->vsock); /* nobody to tell */
}

/* --- credit --- */

static void test_guest_gets_no_more_than_it_has_room_for(void **state)
{
    struct bench *bench = *state;
    static char bytes[3 * PEER_ROOM];
    struct vsock_header h;
    size_t sum = 0;
    int fd;

    offer_rx(64, 4096);
    fd = open_from_guest(bench);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    settle();
    while (receive(&h, NULL) == VSOCK_OP_RW) {
        sum += h.len;
    }
    assert_int_equal(sum, PEER_ROOM);
    assert_int_equal(h.op, VSOCK_OP_CREDIT_REQUEST);
    assert_no_packet();
    h = header_of(VSOCK_OP_CREDIT_UPDATE, 1000, 50);
    h.fwd_cnt = 100;
    send_raw(&h, NULL, 0);
    settle();
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RW);
    assert_int_equal(h.len, 100);
    assert_packet(VSOCK_OP_CREDIT_REQUEST, 1000, 50);
    assert_no_packet();
    h = header_of(VSOCK_OP_CREDIT_UPDATE, 1000, 50);
    h.fwd_cnt = 50; /* older than the last one: another processor was faster */
    send_raw(&h, NULL, 0);
    settle();
    assert_no_packet();
    h.fwd_cnt = PEER_ROOM + 100;
    send_raw(&h, NULL, 0);
    settle();
    for (sum = 0; receive(&h, NULL) == VSOCK_OP_RW;) {
        sum += h.len;
    }
    assert_int_equal(sum, PEER_ROOM);
    (void)close(fd);
}

static void test_guest_that_makes_its_room_smaller_than_what_is_in_it_gets_nothing(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    int fd;

    offer_rx(16, 4096);
    fd = open_from_guest(bench);
    assert_int_equal(write(fd, "12345678", 8), 8);
    settle();
    assert_packet(VSOCK_OP_RW, 1000, 50);
    h = header_of(VSOCK_OP_CREDIT_UPDATE, 1000, 50);
    h.buf_alloc = 4;
    send_raw(&h, NULL, 0);
    assert_int_equal(write(fd, "12345678", 8), 8);
    settle();
    assert_packet(VSOCK_OP_CREDIT_REQUEST, 1000, 50);
    assert_no_packet();
    h.buf_alloc = 0xffffffff;
    h.fwd_cnt = 8;
    send_raw(&h, NULL, 0);
    settle();
    assert_packet(VSOCK_OP_RW, 1000, 50);
    (void)close(fd);
}

static void fill_byte(char *bytes, size_t size, uint32_t *seed)
{
    for (size_t i = 0; i < size; i++) {
        *seed = *seed * 1664525 + 1013904223;
        bytes[i] = (char)(*seed >> 24);
    }
}

static void check_bytes(const char *bytes, size_t size, uint32_t *seed)
{
    static char expected[1 << 20];

    fill_byte(expected, size, seed);
    assert_memory_equal(bytes, expected, size);
}

/* A program that does not read: its stream is kept to VSOCK_ROOM, and comes to it whole. */
static void test_host_program_that_does_not_read_is_waited_for_without_loss(void **state)
{
    struct bench *bench = *state;
    static char bytes[4096], got[1 << 20];
    uint32_t seed = 1, check = 1;
    size_t sent = 0, received = 0;
    uint32_t told = 0;
    struct vsock_header h;
    int fd;

    offer_rx(256, 4096);
    fd = open_from_guest(bench);
    while (sent - told + sizeof(bytes) <= VSOCK_ROOM) { /* as long as there is credit */
        fill_byte(bytes, sizeof(bytes), &seed);
        guest_writes(1000, 50, bytes, sizeof(bytes), 0);
        sent += sizeof(bytes);
        while (receive(&h, NULL) == VSOCK_OP_CREDIT_UPDATE) {
            told = h.fwd_cnt;
        }
        assert_int_equal(h.op, 0);
    }
    assert_true(sent > VSOCK_ROOM); /* the socket itself took some */
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_SEND);
    for (;;) {
        ssize_t n = read(fd, got + received, sizeof(got) - received);

        settle();
        if (n <= 0) {
            assert_int_equal(n, 0);
            break;
        }
        received += (size_t)n;
    }
    assert_int_equal(received, sent);
    check_bytes(got, received, &check);
    while (receive(&h, NULL) == VSOCK_OP_CREDIT_UPDATE) {
        told = h.fwd_cnt;
    }
    assert_true(sent - told < VSOCK_ROOM / 2);
    (void)close(fd);
}

static size_t fill_room(void)
{
    static char bytes[4096];
    uint32_t told = 0;
    struct vsock_header h;
    size_t sent = 0;

    while (sent - told + sizeof(bytes) <= VSOCK_ROOM) {
        guest_writes(1000, 50, bytes, sizeof(bytes), 0);
        sent += sizeof(bytes);
        while (receive(&h, NULL) == VSOCK_OP_CREDIT_UPDATE) {
            told = h.fwd_cnt;
        }
    }
    return sent;
}

static void test_guest_that_sends_more_than_there_is_room_for_is_reset(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(256, 4096);
    fd = open_from_guest(bench);
    (void)fill_room();
    guest_writes(1000, 50, "0123456789", 10, 0);
    while (device->queues[0].nr_seen + 1 < device->queues[0].nr_shown) {
        struct vsock_header h;

        (void)receive(&h, NULL);
    }
    for (int i = 0; i < 410 && device->queues[0].nr_seen == device->queues[0].nr_shown; i++) {
        guest_writes(1000, 50, "0123456789012345678901234567890123456789", 40, 0);
    }
    assert_packet(VSOCK_OP_RST, 1000, 50);
    (void)close(fd);
}

static void test_what_a_guest_sent_before_it_closed_reaches_a_slow_program(void **state)
{
    struct bench *bench = *state;
    static char got[1 << 20];
    size_t sent, received = 0;
    ssize_t n;
    int fd;

    offer_rx(256, 4096);
    fd = open_from_guest(bench);
    sent = fill_room();
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_BOTH);
    assert_packet(VSOCK_OP_RST, 1000, 50); /* the guest does not wait */
    seconds_pass(VSOCK_PATIENCE_S - 1);
    while ((n = read(fd, got, sizeof(got))) > 0) {
        received += (size_t)n;
        settle();
    }
    assert_int_equal(n, 0);
    assert_int_equal(received, sent);
    (void)close(fd);
}

static void test_program_that_never_takes_the_last_bytes_is_given_up(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(256, 4096);
    fd = open_from_guest(bench);
    (void)fill_room();
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_BOTH);
    assert_packet(VSOCK_OP_RST, 1000, 50);
    assert_true(is_ticking);
    seconds_pass(VSOCK_PATIENCE_S);
    assert_false(is_ticking);
    assert_no_packet();
    (void)close(fd);
}

static void test_program_that_leaves_with_bytes_on_their_way_ends_it(void **state)
{
    struct bench *bench = *state;
    struct vsock_header h;
    int fd;

    offer_rx(256, 4096);
    fd = open_from_guest(bench);
    (void)fill_room();
    (void)close(fd);
    settle();
    do { /* credit that comes free on the way is nothing to count */
        (void)receive(&h, NULL);
    } while (h.op == VSOCK_OP_CREDIT_UPDATE || (h.op == VSOCK_OP_SHUTDOWN && h.flags != 3));
    assert_int_equal(h.op, VSOCK_OP_SHUTDOWN);
    assert_int_equal(h.flags, VSOCK_SHUTDOWN_BOTH);
    guest_sends(VSOCK_OP_RST, 1000, 50);

    fd = open_from_guest(bench);
    (void)fill_room();
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_BOTH);
    (void)close(fd);
    settle();
    assert_packet(VSOCK_OP_RST, 1000, 50);
    assert_no_packet();
}

static void test_packets_without_receive_buffers_wait(void **state)
{
    struct bench *bench = *state;
    struct vsock_listener listener = host_listens(bench, 50);
    struct vsock_header h;
    int fd;

    guest_sends(VSOCK_OP_REQUEST, 1000, 50);
    fd = vsock_listener_accept(&listener);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    guest_sends(VSOCK_OP_CREDIT_REQUEST, 1000, 50);
    assert_no_packet();
    offer_rx(1, 4096);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RESPONSE);
    offer_rx(1, HEADER + 1); /* each takes what it can */
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RW);
    assert_int_equal(h.len, 1);
    device->queues[0].pieces = 60;
    offer_rx(1, 4096);
    assert_int_equal(receive(&h, NULL), VSOCK_OP_RW);
    assert_int_equal(h.len, 2);
    vsock_listener_close(&listener);
    (void)close(fd);
}

/* --- many --- */

static void test_twenty_streams_keep_apart_and_have_their_turn(void **state)
{
    enum { NR = 20, SIZE = 40000 };
    struct bench *bench = *state;
    struct vsock_listener listener = host_listens(bench, 50);
    static char sent[SIZE], got[NR][SIZE];
    size_t received[NR] = {0};
    struct vsock_header h;
    char bytes[4096];
    int fds[NR];

    offer_rx(NR, 4096);
    for (uint32_t i = 0; i < NR; i++) {
        guest_sends(VSOCK_OP_REQUEST, 1000 + i, 50);
        assert_packet(VSOCK_OP_RESPONSE, 1000 + i, 50);
        fds[i] = vsock_listener_accept(&listener);
    }
    for (int i = 0; i < NR; i++) {
        memset(sent, i, SIZE);
        assert_int_equal(write(fds[i], sent, SIZE), SIZE);
    }
    for (int round = 0; round < 1000; round++) {
        bool is_over = true;

        offer_rx(1, 4096);
        while (receive(&h, bytes) != 0) {
            uint32_t i = h.dst_port - 1000;

            if (h.op == VSOCK_OP_RW) {
                memcpy(got[i] + received[i], bytes, h.len);
                received[i] += h.len;
            }
            h = header_of(VSOCK_OP_CREDIT_UPDATE, 1000 + i, 50);
            h.fwd_cnt = (uint32_t)received[i];
            send_raw(&h, NULL, 0);
        }
        settle();
        for (int i = 0; i < NR; i++) {
            is_over = is_over && received[i] == SIZE;
            assert_true(received[i] + 3 * PEER_ROOM > received[(i + 1) % NR]); /* in turn */
        }
        if (is_over) {
            break;
        }
    }
    for (int i = 0; i < NR; i++) {
        memset(sent, i, SIZE);
        assert_memory_equal(got[i], sent, SIZE);
        guest_writes((uint32_t)(1000 + i), 50, &i, 1, SIZE);
        assert_int_equal(read(fds[i], bytes, sizeof(bytes)), 1);
        assert_int_equal(bytes[0], i);
        (void)close(fds[i]);
    }
    vsock_listener_close(&listener);
}

static void test_streams_have_a_limit_and_what_has_ended_makes_place(void **state)
{
    struct bench *bench = *state;
    struct vsock_listener listener = host_listens(bench, 50);
    struct vsock_header h;
    int fds[VSOCK_CONNS_MAX];
    int fd;

    offer_rx(400, 128);
    for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
        guest_sends(VSOCK_OP_REQUEST, i, 50);
        assert_packet(VSOCK_OP_RESPONSE, i, 50);
        fds[i] = vsock_listener_accept(&listener);
    }
    guest_sends(VSOCK_OP_REQUEST, 5000, 50);
    assert_packet(VSOCK_OP_RST, 5000, 50);
    (void)close(vsock_listener_accept(&listener));
    fd = host_connects(bench, "CONNECT 1\n");
    host_is_cut_off(fd);
    (void)close(fd);
    (void)close(fds[3]);
    settle();
    assert_packet(VSOCK_OP_SHUTDOWN, 3, 50);
    /* The guest keeps it; that is no reason to turn others away for ever. */
    guest_sends(VSOCK_OP_REQUEST, 5001, 50);
    (void)close(vsock_listener_accept(&listener));
    assert_packet(VSOCK_OP_RST, 5001, 50);
    assert_packet(VSOCK_OP_RST, 3, 50);
    guest_sends(VSOCK_OP_REQUEST, 5002, 50);
    assert_packet(VSOCK_OP_RESPONSE, 5002, 50);
    assert_int_equal(receive(&h, NULL), 0);
    fds[3] = vsock_listener_accept(&listener);
    for (int i = 0; i < VSOCK_CONNS_MAX; i++) {
        (void)close(fds[i]);
    }
    vsock_listener_close(&listener);
}

/* --- hostile guests --- */

static void test_packets_that_must_not_be_are_answered_with_a_reset_or_nothing(void **state)
{
    static const struct {
        const char *name;
        struct vsock_header header; /* on top of one that is in order, where not 0 */
        bool is_for_open;           /* sent on a stream that is open, which ends by it */
        bool is_answered;
    } cases[] = {
        {"data of no stream", {.op = VSOCK_OP_RW}, false, true},
        {"response of no stream", {.op = VSOCK_OP_RESPONSE}, false, true},
        {"shutdown of no stream", {.op = VSOCK_OP_SHUTDOWN}, false, true},
        {"credit of no stream", {.op = VSOCK_OP_CREDIT_UPDATE}, false, true},
        {"credit request of no stream", {.op = VSOCK_OP_CREDIT_REQUEST}, false, true},
        {"reset of no stream", {.op = VSOCK_OP_RST}, false, false},
        {"operation that there is not", {.op = 8}, false, true},
        {"operation 65535", {.op = 0xffff}, false, true},
        {"another's address", {.op = VSOCK_OP_REQUEST, .src_cid = GUEST_CID + 1}, false, false},
        {"address above 32 bits",
         {.op = VSOCK_OP_REQUEST, .src_cid = GUEST_CID | 1ull << 32},
         false,
         false},
        {"to another guest", {.op = VSOCK_OP_REQUEST, .dst_cid = 9}, false, true},
        {"to the hypervisor", {.op = VSOCK_OP_REQUEST, .dst_cid = 1}, false, true},
        {"to another guest, reset", {.op = VSOCK_OP_RST, .dst_cid = 9}, false, false},
        {"sequenced packets", {.op = VSOCK_OP_REQUEST, .type = 2}, false, true},
        {"type 65535", {.op = VSOCK_OP_RW, .type = 0xffff}, false, true},
        {"request with a length", {.op = VSOCK_OP_REQUEST, .len = 5}, false, true},
        {"second request", {.op = VSOCK_OP_REQUEST}, true, true},
        {"response that nobody waits for", {.op = VSOCK_OP_RESPONSE}, true, true},
        {"operation on a stream", {.op = 9}, true, true},
        {"longer than it is", {.op = VSOCK_OP_RW, .len = 1}, true, true},
        {"much longer than it is", {.op = VSOCK_OP_RW, .len = 0xffffffff}, true, true},
        {"update that is longer", {.op = VSOCK_OP_CREDIT_UPDATE, .len = 44}, true, true},
        {"used more than was sent", {.op = VSOCK_OP_CREDIT_UPDATE, .fwd_cnt = 1}, true, true},
        {"used much more", {.op = VSOCK_OP_RW, .fwd_cnt = 0x7fffffff}, true, true},
    };
    struct bench *bench = *state;

    offer_rx(100, 128);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vsock_header h = cases[i].header;
        const struct vsock_header in_order = header_of(VSOCK_OP_RW, 1000, 50);
        int fd = cases[i].is_for_open ? open_from_guest(bench) : -1;

        h.src_port = 1000;
        h.dst_port = 50;
        h.src_cid = h.src_cid != 0 ? h.src_cid : in_order.src_cid;
        h.dst_cid = h.dst_cid != 0 ? h.dst_cid : in_order.dst_cid;
        h.type = h.type != 0 ? h.type : in_order.type;
        send_raw(&h, NULL, 0);
        settle();
        if (cases[i].is_answered) {
            struct vsock_header answer;

            if (receive(&answer, NULL) != VSOCK_OP_RST) {
                fail_msg("%s", cases[i].name);
            }
            assert_int_equal(answer.src_cid, h.dst_cid);
            assert_int_equal(answer.src_port, 50);
            assert_int_equal(answer.dst_port, 1000);
            assert_int_equal(answer.type, h.type);
        }
        assert_no_packet();
        if (fd >= 0) {
            host_reads_the_end(fd);
            (void)close(fd);
        }
    }
    assert_string_equal(device->failed, "");
}

static void test_data_after_the_end_that_the_guest_declared_is_a_reset(void **state)
{
    struct bench *bench = *state;
    int fd;

    offer_rx(8, 4096);
    fd = open_from_guest(bench);
    guest_shuts_down(1000, 50, VSOCK_SHUTDOWN_SEND);
    guest_writes(1000, 50, "x", 1, 0);
    assert_packet(VSOCK_OP_RST, 1000, 50);
    host_reads_the_end(fd);
    (void)close(fd);
}

static void test_answer_before_the_question_or_of_another_kind_is_a_reset(void **state)
{
    struct bench *bench = *state;
    int fd = host_connects(bench, "CONNECT 5\n");

    guest_sends(VSOCK_OP_RESPONSE, 5, VSOCK_FIRST_HOST_PORT + 1); /* it was not asked yet */
    host_reads_the_end(fd);
    offer_rx(8, 4096);
    assert_packet(VSOCK_OP_RST, 5, VSOCK_FIRST_HOST_PORT + 1);
    (void)close(fd);
    fd = host_connects(bench, "CONNECT 5\n");
    assert_packet(VSOCK_OP_REQUEST, 5, VSOCK_FIRST_HOST_PORT + 2);
    guest_writes(5, VSOCK_FIRST_HOST_PORT + 2, "x", 1, 0);
    assert_packet(VSOCK_OP_RST, 5, VSOCK_FIRST_HOST_PORT + 2);
    host_reads_the_end(fd);
    assert_no_packet();
    (void)close(fd);
}

static void test_guest_that_floods_and_reads_no_answer_is_heard_no_more(void **state)
{
    const struct vsock_header h = header_of(VSOCK_OP_RW, 1, 2);

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        send_raw(&h, NULL, 0);
    }
    settle();
    assert_int_equal(device->queues[1].nr_used, VSOCK_REPLIES_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        offer(0, 0, 64, NULL);
    }
    settle();
    assert_int_equal(device->queues[1].nr_used, 1000);
    assert_int_equal(device->queues[0].nr_shown, 1000);
}

static void test_buffers_without_room_for_a_header_are_the_end(void **state)
{
    struct bench *bench = *state;
    char bytes[HEADER] = {0};
    int fd;

    offer(1, HEADER - 1, 0, bytes);
    settle();
    assert_string_equal(device->failed, "a packet is shorter than its header");
    device->failed[0] = '\0';
    reset_device();
    start_device();
    fd = host_connects(bench, "CONNECT 5\n");
    offer_rx(1, HEADER);
    assert_string_equal(device->failed, "a receive buffer has no room for a packet");
    (void)close(fd);
}

/* Whatever a guest sends: nothing is lost, and nothing comes to a standstill. */
static void send_random_packets(const struct bench *bench, uint32_t seed)
{
    struct vsock_listener listener = host_listens(bench, 50);
    int fds[64];
    unsigned nr_fds = 0;

    for (unsigned i = 0; i < 1500; i++) {
        struct vsock_header h;
        char payload[64];
        int fd;

        fill_byte((char *)&h, sizeof(h), &seed);
        fill_byte(payload, sizeof(payload), &seed);
        h.src_cid = GUEST_CID;
        h.dst_cid = 2;
        h.type = 1;
        h.op %= 9;
        h.src_port %= 3;
        h.dst_port = 50;
        h.flags &= 3;
        h.len = h.len % 4 != 0 ? h.len % 65 : h.len;
        h.buf_alloc %= 2000;
        h.fwd_cnt = h.fwd_cnt % 8 != 0 ? 0 : h.fwd_cnt;
        send_raw(&h, payload, h.len <= 64 ? h.len : 64);
        if (i % 4 != 3) {
            offer(0, 0, HEADER + 1 + i % 50, NULL);
        }
        settle();
        while ((fd = vsock_listener_accept(&listener)) >= 0) {
            if (nr_fds == 64) {
                (void)close(fds[--nr_fds]);
            }
            (void)send(fd, payload, 50, MSG_NOSIGNAL);
            fds[nr_fds++] = fd;
        }
        if (nr_fds > 0 && seed % 5 == 0) {
            (void)close(fds[--nr_fds]);
        }
    }
    while (nr_fds > 0) {
        (void)close(fds[--nr_fds]);
    }
    vsock_listener_close(&listener);
    assert_string_equal(device->failed, "");
    for (unsigned i = 0; i < 400; i++) {
        offer(0, 0, 4096, NULL);
    }
    settle();
    assert_int_equal(device->queues[1].nr_used, 1500);
}

static void test_random_packets_do_no_harm(void **state)
{
    for (uint32_t seed = 1; seed <= 10; seed++) {
        send_random_packets(*state, seed);
        reset_device();
        start_device();
    }
}

/* --- a host that refuses --- */

static void test_each_allocation_may_fail(void **state)
{
    char dir[] = "/tmp/test_vsock.XXXXXX";
    char path[64];
    struct vsock_config config = {.path = path, .guest_cid = GUEST_CID};
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/v", dir);
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        struct vsock *vsock;

        assert_true(n < 50);
        inject_fail_nth(n);
        vsock = vsock_create(&some_vm, &config);
        has_failed = inject_disarm();
        assert_true((vsock == NULL) == has_failed);
        vsock_destroy(vsock);
        leak_check(&before);
    }
    for (unsigned n = 1; n <= 2; n++) {
        fail_watch = n;
        assert_null(vsock_create(&some_vm, &config));
        leak_check(&before);
    }
    no_worker = true;
    assert_null(vsock_create(&some_vm, &config));
    no_worker = false;
    no_device = true;
    assert_null(vsock_create(&some_vm, &config));
    no_device = false;
    config.path = "/nonexistent/v";
    assert_null(vsock_create(&some_vm, &config));
    leak_check(&before);
    assert_int_equal(rmdir(dir), 0);
}

static void test_driver_that_cannot_be_served_is_told(void **state)
{
    (void)state;
    reset_device();
    for (unsigned n = 1; n <= 3; n++) {
        unsigned nr_before = the_worker->nr_watches;

        fail_watch = n;
        assert_int_equal(device->config.ops->start(device->config.cookie, 0), -1);
        assert_int_equal(the_worker->nr_watches, nr_before);
    }
    start_device();
}

static void test_stream_that_the_host_has_no_memory_for_is_reset(void **state)
{
    struct bench *bench = *state;
    struct vsock_listener listener = host_listens(bench, 50);
    static char bytes[4096];
    struct vsock_header h;
    int fd;

    offer_rx(250, 128);
    offer(1, HEADER, 0, &(struct vsock_header){0});
    settle();
    h = header_of(VSOCK_OP_REQUEST, 1000, 50);
    send_raw(&h, NULL, 0);
    inject_fail_nth(1); /* the stream */
    settle();
    assert_true(inject_disarm());
    assert_packet(VSOCK_OP_RST, 1000, 50);
    (void)close(vsock_listener_accept(&listener));
    send_raw(&h, NULL, 0);
    fail_watch = 1; /* its socket */
    settle();
    assert_packet(VSOCK_OP_RST, 1000, 50);
    assert_no_packet();
    (void)close(vsock_listener_accept(&listener));
    vsock_listener_close(&listener);
    fd = open_from_guest(bench);
    do { /* until the socket is full, and room is wanted */
        h = header_of(VSOCK_OP_RW, 1000, 50);
        h.len = sizeof(bytes);
        send_raw(&h, bytes, sizeof(bytes));
        inject_fail_nth(1);
        settle();
    } while (!inject_disarm());
    do {
        (void)receive(&h, NULL);
    } while (h.op == VSOCK_OP_CREDIT_UPDATE);
    assert_int_equal(h.op, VSOCK_OP_RST);
    (void)close(fd);
    fail_watch = 1;
    fd = host_connects(bench, "CONNECT 5\n");
    host_is_cut_off(fd);
    (void)close(fd);
}

int main(void)
{
#define vsock_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        vsock_test(test_host_program_reaches_a_port_of_the_guest),
        vsock_test(test_line_may_come_in_pieces),
        vsock_test(test_wrong_line_ends_it),
        vsock_test(test_port_where_nobody_listens_ends_it),
        vsock_test(test_guest_that_does_not_answer_is_given_up),
        vsock_test(test_program_that_says_nothing_is_given_up),
        vsock_test(test_program_that_left_meanwhile_is_not_waited_for),
        vsock_test(test_without_a_driver_programs_are_turned_away),
        vsock_test(test_guest_reaches_a_socket_of_the_host),
        vsock_test(test_guest_that_connects_to_nobody_is_refused),
        vsock_test(test_half_close_by_the_guest_lets_the_other_half_go_on),
        vsock_test(test_half_close_by_the_host_lets_the_other_half_go_on),
        vsock_test(test_guest_that_reads_no_more_ends_what_the_host_writes),
        vsock_test(test_host_that_reads_no_more_does_not_stop_what_it_wrote),
        vsock_test(test_reset_by_the_guest_ends_both_halves),
        vsock_test(test_reset_of_the_device_ends_all),
        vsock_test(test_transport_reset_ends_all_and_is_told_once_there_is_room),
        vsock_test(test_guest_gets_no_more_than_it_has_room_for),
        vsock_test(test_guest_that_makes_its_room_smaller_than_what_is_in_it_gets_nothing),
        vsock_test(test_host_program_that_does_not_read_is_waited_for_without_loss),
        vsock_test(test_guest_that_sends_more_than_there_is_room_for_is_reset),
        vsock_test(test_what_a_guest_sent_before_it_closed_reaches_a_slow_program),
        vsock_test(test_program_that_never_takes_the_last_bytes_is_given_up),
        vsock_test(test_program_that_leaves_with_bytes_on_their_way_ends_it),
        vsock_test(test_packets_without_receive_buffers_wait),
        vsock_test(test_twenty_streams_keep_apart_and_have_their_turn),
        vsock_test(test_streams_have_a_limit_and_what_has_ended_makes_place),
        vsock_test(test_packets_that_must_not_be_are_answered_with_a_reset_or_nothing),
        vsock_test(test_data_after_the_end_that_the_guest_declared_is_a_reset),
        vsock_test(test_answer_before_the_question_or_of_another_kind_is_a_reset),
        vsock_test(test_guest_that_floods_and_reads_no_answer_is_heard_no_more),
        vsock_test(test_buffers_without_room_for_a_header_are_the_end),
        vsock_test(test_random_packets_do_no_harm),
        cmocka_unit_test(test_each_allocation_may_fail),
        vsock_test(test_driver_that_cannot_be_served_is_told),
        vsock_test(test_stream_that_the_host_has_no_memory_for_is_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
