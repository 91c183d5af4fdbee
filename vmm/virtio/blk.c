/* A disk for the guest (virtio 1.2, 5.2): its configuration, and the threads that serve its queues.
 */
#include "virtio/blk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/blk_request.h"

#define FEATURE(name) (1ull << VIRTIO_BLK_F_##name)

enum { DEVICE_BLOCK = 2 }; /* 5.2.1 */

/* What a queue's thread is to do. */
enum duty { DUTY_NONE, DUTY_SERVE, DUTY_END };

/* Rounds to go without another try whether the disk is done at once. */
enum { SLOW_ROUNDS = 32 };

struct blk_queue {
    struct blk *blk;
    hostvm_virtqueue_t *virtqueue;
    pthread_t thread;
    bool has_thread;
    bool is_serving; /* it was told to; guarded by the VM's lock */
    atomic_int duty; /* enum duty; written in front of a kick */
    sem_t obeyed;    /* posted when the thread takes up service, and when it is done with it */
    int error;       /* why the thread could not begin */

    /* The thread's own. */
    struct disk_queue *disk_queue;
    struct blk_request *requests; /* BLK_QUEUE_SIZE */
    struct blk_request *free;     /* that were used before */
    unsigned nr_touched;          /* requests, from the first on, that were ever used */
    unsigned nr_used;
    unsigned slow_rounds;
    bool has_begun;  /* something, since the last system call */
    bool has_more;   /* the guest may have made more available */
    bool has_pushed; /* and not published */
    bool is_armed;   /* the driver tells of new buffers */
    bool is_broken;  /* until the driver resets the device */
};

struct blk {
    hostvm_virtio_t *device;
    struct disk *disk;
    bool is_plain;
    char serial[BLK_SERIAL_SIZE];
    atomic_bool is_durable;    /* what is written is on the disk: there is no cache to be flushed */
    bool has_cache;            /* as the configuration space says; guarded by the VM's lock */
    bool is_started;           /* likewise */
    uint64_t features;         /* that were agreed on; likewise, while it is started */
    pthread_mutex_t size_lock; /* guards looks at the disk, with what is told of them */
    struct blk_queue queues[BLK_MAX_QUEUES];
    unsigned nr_queues;
};

/* --- capacity --- */

static void look(struct blk *blk)
{
    (void)pthread_mutex_lock(&blk->size_lock);
    if (disk_look(blk->disk)) {
        const uint64_t capacity = htole64(disk_size(blk->disk) / DISK_SECTOR);

        (void)hostvm_virtio_set_config(blk->device, offsetof(struct virtio_blk_config, capacity),
                                       &capacity, sizeof(capacity));
    }
    (void)pthread_mutex_unlock(&blk->size_lock);
}

/* --- requests, on a queue's thread --- */

static bool has_free_request(const struct blk_queue *queue)
{
    return queue->free != NULL || queue->nr_touched < BLK_QUEUE_SIZE;
}

/* The one that was used last, so that few are touched. There is one. */
static struct blk_request *take_request(struct blk_queue *queue)
{
    struct blk_request *request = queue->free;

    if (request == NULL) {
        request = &queue->requests[queue->nr_touched++];
    } else {
        queue->free = request->next;
    }
    queue->nr_used++;
    return request;
}

static void free_request(struct blk_queue *queue, struct blk_request *request)
{
    request->next = queue->free;
    queue->free = request;
    queue->nr_used--;
}

static struct blk_request *request_of(struct disk_io *io)
{
    return (struct blk_request *)((char *)io - offsetof(struct blk_request, io));
}

static void push(struct blk_queue *queue, struct blk_request *request, size_t written)
{
    hostvm_virtqueue_push(queue->virtqueue, &request->buffer, written);
    queue->has_pushed = true;
    free_request(queue, request);
}

static void publish(struct blk_queue *queue)
{
    if (queue->has_pushed) {
        queue->has_pushed = false;
        hostvm_virtqueue_publish(queue->virtqueue);
    }
}

