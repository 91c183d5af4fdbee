/* The virtio disk: its configuration, its threads, and a driver that does as it likes; queues are
 * of this file's making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "back/disk.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/blk.h"

#define FEATURE(name) (1ull << VIRTIO_BLK_F_##name)

enum { SIZE = 1 << 20, MAX_PIECES = 4, MAX_REQUESTS = 600 };

/* --- queues that belong to a test: the driver's half below, the device's as hostvm/virtio.h has
 * it. One lock for all. --- */

struct request {
    struct iovec iov[MAX_PIECES];
    unsigned nr_out, nr_in;
    uint8_t status;
    bool is_used;
    size_t written;
    struct virtio_blk_outhdr header;
};

struct hostvm_virtqueue {
    int fd;
    bool is_ready, is_armed, is_bad; /* bad: the device is told that its rules are broken */
    struct request *available[MAX_REQUESTS];
    unsigned nr_available, nr_taken, nr_pushed;
    unsigned nr_used; /* that were published */
    unsigned nr_kicks;
    struct request *pushed[MAX_REQUESTS];
};

struct hostvm_virtio {
    hostvm_virtio_config_t config;
    struct virtio_blk_config space;
    struct hostvm_virtqueue queues[BLK_MAX_QUEUES];
    unsigned nr_changes;
    bool is_started;
    char failure[100];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool refuse_create;

hostvm_virtio_t *hostvm_virtio_create(vm_t *vm, const hostvm_virtio_config_t *config)
{
    struct hostvm_virtio *device = refuse_create ? NULL : calloc(1, sizeof(*device));

    (void)vm;
    if (device == NULL) {
        return NULL;
    }
    device->config = *config;
    assert_int_equal(config->id, 2);
    assert_true(config->config_size <= sizeof(device->space));
    memcpy(&device->space, config->config, config->config_size);
    for (unsigned i = 0; i < config->nr_queues; i++) {
        assert_int_equal(config->queue_sizes[i], 256);
        device->queues[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        device->queues[i].is_ready = true;
        if (device->queues[i].fd < 0) {
            device->config.nr_queues = i;
            hostvm_virtio_destroy(device);
            return NULL;
        }
    }
    return device;
}

void hostvm_virtio_destroy(hostvm_virtio_t *device)
{
    if (device == NULL) {
        return;
    }
    if (device->is_started) {
        device->config.ops->stop(device->config.cookie);
    }
    for (unsigned i = 0; i < device->config.nr_queues; i++) {
        (void)close(device->queues[i].fd);
    }
    free(device);
}

hostvm_virtqueue_t *hostvm_virtio_queue(hostvm_virtio_t *device, unsigned int index)
{
    return index < device->config.nr_queues ? &device->queues[index] : NULL;
}

int hostvm_virtio_set_config(hostvm_virtio_t *device, size_t offset, const void *bytes, size_t size)
{
    (void)pthread_mutex_lock(&lock);
    memcpy((uint8_t *)&device->space + offset, bytes, size);
    device->nr_changes++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

void hostvm_virtio_fail(hostvm_virtio_t *device, const char *why)
{
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(device->failure, sizeof(device->failure), "%s", why);
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

int hostvm_virtqueue_fd(const hostvm_virtqueue_t *queue)
{
    return queue->fd;
}

bool hostvm_virtqueue_is_ready(const hostvm_virtqueue_t *queue)
{
    return queue->is_ready;
}

int hostvm_virtqueue_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer)
{
    const struct request *request;
    int r = 0;

    (void)pthread_mutex_lock(&lock);
    if (queue->is_bad) {
        r = -1;
        (void)pthread_cond_broadcast(&changed);
    } else if (queue->nr_taken < queue->nr_available) {
        request = queue->available[queue->nr_taken];
        buffer->id = (uint16_t)queue->nr_taken++;
        buffer->nr_out = request->nr_out;
        buffer->nr_in = request->nr_in;
        buffer->out_size = buffer->in_size = 0;
        for (unsigned i = 0; i < request->nr_out + request->nr_in; i++) {
            buffer->iov[i] = request->iov[i];
            *(i < request->nr_out ? &buffer->out_size : &buffer->in_size) +=
                request->iov[i].iov_len;
        }
        r = 1;
    }
    (void)pthread_mutex_unlock(&lock);
    return r;
}

void hostvm_virtqueue_push(hostvm_virtqueue_t *queue, const hostvm_virtio_buffer_t *buffer,
                           size_t written)
{
    struct request *request = queue->available[buffer->id];

    (void)pthread_mutex_lock(&lock);
    request->written = written;
    queue->pushed[queue->nr_pushed++] = request;
    (void)pthread_mutex_unlock(&lock);
}

void hostvm_virtqueue_publish(hostvm_virtqueue_t *queue)
{
    (void)pthread_mutex_lock(&lock);
    while (queue->nr_used < queue->nr_pushed) {
        queue->pushed[queue->nr_used++]->is_used = true;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

void hostvm_virtqueue_disarm(hostvm_virtqueue_t *queue)
{
    (void)pthread_mutex_lock(&lock);
    queue->is_armed = false;
    (void)pthread_mutex_unlock(&lock);
}

bool hostvm_virtqueue_rearm(hostvm_virtqueue_t *queue)
{
    bool has_more;

    (void)pthread_mutex_lock(&lock);
    queue->is_armed = true;
    has_more = queue->nr_taken < queue->nr_available;
    (void)pthread_mutex_unlock(&lock);
    return has_more;
}

static size_t copy(const struct iovec *iov, unsigned nr, size_t offset, uint8_t *bytes, size_t size,
                   bool is_write)
{
    size_t n = 0;

    for (; nr > 0 && n < size; iov++, nr--) {
        for (size_t i = 0; i < iov->iov_len && n < size; i++) {
            if (offset > 0) {
                offset--;
            } else if (is_write) {
                ((uint8_t *)iov->iov_base)[i] = bytes[n++];
            } else {
                bytes[n++] = ((uint8_t *)iov->iov_base)[i];
            }
        }
    }
    return n;
}

size_t hostvm_virtio_read(const hostvm_virtio_buffer_t *buffer, size_t offset, void *bytes,
                          size_t size)
{
    return copy(buffer->iov, buffer->nr_out, offset, bytes, size, false);
}

size_t hostvm_virtio_write(const hostvm_virtio_buffer_t *buffer, size_t offset, const void *bytes,
                           size_t size)
{
    return copy(buffer->iov + buffer->nr_out, buffer->nr_in, offset, (void *)(uintptr_t)bytes, size,
                true);
}

/* --- the driver --- */

struct bench {
    struct disk *disk; /* the device's */
    struct blk *blk;
    struct hostvm_virtio *device;
    char path[64];
    bool is_readonly;
};

static bool is_plain;

static struct disk *make_disk(struct bench *b)
{
    struct disk *disk = NULL;
    int fd;

    (void)snprintf(b->path, sizeof(b->path), "/tmp/test_virtio_blk.XXXXXX");
    fd = mkstemp(b->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    (void)close(fd);
    assert_int_equal(disk_open(b->path, b->is_readonly, &disk), 0);
    return disk;
}

static void bench_init(struct bench *b, unsigned nr_queues)
{
    b->disk = make_disk(b);
    b->blk = blk_create(NULL, &(struct blk_config){.disk = b->disk,
                                                   .serial = "no. 1",
                                                   .nr_queues = nr_queues,
                                                   .is_plain = is_plain});
    assert_non_null(b->blk);
    b->device = blk_device(b->blk);
}

static void start(struct bench *b, uint64_t features)
{
    for (unsigned i = 0; i < b->device->config.nr_queues; i++) {
        struct hostvm_virtqueue *queue = &b->device->queues[i];

        *queue = (struct hostvm_virtqueue){.fd = queue->fd, .is_ready = true, .is_armed = true};
    }
    assert_int_equal(b->device->config.ops->start(b->device->config.cookie, features), 0);
    b->device->is_started = true;
}

static void stop(struct bench *b)
{
    b->device->is_started = false;
    b->device->config.ops->stop(b->device->config.cookie);
}

static void bench_fini(struct bench *b)
{
    blk_destroy(b->blk);
    (void)unlink(b->path);
}

static void set_up(struct request *r, uint32_t type, uint64_t sector, void *bytes, size_t size)
{
    bool is_in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    unsigned n = 1;

    *r = (struct request){.header = {.type = type, .sector = sector}, .status = 0xff};
    r->iov[0] = (struct iovec){&r->header, sizeof(r->header)};
    if (size > 0) {
        r->iov[n++] = (struct iovec){bytes, size};
    }
    r->iov[n] = (struct iovec){&r->status, 1};
    r->nr_out = is_in ? 1 : n;
    r->nr_in = n + 1 - r->nr_out;
}

/* Makes it available; the device is told when it wants to be. */
static void add(struct bench *b, unsigned index, struct request *r)
{
    struct hostvm_virtqueue *queue = &b->device->queues[index];
    const uint64_t one = 1;
    bool is_armed;

    (void)pthread_mutex_lock(&lock);
    assert_true(queue->nr_available < MAX_REQUESTS);
    queue->available[queue->nr_available++] = r;
    is_armed = queue->is_armed;
    queue->nr_kicks += is_armed;
    (void)pthread_mutex_unlock(&lock);
    if (is_armed) {
        assert_int_equal(write(queue->fd, &one, sizeof(one)), sizeof(one));
    }
}

static void wait_for(const struct request *r)
{
    (void)pthread_mutex_lock(&lock);
    while (!r->is_used) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

static uint8_t ask(struct bench *b, unsigned index, uint32_t type, uint64_t sector, void *bytes,
                   size_t size)
{
    static struct request request;

    set_up(&request, type, sector, bytes, size);
    add(b, index, &request);
    wait_for(&request);
    return request.status;
}

static uint64_t capacity(struct bench *b)
{
    uint64_t sectors;

    (void)pthread_mutex_lock(&lock);
    sectors = b->device->space.capacity;
    (void)pthread_mutex_unlock(&lock);
    return sectors;
}

static void wait_for_capacity(struct bench *b, uint64_t sectors)
{
    (void)pthread_mutex_lock(&lock);
    while (b->device->space.capacity != sectors) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* --- tests --- */

static void test_what_the_driver_is_told(void **state)
{
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    assert_int_equal(b.device->config.features & ~FEATURE(DISCARD),
                     FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) | FEATURE(TOPOLOGY) | FEATURE(FLUSH) |
                         FEATURE(CONFIG_WCE) | FEATURE(WRITE_ZEROES));
    assert_int_equal((b.device->config.features & FEATURE(DISCARD)) != 0,
                     disk_traits(b.disk)->can_discard);
    assert_int_equal(b.device->space.capacity, SIZE / 512);
    assert_int_equal(b.device->space.seg_max, 254);
    assert_int_equal(b.device->space.blk_size, 512);
    assert_int_equal(b.device->space.physical_block_exp, 3);
    assert_int_equal(b.device->space.min_io_size, 8);
    assert_int_equal(b.device->space.wce, 1);
    assert_int_equal(b.device->space.num_queues, 1);
    assert_int_equal(b.device->space.max_write_zeroes_seg, 1);
    assert_int_equal(b.device->space.max_write_zeroes_sectors, 128 << 11);
    bench_fini(&b);
    b.is_readonly = true;
    bench_init(&b, 3);
    assert_int_equal(b.device->config.features, FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) |
                                                    FEATURE(TOPOLOGY) | FEATURE(FLUSH) |
                                                    FEATURE(RO) | FEATURE(MQ));
    assert_int_equal(b.device->space.num_queues, 3);
    bench_fini(&b);
    b.is_readonly = false;
    bench_init(&b, 100);
    assert_int_equal(b.device->config.nr_queues, BLK_MAX_QUEUES);
    bench_fini(&b);
    blk_destroy(NULL);
}

static void test_requests_of_each_type(void **state)
{
    struct virtio_blk_discard_write_zeroes range = {.sector = 8, .num_sectors = 8};
    uint8_t out[4096], in[4096];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    start(&b, FEATURE(FLUSH));
    memset(out, 0x5a, sizeof(out));
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_OUT, 8, out, 4096), VIRTIO_BLK_S_OK);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 8, in, 4096), VIRTIO_BLK_S_OK);
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)),
                     VIRTIO_BLK_S_OK);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 8, in, 4096), VIRTIO_BLK_S_OK);
    memset(out, 0, sizeof(out));
    assert_memory_equal(in, out, sizeof(out));
    if (disk_traits(b.disk)->can_discard) {
        assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)),
                         VIRTIO_BLK_S_OK);
    }
    memset(in, 0xff, sizeof(in));
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_GET_ID, 0, in, 20), VIRTIO_BLK_S_OK);
    assert_memory_equal(in, "no. 1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff", 21);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, SIZE / 512, in, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ask(&b, 0, 99, 0, NULL, 0), VIRTIO_BLK_S_UNSUPP);
    stop(&b);
    bench_fini(&b);
}

