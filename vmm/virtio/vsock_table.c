/* The streams of a guest: which there are, and packets to and from them. */
#include "virtio/vsock_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* --- the table --- */

static struct bucket *bucket_of(struct vsock_table *table, uint32_t host_port, uint32_t guest_port)
{
    return &table->buckets[(host_port * 31 + guest_port) % NR_BUCKETS];
}

/* The stream as the guest knows it. */
struct conn *vsock_find(struct vsock_table *table, uint32_t host_port, uint32_t guest_port)
{
    struct conn *conn;

    LIST_FOREACH(conn, bucket_of(table, host_port, guest_port), in_bucket)
    {
        if (conn->host_port == host_port && conn->guest_port == guest_port &&
            vsock_conn_is_known(conn)) {
            return conn;
        }
    }
    return NULL;
}

void vsock_set_ready(struct conn *conn, bool is_ready)
{
    struct vsock_table *table = conn->table;

    if (is_ready == conn->is_ready) {
        return;
    }
    if (is_ready) {
        TAILQ_INSERT_TAIL(&table->ready, conn, in_ready);
    } else {
        TAILQ_REMOVE(&table->ready, conn, in_ready);
    }
    conn->is_ready = is_ready;
}

void vsock_set_ports(struct conn *conn, uint32_t host_port, uint32_t guest_port)
{
    conn->host_port = host_port;
    conn->guest_port = guest_port;
    LIST_INSERT_HEAD(bucket_of(conn->table, host_port, guest_port), conn, in_bucket);
}

void vsock_forget(struct conn *conn)
{
    struct vsock_table *table = conn->table;

    vsock_conn_close_socket(conn);
    vsock_set_ready(conn, false);
    if (conn->state != STATE_HANDSHAKE) {
        LIST_REMOVE(conn, in_bucket);
    }
    TAILQ_REMOVE(&table->conns, conn, in_list);
    table->nr_conns--;
    free(conn->room);
    free(conn);
}

/* What waits for the guest alone, and costs the host nothing, gives way. */
static bool make_place(struct vsock_table *table)
{
    struct conn *conn;

    if (table->nr_conns < VSOCK_CONNS_MAX) {
        return true;
    }
    TAILQ_FOREACH(conn, &table->conns, in_list)
    {
        if (conn->state == STATE_LEFT) {
            vsock_conn_reset(conn);
            break;
        }
    }
    return false; /* its packet is still to be sent: next time */
}

struct conn *vsock_add(struct vsock_table *table, int fd, enum state state)
{
    struct conn *conn = make_place(table) ? calloc(1, sizeof(*conn)) : NULL;

    if (conn == NULL) {
        return NULL;
    }
    conn->table = table;
    conn->fd = fd;
    conn->state = state;
    TAILQ_INSERT_TAIL(&table->conns, conn, in_list);
    table->nr_conns++;
    return conn;
}
/* --- waiting --- */

static void tick(void *cookie, uint32_t events)
{
    struct vsock_table *table = cookie;
    uint64_t count;

    (void)events;
    (void)!read(table->timer_fd, &count, sizeof(count)); /* several at once are one */
    vsock_table_tick(table);
}

static void set_ticking(struct vsock_table *table, bool is_ticking)
{
    const struct itimerspec every_second = {{1, 0}, {1, 0}};
    const struct itimerspec never = {{0, 0}, {0, 0}};

    if (is_ticking != table->is_ticking) {
        (void)timerfd_settime(table->timer_fd, 0, is_ticking ? &every_second : &never, NULL);
        table->is_ticking = is_ticking;
    }
}

void vsock_give_time(struct conn *conn)
{
    conn->patience = VSOCK_PATIENCE_S;
    set_ticking(conn->table, true);
}

void vsock_table_tick(struct vsock_table *table)
{
    bool is_waiting = false;
    struct conn *conn = TAILQ_FIRST(&table->conns);

    while (conn != NULL) {
        struct conn *next = TAILQ_NEXT(conn, in_list);

        if (conn->patience > 0 && --conn->patience == 0) {
            vsock_conn_reset(conn);
        } else if (conn->patience > 0) {
            is_waiting = true;
        }
        conn = next;
    }
    set_ticking(table, is_waiting);
    if (vsock_table_has_packet(table)) {
        table->config.packets_ready(table->config.cookie);
    }
}
/* --- packets from the guest --- */

static void add_reply(struct vsock_table *table, const struct vsock_header *header)
{
    unsigned int at = (table->first_reply + table->nr_replies) % VSOCK_REPLIES_MAX;

    if (header->op == VSOCK_OP_RST) {
        return; /* or there would be no end to it */
    }
    table->replies[at] = (struct reply){
        .src_cid = header->dst_cid,
        .src_port = header->dst_port,
        .dst_port = header->src_port,
        .type = header->type,
    };
    table->nr_replies++;
}

