/*
 * The floor of a disk: liburing alone, in the series of blk_guest. Printed as by blk_watch: what a
 * request takes in a loop that does nothing else; and what it takes a thread that is told of each
 * by an eventfd and tells of its end by another, the least that a device has to do.
 *
 *   blk_floor FILE
 */
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB, DISK_MIB = 64, DEPTH = 32, KICK = 1 };

struct series {
    const char *name;
    unsigned n, depth;
    size_t size;
};

struct floor {
    struct io_uring ring;
    const struct series *series;
    uint8_t *buffer;
    int disk, kick_fd, end_fd;
    uint64_t runtime; /* of the thread, ns */
    uint64_t seed, place;
};

static uint64_t clock_of(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int result, const char *what)
{
    if (result < 0) {
        (void)fprintf(stderr, "blk_floor: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static void open_ring(struct floor *floor)
{
    const int files[] = {floor->disk, floor->kick_fd};

    check(io_uring_queue_init(64, &floor->ring,
                              IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
          "io_uring");
    check(io_uring_register_files(&floor->ring, files, 2), "files");
    (void)io_uring_register_ring_fd(&floor->ring);
    floor->seed = 1;
    floor->place = 0;
}

static uint64_t next_offset(struct floor *floor)
{
    if (floor->series->size == MIB) {
        return floor->place++ % DISK_MIB * MIB;
    }
    floor->seed = floor->seed * 6364136223846793005u + 1442695040888963407u;
    return (floor->seed >> 40) % (DISK_MIB * MIB / (4 * KIB)) * (4 * KIB);
}

static void begin(struct floor *floor)
{
    for (unsigned i = 0; i < floor->series->depth; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&floor->ring);

        io_uring_prep_read(sqe, 0, floor->buffer + i * floor->series->size,
                           (unsigned)floor->series->size, next_offset(floor));
        sqe->flags |= IOSQE_FIXED_FILE;
        io_uring_sqe_set_data64(sqe, 0);
    }
}

/* Sleeps; takes what has ended off nr, and tells of kicks. */
static unsigned reap(struct floor *floor, unsigned *nr)
{
    struct io_uring_cqe *cqe;
    unsigned kicks = 0;
    unsigned seen = 0;
    unsigned head;

    (void)io_uring_submit_and_wait(&floor->ring, 1);
    io_uring_for_each_cqe(&floor->ring, head, cqe)
    {
        seen++;
        if (cqe->user_data == KICK) {
            kicks++;
        } else {
            check(cqe->res == (int)floor->series->size ? 0 : -5, "read");
            *nr -= 1;
        }
    }
    io_uring_cq_advance(&floor->ring, seen);
    return kicks;
}

static uint64_t loop(struct floor *floor)
{
    uint64_t start;

    open_ring(floor);
    start = clock_of(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < floor->series->n; i += floor->series->depth) {
        unsigned nr = floor->series->depth;

        begin(floor);
        while (nr > 0) {
            (void)reap(floor, &nr);
        }
    }
    start = clock_of(CLOCK_MONOTONIC) - start;
    io_uring_queue_exit(&floor->ring);
    return start / floor->series->n;
}

static void *serve(void *cookie)
{
    struct floor *floor = cookie;
    struct io_uring_sqe *sqe;
    uint64_t start;

    open_ring(floor);
    sqe = io_uring_get_sqe(&floor->ring);
    io_uring_prep_poll_multishot(sqe, 1, POLLIN);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, KICK);
    start = clock_of(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < floor->series->n; i += floor->series->depth) {
        unsigned nr = floor->series->depth;

        while (reap(floor, &nr) == 0) {
        }
        begin(floor);
        while (nr > 0) {
            (void)reap(floor, &nr);
        }
        (void)eventfd_write(floor->end_fd, 1);
    }
    floor->runtime = clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
    io_uring_queue_exit(&floor->ring);
    return NULL;
}

static uint64_t hand_over(struct floor *floor)
{
    pthread_t thread;
    eventfd_t count;

    floor->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    floor->end_fd = eventfd(0, EFD_CLOEXEC);
    check(-pthread_create(&thread, NULL, serve, floor), "thread");
    for (unsigned i = 0; i < floor->series->n; i += floor->series->depth) {
        (void)eventfd_write(floor->kick_fd, 1);
        (void)eventfd_read(floor->end_fd, &count);
    }
    (void)pthread_join(thread, NULL);
    (void)close(floor->kick_fd);
    (void)close(floor->end_fd);
    floor->kick_fd = -1;
    return floor->runtime / floor->series->n;
}

int main(int argc, char **argv)
{
    static const struct series all[] = {
        {"4k", 2048, 1, 4 * KIB},
        {"4k-deep", 2048, DEPTH, 4 * KIB},
        {"1m", 64, 1, MIB},
    };
    struct floor floor = {.kick_fd = -1};

    floor.disk = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    floor.buffer = aligned_alloc(2 * MIB, 2 * MIB);
    if (floor.disk < 0 || floor.buffer == NULL) {
        (void)fprintf(stderr, "usage: blk_floor FILE\n");
        return 64;
    }
    memset(floor.buffer, 1, 2 * MIB);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint64_t alone;

        floor.series = &all[i];
        alone = loop(&floor);
        (void)printf("floor %s %llu %llu\n", all[i].name, (unsigned long long)alone,
                     (unsigned long long)hand_over(&floor));
    }
    return 0;
}
