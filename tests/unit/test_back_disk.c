/* Disks of the host: what is accepted as one, who else may use it, and requests that end well and
 * badly, through io_uring and without. Where HOSTVM_DEVICE names a device, instead: requests to it;
 * it may be overwritten, has blocks of 4096 bytes, and gives them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "back/disk.h"
#include "back/disk_queue.h"
#include "support/inject.h"
#include "support/leak.h"
#include "support/readable.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static char dir[64];
static char path[96];

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(dir, sizeof(dir), "%.40s/disk.XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/image", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

/* A new file: what a ring held of the last one is closed some time after the ring, which who
 * watches that file is told of. */
static void make_image(off_t size)
{
    int fd;

    (void)unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    (void)close(fd);
}

/* --- what is said --- */

static char said[1000];
static int real_stderr;

static void listen_begin(void)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);

    (void)fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    assert_true(fd >= 0 && real_stderr >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
}

static void listen_end(void)
{
    ssize_t n;

    (void)fflush(stderr);
    n = pread(STDERR_FILENO, said, sizeof(said) - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
}

static void assert_refused(const char *name, bool is_readonly, int r, const char *reason)
{
    struct disk *disk = NULL;
    struct leak_state leak;
    char line[600];
    int got;

    leak_begin(&leak);
    listen_begin();
    got = disk_open(name, is_readonly, &disk);
    listen_end();
    leak_check(&leak);
    (void)snprintf(line, sizeof(line), "hostvm: cannot use '%s' as a disk: %s\n", name, reason);
    assert_string_equal(said, line);
    assert_int_equal(got, r);
    assert_null(disk);
}

static struct disk *open_disk(const char *name, bool is_readonly)
{
    struct disk *disk = NULL;

    assert_int_equal(disk_open(name, is_readonly, &disk), 0);
    return disk;
}

/* --- opening --- */

static void test_files_that_are_no_disks(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_refused(path, false, -ENOENT, "No such file or directory");
    assert_refused(dir, false, -EISDIR, "it is a directory");
    assert_refused("/dev/null", true, -ENODEV, "it is neither a file nor a block device");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, true, -ENODEV, "it is neither a file nor a block device");
    assert_int_equal(unlink(path), 0);
    make_image(0);
    assert_refused(path, false, -EINVAL, "it is empty");
    make_image(1000);
    assert_refused(path, true, -EINVAL, "its size, 1000 bytes, is no multiple of 512");
}

/* Runs in a process of its own; what it says there is shown if it fails. */
static void in_child(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void open_without_permission(void)
{
    struct disk *disk = NULL;
    char line[300];

    if (geteuid() == 0 && setuid(65534) < 0) {
        _exit(77);
    }
    listen_begin();
    CHILD_CHECK(disk_open(path, false, &disk) == -EACCES);
    listen_end();
    (void)snprintf(line, sizeof(line),
                   "hostvm: cannot use '%s' as a disk: Permission denied; with ,ro it is only "
                   "read\n",
                   path);
    CHILD_CHECK(strcmp(said, line) == 0);
    CHILD_CHECK(disk_open(path, true, &disk) == 0);
    disk_close(disk);
}

static void test_no_permission(void **state)
{
    (void)state;
    make_image(4096);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(path, 0444), 0);
    in_child(open_without_permission);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_one_writer_or_many_readers(void **state)
{
    struct disk *first, *second;

    (void)state;
    make_image(4096);
    first = open_disk(path, false);
    assert_refused(path, false, -EBUSY, "it is in use by another program");
    assert_refused(path, true, -EBUSY, "it is in use by another program");
    disk_close(first);
    first = open_disk(path, true);
    second = open_disk(path, true);
    assert_refused(path, false, -EBUSY, "it is in use by another program");
    disk_close(first);
    disk_close(second);
    disk_close(open_disk(path, false));
    disk_close(NULL);
}

/* Whatever fails, a disk is refused or has no watch, and nothing is left behind. */
static void test_failures_while_opening(void **state)
{
    bool has_failed = true;

    (void)state;
    make_image(4096);
    for (unsigned n = 1; has_failed; n++) {
        struct disk *disk = NULL;
        struct leak_state leak;
        int r;

        leak_begin(&leak);
        listen_begin();
        inject_fail_nth(n);
        r = disk_open(path, false, &disk);
        has_failed = inject_disarm();
        listen_end();
        if (r < 0) {
            assert_true(has_failed);
            assert_non_null(strstr(said, "hostvm: cannot use '"));
            assert_null(disk);
        } else {
            assert_string_equal(said, "");
        }
        disk_close(disk);
        leak_check(&leak);
        assert_true(n < 20);
    }
}

static void test_what_a_file_is_like(void **state)
{
    struct disk *disk;

    (void)state;
    make_image(3 * 512);
    disk = open_disk(path, false);
    assert_int_equal(disk_size(disk), 3 * 512);
    assert_int_equal(disk_traits(disk)->block_size, 512);
    assert_int_equal(disk_traits(disk)->physical_block_size, 4096);
    assert_false(disk_traits(disk)->is_readonly);
    assert_int_equal(disk_sync(disk), 0);
    disk_close(disk);
    disk = open_disk(path, true);
    assert_true(disk_traits(disk)->is_readonly);
    assert_false(disk_traits(disk)->can_punch);
    assert_false(disk_traits(disk)->can_discard);
    disk_close(disk);
}

static void test_where_holes_cannot_be_punched(void **state)
{
    struct disk *disk;

    (void)state;
    make_image(4096);
    inject_fail_nth_fallocate(1);
    disk = open_disk(path, false);
    (void)inject_disarm();
    assert_false(disk_traits(disk)->can_punch);
    assert_false(disk_traits(disk)->can_discard);
    disk_close(disk);
}

static void test_size_that_changes(void **state)
{
    struct disk *disk;
    int fd;

    (void)state;
    make_image(4096);
    disk = open_disk(path, false);
    assert_false(disk_look(disk));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 10000), 0);
    (void)close(fd);
    assert_true(is_readable_fd(disk_watch_fd(disk)));
    assert_true(disk_look(disk));
    assert_int_equal(disk_size(disk), 10000 / 512 * 512);
    assert_false(is_readable_fd(disk_watch_fd(disk)));
    assert_false(disk_look(disk));
    assert_int_equal(truncate(path, 0), 0);
    assert_true(disk_look(disk));
    assert_int_equal(disk_size(disk), 0);
    disk_close(disk);
}

