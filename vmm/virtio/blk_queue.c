/* A queue of a virtio disk: the thread that takes requests from it, has the host's disk do them,
 * and gives them back. */
#include "virtio/blk_queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "virtio/blk_request.h"

/* What a queue's thread is to do. */
enum duty { DUTY_NONE, DUTY_SERVE, DUTY_END };

/* Rounds to go without another try whether the disk is done at once. */
enum { SLOW_ROUNDS = 32 };

struct blk_queue {
    struct blk_shared *shared;
    hostvm_virtqueue_t *virtqueue;
    bool watches_size; /* its thread has an eye on the disk's size */
    pthread_t thread;
    bool is_serving; /* it was told to; guarded by the VM's lock */
    atomic_int duty; /* enum duty; written in front of a kick */
    sem_t obeyed;    /* posted when the thread takes up service, and when it is done with it */
    int error;       /* why the thread could not begin */

    /* The thread's own. */
    struct disk_queue *disk_queue;
    struct blk_request *free; /* that were used before */
    unsigned nr_touched;      /* requests, from the first on, that were ever used */
    unsigned nr_used;
    unsigned slow_rounds;
    bool has_begun;  /* something, since the last system call */
    bool has_more;   /* the guest may have made more available */
    bool has_pushed; /* and not published */
    bool is_armed;   /* the driver tells of new buffers */
    bool is_broken;  /* until the driver resets the device */
    struct blk_request requests[BLK_QUEUE_SIZE];
};

/* --- capacity --- */

static void look(struct blk_shared *shared)
{
    (void)pthread_mutex_lock(&shared->size_lock);
    if (disk_look(shared->disk)) {
        const uint64_t capacity = htole64(disk_size(shared->disk) / DISK_SECTOR);

        (void)hostvm_virtio_set_config(shared->device, offsetof(struct virtio_blk_config, capacity),
                                       &capacity, sizeof(capacity));
    }
    (void)pthread_mutex_unlock(&shared->size_lock);
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
        disk_complain(queue->shared->disk, name_of(io->op), io->offset, -io->result);
    }
    if (io->op == DISK_FLUSH || io->result == -ENODATA) {
        look(queue->shared);
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
    hostvm_virtio_fail(queue->shared->device, "a disk request has no room for its status");
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
    struct blk_shared *shared = queue->shared;
    const struct disk_traits *disk = disk_traits(shared->disk);
    const struct blk_traits traits = {
        .size = disk_size(shared->disk),
        .is_readonly = disk->is_readonly,
        .can_discard = disk->can_discard,
        .can_unmap = disk->can_punch,
        .is_durable = atomic_load_explicit(&shared->is_durable, memory_order_relaxed),
        .serial = shared->serial,
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
            look(queue->shared);
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
        look(queue->shared);
    }
}

static int open_disk_queue(struct blk_queue *queue)
{
    const struct blk_shared *shared = queue->shared;
    int watch_fd = queue->watches_size ? disk_watch_fd(shared->disk) : -1;
    int kick_fd = hostvm_virtqueue_fd(queue->virtqueue);

    if (shared->is_plain) {
        queue->disk_queue = disk_queue_create_plain(shared->disk, kick_fd, watch_fd);
    } else {
        queue->disk_queue = disk_queue_create(shared->disk, BLK_QUEUE_SIZE, kick_fd, watch_fd);
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

/* --- orders to the thread --- */

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

void blk_queue_start(struct blk_queue *queue)
{
    if (hostvm_virtqueue_is_ready(queue->virtqueue)) {
        queue->is_serving = true;
        order(queue, DUTY_SERVE);
        wait_until_obeyed(queue);
    }
}

void blk_queue_begin_stop(struct blk_queue *queue)
{
    if (queue->is_serving) {
        order(queue, DUTY_NONE);
    }
}

void blk_queue_end_stop(struct blk_queue *queue)
{
    if (queue->is_serving) {
        queue->is_serving = false;
        wait_until_obeyed(queue);
    }
}

/* --- making and unmaking --- */

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

static int begin_thread(struct blk_queue *queue)
{
    int error = create_thread(queue);

    if (error != 0) {
        return error;
    }
    wait_until_obeyed(queue);
    if (queue->error != 0) {
        (void)pthread_join(queue->thread, NULL);
    }
    return queue->error;
}

int blk_queue_create(struct blk_shared *shared, unsigned index, struct blk_queue **ret_queue)
{
    struct blk_queue *queue = calloc(1, sizeof(*queue));
    int error;

    if (queue == NULL) {
        return ENOMEM;
    }
    queue->shared = shared;
    queue->virtqueue = hostvm_virtio_queue(shared->device, index);
    queue->watches_size = index == 0;
    (void)sem_init(&queue->obeyed, 0, 0);
    error = begin_thread(queue);
    if (error != 0) {
        free(queue);
        return error;
    }
    *ret_queue = queue;
    return 0;
}

void blk_queue_destroy(struct blk_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    order(queue, DUTY_END);
    (void)pthread_join(queue->thread, NULL);
    free(queue);
}
