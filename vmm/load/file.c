/* Guest image files: opened, checked for being ordinary files, mapped. */
#include "load/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of_file(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

static int check_regular(const char *what, const char *name, const struct stat *st,
                         struct load_error *err)
{
    if (!S_ISREG(st->st_mode)) {
        return load_fail(err, S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL,
                         "cannot load %s '%s': it is %s; give an ordinary file", what,
                         short_name(name), kind_of_file(st->st_mode));
    }
    if (st->st_size == 0) {
        return load_fail(err, -ENODATA, "cannot load %s '%s': the file is empty", what,
                         short_name(name));
    }
    return 0;
}

int regular_file_open(const char *what, const char *name, uint64_t *ret_size,
                      struct load_error *err)
{
    struct stat st;
    int fd;
    int r;

    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        r = -errno;
        return load_fail(err, r, "cannot load %s '%s': %s", what, short_name(name), strerror(-r));
    }
    if (fstat(fd, &st) < 0) {
        r = -errno;
        (void)load_fail(err, r, "cannot load %s '%s': %s", what, short_name(name), strerror(-r));
        goto close_fd;
    }
    r = check_regular(what, name, &st, err);
    if (r < 0) {
        goto close_fd;
    }
    *ret_size = (uint64_t)st.st_size;
    return fd;

close_fd:
    close(fd);
    return r;
}

int regular_file_read(const char *what, int fd, const char *name, uint8_t *to, uint64_t size,
                      struct load_error *err)
{
    uint64_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, to + done, size - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int r = -errno;

            return load_fail(err, r, "cannot load %s '%s': %s", what, short_name(name),
                             strerror(-r));
        }
        if (n == 0) {
            return load_fail(err, -EIO,
                             "cannot load %s '%s': it shrank to %" PRIu64
                             " bytes while it was read; try again",
                             what, short_name(name), done);
        }
        done += (uint64_t)n;
    }
    return 0;
}

int image_file_open(const char *name, struct image_file *ret_file, struct load_error *err)
{
    uint64_t size;
    void *data;
    int fd;
    int r;

    fd = regular_file_open("kernel", name, &size, err);
    if (fd < 0) {
        return fd;
    }
    data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    r = data == MAP_FAILED ? -errno : 0;
    close(fd);
    if (r < 0) {
        return kernel_fail(err, r, name, "mapping the file failed: %s", strerror(-r));
    }
    *ret_file = (struct image_file){.data = data, .size = size, .name = name};
    return 0;
}

void image_file_close(struct image_file *file)
{
    if (file->data != NULL) {
        munmap((void *)(uintptr_t)file->data, file->size);
        file->data = NULL;
        file->size = 0;
    }
}
