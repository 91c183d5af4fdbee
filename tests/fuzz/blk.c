/* The disk: a file in memory, which shrinks and grows. */
#include "virtio/blk.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "back/disk_queue.h"
#include "driver.h"

enum { SIZE = 64 << 10, NR_QUEUES = 2, PATIENCE = 2000 };

static struct blk *blk;
static int file = -1;
static off_t most; /* bytes that it has had */
static char path[40];
static atomic_uint nr_idle; /* queues' threads that sleep */

unsigned __real_disk_queue_wait(struct disk_queue *queue, bool may_sleep, struct disk_io **ret);
unsigned __wrap_disk_queue_wait(struct disk_queue *queue, bool may_sleep, struct disk_io **ret);

unsigned __wrap_disk_queue_wait(struct disk_queue *queue, bool may_sleep, struct disk_io **ret)
{
    unsigned seen;

    atomic_fetch_add(&nr_idle, may_sleep);
    seen = __real_disk_queue_wait(queue, may_sleep, ret);
    atomic_fetch_sub(&nr_idle, may_sleep);
    return seen;
}

/* Most disks have none: the kernel takes milliseconds to end one. */
int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);

static bool has_watch;

int __wrap_inotify_init1(int flags)
{
    return has_watch ? __real_inotify_init1(flags) : -1;
}

static void resize(off_t wanted)
{
    fuzz_check(ftruncate(file, wanted) == 0);
    most = wanted > most ? wanted : most;
}

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    uint8_t kind = fuzz_u8();
    struct blk_config config = {
        .serial = "fuzz", .nr_queues = NR_QUEUES, .is_plain = (kind & 7) != 3};

    (void)worker;
    if (file < 0) {
        file = memfd_create("disk", MFD_CLOEXEC);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    }
    has_watch = kind == 8;
    resize(0);
    most = 0;
    resize(SIZE);
    fuzz_check(disk_open(path, (kind & 4) != 0, &config.disk) == 0);
    blk = blk_create(vm, &config);
    return blk == NULL ? NULL : blk_device(blk);
}

/* Whatever the guest asks for, the file is no larger than the host has ever made it. */
static void destroy(void)
{
    struct stat status;

    blk_destroy(blk);
    blk = NULL;
    fuzz_check(fstat(file, &status) == 0 && status.st_size <= most);
}

/* Not for ever: a request may take its time, and a flipping guest may keep a thread busy. */
static void settle(void)
{
    for (unsigned i = 0; blk != NULL && i < PATIENCE && atomic_load(&nr_idle) < NR_QUEUES; i++) {
        (void)sched_yield();
    }
}

static void host(void)
{
    resize((off_t)(fuzz_u16() % (2 * SIZE)));
}

const struct fuzz_target fuzz_target = {
    .create = create, .destroy = destroy, .host = host, .settle = settle};
