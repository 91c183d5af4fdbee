/* Streams to try sockets with, in a Linux guest and on its host: who calls sends bytes, ends its
 * half, and expects them back, inverted; who serves does that.
 *
 *   streams serve ADDRESS NUMBER         NUMBER streams, then it ends
 *   streams call ADDRESS NUMBER SIZE     NUMBER at a time, SIZE bytes each
 *
 * ADDRESS: vsock:PORT (of the host, for who calls), unix:PATH, or guest:PATH:PORT, a guest's port
 * behind a hostvm's PATH. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum { SIZE_MAX_ALL = 16 << 20 };

static void die(const char *what)
{
    (void)fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_vm vm;
};

/* Leaves the port behind PATH in *ret_port, if there is one. */
static socklen_t parse(const char *text, unsigned cid, union address *ret, const char **ret_port)
{
    memset(ret, 0, sizeof(*ret));
    *ret_port = NULL;
    if (strncmp(text, "vsock:", 6) == 0) {
        ret->vm.svm_family = AF_VSOCK;
        ret->vm.svm_cid = cid;
        ret->vm.svm_port = (unsigned)strtoul(text + 6, NULL, 10);
        return sizeof(ret->vm);
    }
    ret->un.sun_family = AF_UNIX;
    if (strncmp(text, "guest:", 6) == 0) {
        *ret_port = strrchr(text, ':') + 1;
        (void)snprintf(ret->un.sun_path, sizeof(ret->un.sun_path), "%.*s",
                       (int)(*ret_port - text - 7), text + 6);
    } else {
        (void)snprintf(ret->un.sun_path, sizeof(ret->un.sun_path), "%s", text + 5);
    }
    return sizeof(ret->un);
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

        if (n < 0) {
            die("send");
        }
        bytes += n;
        size -= (size_t)n;
    }
}

/* To the end of the stream. */
static size_t receive_all(int fd, char *bytes, size_t size)
{
    size_t sum = 0;
    ssize_t n;

    while ((n = recv(fd, bytes + sum, size - sum, 0)) > 0) {
        sum += (size_t)n;
    }
    if (n < 0) {
        die("receive");
    }
    return sum;
}

static char *room(void)
{
    char *bytes = malloc(SIZE_MAX_ALL);

    if (bytes == NULL) {
        die("memory");
    }
    return bytes;
}

static void invert(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)~bytes[i];
    }
}

static void serve_one(int fd)
{
    char *bytes = room();
    size_t size = receive_all(fd, bytes, SIZE_MAX_ALL);

    invert(bytes, size);
    send_all(fd, bytes, size);
}

/* The host's answer to CONNECT, and not a byte more. */
static void open_port(int fd, const char *port)
{
    char line[64];
    size_t n = (size_t)snprintf(line, sizeof(line), "CONNECT %s\n", port);

    send_all(fd, line, n);
    for (n = 0; n < sizeof(line) - 1; n++) {
        if (recv(fd, line + n, 1, 0) != 1) {
            errno = ECONNREFUSED;
            die("no answer to CONNECT");
        }
        if (line[n] == '\n') {
            break;
        }
    }
    line[n] = '\0';
    if (strncmp(line, "OK ", 3) != 0) {
        die(line);
    }
}

static void fill(char *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (char)(seed >> 24);
    }
}

static void call_one(int fd, const char *port, size_t size, unsigned index)
{
    char *bytes = room();
    char *expected = room();

    if (port != NULL) {
        open_port(fd, port);
    }
    fill(bytes, size, index);
    send_all(fd, bytes, size);
    if (shutdown(fd, SHUT_WR) != 0) {
        die("half close");
    }
    fill(expected, size, index);
    invert(expected, size);
    if (receive_all(fd, bytes, SIZE_MAX_ALL) != size || memcmp(bytes, expected, size) != 0) {
        errno = EBADMSG;
        die("what came back");
    }
}

static int wait_for(unsigned number)
{
    int failures = 0;

    while (number-- > 0) {
        int status = 1;

        failures += wait(&status) < 0 || status != 0;
    }
    return failures != 0;
}

static int serve(const char *text, unsigned number)
{
    union address address;
    const char *port;
    socklen_t size = parse(text, VMADDR_CID_ANY, &address, &port);
    int listener = socket(address.any.sa_family, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, &address.any, size) != 0 ||
        listen(listener, (int)number) != 0) {
        die("listen");
    }
    (void)puts("streams: listening");
    (void)fflush(stdout);
    for (unsigned i = 0; i < number; i++) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0) {
            die("accept");
        }
        if (fork() == 0) {
            serve_one(fd);
            exit(0);
        }
        (void)close(fd);
    }
    return wait_for(number);
}

static int call(const char *text, unsigned number, size_t bytes)
{
    union address address;
    const char *port;
    socklen_t size = parse(text, VMADDR_CID_HOST, &address, &port);

    for (unsigned i = 0; i < number; i++) {
        int fd = socket(address.any.sa_family, SOCK_STREAM, 0);

        if (fd < 0 || connect(fd, &address.any, size) != 0) {
            die("connect");
        }
        if (fork() == 0) {
            call_one(fd, port, bytes, i);
            exit(0);
        }
        (void)close(fd);
    }
    return wait_for(number);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        return serve(argv[2], (unsigned)atoi(argv[3]));
    }
    if (argc == 5 && strcmp(argv[1], "call") == 0 && atol(argv[4]) <= SIZE_MAX_ALL) {
        return call(argv[2], (unsigned)atoi(argv[3]), (size_t)atol(argv[4]));
    }
    (void)fputs("usage: streams serve ADDRESS NUMBER | call ADDRESS NUMBER SIZE\n", stderr);
    return 64;
}