static const char *name_of(enum disk_op op)
{
    switch (op) {
    case DISK_READ:
        return "read";
    case DISK_WRITE:
        return "write";
    case DISK_FLUSH:
        return "flush";
    case DISK_DISCARD:
        return "discard";
    case DISK_WRITE_ZEROES:
        break;
    }
    return "write zeroes";
}

/* A size that nobody told of shows in what cannot be read, or is looked for with a flush. */
static void finish(struct blk_queue *queue, struct blk_request *request)
{
    const struct disk_io *io = &request->io;

    if (io->result < 0 && io->result != -EOPNOTSUPP) {
        disk_complain(queue->blk->disk, name_of(io->op), io->offset, -io->result);
    }
    if (io->op == DISK_FLUSH || io->result == -ENODATA) {
        look(queue->blk);
    }
    push(queue, request, blk_request_answer(request));
}

static void begin(struct blk_queue *queue, struct blk_request *request,
                  const struct blk_traits *traits)
{
    size_t written = 0;

    switch (blk_request_begin(request, traits, &written)) {
    case BLK_DISK:
        disk_queue_start(queue->disk_queue, &request->io);
        queue->has_begun = true;
        return;
    case BLK_ANSWERED:
        push(queue, request, written);
        return;
    case BLK_MALFORMED:
        break;
    }
    free_request(queue, request);
    queue->is_broken = true;
    hostvm_virtio_fail(queue->blk->device, "a disk request has no room for its status");
}

/* Takes the next request. False: there is none. */
static bool take_one(struct blk_queue *queue, const struct blk_traits *traits)
{
    struct blk_request *request = take_request(queue);
    int r;

    request->buffer.iov = request->iov;
    request->buffer.iov_max = BLK_QUEUE_SIZE;
    r = hostvm_virtqueue_pop(queue->virtqueue, &request->buffer);
    if (r > 0) {
        begin(queue, request, traits);
        return !queue->is_broken;
    }
    free_request(queue, request);
    queue->is_broken = r < 0;
    return false;
}

/* As many as there are, but no more than a queue holds: a guest that keeps adding to it does not
 * keep us here. */
static void take(struct blk_queue *queue)
{
    struct blk *blk = queue->blk;
    const struct blk_traits traits = {
        .size = disk_size(blk->disk),
        .is_readonly = disk_traits(blk->disk)->is_readonly,
        .can_discard = disk_traits(blk->disk)->can_punch,
        .is_durable = atomic_load_explicit(&blk->is_durable, memory_order_relaxed),
        .serial = blk->serial,
    };

    queue->has_more = true;
    for (unsigned i = 0; i < BLK_QUEUE_SIZE && has_free_request(queue); i++) {
        if (!take_one(queue, &traits)) {
            queue->has_more = false;
            break;
        }
    }
    publish(queue);
}

/* --- the loop --- */

static void look_at_queue(struct blk_queue *queue)
{
    if (queue->is_broken) {
        return;
    }
    if (queue->is_armed) {
        hostvm_virtqueue_disarm(queue->virtqueue);
        queue->is_armed = false;
    }
    take(queue);
}

/* True: the driver will tell of new buffers. */
static bool rearm(struct blk_queue *queue)
{
    if (queue->is_armed || queue->is_broken) {
        return true;
    }
    queue->is_armed = true;
    return !hostvm_virtqueue_rearm(queue->virtqueue);
}

/*
 * Where the disk is done at once (what is read is in the host's memory), the next look at the queue
 * follows at once, and the driver need not tell of what it adds meanwhile. Else one system call
 * begins what was taken, and sleeps. Which it is, is found by trying.
 */
static bool may_sleep(const struct blk_queue *queue, bool is_try)
{
    return !is_try && !(queue->has_more && has_free_request(queue));
}