static void test_our_own_writes_are_not_watched(void **state)
{
    struct disk *disk;

    (void)state;
    make_image(4096);
    disk = open_disk(path, false);
    assert_int_equal(pwrite(disk_fd(disk), "x", 1, 0), 1);
    assert_false(is_readable_fd(disk_watch_fd(disk)));
    disk_close(disk);
}

static void test_complains_once(void **state)
{
    struct disk *disk;
    char line[200];

    (void)state;
    make_image(4096);
    disk = open_disk(path, false);
    listen_begin();
    disk_complain(disk, "write", 0x1000, ENOSPC);
    disk_complain(disk, "read", 0, EIO);
    listen_end();
    disk_close(disk);
    (void)snprintf(line, sizeof(line),
                   "hostvm: disk '%s': cannot write at 0x1000: No space left on device; the guest "
                   "is told\n",
                   path);
    assert_string_equal(said, line);
}

/* --- requests, in both ways --- */

struct bench {
    struct disk *disk;
    struct disk_queue *queue;
    int kick_fd;
};

typedef struct disk_queue *(*create_fn)(struct disk *disk, int kick_fd, int watch_fd);

static struct disk_queue *create_uring(struct disk *disk, int kick_fd, int watch_fd)
{
    return disk_queue_create_uring(disk, 256, kick_fd, watch_fd);
}

static create_fn create_queue; /* of the tests that are run */

static void bench_init_at(struct bench *b, const char *name)
{
    b->disk = open_disk(name, false);
    b->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(b->kick_fd >= 0);
    b->queue = create_queue(b->disk, b->kick_fd, disk_watch_fd(b->disk));
    if (b->queue == NULL && (errno == ENOSYS || errno == EPERM)) {
        disk_close(b->disk);
        (void)close(b->kick_fd);
        skip();
    }
    assert_non_null(b->queue);
}

static void bench_init(struct bench *b, off_t size)
{
    make_image(size);
    bench_init_at(b, path);
}

static void bench_fini(struct bench *b)
{
    disk_queue_destroy(b->queue);
    (void)close(b->kick_fd);
    disk_close(b->disk);
}

/* Until so many are done; the last one. */
static struct disk_io *wait_for(struct bench *b, unsigned nr)
{
    struct disk_io *last = NULL;

    while (nr > 0) {
        struct disk_io *io;

        (void)disk_queue_wait(b->queue, true, &io);
        for (; io != NULL; io = io->next) {
            assert_true(nr > 0);
            nr--;
            last = io;
        }
    }
    return last;
}

static int do_io(struct bench *b, struct disk_io *io)
{
    disk_queue_start(b->queue, io);
    assert_ptr_equal(wait_for(b, 1), io);
    return io->result;
}

static int transfer(struct bench *b, enum disk_op op, uint64_t offset, void *bytes, size_t size)
{
    struct iovec iov = {bytes, size};
    struct disk_io io = {.op = op, .offset = offset, .size = size, .iov = &iov, .nr_iov = 1};

    return do_io(b, &io);
}

static int act(struct bench *b, struct disk_io io)
{
    return do_io(b, &io);
}

static void test_bytes_come_back(void **state)
{
    uint8_t out[3 * 512], in[3 * 512] = {0};
    struct iovec out_iov[] = {{out, 100}, {out + 100, 1000}, {out + 1100, 436}};
    struct iovec in_iov[] = {{in, 1}, {in + 1, 1535}};
    struct disk_io io;
    struct bench b;

    (void)state;
    for (unsigned i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 31 + 1);
    }
    bench_init(&b, 64 * KIB);
    for (int durable = 0; durable < 2; durable++) {
        out[0] = (uint8_t)durable;
        io = (struct disk_io){.op = DISK_WRITE,
                              .is_durable = durable,
                              .offset = 512,
                              .size = sizeof(out),
                              .iov = out_iov,
                              .nr_iov = 3};
        assert_int_equal(do_io(&b, &io), 0);
        io = (struct disk_io){
            .op = DISK_READ, .offset = 512, .size = sizeof(in), .iov = in_iov, .nr_iov = 2};
        assert_int_equal(do_io(&b, &io), 0);
        assert_memory_equal(in, out, sizeof(out));
    }
    assert_int_equal(act(&b, (struct disk_io){.op = DISK_FLUSH}), 0);
    assert_int_equal(pread(disk_fd(b.disk), in, 512, 0), 512);
    assert_int_equal(in[511], 0);
    bench_fini(&b);
}

