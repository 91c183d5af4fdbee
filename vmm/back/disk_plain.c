/* Requests to a disk one after the other, with a system call each: where there is no io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "back/disk_queue.h"

struct plain {
    struct disk_queue queue;
    int kick_fd, watch_fd;
    struct disk_list done;
};

static int64_t carry_out(struct disk *disk, const struct disk_io *io)
{
    const struct iovec *iov;
    int fd = disk_fd(disk);
    unsigned nr;

    switch (io->step) {
    case DISK_STEP_FALLOCATE:
        return fallocate(fd, disk_io_fallocate_mode(io), (off_t)io->offset, (off_t)io->size);
    case DISK_STEP_DISCARD:
        errno = -disk_discard(disk, io->offset, io->size);
        return errno != 0 ? -1 : 0;
    case DISK_STEP_SYNC:
        return fdatasync(fd);
    case DISK_STEP_TRANSFER:
    case DISK_STEP_ZERO:
        break;
    }
    iov = disk_io_memory(io, &nr);
    if (io->op == DISK_READ) {
        return preadv2(fd, iov, (int)nr, (off_t)io->offset, 0);
    }
    return pwritev2(fd, iov, (int)nr, (off_t)io->offset,
                    io->is_durable && io->step == DISK_STEP_TRANSFER ? RWF_DSYNC : 0);
}

static void plain_start(struct disk_queue *queue, struct disk_io *io)
{
    struct plain *plain = (struct plain *)queue;
    int64_t result;

    do {
        result = carry_out(queue->disk, io);
        result = result < 0 ? -errno : result;
    } while (disk_io_proceed(io, result));
    disk_list_add(&plain->done, io);
}

static unsigned plain_take_events(struct disk_queue *queue, bool may_sleep)
{
    const struct plain *plain = (const struct plain *)queue;
    struct pollfd fds[] = {{.fd = plain->kick_fd, .events = POLLIN},
                           {.fd = plain->watch_fd, .events = POLLIN}};
    unsigned seen = 0;
    uint64_t count;

    if (poll(fds, 2, may_sleep ? -1 : 0) <= 0) {
        return 0;
    }
    if (fds[0].revents != 0) {
        (void)!read(plain->kick_fd, &count, sizeof(count));
        seen |= DISK_QUEUE_KICKED;
    }
    return seen | (fds[1].revents != 0 ? DISK_QUEUE_LOOK : 0);
}

static unsigned plain_wait(struct disk_queue *queue, bool may_sleep, struct disk_list *done)
{
    struct plain *plain = (struct plain *)queue;

    if (plain->done.first == NULL) {
        return plain_take_events(queue, may_sleep);
    }
    *done = plain->done;
    disk_list_init(&plain->done);
    return 0;
}

static void plain_destroy(struct disk_queue *queue)
{
    free(queue);
}

struct disk_queue *disk_queue_create_plain(struct disk *disk, int kick_fd, int watch_fd)
{
    static const struct disk_queue_ops ops = {
        .start = plain_start,
        .wait = plain_wait,
        .take_events = plain_take_events,
        .destroy = plain_destroy,
    };
    struct plain *plain = calloc(1, sizeof(*plain));

    if (plain == NULL) {
        return NULL;
    }
    plain->queue = (struct disk_queue){.ops = &ops, .disk = disk};
    plain->kick_fd = kick_fd;
    plain->watch_fd = watch_fd;
    disk_list_init(&plain->done);
    return &plain->queue;
}
