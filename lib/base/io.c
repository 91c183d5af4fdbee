/* Reading and writing in full, and making descriptors. */
#define _GNU_SOURCE 1
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/reason.h"

int io_read_full(int fd, void *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, (char *)buf + done, size - done);

        if (n == 0) {
            return fail(-ENODATA, "cannot read %zu bytes: the input ends after %zu", size, done);
        }
        if (n > 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            int err = errno;

            return fail(-err, "cannot read %zu bytes: %s", size, strerror(err));
        }
    }
    return 0;
}

int io_write_full(int fd, const void *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(fd, (const char *)buf + done, size - done);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            int err = errno;

            return fail(-err, "cannot write %zu bytes: %s", size, strerror(err));
        }
    }
    return 0;
}

int io_memfd(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    int err;

    if (fd < 0) {
        err = errno;
        return fail(-err, "cannot create the memory file %s: %s", name, strerror(err));
    }
    if (size > 0 && ftruncate(fd, (off_t)size) < 0) {
        err = errno;
        close(fd);
        return fail(-err, "cannot size the memory file %s to 0x%" PRIx64 " bytes: %s", name, size,
                    strerror(err));
    }
    return fd;
}

int io_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0) {
        int err = errno;

        return fail(-err, "cannot create an eventfd: %s", strerror(err));
    }
    return fd;
}

int io_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0) {
        int err = errno;

        return fail(-err, "cannot duplicate descriptor %d: %s", fd, strerror(err));
    }
    return copy;
}

void io_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}