/* Twice as many as there is room for, in front of a device that is not started yet or is at work.
 */
static void test_many_requests(void **state)
{
    enum { NR = 512 };
    static struct request requests[NR];
    static uint8_t bytes[NR][512];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 2);
    start(&b, FEATURE(FLUSH));
    for (unsigned i = 0; i < NR; i++) {
        memset(bytes[i], (int)i, 512);
        set_up(&requests[i], VIRTIO_BLK_T_OUT, i, bytes[i], 512);
        add(&b, i % 2, &requests[i]);
    }
    for (unsigned i = 0; i < NR; i++) {
        wait_for(&requests[i]);
        assert_int_equal(requests[i].status, VIRTIO_BLK_S_OK);
        assert_int_equal(requests[i].written, 1);
    }
    for (unsigned i = 0; i < NR; i++) {
        uint8_t in[512];

        assert_int_equal(ask(&b, 1, VIRTIO_BLK_T_IN, i, in, 512), VIRTIO_BLK_S_OK);
        assert_int_equal(in[0], (uint8_t)i);
        if (i == 80) {
            stop(&b);
            start(&b, FEATURE(FLUSH));
        }
    }
    stop(&b);
    bench_fini(&b);
}

/* What is under way when the driver resets ends before the reset does; nothing of it is pushed
 * later. */
