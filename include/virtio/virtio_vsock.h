/* The virtio socket device: virtio 1.2, 5.10. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <virtio/virtio_pci.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 5.10.2: the queue behind those for receiving (0) and sending (1) */
#define EVENT_QUEUE 2

/* 5.10.3, feature bit */
#define VIRTIO_VSOCK_F_SEQPACKET 1

/* Bytes of the largest packet, header included, that platform support forwards. */
#define VIRTIO_VSOCK_CAMKES_MTU 4096

/* 5.10.4 */
struct virtio_vsock_config {
    uint64_t guest_cid;
} __attribute__((packed));

/* Where a legacy PCI device without MSI-X has guest_cid. */
#define VIRTIO_VSOCK_CFG_GUEST_CID (VIRTIO_PCI_CONFIG_OFF(false))

/* 5.10.6.7 */
enum virtio_vsock_event_id { VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0 };

struct virtio_vsock_event {
    uint32_t id;
} __attribute__((packed));

/* 5.10.6: what every packet begins with; the upper halves of both cids are 0 */
struct virtio_vsock_hdr {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t len;  /* bytes behind this header */
    uint16_t type; /* enum virtio_vsock_type */
    uint16_t op;   /* enum virtio_vsock_op */
    uint32_t flags;
    uint32_t buf_alloc;
    uint32_t fwd_cnt;
} __attribute__((packed));

enum virtio_vsock_type { VIRTIO_VSOCK_TYPE_STREAM = 1, VIRTIO_VSOCK_TYPE_SEQPACKET = 2 };

enum virtio_vsock_op {
    VIRTIO_VSOCK_OP_INVALID = 0,
    VIRTIO_VSOCK_OP_REQUEST = 1,
    VIRTIO_VSOCK_OP_RESPONSE = 2,
    VIRTIO_VSOCK_OP_RST = 3,
    VIRTIO_VSOCK_OP_SHUTDOWN = 4,
    VIRTIO_VSOCK_OP_RW = 5,
    VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6,
    VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7
};

/* 5.10.6.5, flags of VIRTIO_VSOCK_OP_SHUTDOWN */
enum virtio_vsock_shutdown { VIRTIO_VSOCK_SHUTDOWN_RCV = 1, VIRTIO_VSOCK_SHUTDOWN_SEND = 2 };

/* 5.10.6.6, flags of VIRTIO_VSOCK_OP_RW on a seqpacket socket */
enum virtio_vsock_rw { VIRTIO_VSOCK_SEQ_EOM = 1, VIRTIO_VSOCK_SEQ_EOR = 2 };

struct virtio_vsock_packet {
    struct virtio_vsock_hdr hdr;
    __extension__ uint8_t data[];
};

#ifdef __cplusplus
}
#endif
