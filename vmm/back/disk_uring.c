/* Requests to a disk through io_uring: one system call begins many, and sleeps until something has
 * ended or somebody kicks. With nothing under way, the ring is left alone. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "back/disk_queue.h"

/* What one system call begins; more is begun by several. */
enum { BATCH = 64 };

/* What a completion is about, if it is not the address of a request. */
enum { EVENTS = 1 };

/* Registered descriptors, by their places. */
enum { FILE_DISK, FILE_EVENTS, NR_FILES };

/* Kicks, and that it is time for a look. */
enum { MAX_EVENTS = 2 };

/* Reads that go through the ring after one whose data was not in the host's memory. */
enum { READS_AFTER_A_MISS = 32 };

struct uring {
    struct disk_queue queue;
    struct io_uring ring;
    int events_fd;           /* an epoll(7) of what comes from others, by its edges: an eventfd need
                                not be read then */
    bool tells_of_events;    /* the ring, when there are some */
    unsigned nr_under_way;   /* requests in the ring */
    struct disk_io *alone;   /* a read that is not begun: none came after it so far */
    struct disk_list ended;  /* without the ring */
    unsigned misses;         /* reads to go before the next is tried without it */
    bool is_never_in_memory; /* the file system does not tell */
};

/* --- submitting --- */

static struct io_uring_sqe *next_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (sqe == NULL) {
        (void)io_uring_submit(&uring->ring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    return sqe;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct disk_io *io)
{
    unsigned nr;
    const struct iovec *iov = disk_io_memory(io, &nr);
    /* One piece is spared the copy of a list. */
    bool is_single = nr == 1 && iov->iov_len <= UINT32_MAX;

    if (io->op == DISK_READ && is_single) {
        io_uring_prep_read(sqe, FILE_DISK, iov->iov_base, (unsigned)iov->iov_len, io->offset);
    } else if (io->op == DISK_READ) {
        io_uring_prep_readv(sqe, FILE_DISK, iov, nr, io->offset);
    } else if (is_single) {
        io_uring_prep_write(sqe, FILE_DISK, iov->iov_base, (unsigned)iov->iov_len, io->offset);
    } else {
        io_uring_prep_writev(sqe, FILE_DISK, iov, nr, io->offset);
    }
    if (io->op == DISK_WRITE && io->is_durable) {
        sqe->rw_flags = RWF_DSYNC;
    }
}

static void prepare(struct io_uring_sqe *sqe, const struct disk_io *io)
{
    switch (io->step) {
    case DISK_STEP_TRANSFER:
    case DISK_STEP_ZERO:
        prepare_transfer(sqe, io);
        break;
    case DISK_STEP_FALLOCATE:
        io_uring_prep_fallocate(sqe, FILE_DISK, disk_io_fallocate_mode(io), (off_t)io->offset,
                                (off_t)io->size);
        break;
    case DISK_STEP_DISCARD:
        break; /* never by the ring */
    case DISK_STEP_SYNC:
        io_uring_prep_fsync(sqe, FILE_DISK, IORING_FSYNC_DATASYNC);
        break;
    }
}

/* The ring knows of no discarding. True: the request is done. */
static bool discard(struct uring *uring, struct disk_io *io)
{
    while (io->step == DISK_STEP_DISCARD) {
        int r = disk_discard(uring->queue.disk, io->offset, io->size);

        if (!disk_io_proceed(io, r)) {
            return true;
        }
    }
    return false;
}

static void submit_step(struct uring *uring, struct disk_io *io)
{
    struct io_uring_sqe *sqe;

    if (discard(uring, io)) {
        disk_list_add(&uring->ended, io);
        return;
    }
    sqe = next_sqe(uring);
    if (sqe == NULL) {
        io->result = -ENOMEM;
        disk_list_add(&uring->ended, io); /* the ring has no place */
        return;
    }
    prepare(sqe, io);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, io);
    uring->nr_under_way++;
}

