/* The file behind a disk: a raw image or a block device, opened, locked and watched. */
#include "back/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The most that is told as the size of what can be discarded. */
enum { DISCARD_SIZE_MAX = 1 << 30 };

struct disk {
    char *path; /* for what is said */
    int fd;
    int lock_fd;  /* another opening of the same: what a ring holds of fd can outlive us a little */
    int watch_fd; /* -1: none */
    struct disk_traits traits;
    atomic_uint_fast64_t size;
    atomic_flag has_complained;
};

static int refuse(int r, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(int r, const char *path, const char *fmt, ...)
{
    va_list args;

    (void)fprintf(stderr, "hostvm: cannot use '%s' as a disk: ", path);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return r;
}

static int refuse_errno(const char *path)
{
    int r = -errno;

    return refuse(r, path, "%s", strerror(-r));
}

/* --- opening --- */

static const char *kind_that_is_no_disk(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return NULL;
    case S_IFDIR:
        return "it is a directory";
    default:
        return "it is neither a file nor a block device";
    }
}

static int check_kind(const char *path, const struct stat *stat)
{
    const char *kind = kind_that_is_no_disk(stat->st_mode);

    return kind == NULL ? 0 : refuse(S_ISDIR(stat->st_mode) ? -EISDIR : -ENODEV, path, "%s", kind);
}

static int refuse_open(const struct disk *disk)
{
    switch (errno) {
    case EBUSY:
        return refuse(-EBUSY, disk->path, "it is in use by another program, or mounted");
    case EACCES:
    case EROFS:
    case EPERM:
        return refuse(-errno, disk->path, "%s%s", strerror(errno),
                      disk->traits.is_readonly ? "" : "; with ,ro it is only read");
    default:
        return refuse_errno(disk->path);
    }
}