/* More than one system call begins. */
static void test_many_at_a_time(void **state)
{
    enum { NR = 256 };
    static uint8_t bytes[NR][512];
    static struct disk_io ios[NR];
    static struct iovec iovs[NR];
    struct bench b;

    (void)state;
    bench_init(&b, NR * 512);
    for (int op = DISK_WRITE; op >= (int)DISK_READ; op--) {
        for (unsigned i = 0; i < NR; i++) {
            if (op == DISK_WRITE) {
                memset(bytes[i], (int)i, 512);
            }
            iovs[i] = (struct iovec){bytes[op == DISK_WRITE ? i : NR - 1 - i], 512};
            ios[i] = (struct disk_io){.op = (enum disk_op)op,
                                      .offset = i * 512,
                                      .size = 512,
                                      .iov = &iovs[i],
                                      .nr_iov = 1};
            disk_queue_start(b.queue, &ios[i]);
        }
        (void)wait_for(&b, NR);
        for (unsigned i = 0; i < NR; i++) {
            assert_int_equal(ios[i].result, 0);
            assert_int_equal(bytes[op == DISK_WRITE ? i : NR - 1 - i][511], (uint8_t)i);
        }
    }
    bench_fini(&b);
}

static void test_kick_ends_a_wait(void **state)
{
    const uint64_t one = 1;
    struct disk_io *io;
    struct bench b;

    (void)state;
    bench_init(&b, 4096);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(disk_queue_wait(b.queue, false, &io), 0);
        assert_null(io);
        assert_int_equal(write(b.kick_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(disk_queue_wait(b.queue, true, &io), DISK_QUEUE_KICKED);
        assert_null(io);
    }
    bench_fini(&b);
}

/* A flush takes its time; kicks and changes that come meanwhile are not lost, nor told twice. */
static void test_events_while_something_is_under_way(void **state)
{
    const uint64_t one = 1;
    struct disk_io *io;
    struct bench b;

    (void)state;
    bench_init(&b, 4096);
    for (unsigned i = 1; i <= 100; i++) {
        struct disk_io flush = {.op = DISK_FLUSH};
        unsigned seen = 0;
        unsigned nr_kicks = 0;
        bool is_done = false;
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        disk_queue_start(b.queue, &flush);
        assert_int_equal(ftruncate(fd, 512 * (i % 2 + 1)), 0);
        (void)close(fd);
        assert_int_equal(write(b.kick_fd, &one, sizeof(one)), sizeof(one));
        while (!is_done || seen != (DISK_QUEUE_KICKED | DISK_QUEUE_LOOK)) {
            unsigned now = disk_queue_wait(b.queue, true, &io);

            assert_true(io == NULL || (io == &flush && io->next == NULL && !is_done));
            is_done = is_done || io != NULL;
            nr_kicks += (now & DISK_QUEUE_KICKED) != 0;
            if ((now & DISK_QUEUE_LOOK) != 0) {
                (void)disk_look(b.disk);
            }
            seen |= now;
        }
        assert_int_equal(nr_kicks, 1);
        assert_int_equal(flush.result, 0);
    }
    bench_fini(&b);
}

static void test_events_are_seen_by_who_never_sleeps(void **state)
{
    const uint64_t one = 1;
    unsigned seen = 0;
    struct bench b;
    int fd;

    (void)state;
    bench_init(&b, 4096);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 8192), 0);
    (void)close(fd);
    assert_int_equal(write(b.kick_fd, &one, sizeof(one)), sizeof(one));
    for (unsigned i = 0; i < 64; i++) {
        uint8_t bytes[512];
        struct iovec iov = {bytes, sizeof(bytes)};
        struct disk_io io = {.size = sizeof(bytes), .iov = &iov, .nr_iov = 1};
        struct disk_io *done = NULL;

        disk_queue_start(b.queue, &io);
        while (done == NULL) {
            seen |= disk_queue_wait(b.queue, false, &done);
        }
        assert_ptr_equal(done, &io);
    }
    assert_int_equal(seen, DISK_QUEUE_KICKED | DISK_QUEUE_LOOK);
    bench_fini(&b);
}

/* Somebody writes to the file what is not there before end_stall: until then, whoever wants to
 * change the file, too, waits. */
struct stall {
    int fault_fd;
    void *page;
    pthread_t writer;
};

static void *write_page(void *cookie)
{
    struct stall *stall = cookie;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = pwrite(fd, stall->page, 4096, 0) == 4096;

    (void)close(fd);
    return is_written ? cookie : NULL;
}

static void open_stall(struct stall *stall)
{
    stall->fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (stall->fault_fd < 0) {
        print_message("userfaultfd: %s\n", strerror(errno));
        skip();
    }
}