/*
 * What is in the host's memory is copied from there: a system call of its own takes less than one
 * that goes by the ring. True: the request is done.
 */
static bool read_from_memory(struct uring *uring, struct disk_io *io)
{
    unsigned nr;
    const struct iovec *iov = disk_io_memory(io, &nr);
    ssize_t n = preadv2(disk_fd(uring->queue.disk), iov, (int)nr, (off_t)io->offset, RWF_NOWAIT);

    if (n > 0) {
        return !disk_io_proceed(io, n);
    }
    /* Whatever else there is, the ring will tell of. */
    uring->is_never_in_memory = n < 0 && errno == EOPNOTSUPP;
    uring->misses = READS_AFTER_A_MISS;
    return false;
}

/* True, or this read is to go by the ring. */
static bool may_be_in_memory(struct uring *uring, const struct disk_io *io)
{
    if (io->op != DISK_READ || uring->is_never_in_memory) {
        return false;
    }
    if (uring->misses > 0) {
        uring->misses--;
        return false;
    }
    return true;
}

/* One system call for many requests takes less than one for each: what does not come alone goes by
 * the ring. */
static void uring_start(struct disk_queue *queue, struct disk_io *io)
{
    struct uring *uring = (struct uring *)queue;
    struct disk_io *before = uring->alone;

    uring->alone = NULL;
    if (before != NULL) {
        submit_step(uring, before);
    } else if (io_uring_sq_ready(&uring->ring) == 0 && may_be_in_memory(uring, io)) {
        uring->alone = io;
        return;
    }
    submit_step(uring, io);
}

static void begin_alone(struct uring *uring)
{
    struct disk_io *io = uring->alone;

    uring->alone = NULL;
    if (io != NULL && read_from_memory(uring, io)) {
        disk_list_add(&uring->ended, io);
    } else if (io != NULL) {
        submit_step(uring, io);
    }
}

/* --- what comes from others --- */

static unsigned uring_take_events(struct disk_queue *queue, bool may_sleep)
{
    const struct uring *uring = (const struct uring *)queue;
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(uring->events_fd, events, MAX_EVENTS, may_sleep ? -1 : 0);
    unsigned seen = 0;

    for (int i = 0; i < n; i++) {
        seen |= events[i].data.u32;
    }
    return seen;
}

/* Once. */
static void have_events_told(struct uring *uring)
{
    struct io_uring_sqe *sqe = uring->tells_of_events ? NULL : next_sqe(uring);

    if (sqe == NULL) {
        return;
    }
    io_uring_prep_poll_add(sqe, FILE_EVENTS, POLLIN);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, EVENTS);
    uring->tells_of_events = true;
}

/* --- waiting --- */

static void completed(struct uring *uring, const struct io_uring_cqe *cqe, struct disk_list *done)
{
    struct disk_io *io = io_uring_cqe_get_data(cqe);

    uring->nr_under_way--;
    if (disk_io_proceed(io, cqe->res)) {
        submit_step(uring, io);
    } else {
        disk_list_add(done, io);
    }
}

static unsigned reap(struct uring *uring, struct disk_list *done)
{
    struct io_uring_cqe *cqe;
    unsigned seen = 0;
    unsigned nr = 0;
    unsigned head;

    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        nr++;
        if (cqe->user_data == EVENTS) {
            uring->tells_of_events = false;
            seen |= uring_take_events(&uring->queue, false);
        } else {
            completed(uring, cqe, done);
        }
    }
    io_uring_cq_advance(&uring->ring, nr);
    return seen;
}

/* Begins what was started. */
static void enter_ring(struct uring *uring, bool may_sleep)
{
    /* What the calls say is of no use: signals are blocked, and what could not be begun stays in
     * the ring for the next time. */
    if (may_sleep) {
        have_events_told(uring);
        (void)io_uring_submit_and_wait(&uring->ring, 1);
    } else {
        (void)io_uring_submit_and_get_events(&uring->ring);
    }
}