static void test_reset_in_the_middle(void **state)
{
    enum { NR = 300 };
    static struct request requests[NR];
    static uint8_t bytes[NR][4096];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    for (unsigned round = 0; round < 50; round++) {
        unsigned nr_used;

        start(&b, 0);
        for (unsigned i = 0; i < NR; i++) {
            set_up(&requests[i], i % 3 == 0 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 8 % 2048,
                   bytes[i], 4096);
            add(&b, 0, &requests[i]);
        }
        stop(&b);
        nr_used = b.device->queues[0].nr_pushed;
        memset(bytes, (int)round, sizeof(bytes));
        assert_true(nr_used <= NR);
        start(&b, 0);
        stop(&b);
        for (unsigned i = 0; i < NR; i++) {
            assert_int_equal(bytes[i][4095], (uint8_t)round);
        }
    }
    bench_fini(&b);
}

static void test_queue_that_is_not_set_up(void **state)
{
    uint8_t in[512];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 2);
    b.device->queues[0].is_ready = false;
    b.device->queues[1].is_armed = true;
    assert_int_equal(b.device->config.ops->start(b.device->config.cookie, 0), 0);
    b.device->is_started = true;
    assert_int_equal(ask(&b, 1, VIRTIO_BLK_T_IN, 0, in, 512), VIRTIO_BLK_S_OK);
    bench_fini(&b); /* stops it, too */
}

