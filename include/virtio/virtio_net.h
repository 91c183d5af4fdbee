/* The virtio network device: virtio 1.2, 5.1. */
#pragma once

#include <stdint.h>

/* 5.1.3, feature bits */
#define VIRTIO_NET_F_CSUM           0 /* the device completes checksums */
#define VIRTIO_NET_F_GUEST_CSUM     1 /* the driver does */
#define VIRTIO_NET_F_MAC            5 /* the configuration has an address */
#define VIRTIO_NET_F_GSO            6 /* legacy: any kind of segmentation by the device */
#define VIRTIO_NET_F_GUEST_TSO4     7
#define VIRTIO_NET_F_GUEST_TSO6     8
#define VIRTIO_NET_F_GUEST_ECN      9
#define VIRTIO_NET_F_GUEST_UFO      10
#define VIRTIO_NET_F_HOST_TSO4      11
#define VIRTIO_NET_F_HOST_TSO6      12
#define VIRTIO_NET_F_HOST_ECN       13
#define VIRTIO_NET_F_HOST_UFO       14
#define VIRTIO_NET_F_MRG_RXBUF      15 /* a packet may take several receive buffers */
#define VIRTIO_NET_F_STATUS         16 /* the configuration has a status */
#define VIRTIO_NET_F_CTRL_VQ        17 /* there is a control queue */
#define VIRTIO_NET_F_CTRL_RX        18
#define VIRTIO_NET_F_CTRL_VLAN      19
#define VIRTIO_NET_F_CTRL_RX_EXTRA  20
#define VIRTIO_NET_F_GUEST_ANNOUNCE 21
#define VIRTIO_NET_F_MQ             22 /* several pairs of queues */
#define VIRTIO_NET_F_CTRL_MAC_ADDR  23

/* 5.1.4, bits of the status */
#define VIRTIO_NET_S_LINK_UP  1
#define VIRTIO_NET_S_ANNOUNCE 2

/* Bytes of the configuration that are the address. */
#define VIRTIO_NET_CONFIG_MAC_SZ 6

/* 5.1.4 */
struct virtio_net_config {
    uint8_t mac[VIRTIO_NET_CONFIG_MAC_SZ];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
} __attribute__((packed));

/* 5.1.6, flags and gso_type of a packet's header */
#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1
#define VIRTIO_NET_HDR_F_DATA_VALID 2
#define VIRTIO_NET_HDR_GSO_NONE     0
#define VIRTIO_NET_HDR_GSO_TCPV4    1
#define VIRTIO_NET_HDR_GSO_UDP      3
#define VIRTIO_NET_HDR_GSO_TCPV6    4
#define VIRTIO_NET_HDR_GSO_ECN      0x80

/* 5.1.6: what every packet begins with; a legacy device without VIRTIO_NET_F_MRG_RXBUF has this */
struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};

/* ... and one with it this */
struct virtio_net_hdr_mrg_rxbuf {
    struct virtio_net_hdr hdr;
    uint16_t num_buffers;
};
