/* Unix sockets: listening at a name, and connecting to one. */
#include "back/vsock_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(VSOCK_PATH_MAX + sizeof("_4294967295") <=
                   sizeof(((struct sockaddr_un *)0)->sun_path),
               "a name with a port fits");

enum { BACKLOG = 64 };

static int refuse(int fd, int r, char *why, size_t why_size, const char *path, const char *what)
{
    (void)snprintf(why, why_size, "cannot listen on '%s': %s", path, what);
    if (fd >= 0) {
        (void)close(fd);
    }
    return r;
}

static int open_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

static int connect_to(const struct sockaddr_un *addr)
{
    int fd = open_socket();
    int r;

    if (fd < 0) {
        return fd;
    }
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0) {
        r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

/* A socket that refuses connections: its program is gone. */
static int remove_remains(const struct sockaddr_un *addr)
{
    struct stat st;
    int fd;

    if (lstat(addr->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return -EEXIST;
    }
    fd = connect_to(addr);
    if (fd >= 0) {
        (void)close(fd);
        return -EADDRINUSE;
    }
    if (fd != -ECONNREFUSED) {
        return fd == -EAGAIN ? -EADDRINUSE : fd;
    }
    return unlink(addr->sun_path) == 0 ? 0 : -errno;
}

static int bind_to(int fd, const struct sockaddr_un *addr)
{
    int r;

    if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return -errno;
    }
    r = remove_remains(addr);
    if (r == 0 && bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0) {
        r = -errno;
    }
    return r;
}

int vsock_listener_open(struct vsock_listener *listener, const char *path, char *why,
                        size_t why_size)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;
    int r;

    *listener = (struct vsock_listener){.fd = -1, .spare_fd = -1};
    if (strlen(path) > VSOCK_PATH_MAX) {
        return refuse(-1, -ENAMETOOLONG, why, why_size, path, "the name is too long");
    }
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    fd = open_socket();
    if (fd < 0) {
        return refuse(-1, fd, why, why_size, path, strerror(-fd));
    }
    r = bind_to(fd, &addr);
    if (r == -EEXIST) {
        return refuse(fd, r, why, why_size, path, "there is a file of that name");
    }
    if (r == -EADDRINUSE) {
        return refuse(fd, r, why, why_size, path, "another program does already");
    }
    if (r == 0 && listen(fd, BACKLOG) != 0) {
        r = -errno;
        (void)unlink(path);
    }
    if (r < 0) {
        return refuse(fd, r, why, why_size, path, strerror(-r));
    }
    listener->fd = fd;
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* without it things go on, too */
    (void)snprintf(listener->path, sizeof(listener->path), "%s", path);
    return 0;
}

void vsock_listener_close(struct vsock_listener *listener)
{
    if (listener->fd >= 0) {
        (void)close(listener->fd);
        (void)unlink(listener->path);
    }
    if (listener->spare_fd >= 0) {
        (void)close(listener->spare_fd);
    }
    listener->fd = -1;
    listener->spare_fd = -1;
}

static int accept_next(const struct vsock_listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    return fd < 0 ? -errno : fd;
}

/* Whoever waits would be told again and again. */
static void turn_away(struct vsock_listener *listener)
{
    int fd;

    if (listener->spare_fd >= 0) {
        (void)close(listener->spare_fd);
    }
    fd = accept_next(listener);
    if (fd >= 0) {
        (void)close(fd);
    }
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int vsock_listener_accept(struct vsock_listener *listener)
{
    int fd = accept_next(listener);

    if (fd == -EMFILE || fd == -ENFILE) {
        turn_away(listener);
    }
    return fd;
}

int vsock_unix_connect(const char *path, uint32_t port)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.*s_%" PRIu32, VSOCK_PATH_MAX, path,
                   port);
    return connect_to(&addr);
}
