/* What requests to a disk come to, step by step, whoever carries them out. */
#include "back/disk_queue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stddef.h>

/* --- zeroes, where the file system has no other way to write them --- */

enum { ZERO_PIECE = 4096, ZERO_PIECES = 64 };

static const uint8_t zeroes[ZERO_PIECE];

#define ONE_PIECE                                                                                  \
    {                                                                                              \
        .iov_base = (void *)(uintptr_t)zeroes, .iov_len = ZERO_PIECE                               \
    }
#define FOUR_PIECES    ONE_PIECE, ONE_PIECE, ONE_PIECE, ONE_PIECE
#define SIXTEEN_PIECES FOUR_PIECES, FOUR_PIECES, FOUR_PIECES, FOUR_PIECES

static const struct iovec zero_pieces[ZERO_PIECES] = {SIXTEEN_PIECES, SIXTEEN_PIECES,
                                                      SIXTEEN_PIECES, SIXTEEN_PIECES};

/* The last piece of what is no multiple of one: by sectors. */
static const struct iovec zero_sector = {.iov_base = (void *)(uintptr_t)zeroes,
                                         .iov_len = DISK_SECTOR};

static const struct iovec *zero_memory(uint64_t size, unsigned *ret_nr)
{
    uint64_t nr = size / ZERO_PIECE;

    if (nr == 0) {
        *ret_nr = 1;
        return &zero_sector;
    }
    *ret_nr = nr < ZERO_PIECES ? (unsigned)nr : ZERO_PIECES;
    return zero_pieces;
}

const struct iovec *disk_io_memory(const struct disk_io *io, unsigned *ret_nr)
{
    if (io->step == DISK_STEP_ZERO) {
        return zero_memory(io->size, ret_nr);
    }
    /* More than the kernel takes at once is taken in parts. */
    *ret_nr = io->nr_iov < IOV_MAX ? io->nr_iov : IOV_MAX;
    return io->iov;
}

int disk_io_fallocate_mode(const struct disk_io *io)
{
    bool is_hole = io->op == DISK_DISCARD || io->may_unmap;

    return FALLOC_FL_KEEP_SIZE | (is_hole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

/* --- steps --- */

static enum disk_step first_step(enum disk_op op, bool is_device)
{
    switch (op) {
    case DISK_READ:
    case DISK_WRITE:
        return DISK_STEP_TRANSFER;
    case DISK_DISCARD:
        return is_device ? DISK_STEP_DISCARD : DISK_STEP_FALLOCATE;
    case DISK_WRITE_ZEROES:
        return DISK_STEP_FALLOCATE;
    case DISK_FLUSH:
        break;
    }
    return DISK_STEP_SYNC;
}

void disk_io_begin(struct disk_io *io, bool is_device)
{
    io->result = 0;
    io->next = NULL;
    io->step = first_step(io->op, is_device);
}

static bool done(struct disk_io *io, int result)
{
    io->result = result;
    return false;
}

/* Transfers that are durable are so by themselves. */
static bool changed(struct disk_io *io)
{
    if (!io->is_durable) {
        return done(io, 0);
    }
    io->step = DISK_STEP_SYNC;
    return true;
}

static void use_up(struct disk_io *io, uint64_t size)
{
    while (size > 0 && size >= io->iov->iov_len) {
        size -= io->iov->iov_len;
        io->iov++;
        io->nr_iov--;
    }
    if (size > 0) {
        io->iov->iov_base = (uint8_t *)io->iov->iov_base + size;
        io->iov->iov_len -= size;
    }
}

static bool transferred(struct disk_io *io, uint64_t size)
{
    if (size == io->size) {
        return done(io, 0);
    }
    if (size == 0) {
        return done(io, io->op == DISK_READ ? -ENODATA : -EIO);
    }
    assert(size < io->size);
    use_up(io, size);
    io->offset += size;
    io->size -= size;
    return true;
}

static bool zeroed(struct disk_io *io, uint64_t size)
{
    if (size == 0) {
        return done(io, -EIO);
    }
    io->offset += size;
    io->size -= size;
    return io->size > 0 || changed(io);
}

/* Nobody does it at once; a device does not where something is not written yet that was to lie
 * there, nor for what is no whole block of its own. */
static bool is_better_written(int error)
{
    return error == EOPNOTSUPP || error == EBUSY || error == EINVAL;
}

static bool failed(struct disk_io *io, int error)
{
    if (error == EINTR || error == EAGAIN) {
        return true;
    }
    if (io->step == DISK_STEP_FALLOCATE && io->op == DISK_WRITE_ZEROES &&
        is_better_written(error)) {
        io->step = DISK_STEP_ZERO;
        return true;
    }
    return done(io, -error);
}

bool disk_io_proceed(struct disk_io *io, int64_t result)
{
    if (result < 0) {
        return failed(io, (int)-result);
    }
    switch (io->step) {
    case DISK_STEP_TRANSFER:
        return transferred(io, (uint64_t)result);
    case DISK_STEP_ZERO:
        return zeroed(io, (uint64_t)result);
    case DISK_STEP_FALLOCATE:
    case DISK_STEP_DISCARD:
        return changed(io);
    case DISK_STEP_SYNC:
        break;
    }
    return done(io, 0);
}

/* --- queues --- */

/* Who always has something to do looks this seldom whether there is an event. */
enum { MAX_AWAKE = 64 };

void disk_list_init(struct disk_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

void disk_list_add(struct disk_list *list, struct disk_io *io)
{
    io->next = NULL;
    *list->end = io;
    list->end = &io->next;
}

struct disk_queue *disk_queue_create(struct disk *disk, unsigned depth, int kick_fd, int watch_fd)
{
    struct disk_queue *queue = disk_queue_create_uring(disk, depth, kick_fd, watch_fd);

    return queue != NULL ? queue : disk_queue_create_plain(disk, kick_fd, watch_fd);
}

void disk_queue_destroy(struct disk_queue *queue)
{
    if (queue != NULL) {
        queue->ops->destroy(queue);
    }
}

void disk_queue_start(struct disk_queue *queue, struct disk_io *io)
{
    disk_io_begin(io, disk_traits(queue->disk)->is_device);
    queue->ops->start(queue, io);
}

unsigned disk_queue_wait(struct disk_queue *queue, bool may_sleep, struct disk_io **ret_done)
{
    struct disk_list list;
    unsigned seen;

    disk_list_init(&list);
    seen = queue->ops->wait(queue, may_sleep, &list);
    queue->nr_awake = may_sleep ? 0 : queue->nr_awake + 1;
    if (queue->nr_awake == MAX_AWAKE) {
        queue->nr_awake = 0;
        seen |= queue->ops->take_events(queue, false);
    }
    *ret_done = list.first;
    return seen;
}
