/* hostvm-net-user: libslirp between a guest's frames and the sockets of an ordinary user. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <slirp/libslirp.h>

#include "back/net_forward.h"
#include "back/net_user_protocol.h"

enum {
    MAX_TIMERS = 4,     /* libslirp has one, for router advertisements */
    BATCH = 64,         /* frames of the guest before the sockets' turn */
    PATIENCE_MS = 50,   /* for a guest that takes no frames */
    MAX_SOCKETS = 1024, /* each has some 256 KiB of buffers: what a guest can make this grow to */
    NOBODY = 65534,
    STATUS_USAGE = 64,
    STATUS_FAILED = 71,
};

struct timer {
    SlirpTimerCb fn; /* NULL: free */
    void *cookie;
    int64_t expires_ms; /* INT64_MAX: not set */
};

struct network {
    Slirp *slirp;
    bool is_stalled; /* the guest takes no frames: they are dropped until it does */
    struct timer timers[MAX_TIMERS];
    struct pollfd *polls; /* the first one is the guest's */
    int nr_polls, max_polls;
};

static void say(const char *text)
{
    (void)send(NET_USER_FD, text, strlen(text), MSG_NOSIGNAL); /* who is not there needs no word */
}

/* --- what libslirp asks of its program --- */

static bool wait_for_room(struct network *network)
{
    struct pollfd poll_fd = {.fd = NET_USER_FD, .events = POLLOUT};

    network->is_stalled = poll(&poll_fd, 1, PATIENCE_MS) <= 0 || (poll_fd.revents & POLLOUT) == 0;
    return !network->is_stalled;
}

/* What is dropped, TCP sends again, but much later: a busy guest is worth a moment. */
static ssize_t send_packet(const void *frame, size_t size, void *cookie)
{
    static uint8_t header[NET_USER_HEADER];
    struct network *network = cookie;
    struct iovec pieces[] = {{header, sizeof(header)}, {NULL, size}};
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

    memcpy(&pieces[1].iov_base, &frame, sizeof(frame)); /* it is not written to */
    if (network->is_stalled) {
        return (ssize_t)size;
    }
    while (sendmsg(NET_USER_FD, &message, MSG_NOSIGNAL) < 0) {
        if (errno != EINTR && (errno != EAGAIN || !wait_for_room(network))) {
            break;
        }
    }
    return (ssize_t)size;
}

static void guest_error(const char *text, void *cookie)
{
    (void)text;
    (void)cookie; /* its own business */
}