/* The guest is told that there is no such stream (any more). */
static void refuse(struct vsock_table *table, struct conn *conn, const struct vsock_header *header)
{
    add_reply(table, header);
    if (conn != NULL) {
        vsock_forget(conn);
    }
}

static void guest_connects(struct vsock_table *table, const struct vsock_header *header)
{
    struct conn *conn;
    int fd = vsock_unix_connect(table->path, header->dst_port);

    if (fd < 0) {
        add_reply(table, header); /* nobody is there, as the guest sees it */
        return;
    }
    conn = vsock_add(table, fd, STATE_OPEN);
    if (conn == NULL) {
        (void)close(fd);
        add_reply(table, header);
        return;
    }
    vsock_set_ports(conn, header->dst_port, header->src_port);
    conn->guest_room = header->buf_alloc;
    conn->pending = PENDING_RESPONSE;
    vsock_conn_update(conn);
}

static void guest_shuts_down(struct conn *conn, const struct vsock_header *header)
{
    conn->guest_shutdown |= header->flags & VSOCK_SHUTDOWN_BOTH;
    if (conn->guest_shutdown == VSOCK_SHUTDOWN_BOTH) {
        /* It waits for this answer; the rest is between us and the host program. */
        add_reply(conn->table, header);
        conn->pending = 0;
        if (conn->count == 0) {
            vsock_forget(conn);
            return;
        }
        conn->state = STATE_DRAINING;
        vsock_give_time(conn);
    } else if (conn->fd >= 0 && conn->guest_shutdown == VSOCK_SHUTDOWN_RECEIVE) {
        (void)shutdown(conn->fd, SHUT_RD);
    } else if (conn->count == 0) {
        vsock_conn_end_of_guest_data(conn);
    }
    vsock_conn_update(conn);
}

static void receive_on(struct conn *conn, const struct vsock_header *header,
                       const struct iovec *iov, unsigned int nr_iov, size_t size)
{
    struct vsock_table *table = conn->table;
    bool is_asked = conn->state == STATE_REQUESTED && (conn->pending & PENDING_REQUEST) == 0;

    if (header->op == VSOCK_OP_RST) {
        vsock_forget(conn);
        return;
    }
    if (header->len != size || !vsock_conn_take_credit(conn, header) ||
        (header->op == VSOCK_OP_RESPONSE) != is_asked) {
        refuse(table, conn, header);
        return;
    }
    switch (header->op) {
    case VSOCK_OP_RESPONSE:
        vsock_conn_answer_ok(conn);
        return;
    case VSOCK_OP_SHUTDOWN:
        guest_shuts_down(conn, header);
        return;
    case VSOCK_OP_RW:
        if (!vsock_conn_take_data(conn, iov, nr_iov, size)) {
            refuse(table, conn, header);
            return;
        }
        break;
    case VSOCK_OP_CREDIT_UPDATE:
        break;
    case VSOCK_OP_CREDIT_REQUEST:
        conn->pending |= PENDING_CREDIT_UPDATE;
        break;
    default: /* of the guest's choosing; a second VSOCK_OP_REQUEST is as bad */
        refuse(table, conn, header);
        return;
    }
    vsock_conn_update(conn);
}

bool vsock_table_can_receive(const struct vsock_table *table)
{
    return table->nr_replies < VSOCK_REPLIES_MAX;
}

void vsock_table_receive(struct vsock_table *table, const struct vsock_header *header,
                         const struct iovec *iov, unsigned int nr_iov, size_t size)
{
    struct conn *conn;

    if (header->src_cid != table->config.guest_cid) {
        return; /* whoever this is, there is no way to it */
    }
    if (header->dst_cid != VSOCK_CID_HOST || header->type != VSOCK_TYPE_STREAM) {
        add_reply(table, header);
        return;
    }
    conn = vsock_find(table, header->dst_port, header->src_port);
    if (conn != NULL) {
        receive_on(conn, header, iov, nr_iov, size);
    } else if (header->op == VSOCK_OP_REQUEST && header->len == size) {
        guest_connects(table, header);
    } else {
        add_reply(table, header);
    }
}
/* --- packets for the guest --- */

static void fill(const struct vsock_table *table, struct vsock_header *ret, enum vsock_op op)
{
    *ret = (struct vsock_header){
        .src_cid = VSOCK_CID_HOST,
        .dst_cid = table->config.guest_cid,
        .type = VSOCK_TYPE_STREAM,
        .op = (uint16_t)op,
    };
}