static void begin_stall(struct stall *stall)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

    stall->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stall->page, MAP_FAILED);
    range.range = (struct uffdio_range){(uintptr_t)stall->page, 4096};
    assert_int_equal(ioctl(stall->fault_fd, UFFDIO_API, &api), 0);
    assert_int_equal(ioctl(stall->fault_fd, UFFDIO_REGISTER, &range), 0);
    assert_int_equal(pthread_create(&stall->writer, NULL, write_page, stall), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = stall->fault_fd, .events = POLLIN}, 1, -1), 1);
}

static void end_stall(struct stall *stall)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)stall->page, 4096}};
    void *result;

    assert_int_equal(ioctl(stall->fault_fd, UFFDIO_ZEROPAGE, &zero), 0);
    assert_int_equal(pthread_join(stall->writer, &result), 0);
    assert_ptr_equal(result, stall);
    (void)munmap(stall->page, 4096);
    (void)close(stall->fault_fd);
}

/* Each ends one wait, however long what is under way may take. */
static void test_kicks_while_something_takes_long(void **state)
{
    uint8_t bytes[512] = {1};
    struct iovec iov = {bytes, sizeof(bytes)};
    struct disk_io io = {.op = DISK_WRITE, .size = sizeof(bytes), .iov = &iov, .nr_iov = 1};
    const uint64_t one = 1;
    struct disk_io *done;
    struct stall stall;
    struct bench b;

    (void)state;
    open_stall(&stall);
    bench_init(&b, 4096);
    begin_stall(&stall);
    disk_queue_start(b.queue, &io);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(write(b.kick_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(disk_queue_wait(b.queue, true, &done), DISK_QUEUE_KICKED);
        assert_null(done);
    }
    end_stall(&stall);
    assert_ptr_equal(wait_for(&b, 1), &io);
    assert_int_equal(io.result, 0);
    bench_fini(&b);
}

static void test_change_of_size_ends_a_wait(void **state)
{
    struct disk_io *io;
    struct bench b;
    int fd;

    (void)state;
    bench_init(&b, 4096);
    for (unsigned i = 1; i < 3; i++) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 8192 * i), 0);
        (void)close(fd);
        assert_int_equal(disk_queue_wait(b.queue, true, &io), DISK_QUEUE_LOOK);
        assert_true(disk_look(b.disk));
    }
    bench_fini(&b);
}

/* What was read in front of the end may be there; behind it, nothing was written. */
static void test_file_that_shrank(void **state)
{
    uint8_t bytes[2048];
    struct bench b;

    (void)state;
    bench_init(&b, 4096);
    assert_int_equal(truncate(path, 1000), 0);
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(transfer(&b, DISK_READ, 0, bytes, 2048), -ENODATA);
    for (unsigned i = 1000; i < 2048; i++) {
        assert_int_equal(bytes[i], 0xee);
    }
    assert_int_equal(transfer(&b, DISK_READ, 2048, bytes, 512), -ENODATA);
    bench_fini(&b);
}

static void test_memory_that_is_gone(void **state)
{
    void *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct bench b;

    (void)state;
    bench_init(&b, 4096);
    assert_int_equal(transfer(&b, DISK_READ, 0, gone, 4096), -EFAULT);
    assert_int_equal(transfer(&b, DISK_WRITE, 0, gone, 4096), -EFAULT);
    bench_fini(&b);
    (void)munmap(gone, 4096);
}

static uint64_t space_of(struct bench *b)
{
    struct stat s;

    assert_int_equal(fstat(disk_fd(b->disk), &s), 0);
    return (uint64_t)s.st_blocks * 512;
}

static void fill(struct bench *b, size_t size)
{
    uint8_t *bytes = malloc(size);

    memset(bytes, 0x55, size);
    assert_int_equal(pwrite(disk_fd(b->disk), bytes, size, 0), size);
    free(bytes);
}

static void assert_zeroes(struct bench *b, size_t start, size_t end, size_t size)
{
    uint8_t *bytes = malloc(size);

    assert_int_equal(pread(disk_fd(b->disk), bytes, size, 0), size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], i >= start && i < end ? 0 : 0x55);
    }
    free(bytes);
}

/* On a file system that punches holes, but does not write zeroes of its own: tmpfs. */
static void test_zeroes_and_holes(void **state)
{
    static const struct {
        size_t start, size;
    } ranges[] = {{512, 512}, {4096, 4096 + 1536}, {0, MIB}, {1024, MIB + 3584}};
    enum { SIZE = 2 * MIB };
    struct bench b;
    char name[40];
    int fd;

    (void)state;
    for (int way = 0; way < 6; way++) {
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
            struct disk_io io = {
                .op = way < 2 ? DISK_DISCARD : DISK_WRITE_ZEROES,
                .is_durable = way % 2 == 1,
                .may_unmap = way >= 4,
                .offset = ranges[i].start,
                .size = ranges[i].size,
            };

            fd = memfd_create("disk", MFD_CLOEXEC);
            assert_int_equal(ftruncate(fd, SIZE), 0);
            (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
            bench_init_at(&b, name);
            assert_true(disk_traits(b.disk)->can_punch);
            fill(&b, SIZE);
            assert_int_equal(do_io(&b, &io), 0);
            assert_zeroes(&b, ranges[i].start, ranges[i].start + ranges[i].size, SIZE);
            if (ranges[i].size >= MIB) {
                assert_int_equal(space_of(&b) < SIZE, way < 2 || way >= 4);
            }
            bench_fini(&b);
            (void)close(fd);
        }
    }
}