static unsigned wait(struct blk_queue *queue)
{
    bool is_try = queue->has_begun && queue->slow_rounds == 0;
    bool sleeps = may_sleep(queue, is_try);
    struct disk_io *io = NULL;
    unsigned seen;

    if (sleeps && has_free_request(queue) && !rearm(queue)) {
        return DISK_QUEUE_KICKED;
    }
    queue->slow_rounds -= queue->has_begun && !is_try;
    queue->has_begun = false;
    seen = disk_queue_wait(queue->disk_queue, sleeps, &io);
    if (is_try && io == NULL) {
        queue->slow_rounds = SLOW_ROUNDS;
    }
    for (struct disk_io *next; io != NULL; io = next) {
        next = io->next;
        finish(queue, request_of(io));
    }
    publish(queue);
    return seen;
}

/* What is under way writes to guest memory until it ends; nobody is told of it any more. */
static void drain(struct blk_queue *queue)
{
    while (queue->nr_used > 0) {
        struct disk_io *io;

        (void)disk_queue_wait(queue->disk_queue, true, &io);
        for (struct disk_io *next; io != NULL; io = next) {
            next = io->next;
            free_request(queue, request_of(io));
        }
    }
}

static bool has_duty(const struct blk_queue *queue, enum duty duty)
{
    return atomic_load_explicit(&queue->duty, memory_order_acquire) == (int)duty;
}

static void serve(struct blk_queue *queue)
{
    unsigned seen = DISK_QUEUE_KICKED;

    queue->slow_rounds = 0;
    queue->has_begun = queue->has_more = queue->has_pushed = queue->is_broken = false;
    queue->is_armed = true;
    while (has_duty(queue, DUTY_SERVE)) {
        if ((seen & DISK_QUEUE_LOOK) != 0) {
            look(queue->blk);
        }
        if ((seen & DISK_QUEUE_KICKED) != 0 || queue->has_more) {
            look_at_queue(queue);
        }
        seen = wait(queue);
    }
    drain(queue);
}

static void wait_for_duty(struct blk_queue *queue)
{
    struct disk_io *none;

    if ((disk_queue_wait(queue->disk_queue, true, &none) & DISK_QUEUE_LOOK) != 0) {
        look(queue->blk);
    }
}

static int open_disk_queue(struct blk_queue *queue)
{
    struct blk *blk = queue->blk;
    /* The first queue's thread has an eye on the disk's size. */
    int watch_fd = queue == blk->queues ? disk_watch_fd(blk->disk) : -1;
    int kick_fd = hostvm_virtqueue_fd(queue->virtqueue);

    if (blk->is_plain) {
        queue->disk_queue = disk_queue_create_plain(blk->disk, kick_fd, watch_fd);
    } else {
        queue->disk_queue = disk_queue_create(blk->disk, BLK_QUEUE_SIZE, kick_fd, watch_fd);
    }
    return queue->disk_queue == NULL ? errno : 0;
}

static void *run_thread(void *cookie)
{
    struct blk_queue *queue = cookie;

    queue->error = open_disk_queue(queue);
    (void)sem_post(&queue->obeyed);
    if (queue->error != 0) {
        return NULL;
    }
    while (!has_duty(queue, DUTY_END)) {
        if (has_duty(queue, DUTY_SERVE)) {
            (void)sem_post(&queue->obeyed);
            serve(queue);
            (void)sem_post(&queue->obeyed);
        } else {
            wait_for_duty(queue);
        }
    }
    disk_queue_destroy(queue->disk_queue);
    return NULL;
}

/* --- orders to threads --- */

static void wait_until_obeyed(struct blk_queue *queue)
{
    while (sem_wait(&queue->obeyed) < 0) {
    }
}

static void order(struct blk_queue *queue, enum duty duty)
{
    const uint64_t one = 1;

    atomic_store_explicit(&queue->duty, duty, memory_order_release);
    (void)!write(hostvm_virtqueue_fd(queue->virtqueue), &one, sizeof(one));
}

/* --- the device --- */

