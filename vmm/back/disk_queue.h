/* Requests to a disk, many at a time: through io_uring where the host has it, else one after the
 * other. A queue belongs to the thread that creates it. */
#ifndef BACK_DISK_QUEUE_H
#define BACK_DISK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "back/disk.h"

struct disk_queue;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* What is asked of the kernel next; a request may take several. */
enum disk_step {
    DISK_STEP_TRANSFER,
    DISK_STEP_FALLOCATE,
    DISK_STEP_DISCARD, /* disk_discard, by the queue's own thread */
    DISK_STEP_ZERO,
    DISK_STEP_SYNC
};

/* A request. The owner sets the first half, and leaves it alone until it is done. */
struct disk_io {
    enum disk_op op;
    bool is_durable; /* on the disk before it is done: all that changes something can be */
    bool may_unmap;  /* zeroes need not take up space */
    uint64_t offset, size;
    struct iovec *iov; /* memory, size bytes; used up as the request proceeds */
    unsigned nr_iov;

    int result; /* 0 or -errno, when it is done. -ENODATA: behind the end of the file */
    struct disk_io *next;

    enum disk_step step; /* the queue's own, like offset, size and iov meanwhile */
};

/* What disk_queue_wait has seen. */
enum { DISK_QUEUE_KICKED = 1, DISK_QUEUE_LOOK = 2 };

/*
 * depth: the most requests at a time. kick_fd: an eventfd that ends a wait when it is written;
 * watch_fd: a descriptor that does when it is readable, which is for the owner to end; -1: none.
 * NULL, with errno: the host refuses.
 */
struct disk_queue *disk_queue_create(struct disk *disk, unsigned depth, int kick_fd, int watch_fd);

/* Without io_uring, even where there is one. */
struct disk_queue *disk_queue_create_plain(struct disk *disk, int kick_fd, int watch_fd);

/* NULL with errno also where io_uring is missing, forbidden or too old. */
struct disk_queue *disk_queue_create_uring(struct disk *disk, unsigned depth, int kick_fd,
                                           int watch_fd);

/* No request is under way. NULL is fine. */
void disk_queue_destroy(struct disk_queue *queue);

/* Has a request done; it begins with the next wait at the latest. */
void disk_queue_start(struct disk_queue *queue, struct disk_io *io);

/*
 * Begins what was started. Returns what was seen; the list of what is done, first come first, is
 * left in ret_done. may_sleep: as a rule not before there is one or the other; without it, kicks
 * and looks come after some calls.
 */
unsigned disk_queue_wait(struct disk_queue *queue, bool may_sleep, struct disk_io **ret_done);

/* --- for those who carry requests out --- */

struct disk_list {
    struct disk_io *first;
    struct disk_io **end;
};

struct disk_queue_ops {
    void (*start)(struct disk_queue *queue, struct disk_io *io);
    unsigned (*wait)(struct disk_queue *queue, bool may_sleep, struct disk_list *done);
    unsigned (*take_events)(struct disk_queue *queue, bool may_sleep); /* what is to be seen */
    void (*destroy)(struct disk_queue *queue);
};

struct disk_queue {
    const struct disk_queue_ops *ops;
    struct disk *disk;
    unsigned nr_awake; /* waits without sleep, since the last look whether there is an event */
};

void disk_list_init(struct disk_list *list);
void disk_list_add(struct disk_list *list, struct disk_io *io);

/* The first step, to a file or a device. */
void disk_io_begin(struct disk_io *io, bool is_device);

/* Takes a step's result, as system calls inside the kernel have it. True: there is another step;
 * false: it is done. */
bool disk_io_proceed(struct disk_io *io, int64_t result);

/* Of a step that writes, the memory: the request's, or zeroes. */
const struct iovec *disk_io_memory(const struct disk_io *io, unsigned *ret_nr);

/* Of a step DISK_STEP_FALLOCATE, the mode. */
int disk_io_fallocate_mode(const struct disk_io *io);

#endif