static unsigned uring_wait(struct disk_queue *queue, bool may_sleep, struct disk_list *done)
{
    struct uring *uring = (struct uring *)queue;

    begin_alone(uring);
    if (uring->ended.first != NULL) {
        *done = uring->ended;
        disk_list_init(&uring->ended);
        may_sleep = false;
    }
    if (uring->nr_under_way == 0) {
        return may_sleep ? uring_take_events(queue, true) : 0;
    }
    enter_ring(uring, may_sleep);
    return reap(uring, done);
}

/* --- making one --- */

/* The more a kernel knows, the less often it interrupts what we do for what has ended. */
static int open_ring(struct io_uring *ring, unsigned depth)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* Linux 6.1 */
        IORING_SETUP_COOP_TASKRUN,                               /* 5.19 */
        0,
    };
    int r = -EINVAL;

    for (size_t i = 0; r == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct io_uring_params params = {
            .flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = 2 * depth,
        };

        r = io_uring_queue_init_params(BATCH, ring, &params);
        /* Linux 5.13: none that is older was ever tried. */
        if (r == 0 && (params.features & IORING_FEAT_RSRC_TAGS) == 0) {
            io_uring_queue_exit(ring);
            r = -ENOSYS;
        }
    }
    return r;
}

static int watch(const struct uring *uring, int fd, unsigned what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = what};

    return epoll_ctl(uring->events_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_events(struct uring *uring, int kick_fd, int watch_fd)
{
    int r;

    uring->events_fd = epoll_create1(EPOLL_CLOEXEC);
    if (uring->events_fd < 0) {
        return -errno;
    }
    r = watch(uring, kick_fd, DISK_QUEUE_KICKED);
    if (r == 0 && watch_fd >= 0) {
        r = watch(uring, watch_fd, DISK_QUEUE_LOOK);
    }
    if (r < 0) {
        (void)close(uring->events_fd);
    }
    return r;
}

static int register_files(struct uring *uring)
{
    const int files[NR_FILES] = {
        [FILE_DISK] = disk_fd(uring->queue.disk),
        [FILE_EVENTS] = uring->events_fd,
    };
    int r = io_uring_register_files(&uring->ring, files, NR_FILES);

    if (r == 0) {
        (void)io_uring_register_ring_fd(&uring->ring); /* else each call takes a little longer */
    }
    return r;
}

static int open_all(struct uring *uring, unsigned depth, int kick_fd, int watch_fd)
{
    int r = open_ring(&uring->ring, depth);

    if (r < 0) {
        return r;
    }
    r = open_events(uring, kick_fd, watch_fd);
    if (r < 0) {
        goto close_ring;
    }
    r = register_files(uring);
    if (r < 0) {
        goto close_events;
    }
    return 0;

close_events:
    (void)close(uring->events_fd);
close_ring:
    io_uring_queue_exit(&uring->ring);
    return r;
}

static void uring_destroy(struct disk_queue *queue)
{
    struct uring *uring = (struct uring *)queue;

    io_uring_queue_exit(&uring->ring);
    (void)close(uring->events_fd);
    free(uring);
}

struct disk_queue *disk_queue_create_uring(struct disk *disk, unsigned depth, int kick_fd,
                                           int watch_fd)
{
    static const struct disk_queue_ops ops = {
        .start = uring_start,
        .wait = uring_wait,
        .take_events = uring_take_events,
        .destroy = uring_destroy,
    };
    struct uring *uring = calloc(1, sizeof(*uring));
    int r;

    if (uring == NULL) {
        return NULL;
    }
    uring->queue = (struct disk_queue){.ops = &ops, .disk = disk};
    disk_list_init(&uring->ended);
    r = open_all(uring, depth, kick_fd, watch_fd);
    if (r < 0) {
        free(uring);
        errno = -r;
        return NULL;
    }
    return &uring->queue;
}
