/*
 * The first program of a Linux guest that reads its disk, for blk_watch: 4 KiB at random places one
 * at a time and 32 at a time, and 1 MiB one after the other, past the page cache.
 *
 * Before and behind each series it says so in a line, and waits for one. Modules that the kernel
 * needs lie in /modules, in the order of their names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB, DISK_MIB = 64, DEPTH = 32 };

static uint8_t *buffer; /* 2 MiB */
static int disk;

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    (void)reboot(RB_POWER_OFF);
    exit(1);
}

static void load_modules(void)
{
    struct dirent **names;
    int n = scandir("/modules", &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        char path[300];
        int fd;

        (void)snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (names[i]->d_name[0] != '.' && syscall(SYS_finit_module, fd, "", 0) < 0) {
            fail(path);
        }
        (void)close(fd);
    }
}

static void wait_for_a_line(void)
{
    char c = 0;

    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
    }
}

static uint64_t next_offset(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 40) % (DISK_MIB * MIB / (4 * KIB)) * (4 * KIB);
}

static void read_at(uint64_t offset, size_t size)
{
    if (pread(disk, buffer, size, (off_t)offset) != (ssize_t)size) {
        fail("pread");
    }
}

static void random_4k(unsigned n)
{
    uint64_t seed = 1;

    while (n-- > 0) {
        read_at(next_offset(&seed), 4 * KIB);
    }
}

static void sequential_1m(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        read_at((uint64_t)i % DISK_MIB * MIB, MIB);
    }
}

static void random_4k_deep(unsigned n)
{
    struct iocb iocbs[DEPTH], *list[DEPTH];
    struct io_event events[DEPTH];
    aio_context_t context = 0;
    uint64_t seed = 1;

    if (syscall(SYS_io_setup, DEPTH, &context) < 0) {
        fail("io_setup");
    }
    for (; n >= DEPTH; n -= DEPTH) {
        for (unsigned i = 0; i < DEPTH; i++) {
            iocbs[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD,
                                     .aio_fildes = (uint32_t)disk,
                                     .aio_buf = (uint64_t)(uintptr_t)buffer + i * 4 * KIB,
                                     .aio_nbytes = 4 * KIB,
                                     .aio_offset = (int64_t)next_offset(&seed)};
            list[i] = &iocbs[i];
        }
        if (syscall(SYS_io_submit, context, DEPTH, list) != DEPTH ||
            syscall(SYS_io_getevents, context, DEPTH, DEPTH, events, NULL) != DEPTH) {
            fail("io_submit");
        }
    }
    (void)syscall(SYS_io_destroy, context);
}

static void measure(const char *name, void (*fn)(unsigned n), unsigned n)
{
    uint64_t start;

    fn(64); /* whatever is done once */
    (void)printf("begin %s\n", name);
    wait_for_a_line();
    start = now();
    fn(n);
    (void)printf("end %s %u %llu\n", name, n, (unsigned long long)(now() - start));
    wait_for_a_line();
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)mount("dev", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    disk = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
    buffer = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (disk < 0 || buffer == MAP_FAILED) {
        fail("/dev/vda");
    }
    memset(buffer, 1, 2 * MIB);
    measure("4k", random_4k, 2048);
    measure("4k-deep", random_4k_deep, 2048);
    measure("1m", sequential_1m, 64);
    (void)printf("done\n");
    wait_for_a_line();
    (void)reboot(RB_POWER_OFF);
    return 0;
}
