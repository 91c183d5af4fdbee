/* The host's side of a guest's sockets: Unix stream sockets, by their names. */
#ifndef BACK_VSOCK_UNIX_H
#define BACK_VSOCK_UNIX_H

#include <stddef.h>
#include <stdint.h>

/* The longest PATH: with "_4294967295" behind it, it is still the name of a socket. */
enum { VSOCK_PATH_MAX = 96 };

/* A socket that host programs connect to. */
struct vsock_listener {
    int fd;       /* non-blocking; -1: none */
    int spare_fd; /* given up for a moment where descriptors run out */
    char path[VSOCK_PATH_MAX + 1];
};

/*
 * Listens on a socket at path, which is made; one that a program left behind, and that nobody
 * listens on, is replaced. 0, or -errno with why it is refused.
 */
int vsock_listener_open(struct vsock_listener *listener, const char *path, char *why,
                        size_t why_size);

/* Ends it: the name goes. */
void vsock_listener_close(struct vsock_listener *listener);

/* The next program that connects: a non-blocking descriptor; -EAGAIN: there is none; -errno: there
 * was one, which is turned away where descriptors have run out. */
int vsock_listener_accept(struct vsock_listener *listener);

/* Connects to the socket "PATH_PORT": a non-blocking descriptor, or -errno. Never waits. */
int vsock_unix_connect(const char *path, uint32_t port);

#endif
