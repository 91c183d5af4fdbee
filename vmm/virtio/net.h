/* The virtio network device (virtio 1.2, 5.1), between the guest and a host side. */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include <stdint.h>

#include <hostvm/virtio.h>

#include "back/net_host.h"

struct net;

struct net_config {
    uint8_t mac[6];
    struct net_host *host; /* lives as long as the device */
};

/* Makes a device, with an event thread for each of the host side's descriptors. NULL: the reason
 * was said. */
struct net *net_create(vm_t *vm, const struct net_config *config);

/* To be attached, or shown to the guest otherwise; it is the net's own. */
hostvm_virtio_t *net_device(struct net *net);

/* Before the VM and the host side are destroyed; NULL is fine. */
void net_destroy(struct net *net);

#endif