static void show_cache(struct blk *blk, bool has_cache)
{
    const uint8_t value = has_cache;

    if (blk->has_cache != has_cache) {
        blk->has_cache = has_cache;
        (void)hostvm_virtio_set_config(blk->device, offsetof(struct virtio_blk_config, wce), &value,
                                       1);
    }
}

static void stop(void *cookie)
{
    struct blk *blk = cookie;

    for (unsigned i = 0; i < blk->nr_queues; i++) {
        if (blk->queues[i].is_serving) {
            order(&blk->queues[i], DUTY_NONE);
        }
    }
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        if (blk->queues[i].is_serving) {
            blk->queues[i].is_serving = false;
            wait_until_obeyed(&blk->queues[i]);
        }
    }
    blk->is_started = false;
    show_cache(blk, true);
}

/* Who does not know how to flush takes for written what was answered (5.2.5.2). */
static int start(void *cookie, uint64_t features)
{
    struct blk *blk = cookie;

    if ((features & FEATURE(FLUSH)) == 0) {
        show_cache(blk, false);
    }
    atomic_store(&blk->is_durable, !blk->has_cache);
    blk->features = features;
    blk->is_started = true;
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        struct blk_queue *queue = &blk->queues[i];

        if (hostvm_virtqueue_is_ready(queue->virtqueue)) {
            queue->is_serving = true;
            order(queue, DUTY_SERVE);
            wait_until_obeyed(queue);
        }
    }
    return 0;
}

static void end_cache(struct blk *blk)
{
    int r;

    if (!atomic_exchange(&blk->is_durable, true)) {
        r = disk_sync(blk->disk);
        if (r < 0) {
            disk_complain(blk->disk, name_of(DISK_FLUSH), 0, -r);
        }
    }
}

/* The cache, on or off. What it holds when it goes is brought to the disk. A driver writes this
 * before it is started, too: then features do not tell yet, and start decides. */
static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    const uint64_t needed = FEATURE(CONFIG_WCE) | FEATURE(FLUSH);
    struct blk *blk = cookie;
    uint8_t value = *(const uint8_t *)bytes;

    if (offset != offsetof(struct virtio_blk_config, wce) || size != 1 || value > 1 ||
        disk_traits(blk->disk)->is_readonly ||
        (blk->is_started && (blk->features & needed) != needed)) {
        return;
    }
    show_cache(blk, value == 1);
    if (blk->is_started && value == 1) {
        atomic_store(&blk->is_durable, false);
    } else if (blk->is_started) {
        end_cache(blk);
    }
}

static uint64_t features_of(const struct blk *blk)
{
    const struct disk_traits *traits = disk_traits(blk->disk);
    uint64_t features = FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) | FEATURE(TOPOLOGY) | FEATURE(FLUSH);

    if (traits->is_readonly) {
        features |= FEATURE(RO);
    } else {
        features |= FEATURE(CONFIG_WCE) | FEATURE(WRITE_ZEROES);
        features |= traits->can_punch ? FEATURE(DISCARD) : 0;
    }
    return features | (blk->nr_queues > 1 ? FEATURE(MQ) : 0);
}

static unsigned exponent_of(uint32_t number)
{
    return (unsigned)__builtin_ctz(number);
}

static void describe(const struct blk *blk, struct virtio_blk_config *ret)
{
    const struct disk_traits *traits = disk_traits(blk->disk);
    uint32_t ratio = traits->physical_block_size / traits->block_size;

    *ret = (struct virtio_blk_config){
        .capacity = htole64(disk_size(blk->disk) / DISK_SECTOR),
        .seg_max = htole32(BLK_SEG_MAX),
        .blk_size = htole32(traits->block_size),
        .physical_block_exp = (uint8_t)exponent_of(ratio),
        .min_io_size = htole16((uint16_t)ratio),
        .wce = 1,
        .num_queues = htole16((uint16_t)blk->nr_queues),
    };
    if (!traits->is_readonly) {
        ret->max_write_zeroes_sectors = htole32(BLK_MAX_ZEROES);
        ret->max_write_zeroes_seg = htole32(1);
        ret->write_zeroes_may_unmap = traits->can_punch;
    }
    if (traits->can_punch) {
        ret->max_discard_sectors = htole32(BLK_MAX_ZEROES);
        ret->max_discard_seg = htole32(1);
        ret->discard_sector_alignment = htole32(traits->physical_block_size / DISK_SECTOR);
    }
}