/* On whatever file system there is; zeroes are never refused. */
static void test_zeroes_of_the_file_system(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, MIB);
    for (int way = 0; way < 4; way++) {
        fill(&b, MIB);
        assert_int_equal(
            act(&b, (struct disk_io){.op = DISK_WRITE_ZEROES,
                                     .is_durable = way % 2 == 1,
                                     .may_unmap = way >= 2 && disk_traits(b.disk)->can_punch,
                                     .offset = 4096,
                                     .size = 65536}),
            0);
        assert_zeroes(&b, 4096, 4096 + 65536, MIB);
    }
    bench_fini(&b);
}

/* --- a full file system, in a name space of its own --- */

static void fill_up(void)
{
    static uint8_t bytes[MIB];
    struct disk *disk = NULL;
    struct disk_queue *queue;
    struct iovec iov = {bytes, MIB};
    struct disk_io io = {.op = DISK_WRITE, .size = MIB, .iov = &iov, .nr_iov = 1};
    struct disk_io *done;
    int fd;

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=512k") < 0) {
        _exit(77);
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHILD_CHECK(ftruncate(fd, 4 * MIB) == 0);
    (void)close(fd);
    CHILD_CHECK(disk_open(path, false, &disk) == 0);
    queue = create_queue(disk, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), -1);
    if (queue == NULL) {
        _exit(77);
    }
    memset(bytes, 1, sizeof(bytes));
    disk_queue_start(queue, &io);
    do {
        (void)disk_queue_wait(queue, true, &done);
    } while (done == NULL);
    CHILD_CHECK(done == &io && io.result == -ENOSPC);
    /* What is there is still good, and room can be made. */
    io = (struct disk_io){.op = DISK_DISCARD, .size = MIB};
    disk_queue_start(queue, &io);
    do {
        (void)disk_queue_wait(queue, true, &done);
    } while (done == NULL);
    CHILD_CHECK(io.result == 0);
    iov = (struct iovec){bytes, 4096};
    io = (struct disk_io){.op = DISK_WRITE, .size = 4096, .iov = &iov, .nr_iov = 1};
    disk_queue_start(queue, &io);
    do {
        (void)disk_queue_wait(queue, true, &done);
    } while (done == NULL);
    CHILD_CHECK(io.result == 0);
    disk_queue_destroy(queue);
    disk_close(disk);
}

static void test_full_file_system(void **state)
{
    (void)state;
    (void)unlink(path);
    in_child(fill_up);
}

/* --- a user that is killed leaves no lock behind, whatever the kernel still does for it --- */

static void hold_until_killed(void)
{
    static uint8_t bytes[4096];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct disk_io io = {.op = DISK_WRITE, .size = sizeof(bytes), .iov = &iov, .nr_iov = 1};
    struct disk *disk = NULL;
    struct disk_queue *queue;
    struct disk_io *done;

    CHILD_CHECK(disk_open(path, false, &disk) == 0);
    queue = create_queue(disk, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), -1);
    if (queue == NULL) {
        _exit(77);
    }
    disk_queue_start(queue, &io);
    (void)disk_queue_wait(queue, true, &done);
    (void)raise(SIGKILL);
}

static void test_killed_user_leaves_no_lock(void **state)
{
    (void)state;
    make_image(4096);
    for (unsigned i = 0; i < 20; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            hold_until_killed();
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            skip();
        }
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        disk_close(open_disk(path, false));
    }
}

/* Whatever fails, there is no queue, and nothing is left behind. */
static void test_failures_while_making_a_queue(void **state)
{
    struct disk_queue *queue = NULL;
    struct leak_state leak;
    struct bench b;

    (void)state;
    bench_init(&b, 4096);
    for (unsigned n = 1; queue == NULL; n++) {
        leak_begin(&leak);
        inject_fail_nth(n);
        errno = 0;
        queue = create_queue(b.disk, b.kick_fd, disk_watch_fd(b.disk));
        assert_true(queue != NULL || errno != 0);
        assert_int_equal(inject_disarm(), queue == NULL);
        disk_queue_destroy(queue);
        leak_check(&leak);
    }
    bench_fini(&b);
    disk_queue_destroy(NULL);
}

static int use_plain(void **state)
{
    create_queue = disk_queue_create_plain;
    return make_dir(state);
}

static int use_uring(void **state)
{
    create_queue = create_uring;
    return make_dir(state);
}

/* --- without io_uring --- */

static void forbid_io_uring(unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = 4, .filter = code};

    CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static unsigned forbidden_with;

