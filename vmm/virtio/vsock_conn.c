/* One stream between a guest's port and a Unix socket: its state, credit, bytes and end. */
#include "virtio/vsock_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PACKET_MAX = 64 * 1024, /* bytes behind a header that goes to the guest */
    PIECES_MAX = 64,
};

bool vsock_conn_is_known(const struct conn *conn)
{
    return conn->state == STATE_REQUESTED || conn->state == STATE_OPEN || conn->state == STATE_LEFT;
}

void vsock_conn_close_socket(struct conn *conn)
{
    if (conn->fd < 0) {
        return;
    }
    if (conn->watched != 0) {
        worker_unwatch(conn->table->config.worker, conn->fd);
        conn->watched = 0;
    }
    (void)close(conn->fd);
    conn->fd = -1;
    conn->is_readable = false;
}

void vsock_conn_drop_room(struct conn *conn)
{
    free(conn->room);
    conn->room = NULL;
    conn->first = 0;
    conn->count = 0;
}

/* Ends it on our side's initiative: the guest is told, if it knows of the stream. */
void vsock_conn_reset(struct conn *conn)
{
    bool is_to_be_told = vsock_conn_is_known(conn) && (conn->pending & PENDING_REQUEST) == 0;

    if (!is_to_be_told) {
        vsock_forget(conn);
        return;
    }
    vsock_conn_close_socket(conn);
    vsock_conn_drop_room(conn);
    conn->state = STATE_RESET;
    conn->pending = PENDING_RST;
    conn->patience = 0;
    vsock_conn_update(conn);
}

/* --- credit --- */

/* Bytes that the guest has room for. What it says wrongly costs nobody but itself. */
static uint32_t credit(const struct conn *conn)
{
    uint32_t in_flight = conn->sent - conn->guest_fwd;

    return in_flight < conn->guest_room ? conn->guest_room - in_flight : 0;
}

/* False: it claims to have used what was never sent. */
bool vsock_conn_take_credit(struct conn *conn, const struct vsock_header *header)
{
    if ((int32_t)(header->fwd_cnt - conn->sent) > 0) {
        return false;
    }
    /* Its processors may overtake each other on the way to the queue. */
    if ((int32_t)(header->fwd_cnt - conn->guest_fwd) >= 0) {
        conn->guest_fwd = header->fwd_cnt;
        conn->guest_room = header->buf_alloc;
    }
    if (credit(conn) > 0) {
        conn->has_asked_for_room = false;
    }
    return true;
}

static void forward(struct conn *conn, size_t size)
{
    conn->forwarded += (uint32_t)size;
    if (conn->forwarded - conn->told_forwarded >= VSOCK_ROOM / 2) {
        conn->pending |= PENDING_CREDIT_UPDATE;
    }
}

/* --- to the host program --- */

static void host_shuts_down(struct conn *conn, unsigned int how)
{
    if ((conn->host_shutdown | how) == conn->host_shutdown) {
        return;
    }
    conn->host_shutdown |= how;
    conn->pending |= PENDING_SHUTDOWN;
    if (conn->host_shutdown == VSOCK_SHUTDOWN_BOTH) {
        vsock_conn_close_socket(conn);
        vsock_conn_drop_room(conn);
        conn->state = STATE_LEFT;
    }
}

/* Nobody reads what the guest sends: its room is free again. */
static void discard(struct conn *conn, size_t size)
{
    forward(conn, conn->count + size);
    vsock_conn_drop_room(conn);
}

/* The host program reads no more; what it has written is still the guest's. */
static void host_is_deaf(struct conn *conn)
{
    discard(conn, 0);
    host_shuts_down(conn, VSOCK_SHUTDOWN_RECEIVE);
}

/* Bytes that the socket took; -1: it never will. */
static ssize_t push(struct conn *conn, const struct iovec *iov, unsigned int nr_iov)
{
    /* sendmsg does not write to what it is given. */
    const struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = nr_iov};
    ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
    }
    return n;
}

void vsock_conn_end_of_guest_data(struct conn *conn)
{
    if (conn->state == STATE_DRAINING) {
        vsock_forget(conn);
        return;
    }
    if (conn->fd >= 0 && (conn->guest_shutdown & VSOCK_SHUTDOWN_SEND) != 0) {
        (void)shutdown(conn->fd, SHUT_WR);
    }
}