static int open_again(struct disk *disk, const struct stat *first)
{
    struct stat second;

    disk->fd = open(disk->path, (disk->traits.is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (disk->fd < 0 || fstat(disk->fd, &second) < 0) {
        return refuse_errno(disk->path);
    }
    if (second.st_dev != first->st_dev || second.st_ino != first->st_ino ||
        second.st_rdev != first->st_rdev) {
        return refuse(-ESTALE, disk->path, "it was replaced while it was opened");
    }
    return 0;
}

/* Its kind before it is opened: opening a device can do something, opening a pipe can wait. */
static int open_file(struct disk *disk)
{
    int flags = (disk->traits.is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    struct stat status;
    int r;

    if (stat(disk->path, &status) < 0) {
        return refuse_errno(disk->path);
    }
    r = check_kind(disk->path, &status);
    if (r < 0) {
        return r;
    }
    /* Of a device that it writes, a program can be the only user, also beside file systems. */
    flags |= S_ISBLK(status.st_mode) && !disk->traits.is_readonly ? O_EXCL : 0;
    disk->lock_fd = open(disk->path, flags);
    if (disk->lock_fd < 0) {
        return refuse_open(disk);
    }
    if (fstat(disk->lock_fd, &status) < 0) {
        return refuse_errno(disk->path);
    }
    disk->traits.is_device = S_ISBLK(status.st_mode);
    r = check_kind(disk->path, &status);
    return r < 0 ? r : open_again(disk, &status);
}

/* The lock belongs to the open file: it ends with it, however we end. */
static int lock_file(struct disk *disk)
{
    struct flock lock = {
        .l_type = disk->traits.is_readonly ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(disk->lock_fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return refuse(-EBUSY, disk->path, "it is in use by another program");
    }
    return refuse(-errno, disk->path, "it cannot be locked: %s", strerror(errno));
}

/* --- what it is --- */

static int size_of(const struct disk *disk, uint64_t *ret_size)
{
    struct stat stat_now;

    if (disk->traits.is_device) {
        return ioctl(disk->fd, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
    }
    if (fstat(disk->fd, &stat_now) < 0) {
        return -errno;
    }
    *ret_size = (uint64_t)stat_now.st_size;
    return 0;
}

static int measure(struct disk *disk)
{
    uint64_t size;
    int r = size_of(disk, &size);

    if (r < 0) {
        return refuse(r, disk->path, "it does not tell its size: %s", strerror(-r));
    }
    if (size == 0) {
        return refuse(-EINVAL, disk->path, "it is empty");
    }
    if (size % DISK_SECTOR != 0) {
        return refuse(-EINVAL, disk->path, "its size, %llu bytes, is no multiple of %d",
                      (unsigned long long)size, DISK_SECTOR);
    }
    atomic_store(&disk->size, size);
    return 0;
}

static bool is_block_size(uint64_t size)
{
    return size >= DISK_SECTOR && size <= 65536 && (size & (size - 1)) == 0;
}

static void find_block_sizes(struct disk *disk)
{
    unsigned physical = 0;
    int logical = 0;

    disk->traits.block_size = DISK_SECTOR;
    disk->traits.physical_block_size = 4096; /* the page cache's, which writes go through */
    if (!disk->traits.is_device) {
        return;
    }
    if (ioctl(disk->fd, BLKSSZGET, &logical) == 0 && logical > 0 &&
        is_block_size((uint64_t)logical)) {
        disk->traits.block_size = (uint32_t)logical;
    }
    if (disk->traits.physical_block_size < disk->traits.block_size) {
        disk->traits.physical_block_size = disk->traits.block_size;
    }
    if (ioctl(disk->fd, BLKPBSZGET, &physical) == 0 && is_block_size(physical) &&
        physical > disk->traits.physical_block_size) {
        disk->traits.physical_block_size = physical;
    }
}

/* Of a partition, the queue is its disk's. */
static FILE *open_queue_limit(dev_t device, const char *name)
{
    static const char *const places[] = {"queue", "../queue"};
    FILE *file = NULL;
    char path[96];

    for (size_t i = 0; file == NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(device),
                       minor(device), places[i], name);
        file = fopen(path, "re");
    }
    return file;
}

/* A device has no place where something could be tried; its queue tells. */
static uint64_t queue_limit(dev_t device, const char *name)
{
    FILE *file = open_queue_limit(device, name);
    char text[32] = "0";

    if (file == NULL) {
        return 0;
    }
    (void)!fgets(text, sizeof(text), file);
    (void)fclose(file);
    return strtoull(text, NULL, 10);
}

/* Some devices write no zeroes but forget, and others the other way round. */
static void find_space_of_device(struct disk *disk)
{
    struct disk_traits *traits = &disk->traits;
    uint64_t granularity;
    struct stat status;

    if (fstat(disk->fd, &status) < 0) {
        return;
    }
    traits->can_discard = queue_limit(status.st_rdev, "discard_max_bytes") > 0;
    traits->can_punch = queue_limit(status.st_rdev, "write_zeroes_max_bytes") > 0;
    granularity = queue_limit(status.st_rdev, "discard_granularity");
    if (granularity % DISK_SECTOR == 0 && granularity > traits->discard_size &&
        granularity <= DISCARD_SIZE_MAX) {
        traits->discard_size = (uint32_t)granularity;
    }
}

/* Behind a file's end there is nothing to lose. */
static bool file_can_punch(const struct disk *disk)
{
    off_t end = (off_t)((disk_size(disk) + 0xffff) & ~0xffffull);

    return fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, 65536) == 0;
}

static void find_space(struct disk *disk)
{
    struct disk_traits *traits = &disk->traits;

    traits->discard_size = traits->physical_block_size;
    if (!traits->is_readonly && traits->is_device) {
        find_space_of_device(disk);
    } else if (!traits->is_readonly) {
        traits->can_discard = traits->can_punch = file_can_punch(disk);
    }
}

/* --- watching: what changes a file's size closes it then, as a rule; our own writes go unnoticed,
 * and cost nothing. The kernel announces changes of a device. Without a watch, its size is looked
 * at when the guest flushes, or reads past the end. --- */

static int watch_file(const struct disk *disk)
{
    char path[40];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    /* The very file, whatever its name leads to by now. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", disk->fd);
    if (fd >= 0 && inotify_add_watch(fd, path, IN_CLOSE_WRITE | IN_ATTRIB) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static int watch_devices(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* --- the whole --- */

static int open_all(struct disk *disk)
{
    int r = open_file(disk);

    if (r == 0) {
        r = lock_file(disk);
    }
    if (r == 0) {
        r = measure(disk);
    }
    if (r < 0) {
        return r;
    }
    find_block_sizes(disk);
    find_space(disk);
    disk->watch_fd = disk->traits.is_device ? watch_devices() : watch_file(disk);
    return 0;
}

int disk_open(const char *path, bool is_readonly, struct disk **ret_disk)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    int r;

    if (disk != NULL) {
        disk->path = strdup(path);
    }
    if (disk == NULL || disk->path == NULL) {
        free(disk);
        return refuse(-ENOMEM, path, "%s", strerror(ENOMEM));
    }
    disk->fd = -1;
    disk->lock_fd = -1;
    disk->watch_fd = -1;
    disk->traits.is_readonly = is_readonly;
    atomic_flag_clear(&disk->has_complained);
    r = open_all(disk);
    if (r < 0) {
        disk_close(disk);
        return r;
    }
    *ret_disk = disk;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

void disk_close(struct disk *disk)
{
    if (disk == NULL) {
        return;
    }
    close_fd(disk->watch_fd);
    close_fd(disk->fd);
    close_fd(disk->lock_fd);
    free(disk->path);
    free(disk);
}

const struct disk_traits *disk_traits(const struct disk *disk)
{
    return &disk->traits;
}

uint64_t disk_size(const struct disk *disk)
{
    return atomic_load_explicit(&disk->size, memory_order_relaxed);
}

int disk_watch_fd(const struct disk *disk)
{
    return disk->watch_fd;
}

int disk_fd(const struct disk *disk)
{
    return disk->fd;
}

static void drain(int fd)
{
    char events[4096];

    while (fd >= 0 && read(fd, events, sizeof(events)) > 0) {
    }
}

bool disk_look(struct disk *disk)
{
    uint64_t size;

    /* What happens between the two makes it readable again. */
    drain(disk->watch_fd);
    if (size_of(disk, &size) < 0) {
        return false;
    }
    size -= size % DISK_SECTOR;
    return atomic_exchange(&disk->size, size) != size;
}

int disk_sync(struct disk *disk)
{
    return fdatasync(disk->fd) < 0 ? -errno : 0;
}

/*
 * By the opening that holds the device as its only user: to others the kernel refuses it where
 * something that was written is not on the device yet. What is no whole block of it may stay.
 */
int disk_discard(struct disk *disk, uint64_t offset, uint64_t size)
{
    const uint64_t mask = disk->traits.block_size - 1;
    uint64_t start = (offset + mask) & ~mask;
    uint64_t end = (offset + size) & ~mask;
    uint64_t range[2] = {start, end - start};

    if (start >= end) {
        return 0;
    }
    return ioctl(disk->lock_fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

void disk_complain(struct disk *disk, const char *what, uint64_t offset, int error)
{
    if (!atomic_flag_test_and_set(&disk->has_complained)) {
        (void)fprintf(stderr, "hostvm: disk '%s': cannot %s at 0x%llx: %s; the guest is told\n",
                      disk->path, what, (unsigned long long)offset,
                      error == ENODATA ? "the file has become shorter" : strerror(error));
    }
}
