/* A socket device's packets: virtio 1.2, 5.10.6. */
#ifndef VIRTIO_VSOCK_PACKET_H
#define VIRTIO_VSOCK_PACKET_H

#include <stdint.h>

/* Little-endian, as guests and hosts of both architectures are. */
struct vsock_header {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t len; /* bytes behind the header */
    uint16_t type;
    uint16_t op;
    uint32_t flags;
    uint32_t buf_alloc; /* what the sender has room for, on this connection */
    uint32_t fwd_cnt;   /* what has left that room since the connection began, modulo 2^32 */
} __attribute__((packed));

_Static_assert(sizeof(struct vsock_header) == 44, "virtio 1.2, 5.10.6");

enum { VSOCK_CID_HOST = 2, VSOCK_TYPE_STREAM = 1 };

enum vsock_op {
    VSOCK_OP_REQUEST = 1,
    VSOCK_OP_RESPONSE = 2,
    VSOCK_OP_RST = 3,
    VSOCK_OP_SHUTDOWN = 4,
    VSOCK_OP_RW = 5,
    VSOCK_OP_CREDIT_UPDATE = 6,
    VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of VSOCK_OP_SHUTDOWN: the sender will do no more of this. */
enum { VSOCK_SHUTDOWN_RECEIVE = 1, VSOCK_SHUTDOWN_SEND = 2, VSOCK_SHUTDOWN_BOTH = 3 };

#endif