static void write_without_io_uring(void)
{
    char text[512] = "written one by one";
    struct iovec iov = {text, sizeof(text)};
    struct disk_io io = {.op = DISK_WRITE, .size = 512, .iov = &iov, .nr_iov = 1};
    struct disk_queue *queue;
    struct disk *disk = NULL;
    struct disk_io *done;

    forbid_io_uring(forbidden_with);
    CHILD_CHECK(disk_open(path, false, &disk) == 0);
    CHILD_CHECK(disk_queue_create_uring(disk, 256, -1, -1) == NULL);
    CHILD_CHECK(errno == (int)forbidden_with);
    queue = disk_queue_create(disk, 256, -1, -1);
    CHILD_CHECK(queue != NULL);
    disk_queue_start(queue, &io);
    CHILD_CHECK(disk_queue_wait(queue, true, &done) == 0);
    CHILD_CHECK(done == &io && io.result == 0);
    disk_queue_destroy(queue);
    memset(text, 0, sizeof(text));
    CHILD_CHECK(pread(disk_fd(disk), text, sizeof(text), 0) == sizeof(text));
    CHILD_CHECK(strcmp(text, "written one by one") == 0);
    disk_close(disk);
}

static void test_host_without_io_uring(void **state)
{
    (void)state;
    make_image(4096);
    forbidden_with = EPERM;
    in_child(write_without_io_uring);
    forbidden_with = ENOSYS;
    in_child(write_without_io_uring);
}

/* --- steps --- */

static void test_steps_of_a_transfer(void **state)
{
    uint8_t bytes[1024];
    struct iovec iov[] = {{bytes, 512}, {bytes + 512, 512}};
    struct disk_io io = {.op = DISK_READ, .offset = 4096, .size = 1024, .iov = iov, .nr_iov = 2};

    (void)state;
    disk_io_begin(&io, false);
    assert_int_equal(io.step, DISK_STEP_TRANSFER);
    assert_true(disk_io_proceed(&io, -EINTR));
    assert_true(disk_io_proceed(&io, -EAGAIN));
    assert_int_equal(io.offset, 4096);
    assert_true(disk_io_proceed(&io, 100));
    assert_int_equal(io.offset, 4196);
    assert_ptr_equal(io.iov[0].iov_base, bytes + 100);
    assert_int_equal(io.iov[0].iov_len, 412);
    assert_true(disk_io_proceed(&io, 412));
    assert_int_equal(io.nr_iov, 1);
    assert_ptr_equal(io.iov[0].iov_base, bytes + 512);
    assert_false(disk_io_proceed(&io, 512));
    assert_int_equal(io.result, 0);
}

