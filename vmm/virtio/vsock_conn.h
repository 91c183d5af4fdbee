/* The inside of the table of streams: what its files share. */
#ifndef VIRTIO_VSOCK_CONN_H
#define VIRTIO_VSOCK_CONN_H

#include <sys/queue.h>

#include "back/vsock_connect.h"
#include "back/vsock_unix.h"
#include "virtio/vsock_table.h"

enum state {
    STATE_HANDSHAKE, /* a host program, whose line is not read yet: the guest knows nothing */
    STATE_REQUESTED, /* the guest has been asked, or will be */
    STATE_OPEN,
    STATE_LEFT,     /* the host program is gone, the guest is told; it has not answered */
    STATE_DRAINING, /* the guest is gone; what it sent before goes to the host program */
    STATE_RESET,    /* nobody is there but the packet that tells the guest so */
};

/* Packets that a stream owes the guest; sent in this order. */
enum pending {
    PENDING_RST = 1,
    PENDING_REQUEST = 2,
    PENDING_RESPONSE = 4,
    PENDING_SHUTDOWN = 8,
    PENDING_CREDIT_REQUEST = 16,
    PENDING_CREDIT_UPDATE = 32,
};

struct conn {
    LIST_ENTRY(conn) in_bucket; /* not in STATE_HANDSHAKE: it has no ports */
    TAILQ_ENTRY(conn) in_list;
    TAILQ_ENTRY(conn) in_ready;
    struct vsock_table *table;
    enum state state;
    uint32_t host_port, guest_port;
    int fd;           /* -1: closed */
    uint32_t watched; /* epoll events; 0: not watched */
    unsigned int pending;
    bool is_ready;         /* in the table's list of those with something to send */
    bool is_readable;      /* the socket was, and has not been read empty since */
    unsigned int patience; /* ticks until it is given up; 0: for ever */

    /* Of the host program's line, what is read so far. */
    char line[VSOCK_CONNECT_MAX];
    unsigned int line_size;

    /* What either side will do no more: VSOCK_SHUTDOWN_... */
    unsigned int guest_shutdown;
    unsigned int host_shutdown;

    /* Host to guest. */
    uint32_t sent;           /* bytes */
    uint32_t guest_fwd;      /* of them, those that have left the guest's room */
    uint32_t guest_room;     /* its buf_alloc */
    bool has_asked_for_room; /* since it was last without */

    /* Guest to host. */
    uint32_t forwarded;      /* fwd_cnt: bytes that have left our room */
    uint32_t told_forwarded; /* as the guest was last told */
    uint32_t first, count;   /* bytes in room, a ring */
    char *room;              /* VSOCK_ROOM bytes once they are needed, or NULL */
};

LIST_HEAD(bucket, conn);
TAILQ_HEAD(conn_list, conn);

enum { NR_BUCKETS = 64 };

/* The answer to a packet that belongs to no stream. */
struct reply {
    uint64_t src_cid;
    uint32_t src_port, dst_port;
    uint16_t type;
};

struct vsock_table {
    struct vsock_table_config config;
    char path[VSOCK_PATH_MAX + 1];
    int timer_fd;
    bool is_ticking;
    struct bucket buckets[NR_BUCKETS]; /* those that the guest knows, by their ports */
    struct conn_list conns;            /* all, the oldest first */
    struct conn_list ready;            /* those with something to send, in turn */
    unsigned int nr_conns;
    uint32_t next_host_port;
    struct reply replies[VSOCK_REPLIES_MAX]; /* a ring */
    unsigned int first_reply, nr_replies;
};

/* --- vsock_table.c --- */

/* The stream as the guest knows it, or NULL. */
struct conn *vsock_find(struct vsock_table *table, uint32_t host_port, uint32_t guest_port);

/* From now on the guest knows it by these. */
void vsock_set_ports(struct conn *conn, uint32_t host_port, uint32_t guest_port);

/* A stream without ports; NULL: there is no room for another one. */
struct conn *vsock_add(struct vsock_table *table, int fd, enum state state);

/* Ends it, whatever its state, and without a word. */
void vsock_forget(struct conn *conn);

/* Whether it stands in line for a packet to the guest; who does not, goes to its end. */
void vsock_set_ready(struct conn *conn, bool is_ready);

/* It is reset if it is still waiting in VSOCK_PATIENCE_S. */
void vsock_give_time(struct conn *conn);

/* --- vsock_conn.c; those that return nothing may have ended the stream --- */

/* What is watched for, and whether there is something to send, follow from the rest. */
void vsock_conn_update(struct conn *conn);

void vsock_conn_close_socket(struct conn *conn);
void vsock_conn_drop_room(struct conn *conn);

/* Ends it on our side's initiative: the guest is told, if it knows of the stream. */
void vsock_conn_reset(struct conn *conn);

bool vsock_conn_is_known(const struct conn *conn); /* to the guest */

/* What the guest says of its room. False: it claims to have used what was never sent. */
bool vsock_conn_take_credit(struct conn *conn, const struct vsock_header *header);

/* Bytes for the host program. False: the guest has sent too many, or memory is out. */
bool vsock_conn_take_data(struct conn *conn, const struct iovec *iov, unsigned int nr_iov,
                          size_t size);

/* All that the guest has sent is the host program's. */
void vsock_conn_end_of_guest_data(struct conn *conn);

/* Bytes of the host program, as many as the guest has room for. 0: none now. */
size_t vsock_conn_pull(struct conn *conn, const struct iovec *iov, unsigned int nr_iov);

/* The guest has agreed to the stream that a host program has asked for. */
void vsock_conn_answer_ok(struct conn *conn);

#endif
