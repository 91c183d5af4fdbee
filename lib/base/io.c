/* Making descriptors. */
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

void io_drain(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof(count)); /* nothing there is fine as well */
}

void io_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}