/* From the ring to the socket. conn may be gone afterwards. */
static void drain(struct conn *conn)
{
    uint32_t to_end = VSOCK_ROOM - conn->first;
    struct iovec iov[2] = {
        {conn->room + conn->first, conn->count < to_end ? conn->count : to_end},
        {conn->room, conn->count < to_end ? 0 : conn->count - to_end},
    };
    ssize_t n = push(conn, iov, 2);

    if (n < 0 && conn->state == STATE_DRAINING) {
        vsock_forget(conn);
        return;
    }
    if (n < 0) {
        host_is_deaf(conn);
        vsock_conn_update(conn);
        return;
    }
    conn->first = (conn->first + (uint32_t)n) % VSOCK_ROOM;
    conn->count -= (uint32_t)n;
    forward(conn, (size_t)n);
    if (n > 0 && conn->state == STATE_DRAINING) {
        conn->patience = VSOCK_PATIENCE_S;
    }
    if (conn->count == 0) {
        bool is_draining = conn->state == STATE_DRAINING;

        vsock_conn_drop_room(conn);
        vsock_conn_end_of_guest_data(conn);
        if (is_draining) {
            return;
        }
    }
    vsock_conn_update(conn);
}

/* Into the ring, which has room: what lies in guest memory from an offset on. */
static void keep(struct conn *conn, const struct iovec *iov, unsigned int nr_iov, size_t skip)
{
    for (unsigned int i = 0; i < nr_iov; i++) {
        const char *p = iov[i].iov_base;
        size_t size = iov[i].iov_len;
        size_t passed = skip < size ? skip : size;

        skip -= passed;
        p += passed;
        size -= passed;
        while (size > 0) {
            uint32_t at = (conn->first + conn->count) % VSOCK_ROOM;
            size_t n = VSOCK_ROOM - at < size ? VSOCK_ROOM - at : size;

            memcpy(conn->room + at, p, n);
            conn->count += (uint32_t)n;
            p += n;
            size -= n;
        }
    }
}

/* False: the guest is in error, or memory is out. */
bool vsock_conn_take_data(struct conn *conn, const struct iovec *iov, unsigned int nr_iov,
                          size_t size)
{
    ssize_t n = 0;

    if (size > VSOCK_ROOM - conn->count || (conn->guest_shutdown & VSOCK_SHUTDOWN_SEND) != 0) {
        return false;
    }
    if (conn->fd < 0 || (conn->host_shutdown & VSOCK_SHUTDOWN_RECEIVE) != 0) {
        discard(conn, size);
        return true;
    }
    if (conn->count == 0 && size > 0) {
        n = push(conn, iov, nr_iov);
    }
    if (n < 0) {
        host_is_deaf(conn);
        forward(conn, size);
        return true;
    }
    forward(conn, (size_t)n);
    if ((size_t)n == size) {
        return true;
    }
    if (conn->room == NULL) {
        conn->room = malloc(VSOCK_ROOM);
    }
    if (conn->room == NULL) {
        return false;
    }
    keep(conn, iov, nr_iov, (size_t)n);
    return true;
}

/* --- from the host program --- */

static bool can_read(const struct conn *conn)
{
    return conn->state == STATE_OPEN && conn->fd >= 0 &&
           (conn->host_shutdown & VSOCK_SHUTDOWN_SEND) == 0 &&
           (conn->guest_shutdown & VSOCK_SHUTDOWN_RECEIVE) == 0;
}

/* It writes no more; does it read? A socket of which nothing is left hangs up. */
static void host_has_written_all(struct conn *conn)
{
    struct pollfd poll_fd = {.fd = conn->fd};
    bool is_gone = poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0;

    /* A guest that has ended its half may hang the socket up, too: both are through then. */
    if (is_gone) {
        discard(conn, 0);
    }
    host_shuts_down(conn, is_gone ? VSOCK_SHUTDOWN_BOTH : VSOCK_SHUTDOWN_SEND);
}

/* As many bytes as the guest has room for. */
static unsigned int limit(const struct iovec *iov, unsigned int nr_iov, size_t size,
                          struct iovec ret[PIECES_MAX])
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < nr_iov && n < PIECES_MAX && size > 0; i++) {
        if (iov[i].iov_len > 0) { /* to read nothing would look like the end */
            ret[n] = iov[i];
            ret[n].iov_len = iov[i].iov_len < size ? iov[i].iov_len : size;
            size -= ret[n].iov_len;
            n++;
        }
    }
    return n;
}

/* Reads what fits into guest memory. 0: nothing now. */
size_t vsock_conn_pull(struct conn *conn, const struct iovec *iov, unsigned int nr_iov)
{
    struct iovec pieces[PIECES_MAX];
    uint32_t most = credit(conn) < PACKET_MAX ? credit(conn) : PACKET_MAX;
    unsigned int nr_pieces = limit(iov, nr_iov, most, pieces);
    ssize_t n = readv(conn->fd, pieces, (int)nr_pieces);

    if (n > 0) {
        conn->sent += (uint32_t)n;
        return (size_t)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        conn->is_readable = false;
    } else {
        host_has_written_all(conn);
    }
    return 0;
}

