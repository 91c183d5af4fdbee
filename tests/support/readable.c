/* Whether something can be read: memory, as the kernel sees it, and descriptors. */
#include "support/readable.h"

#include <poll.h>
#include <unistd.h>

bool is_readable(const void *pointer)
{
    int fds[2];
    bool readable;

    if (pipe(fds) != 0) {
        return false;
    }
    readable = write(fds[1], pointer, 1) == 1;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return readable;
}

bool is_readable_fd(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}
