/* The control queue of a network device: what its driver asks for, and the answers (virtio 1.2,
 * 5.1.6.5). */
#ifndef VIRTIO_NET_CTRL_H
#define VIRTIO_NET_CTRL_H

#include <stdint.h>

#include <hostvm/virtio.h>

/* What of it is not to be answered alone. */
struct net_ctrl {
    uint64_t features; /* that driver and device agreed on */
    unsigned max_pairs;
    /* nr pairs of queues are in use from now on: 0, or -1: that cannot be. */
    int (*set_pairs)(void *cookie, unsigned nr);
    void (*set_mac)(void *cookie, const uint8_t mac[6]);
    void *cookie;
};

/* Carries out one command: what it answers is written to the buffer; returns how many bytes. */
size_t net_ctrl_answer(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer);

#endif