static void test_ends_of_steps(void **state)
{
    static const struct {
        enum disk_op op;
        bool is_device, is_durable;
        enum disk_step first;
        int64_t results[3]; /* 1: none */
        int end;
    } cases[] = {
        {DISK_READ, false, false, DISK_STEP_TRANSFER, {0, 1, 1}, -ENODATA},
        {DISK_WRITE, false, false, DISK_STEP_TRANSFER, {0, 1, 1}, -EIO},
        {DISK_WRITE, false, true, DISK_STEP_TRANSFER, {512, 1, 1}, 0},
        {DISK_READ, false, false, DISK_STEP_TRANSFER, {-EIO, 1, 1}, -EIO},
        {DISK_FLUSH, false, false, DISK_STEP_SYNC, {0, 1, 1}, 0},
        {DISK_FLUSH, false, false, DISK_STEP_SYNC, {-EIO, 1, 1}, -EIO},
        {DISK_DISCARD, false, false, DISK_STEP_FALLOCATE, {0, 1, 1}, 0},
        {DISK_DISCARD, false, true, DISK_STEP_FALLOCATE, {0, 0, 1}, 0},
        {DISK_DISCARD, false, true, DISK_STEP_FALLOCATE, {0, -EIO, 1}, -EIO},
        {DISK_DISCARD, false, false, DISK_STEP_FALLOCATE, {-EOPNOTSUPP, 1, 1}, -EOPNOTSUPP},
        {DISK_WRITE_ZEROES, false, false, DISK_STEP_FALLOCATE, {-EOPNOTSUPP, 512, 1}, 0},
        {DISK_WRITE_ZEROES, false, true, DISK_STEP_FALLOCATE, {-EOPNOTSUPP, 512, 0}, 0},
        {DISK_WRITE_ZEROES, false, false, DISK_STEP_FALLOCATE, {-EOPNOTSUPP, 0, 1}, -EIO},
        {DISK_WRITE_ZEROES, false, false, DISK_STEP_FALLOCATE, {-EOPNOTSUPP, -ENOSPC, 1}, -ENOSPC},
        {DISK_WRITE_ZEROES, false, false, DISK_STEP_FALLOCATE, {-ENOSPC, 1, 1}, -ENOSPC},
        {DISK_WRITE_ZEROES, true, false, DISK_STEP_FALLOCATE, {-EBUSY, 512, 1}, 0},
        {DISK_WRITE_ZEROES, true, false, DISK_STEP_FALLOCATE, {-EINVAL, 512, 1}, 0},
        {DISK_WRITE_ZEROES, true, false, DISK_STEP_FALLOCATE, {-EIO, 1, 1}, -EIO},
        {DISK_DISCARD, true, false, DISK_STEP_DISCARD, {0, 1, 1}, 0},
        {DISK_DISCARD, true, true, DISK_STEP_DISCARD, {0, 0, 1}, 0},
        {DISK_DISCARD, true, true, DISK_STEP_DISCARD, {-EIO, 1, 1}, -EIO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[512];
        struct iovec iov = {bytes, 512};
        struct disk_io io = {.op = cases[i].op,
                             .is_durable = cases[i].is_durable,
                             .size = 512,
                             .iov = &iov,
                             .nr_iov = 1};
        unsigned n = 0;
        bool more;

        disk_io_begin(&io, cases[i].is_device);
        assert_int_equal(io.step, cases[i].first);
        do {
            assert_true(n < 3 && cases[i].results[n] != 1);
            more = disk_io_proceed(&io, cases[i].results[n++]);
        } while (more);
        assert_true(n == 3 || cases[i].results[n] == 1);
        assert_int_equal(io.result, cases[i].end);
    }
}

/* --- a device --- */

enum { DEVICE_PART = 128 * KIB };

static const char *device;

static void device_init(struct bench *b)
{
    bench_init_at(b, device);
    fill(b, DEVICE_PART);
    assert_int_equal(disk_sync(b->disk), 0);
}

static void test_what_a_device_is_like(void **state)
{
    struct disk *disk = open_disk(device, false);

    (void)state;
    assert_int_equal(disk_traits(disk)->block_size, 4096);
    assert_int_equal(disk_traits(disk)->discard_size, 4096);
    assert_true(disk_traits(disk)->is_device);
    assert_true(disk_traits(disk)->can_discard);
    assert_true(disk_traits(disk)->can_punch);
    assert_refused(device, false, -EBUSY, "it is in use by another program, or mounted");
    disk_close(disk);
    disk = open_disk(device, true);
    assert_false(disk_traits(disk)->can_discard);
    assert_false(disk_traits(disk)->can_punch);
    disk_close(disk);
}

/* The guest counts in sectors, whatever the device does. */
static void test_transfers_of_less_than_a_block(void **state)
{
    static const struct {
        size_t start, size;
    } pieces[] = {{512, 512}, {3584, 1024}, {8192, 512}, {16384 + 512, 8192 + 1024}};
    uint8_t out[16384], in[16384];
    struct bench b;

    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        device_init(&b);
        memset(out, 0x33, sizeof(out));
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
            struct iovec iov = {out, pieces[i].size};

            assert_int_equal(act(&b, (struct disk_io){.op = DISK_WRITE,
                                                      .is_durable = durable,
                                                      .offset = pieces[i].start,
                                                      .size = pieces[i].size,
                                                      .iov = &iov,
                                                      .nr_iov = 1}),
                             0);
            assert_int_equal(
                transfer(&b, DISK_READ, pieces[i].start - 512, in, pieces[i].size + 1024), 0);
            assert_int_equal(in[511], 0x55);
            assert_memory_equal(in + 512, out, pieces[i].size);
            assert_int_equal(in[512 + pieces[i].size], 0x55);
        }
        bench_fini(&b);
    }
}

/* What was written before need not have reached the device. */
static void test_zeroes_over_what_was_just_written(void **state)
{
    static const struct {
        size_t start, size;
    } ranges[] = {{0, 65536}, {4096, 4096}, {512, 512}, {512, 65536}, {4096, 8192 + 512}};
    struct bench b;

    (void)state;
    for (int way = 0; way < 8; way++) {
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
            device_init(&b);
            if (way >= 4) {
                fill(&b, DEVICE_PART);
            }
            assert_int_equal(act(&b, (struct disk_io){.op = DISK_WRITE_ZEROES,
                                                      .is_durable = way % 2 == 1,
                                                      .may_unmap = way % 4 >= 2,
                                                      .offset = ranges[i].start,
                                                      .size = ranges[i].size}),
                             0);
            assert_zeroes(&b, ranges[i].start, ranges[i].start + ranges[i].size, DEVICE_PART);
            bench_fini(&b);
        }
    }
}

/* Its blocks are gone (and those of a file behind it read as zeroes); what is none of them stays.
 */
static void test_discards_of_what_was_just_written(void **state)
{
    static const struct {
        size_t start, size, gone, end;
    } ranges[] = {
        {0, 65536, 0, 65536},
        {4096, 4096, 4096, 8192},
        {512, 512, 0, 0},
        {3584, 1024, 0, 0},
        {512, 7680, 4096, 8192},
        {512, 8192, 4096, 8192},
        {4096, 8192 + 512, 4096, 12288},
    };
    struct bench b;

    (void)state;
    for (int way = 0; way < 4; way++) {
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
            device_init(&b);
            if (way >= 2) {
                fill(&b, DEVICE_PART);
            }
            assert_int_equal(act(&b, (struct disk_io){.op = DISK_DISCARD,
                                                      .is_durable = way % 2 == 1,
                                                      .offset = ranges[i].start,
                                                      .size = ranges[i].size}),
                             0);
            assert_zeroes(&b, ranges[i].gone, ranges[i].end, DEVICE_PART);
            bench_fini(&b);
        }
    }
}

static unsigned long refused_number;
static int told_block_size; /* 0: the device's */