static void test_no_room_for_a_status(void **state)
{
    static struct request bad, good;
    uint8_t in[512];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    start(&b, 0);
    set_up(&bad, VIRTIO_BLK_T_OUT, 0, in, 512);
    bad.nr_in = 0;
    set_up(&good, VIRTIO_BLK_T_IN, 0, in, 512);
    add(&b, 0, &bad);
    add(&b, 0, &good);
    (void)pthread_mutex_lock(&lock);
    while (b.device->failure[0] == '\0') {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
    assert_string_equal(b.device->failure, "a disk request has no room for its status");
    stop(&b);
    assert_false(good.is_used);
    start(&b, 0);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 0, in, 512), VIRTIO_BLK_S_OK);
    stop(&b);
    bench_fini(&b);
}

static void test_queue_whose_rules_are_broken(void **state)
{
    static struct request request;
    uint8_t in[512];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    start(&b, 0);
    (void)pthread_mutex_lock(&lock);
    b.device->queues[0].is_bad = true;
    (void)pthread_mutex_unlock(&lock);
    set_up(&request, VIRTIO_BLK_T_IN, 0, in, 512);
    add(&b, 0, &request);
    stop(&b);
    assert_false(request.is_used);
    start(&b, 0);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 0, in, 512), VIRTIO_BLK_S_OK);
    stop(&b);
    bench_fini(&b);
}

static void test_capacity_follows_the_file(void **state)
{
    uint8_t in[1024];
    struct bench b = {0};
    int fd;

    (void)state;
    bench_init(&b, 1);
    fd = open(b.path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 2 * SIZE), 0);
    (void)close(fd);
    wait_for_capacity(&b, 2 * SIZE / 512); /* also in front of a driver */
    start(&b, FEATURE(FLUSH));
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, SIZE / 512, in, 512), VIRTIO_BLK_S_OK);
    assert_int_equal(truncate(b.path, SIZE), 0); /* nobody tells */
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(capacity(&b), SIZE / 512);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, SIZE / 512, in, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(truncate(b.path, 512), 0);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 0, in, 1024), VIRTIO_BLK_S_IOERR);
    assert_int_equal(capacity(&b), 1);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_IN, 0, in, 512), VIRTIO_BLK_S_OK);
    stop(&b);
    bench_fini(&b);
}

static void write_wce(struct bench *b, uint8_t value)
{
    b->device->config.ops->write_config(b->device->config.cookie,
                                        offsetof(struct virtio_blk_config, wce), &value, 1);
}

