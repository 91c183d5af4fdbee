/* A queue of a virtio disk, with the thread that serves it. */
#ifndef VIRTIO_BLK_QUEUE_H
#define VIRTIO_BLK_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hostvm/virtio.h>

#include "back/disk.h"
#include "virtio/blk_request.h"

/* What the queues of a disk have in common. Outlives them. */
struct blk_shared {
    hostvm_virtio_t *device;
    struct disk *disk;
    bool is_plain; /* without io_uring, even where there is one */
    char serial[BLK_SERIAL_SIZE];
    atomic_bool is_durable;    /* what is written is on the disk: there is no cache to be flushed */
    pthread_mutex_t size_lock; /* guards looks at the disk, with what is told of them */
};

struct blk_queue;

/* The device's queue of that index; its thread sleeps. The first one's has an eye on the disk's
 * size. 0, or the errno for which the host refuses. */
int blk_queue_create(struct blk_shared *shared, unsigned index, struct blk_queue **ret_queue);

/* It is not being served. NULL is fine. */
void blk_queue_destroy(struct blk_queue *queue);

/* --- VM lock held --- */

/* If the driver has set it up, it is served from here on. */
void blk_queue_start(struct blk_queue *queue);

/* Nothing is taken from it any more. Where the second returns, which goes with the first one, all
 * that was under way is over, and of it nobody is told. It is not being served: fine. */
void blk_queue_begin_stop(struct blk_queue *queue);
void blk_queue_end_stop(struct blk_queue *queue);

#endif