static bool refuse(int fd, unsigned long number, void *arg, int *ret_result)
{
    (void)fd;
    if (number == BLKSSZGET && told_block_size != 0) {
        *(int *)arg = told_block_size;
        *ret_result = 0;
        return true;
    }
    if (number != refused_number) {
        return false;
    }
    errno = EIO;
    *ret_result = -1;
    return true;
}

static void test_device_that_does_not_tell_what_it_is_like(void **state)
{
    struct disk *disk;

    (void)state;
    inject_answer_ioctls(refuse);
    refused_number = BLKGETSIZE64;
    assert_refused(device, false, -EIO, "it does not tell its size: Input/output error");
    refused_number = BLKSSZGET;
    disk = open_disk(device, false);
    assert_int_equal(disk_traits(disk)->block_size, 512);
    disk_close(disk);
    refused_number = BLKPBSZGET;
    disk = open_disk(device, false);
    assert_int_equal(disk_traits(disk)->block_size, 4096);
    assert_int_equal(disk_traits(disk)->physical_block_size, 4096);
    disk_close(disk);
    told_block_size = 65536;
    disk = open_disk(device, false);
    assert_int_equal(disk_traits(disk)->block_size, 65536);
    assert_int_equal(disk_traits(disk)->physical_block_size, 65536);
    told_block_size = 0;
    /* A size that it does not tell any more is what it was. */
    refused_number = BLKGETSIZE64;
    assert_false(disk_look(disk));
    assert_true(disk_size(disk) > 0);
    inject_answer_ioctls(NULL);
    disk_close(disk);
}

static void test_discard_that_the_device_refuses(void **state)
{
    struct bench b;

    (void)state;
    device_init(&b);
    refused_number = BLKDISCARD;
    inject_answer_ioctls(refuse);
    assert_int_equal(act(&b, (struct disk_io){.op = DISK_DISCARD, .size = 4096}), -EIO);
    inject_answer_ioctls(NULL);
    assert_zeroes(&b, 0, 0, DEVICE_PART);
    bench_fini(&b);
}

#define DEVICE_TESTS                                                                               \
    cmocka_unit_test(test_what_a_device_is_like),                                                  \
        cmocka_unit_test(test_device_that_does_not_tell_what_it_is_like),                          \
        cmocka_unit_test(test_transfers_of_less_than_a_block),                                     \
        cmocka_unit_test(test_zeroes_over_what_was_just_written),                                  \
        cmocka_unit_test(test_discards_of_what_was_just_written),                                  \
        cmocka_unit_test(test_discard_that_the_device_refuses)

#define QUEUE_TESTS                                                                                \
    cmocka_unit_test(test_bytes_come_back), cmocka_unit_test(test_many_at_a_time),                 \
        cmocka_unit_test(test_kick_ends_a_wait),                                                   \
        cmocka_unit_test(test_events_while_something_is_under_way),                                \
        cmocka_unit_test(test_events_are_seen_by_who_never_sleeps),                                \
        cmocka_unit_test(test_change_of_size_ends_a_wait),                                         \
        cmocka_unit_test(test_file_that_shrank), cmocka_unit_test(test_memory_that_is_gone),       \
        cmocka_unit_test(test_zeroes_and_holes), cmocka_unit_test(test_zeroes_of_the_file_system), \
        cmocka_unit_test(test_full_file_system),                                                   \
        cmocka_unit_test(test_killed_user_leaves_no_lock),                                         \
        cmocka_unit_test(test_failures_while_making_a_queue)

int main(void)
{
    const struct CMUnitTest disk_tests[] = {
        cmocka_unit_test(test_files_that_are_no_disks),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_one_writer_or_many_readers),
        cmocka_unit_test(test_failures_while_opening),
        cmocka_unit_test(test_what_a_file_is_like),
        cmocka_unit_test(test_where_holes_cannot_be_punched),
        cmocka_unit_test(test_size_that_changes),
        cmocka_unit_test(test_our_own_writes_are_not_watched),
        cmocka_unit_test(test_complains_once),
        cmocka_unit_test(test_host_without_io_uring),
        cmocka_unit_test(test_steps_of_a_transfer),
        cmocka_unit_test(test_ends_of_steps),
    };
    const struct CMUnitTest plain_tests[] = {QUEUE_TESTS};
    const struct CMUnitTest uring_tests[] = {
        QUEUE_TESTS,
        cmocka_unit_test(test_kicks_while_something_takes_long),
    };
    const struct CMUnitTest device_plain_tests[] = {DEVICE_TESTS};
    const struct CMUnitTest device_uring_tests[] = {DEVICE_TESTS};
    int failed;

    device = getenv("HOSTVM_DEVICE");
    if (device != NULL) {
        failed = cmocka_run_group_tests_name("requests to a device one by one", device_plain_tests,
                                             use_plain, remove_dir);
        return failed + cmocka_run_group_tests_name("requests to a device through io_uring",
                                                    device_uring_tests, use_uring, remove_dir);
    }
    failed = cmocka_run_group_tests_name("disks", disk_tests, make_dir, remove_dir);
    failed +=
        cmocka_run_group_tests_name("requests one by one", plain_tests, use_plain, remove_dir);
    failed += cmocka_run_group_tests_name("requests through io_uring", uring_tests, use_uring,
                                          remove_dir);
    return failed;
}
