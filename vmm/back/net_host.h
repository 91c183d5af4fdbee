/* What a network device knows of its host side, whatever that is. */
#ifndef BACK_NET_HOST_H
#define BACK_NET_HOST_H

#include <stdint.h>

#include <virtio/virtio_net.h>

/* Bits of virtio's network device (virtio 1.2, 5.1.3) for what frames may leave undone: checksums,
 * and the cutting of large ones. GUEST: towards the guest, HOST: away from it. */
#define NET_CSUM       (UINT64_C(1) << VIRTIO_NET_F_CSUM)
#define NET_GUEST_CSUM (UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM)
#define NET_GUEST_TSO4 (UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4)
#define NET_GUEST_TSO6 (UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6)
#define NET_GUEST_ECN  (UINT64_C(1) << VIRTIO_NET_F_GUEST_ECN)
#define NET_GUEST_UFO  (UINT64_C(1) << VIRTIO_NET_F_GUEST_UFO)
#define NET_HOST_TSO4  (UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4)
#define NET_HOST_TSO6  (UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6)
#define NET_HOST_ECN   (UINT64_C(1) << VIRTIO_NET_F_HOST_ECN)
#define NET_HOST_UFO   (UINT64_C(1) << VIRTIO_NET_F_HOST_UFO)

/* The most descriptors of a host side. */
enum { NET_MAX_PAIRS = 16 };

/*
 * A host side. What is read from one of its descriptors, or written to it, in one call, is a frame
 * behind a header of 12 bytes (struct virtio_net_hdr_v1, of which num_buffers is nobody's). They do
 * not block. End of file, or any error of theirs but those of a single frame: it is gone.
 */
struct net_host {
    int fds[NET_MAX_PAIRS]; /* one for each pair of queues */
    unsigned nr_fds;
    uint64_t offloads; /* bits from above that it can do */
    uint16_t mtu;      /* of what is connected; 0: nothing to tell */

    /* The offloads that the guest wants, in offloads. From any thread, while no frame is read. */
    void (*set_offloads)(struct net_host *host, uint64_t offloads);

    /* How many descriptors, the first ones, are in use from now on; at first one. From any thread,
     * one at a time; the others are neither read nor written. 0 or -errno. */
    int (*set_active)(struct net_host *host, unsigned nr_active);

    /* It is gone; says so. Once, from any thread. */
    void (*lost)(struct net_host *host);
};

#endif