static int64_t clock_get_ns(void *cookie)
{
    struct timespec now;

    (void)cookie;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *timer_new(SlirpTimerCb fn, void *fn_cookie, void *cookie)
{
    struct network *network = cookie;

    for (unsigned i = 0; i < MAX_TIMERS; i++) {
        if (network->timers[i].fn == NULL) {
            network->timers[i] = (struct timer){fn, fn_cookie, INT64_MAX};
            return &network->timers[i];
        }
    }
    abort(); /* a libslirp that this was not made for */
}

static void timer_free(void *timer, void *cookie)
{
    (void)cookie;
    ((struct timer *)timer)->fn = NULL;
}

static void timer_mod(void *timer, int64_t expires_ms, void *cookie)
{
    (void)cookie;
    ((struct timer *)timer)->expires_ms = expires_ms;
}

static void ignore_fd(int fd, void *cookie)
{
    (void)fd;
    (void)cookie; /* it is asked for all of them each time */
}

static void notify(void *cookie)
{
    (void)cookie; /* there is one thread */
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = notify,
};

/* --- waiting --- */

static const struct {
    int slirp;
    short poll;
} poll_bits[] = {
    {SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
    {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int events, void *cookie)
{
    struct network *network = cookie;
    struct pollfd *poll_fd;

    if (network->nr_polls == network->max_polls) {
        struct pollfd *more = realloc(network->polls, 2 * sizeof(*more) * network->max_polls);

        if (more == NULL) {
            abort(); /* hostvm says that the link is down */
        }
        network->polls = more;
        network->max_polls *= 2;
    }
    poll_fd = &network->polls[network->nr_polls];
    *poll_fd = (struct pollfd){.fd = fd};
    for (size_t i = 0; i < sizeof(poll_bits) / sizeof(poll_bits[0]); i++) {
        poll_fd->events |= (events & poll_bits[i].slirp) != 0 ? poll_bits[i].poll : 0;
    }
    return network->nr_polls++;
}

static int get_revents(int index, void *cookie)
{
    const struct network *network = cookie;
    int events = 0;

    for (size_t i = 0; i < sizeof(poll_bits) / sizeof(poll_bits[0]); i++) {
        events |= (network->polls[index].revents & poll_bits[i].poll) != 0 ? poll_bits[i].slirp : 0;
    }
    return events;
}

/* Until the first timer, if that is sooner. */
static int timeout_with_timers(struct network *network, uint32_t timeout_ms)
{
    int64_t now_ms = clock_get_ns(network) / 1000000;
    int64_t left_ms = timeout_ms < INT32_MAX ? timeout_ms : INT32_MAX;

    for (unsigned i = 0; i < MAX_TIMERS; i++) {
        const struct timer *timer = &network->timers[i];

        if (timer->fn != NULL && timer->expires_ms - now_ms < left_ms) {
            left_ms = timer->expires_ms > now_ms ? timer->expires_ms - now_ms : 0;
        }
    }
    return left_ms == INT32_MAX ? -1 : (int)left_ms;
}

static void run_timers(struct network *network)
{
    int64_t now_ms = clock_get_ns(network) / 1000000;

    for (unsigned i = 0; i < MAX_TIMERS; i++) {
        struct timer *timer = &network->timers[i];

        if (timer->fn != NULL && timer->expires_ms <= now_ms) {
            timer->expires_ms = INT64_MAX;
            timer->fn(timer->cookie);
        }
    }
}

static void take_frames(struct network *network)
{
    uint8_t frame[NET_USER_HEADER + NET_USER_FRAME];

    for (unsigned n = 0; n < BATCH; n++) {
        ssize_t size = recv(NET_USER_FD, frame, sizeof(frame), MSG_TRUNC);

        if (size < 0) {
            return;
        }
        if (size > NET_USER_HEADER && size <= (ssize_t)sizeof(frame)) {
            slirp_input(network->slirp, frame + NET_USER_HEADER, (int)size - NET_USER_HEADER);
        }
    }
}

/* Until hostvm has ended, or given the network up. */
static void serve(struct network *network)
{
    for (;;) {
        uint32_t timeout_ms = UINT32_MAX;
        int r;

        network->polls[0] = (struct pollfd){
            .fd = NET_USER_FD,
            .events = (short)(POLLIN | (network->is_stalled ? POLLOUT : 0)),
        };
        network->nr_polls = 1;
        slirp_pollfds_fill(network->slirp, &timeout_ms, add_poll, network);
        r = poll(network->polls, (nfds_t)network->nr_polls,
                 timeout_with_timers(network, timeout_ms));
        if (r > 0 && (network->polls[0].revents & (POLLHUP | POLLERR)) != 0) {
            return;
        }
        network->is_stalled &= r <= 0 || (network->polls[0].revents & POLLOUT) == 0;
        slirp_pollfds_poll(network->slirp, r < 0, get_revents, network);
        run_timers(network);
        if (r > 0 && (network->polls[0].revents & POLLIN) != 0) {
            take_frames(network);
        }
    }
}

/* --- from start to end --- */

static struct in_addr ipv4(const char *text)
{
    struct in_addr address;

    (void)inet_pton(AF_INET, text, &address); /* our own texts */
    return address;
}

static struct in6_addr ipv6(const char *text)
{
    struct in6_addr address;

    (void)inet_pton(AF_INET6, text, &address); /* our own texts */
    return address;
}

/* The addresses that users of libslirp have come to expect. */
static Slirp *make_network(struct network *network)
{
    const SlirpConfig config = {
        .version = 4,
        .in_enabled = true,
        .vnetwork = ipv4("10.0.2.0"),
        .vnetmask = ipv4("255.255.255.0"),
        .vhost = ipv4("10.0.2.2"),
        .in6_enabled = true,
        .vprefix_addr6 = ipv6("fec0::"),
        .vprefix_len = 64,
        .vhost6 = ipv6("fec0::2"),
        .vhostname = "hostvm",
        .vdhcp_start = ipv4(NET_GUEST_ADDRESS),
        .vnameserver = ipv4("10.0.2.3"),
        .vnameserver6 = ipv6("fec0::3"),
    };

    return slirp_new(&config, &callbacks, network);
}

static int open_forward(struct network *network, const char *text)
{
    struct net_forward forward;
    char reason[NET_USER_REASON];

    if (net_forward_parse(text, strlen(text), &forward) != 0) {
        (void)snprintf(reason, sizeof(reason), "'%.64s' is no " NET_FORWARD_SHAPE, text);
        say(reason);
        return -1;
    }
    if (slirp_add_hostfwd(network->slirp, forward.is_udp, forward.host, forward.host_port,
                          forward.guest, forward.guest_port) < 0) {
        int err = errno;
        char address[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, &forward.host, address, sizeof(address));
        (void)snprintf(reason, sizeof(reason), "cannot forward %s port %u of %s: %s",
                       forward.is_udp ? "udp" : "tcp", forward.host_port, address, strerror(err));
        say(reason);
        return -1;
    }
    return 0;
}

static void limit(int resource, rlim_t most)
{
    struct rlimit limits;

    if (getrlimit(resource, &limits) == 0 && limits.rlim_cur > most) {
        limits.rlim_cur = limits.rlim_max = most;
        (void)setrlimit(resource, &limits); /* less is always allowed */
    }
}

/* Sockets are all that is needed from here on, and /etc/resolv.conf. A libslirp that the guest has
 * taken over shall have no more. What cannot be dropped was not there, as root in a user namespace
 * without nobody. */
static void drop_rights(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() == 0) {
        (void)setgroups(0, NULL);
        (void)!setresgid(NOBODY, NOBODY, NOBODY);
        (void)!setresuid(NOBODY, NOBODY, NOBODY);
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_NOFILE, MAX_SOCKETS);
    (void)dup2(STDIN_FILENO, STDERR_FILENO); /* what would be printed, the guest has provoked */
}

static bool is_started_by_hostvm(void)
{
    int type = 0;
    socklen_t size = sizeof(type);

    return getsockopt(NET_USER_FD, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
    static struct network network = {.max_polls = 64};

    if (!is_started_by_hostvm()) {
        (void)fputs(NET_USER_PROGRAM ": hostvm run --net user starts this\n", stderr);
        return STATUS_USAGE;
    }
    network.polls = calloc((size_t)network.max_polls, sizeof(*network.polls));
    network.slirp = network.polls != NULL ? make_network(&network) : NULL;
    if (network.slirp == NULL) {
        say("no memory for a user network");
        return STATUS_FAILED;
    }
    for (int i = 1; i < argc; i++) {
        if (open_forward(&network, argv[i]) != 0) {
            return STATUS_FAILED;
        }
    }
    drop_rights();
    say(NET_USER_READY);
    serve(&network);
    return 0;
}