static void send_reply(struct vsock_table *table, struct vsock_header *ret)
{
    const struct reply *reply = &table->replies[table->first_reply];

    fill(table, ret, VSOCK_OP_RST);
    ret->src_cid = reply->src_cid;
    ret->src_port = reply->src_port;
    ret->dst_port = reply->dst_port;
    ret->type = reply->type;
    table->first_reply = (table->first_reply + 1) % VSOCK_REPLIES_MAX;
    table->nr_replies--;
}

static void fill_for(struct conn *conn, struct vsock_header *ret, enum vsock_op op)
{
    fill(conn->table, ret, op);
    ret->src_port = conn->host_port;
    ret->dst_port = conn->guest_port;
    if (op == VSOCK_OP_RST) {
        return;
    }
    ret->buf_alloc = VSOCK_ROOM;
    ret->fwd_cnt = conn->forwarded;
    conn->told_forwarded = conn->forwarded;
    conn->pending &= ~(unsigned int)PENDING_CREDIT_UPDATE; /* this was one */
}

static void send_pending(struct conn *conn, struct vsock_header *ret)
{
    static const struct {
        enum pending pending;
        enum vsock_op op;
    } order[] = {
        {PENDING_RST, VSOCK_OP_RST},
        {PENDING_REQUEST, VSOCK_OP_REQUEST},
        {PENDING_RESPONSE, VSOCK_OP_RESPONSE},
        {PENDING_SHUTDOWN, VSOCK_OP_SHUTDOWN},
        {PENDING_CREDIT_REQUEST, VSOCK_OP_CREDIT_REQUEST},
        {PENDING_CREDIT_UPDATE, VSOCK_OP_CREDIT_UPDATE},
    };
    size_t i = 0;

    while ((conn->pending & order[i].pending) == 0) {
        i++;
    }
    conn->pending &= ~(unsigned int)order[i].pending;
    fill_for(conn, ret, order[i].op);
    if (order[i].op == VSOCK_OP_SHUTDOWN) {
        ret->flags = conn->host_shutdown;
    }
    if (order[i].op == VSOCK_OP_RST) {
        vsock_forget(conn);
    } else {
        vsock_conn_update(conn);
    }
}

/* False: the socket had nothing to say, after all. */
static bool send_data(struct conn *conn, const struct iovec *iov, unsigned int nr_iov,
                      struct vsock_header *ret)
{
    size_t n = vsock_conn_pull(conn, iov, nr_iov);

    if (n > 0) {
        fill_for(conn, ret, VSOCK_OP_RW);
        ret->len = (uint32_t)n;
        vsock_set_ready(conn, false); /* to the end of the line, if it has more */
    }
    vsock_conn_update(conn);
    return n > 0;
}

bool vsock_table_has_packet(const struct vsock_table *table)
{
    return table->nr_replies > 0 || !TAILQ_EMPTY(&table->ready);
}

bool vsock_table_send(struct vsock_table *table, const struct iovec *iov, unsigned int nr_iov,
                      struct vsock_header *ret_header)
{
    struct conn *conn;

    if (table->nr_replies > 0) {
        send_reply(table, ret_header);
        return true;
    }
    while ((conn = TAILQ_FIRST(&table->ready)) != NULL) {
        if (conn->pending != 0) {
            send_pending(conn, ret_header);
            return true;
        }
        if (send_data(conn, iov, nr_iov, ret_header)) {
            return true;
        }
    }
    return false;
}
/* --- the table's own life --- */

struct vsock_table *vsock_table_create(const struct vsock_table_config *config)
{
    struct vsock_table *table = calloc(1, sizeof(*table));
    int r;

    if (table == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    table->config = *config;
    (void)snprintf(table->path, sizeof(table->path), "%s", config->path);
    table->next_host_port = VSOCK_FIRST_HOST_PORT;
    TAILQ_INIT(&table->conns);
    TAILQ_INIT(&table->ready);
    table->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    r = table->timer_fd < 0 ? -errno : 0;
    if (r == 0) {
        r = worker_watch(config->worker, table->timer_fd, EPOLLIN, tick, table);
    }
    if (r < 0) {
        vsock_table_destroy(table);
        errno = -r;
        return NULL;
    }
    return table;
}

void vsock_table_clear(struct vsock_table *table)
{
    while (!TAILQ_EMPTY(&table->conns)) {
        vsock_forget(TAILQ_FIRST(&table->conns));
    }
    table->nr_replies = 0;
    set_ticking(table, false);
}

void vsock_table_destroy(struct vsock_table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->timer_fd >= 0) {
        worker_unwatch(table->config.worker, table->timer_fd);
    }
    vsock_table_clear(table);
    if (table->timer_fd >= 0) {
        (void)close(table->timer_fd);
    }
    free(table);
}

unsigned int vsock_table_count(const struct vsock_table *table)
{
    return table->nr_conns;
}