void vsock_conn_answer_ok(struct conn *conn)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "OK %u\n", conn->host_port);
    struct iovec iov = {line, (size_t)n};

    /* Nothing was written to it before, so that it has room, if it is there at all. */
    if (push(conn, &iov, 1) != n) {
        vsock_conn_reset(conn);
        return;
    }
    conn->state = STATE_OPEN;
    conn->patience = 0;
    vsock_conn_update(conn);
}

static void ask_guest(struct conn *conn, uint32_t guest_port)
{
    struct vsock_table *table = conn->table;

    do {
        table->next_host_port++;
        if (table->next_host_port < VSOCK_FIRST_HOST_PORT ||
            table->next_host_port == UINT32_MAX) { /* which means any port */
            table->next_host_port = VSOCK_FIRST_HOST_PORT;
        }
    } while (vsock_find(table, table->next_host_port, guest_port) != NULL);
    conn->state = STATE_REQUESTED;
    vsock_set_ports(conn, table->next_host_port, guest_port);
    conn->pending = PENDING_REQUEST;
    vsock_give_time(conn);
}

/* Takes the line CONNECT, which may come in pieces, and no byte of what follows it. */
static void read_line(struct conn *conn)
{
    char bytes[VSOCK_CONNECT_MAX];
    uint32_t port = 0;
    size_t size = 0;
    ssize_t n;

    memcpy(bytes, conn->line, conn->line_size);
    n = recv(conn->fd, bytes + conn->line_size, sizeof(bytes) - conn->line_size, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        vsock_forget(conn);
        return;
    }
    switch (vsock_connect_parse(bytes, conn->line_size + (size_t)n, &port, &size)) {
    case VSOCK_CONNECT_MORE:
        n = recv(conn->fd, conn->line + conn->line_size, (size_t)n, 0);
        conn->line_size += n > 0 ? (unsigned int)n : 0;
        return;
    case VSOCK_CONNECT_BAD:
        vsock_forget(conn);
        return;
    case VSOCK_CONNECT_LINE:
        (void)recv(conn->fd, bytes, size - conn->line_size, 0);
        ask_guest(conn, port);
        vsock_conn_update(conn);
        return;
    }
}

/* --- events --- */

static void socket_event(void *cookie, uint32_t events)
{
    struct conn *conn = cookie;
    struct vsock_table *table = conn->table;

    if (conn->state == STATE_HANDSHAKE) {
        read_line(conn);
    } else if ((events & EPOLLOUT) != 0 ||
               (conn->count > 0 && (events & (EPOLLERR | EPOLLHUP)) != 0)) {
        drain(conn);
    } else {
        conn->is_readable = true;
        vsock_conn_update(conn);
    }
    if (vsock_table_has_packet(table)) {
        table->config.packets_ready(table->config.cookie);
    }
}

static uint32_t wanted_events(const struct conn *conn)
{
    uint32_t events = 0;

    if (conn->fd < 0) {
        return 0;
    }
    if (conn->state == STATE_HANDSHAKE || (can_read(conn) && !conn->is_readable)) {
        events |= EPOLLIN;
    }
    return conn->count > 0 ? events | EPOLLOUT : events;
}

void vsock_conn_update(struct conn *conn)
{
    uint32_t events = wanted_events(conn);
    struct worker *worker = conn->table->config.worker;

    if (can_read(conn) && conn->is_readable && credit(conn) == 0 && !conn->has_asked_for_room) {
        conn->pending |= PENDING_CREDIT_REQUEST;
        conn->has_asked_for_room = true;
    }
    vsock_set_ready(conn, conn->pending != 0 ||
                              (can_read(conn) && conn->is_readable && credit(conn) > 0));
    if (events == conn->watched) {
        return;
    }
    if (events == 0) {
        worker_unwatch(worker, conn->fd);
    } else if (worker_watch(worker, conn->fd, events, socket_event, conn) < 0) {
        vsock_conn_reset(conn);
        return;
    }
    conn->watched = events;
}

void vsock_table_accept(struct vsock_table *table, int fd)
{
    struct conn *conn = vsock_add(table, fd, STATE_HANDSHAKE);

    if (conn == NULL) {
        (void)close(fd);
        return;
    }
    vsock_give_time(conn);
    vsock_conn_update(conn);
}