static void test_cache_on_and_off(void **state)
{
    const uint64_t both = FEATURE(FLUSH) | FEATURE(CONFIG_WCE);
    const uint32_t word = 0;
    uint8_t out[512] = {0};
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    start(&b, both);
    write_wce(&b, 0);
    assert_int_equal(b.device->space.wce, 0);
    assert_int_equal(ask(&b, 0, VIRTIO_BLK_T_OUT, 0, out, 512), VIRTIO_BLK_S_OK);
    write_wce(&b, 2);
    assert_int_equal(b.device->space.wce, 0);
    write_wce(&b, 1);
    assert_int_equal(b.device->space.wce, 1);
    write_wce(&b, 0);
    stop(&b);
    assert_int_equal(b.device->space.wce, 1);
    write_wce(&b, 0); /* a driver that is not ready yet */
    start(&b, both);
    assert_int_equal(b.device->space.wce, 0);
    stop(&b);
    start(&b, FEATURE(CONFIG_WCE)); /* it cannot flush */
    assert_int_equal(b.device->space.wce, 0);
    write_wce(&b, 1);
    assert_int_equal(b.device->space.wce, 0);
    stop(&b);
    start(&b, FEATURE(FLUSH)); /* it did not ask for the choice */
    write_wce(&b, 0);
    assert_int_equal(b.device->space.wce, 1);
    /* Any other field, and any other width. */
    for (size_t at = 0; at + sizeof(word) <= b.device->config.config_size; at++) {
        const struct virtio_blk_config before = b.device->space;

        b.device->config.ops->write_config(b.device->config.cookie, at, &word, sizeof(word));
        assert_memory_equal(&b.device->space, &before, sizeof(before));
    }
    stop(&b);
    bench_fini(&b);
}

/* A disk that is as busy as can be does not want to be told of each request. */
static void test_kicks_are_few_under_load(void **state)
{
    enum { NR = 500 };
    static struct request requests[NR];
    uint8_t in[512];
    struct bench b = {0};

    (void)state;
    bench_init(&b, 1);
    start(&b, 0);
    for (unsigned i = 0; i < NR; i++) {
        set_up(&requests[i], VIRTIO_BLK_T_GET_ID, 0, in, 20);
    }
    (void)pthread_mutex_lock(&lock);
    b.device->queues[0].is_armed = false;
    for (unsigned i = 0; i < NR - 1; i++) {
        b.device->queues[0].available[b.device->queues[0].nr_available++] = &requests[i];
    }
    b.device->queues[0].is_armed = true;
    (void)pthread_mutex_unlock(&lock);
    add(&b, 0, &requests[NR - 1]);
    wait_for(&requests[NR - 1]);
    assert_int_equal(b.device->queues[0].nr_kicks, 1);
    stop(&b);
    bench_fini(&b);
}

/* Whatever cannot be had: no device, or one that works; the disk is closed either way. */
static void test_failures_while_making_one(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct bench b = {0};
        struct leak_state leak;
        struct blk *blk;

        leak_begin(&leak);
        b.disk = make_disk(&b);
        inject_fail_nth(n);
        blk = blk_create(
            NULL, &(struct blk_config){.disk = b.disk, .nr_queues = 2, .is_plain = is_plain});
        has_failed = inject_disarm();
        assert_true(has_failed || blk != NULL);
        blk_destroy(blk);
        (void)unlink(b.path);
        if (is_plain) {
            leak_check(&leak); /* the kernel takes its time with rings */
        }
        assert_true(n < 30);
    }
    refuse_create = true;
    {
        struct bench b = {0};

        assert_null(blk_create(NULL, &(struct blk_config){.disk = make_disk(&b), .nr_queues = 1}));
        (void)unlink(b.path);
    }
    refuse_create = false;
}

static int use_plain(void **state)
{
    (void)state;
    is_plain = true;
    return 0;
}

static int use_uring(void **state)
{
    (void)state;
    is_plain = false;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_driver_is_told),
        cmocka_unit_test(test_requests_of_each_type),
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_reset_in_the_middle),
        cmocka_unit_test(test_queue_that_is_not_set_up),
        cmocka_unit_test(test_no_room_for_a_status),
        cmocka_unit_test(test_queue_whose_rules_are_broken),
        cmocka_unit_test(test_capacity_follows_the_file),
        cmocka_unit_test(test_cache_on_and_off),
        cmocka_unit_test(test_kicks_are_few_under_load),
        cmocka_unit_test(test_failures_while_making_one),
    };
    int failed =
        cmocka_run_group_tests_name("disk, io_uring where there is one", tests, use_uring, NULL);

    return failed + cmocka_run_group_tests_name("disk, one by one", tests, use_plain, NULL);
}
