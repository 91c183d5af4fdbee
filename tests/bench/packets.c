/*
 * What a packet costs between a guest and its host: packets are sent and received by the same
 * program at both ends.
 *
 *   packets guest               does what the other end asks for
 *   packets host ADDRESS        asks, and prints nanoseconds per packet, or per KiB of a stream; in
 *                               the deterministic box: instructions
 *
 * UDP goes in windows, so that nothing is lost: a window is sent, and the last packet of it is
 * answered.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/bare.h"

enum {
    PORT = 7000,
    WINDOW = 32,
    NR_WINDOWS = 40,
    NR_WARM_UP = 10,
    STREAM = 8 << 20, /* bytes */
    CHUNK = 64 << 10,
};

/* What a UDP packet begins with. */
struct request {
    uint32_t nr_wanted; /* packets in return; 0: none, it is one of many */
    uint32_t size;      /* of each */
};

static char buffer[CHUNK];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_socket(int type, struct sockaddr_in *address, bool is_bound)
{
    const struct timeval patience = {.tv_sec = 60};
    int fd = socket(AF_INET, type, 0);
    int one = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if ((is_bound ? bind : connect)(fd, (struct sockaddr *)address, sizeof(*address)) < 0) {
        die("packets: cannot bind or connect");
    }
    if (!is_bound) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    }
    return fd;
}

/* --- streams --- */

static void send_stream(int fd)
{
    for (size_t left = STREAM; left > 0;) {
        ssize_t r = send(fd, buffer, left < CHUNK ? left : CHUNK, 0);

        if (r <= 0) {
            die("packets: cannot send");
        }
        left -= (size_t)r;
    }
}

static void receive_stream(int fd)
{
    for (size_t left = STREAM; left > 0;) {
        ssize_t r = recv(fd, buffer, left < CHUNK ? left : CHUNK, 0);

        if (r <= 0) {
            die("packets: the stream is too short");
        }
        left -= (size_t)r;
    }
}

/* --- the guest --- */

static void answer_packets(int fd)
{
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    struct request request;
    ssize_t r = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length);

    if (r < (ssize_t)sizeof(request)) {
        return;
    }
    memcpy(&request, buffer, sizeof(request));
    for (uint32_t i = 0; i < request.nr_wanted; i++) {
        (void)sendto(fd, buffer, request.size, 0, (struct sockaddr *)&from, length);
    }
}

/* The first byte says who sends; at the end of what was received a byte is sent back. */
static void answer_stream(int listener)
{
    int fd = accept(listener, NULL, NULL);
    char direction = 0;

    if (recv(fd, &direction, 1, 0) != 1) {
        die("packets: a stream without a direction");
    }
    if (direction == 's') {
        send_stream(fd);
    } else {
        receive_stream(fd);
        (void)send(fd, "", 1, 0);
    }
    (void)close(fd);
}

static void be_guest(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct pollfd fds[] = {
        {.fd = open_socket(SOCK_DGRAM, &here, true), .events = POLLIN},
        {.fd = open_socket(SOCK_STREAM, &here, true), .events = POLLIN},
    };

    if (listen(fds[1].fd, 1) < 0) {
        die("packets: cannot listen");
    }
    (void)puts("ready to be measured");
    (void)fflush(stdout);
    for (;;) {
        (void)poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            answer_packets(fds[0].fd);
        }
        if (fds[1].revents != 0) {
            answer_stream(fds[1].fd);
        }
    }
}

/* --- the host --- */

static void send_request(int fd, uint32_t size, struct request request)
{
    memcpy(buffer, &request, sizeof(request));
    if (send(fd, buffer, size, 0) != (ssize_t)size) {
        die("packets: cannot send");
    }
}

static void receive_packets(int fd, unsigned nr)
{
    while (nr > 0) {
        if (recv(fd, buffer, sizeof(buffer), 0) < 0) {
            die("packets: one was lost");
        }
        nr--;
    }
}

/* The guest sends a window, or gets one and answers its last packet. */
static void run_window(int fd, uint32_t size, uint32_t window, bool is_sender)
{
    if (is_sender) {
        send_request(fd, sizeof(struct request), (struct request){window, size});
        receive_packets(fd, window);
        return;
    }
    for (uint32_t i = 1; i < window; i++) {
        send_request(fd, size, (struct request){0, 0});
    }
    send_request(fd, size, (struct request){1, sizeof(struct request)});
    receive_packets(fd, 1);
}

static void measure_packets(struct sockaddr_in *guest, uint32_t size, uint32_t window,
                            bool is_sender)
{
    int fd = open_socket(SOCK_DGRAM, guest, false);
    uint64_t start = 0;

    for (unsigned i = 0; i < NR_WARM_UP + NR_WINDOWS; i++) {
        if (i == NR_WARM_UP) {
            start = now();
        }
        run_window(fd, size, window, is_sender);
    }
    (void)printf("UDP, %u bytes, %u at a time, guest %s|%llu\n", size, window,
                 is_sender ? "sends" : "receives",
                 (unsigned long long)((now() - start) / (NR_WINDOWS * window)));
    (void)close(fd);
}

static uint64_t time_stream(struct sockaddr_in *guest, bool is_sender)
{
    int fd = open_socket(SOCK_STREAM, guest, false);
    uint64_t start = now();

    (void)send(fd, is_sender ? "s" : "r", 1, 0);
    if (is_sender) {
        receive_stream(fd);
    } else {
        send_stream(fd);
        if (recv(fd, buffer, 1, 0) != 1) {
            die("packets: the guest has not received all");
        }
    }
    start = now() - start;
    (void)close(fd);
    return start;
}

/* The first one finds out how fast the path is. */
static void measure_stream(struct sockaddr_in *guest, bool is_sender)
{
    (void)time_stream(guest, is_sender);
    (void)printf("TCP, KiB, guest %s|%llu\n", is_sender ? "sends" : "receives",
                 (unsigned long long)(time_stream(guest, is_sender) / (STREAM >> 10)));
}

static void be_host(const char *address)
{
    struct sockaddr_in guest = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    static const uint32_t sizes[] = {64, 1472}; /* the second fills a frame of 1,500 */
    static const uint32_t windows[] = {1, WINDOW};

    (void)inet_pton(AF_INET, address, &guest.sin_addr);
    for (unsigned i = 0; i < 8; i++) {
        measure_packets(&guest, sizes[i / 2 % 2], windows[i / 4], i % 2 != 0);
    }
    measure_stream(&guest, true);
    measure_stream(&guest, false);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "guest") == 0) {
        be_guest();
    } else if (argc == 3 && strcmp(argv[1], "host") == 0) {
        be_host(argv[2]);
    } else {
        (void)fputs("usage: packets guest | host ADDRESS\n", stderr);
        return 64;
    }
    return 0;
}