/* --- making and unmaking --- */

static int create_device(struct blk *blk, vm_t *vm)
{
    static const hostvm_virtio_ops_t ops = {
        .start = start,
        .stop = stop,
        .write_config = write_config,
    };
    uint16_t queue_sizes[BLK_MAX_QUEUES];
    struct virtio_blk_config config;

    for (unsigned i = 0; i < blk->nr_queues; i++) {
        queue_sizes[i] = BLK_QUEUE_SIZE;
    }
    describe(blk, &config);
    blk->device = hostvm_virtio_create(vm, &(hostvm_virtio_config_t){
                                               .id = DEVICE_BLOCK,
                                               .features = features_of(blk),
                                               .nr_queues = blk->nr_queues,
                                               .queue_sizes = queue_sizes,
                                               .config = &config,
                                               .config_size = sizeof(config),
                                               .ops = &ops,
                                               .cookie = blk,
                                           });
    return blk->device == NULL ? -1 : 0; /* the reason is in the log */
}

static int complain(int error)
{
    (void)fprintf(stderr, "hostvm: cannot make a virtio disk: %s\n", strerror(error));
    return -1;
}

/* Signals are for the others. */
static int create_thread(struct blk_queue *queue)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&queue->thread, NULL, run_thread, queue);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int create_queue(struct blk *blk, struct blk_queue *queue, unsigned index)
{
    int error;

    queue->blk = blk;
    queue->virtqueue = hostvm_virtio_queue(blk->device, index);
    queue->requests = calloc(BLK_QUEUE_SIZE, sizeof(*queue->requests));
    if (queue->requests == NULL) {
        return complain(ENOMEM);
    }
    (void)sem_init(&queue->obeyed, 0, 0);
    error = create_thread(queue);
    if (error != 0) {
        return complain(error);
    }
    queue->has_thread = true;
    wait_until_obeyed(queue);
    return queue->error != 0 ? complain(queue->error) : 0;
}

static int create_queues(struct blk *blk)
{
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        if (create_queue(blk, &blk->queues[i], i) < 0) {
            return -1;
        }
    }
    return 0;
}

struct blk *blk_create(vm_t *vm, const struct blk_config *config)
{
    struct blk *blk = calloc(1, sizeof(*blk));

    if (blk == NULL) {
        (void)complain(ENOMEM);
        disk_close(config->disk);
        return NULL;
    }
    blk->disk = config->disk;
    blk->is_plain = config->is_plain;
    blk->nr_queues = config->nr_queues < BLK_MAX_QUEUES ? config->nr_queues : BLK_MAX_QUEUES;
    blk->has_cache = true;
    (void)pthread_mutex_init(&blk->size_lock, NULL);
    if (config->serial != NULL) {
        memcpy(blk->serial, config->serial, strnlen(config->serial, sizeof(blk->serial)));
    }
    if (create_device(blk, vm) < 0 || create_queues(blk) < 0) {
        blk_destroy(blk);
        return NULL;
    }
    return blk;
}

hostvm_virtio_t *blk_device(struct blk *blk)
{
    return blk->device;
}

/* A queue's descriptor, which its thread sleeps on, ends with the device. */
void blk_destroy(struct blk *blk)
{
    if (blk == NULL) {
        return;
    }
    if (blk->is_started) {
        stop(blk);
    }
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        struct blk_queue *queue = &blk->queues[i];

        if (queue->has_thread) {
            order(queue, DUTY_END);
            (void)pthread_join(queue->thread, NULL);
        }
        free(queue->requests);
    }
    hostvm_virtio_destroy(blk->device);
    disk_close(blk->disk);
    free(blk);
}
