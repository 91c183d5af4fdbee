/* The front end of vhost-user: a device's queues are served by another process, which is told over
 * a socket where they are. Messages are those of QEMU's docs/interop/vhost-user.rst. */
#ifndef BACK_VHOST_USER_H
#define BACK_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VHOST_USER_REGIONS_MAX = 8,    /* what every back end takes */
    VHOST_USER_PATIENCE_MS = 5000, /* a back end that takes longer is given up */
};

/* Offered beside the features of virtio; the front end's to agree on, not the driver's. */
#define VHOST_USER_F_PROTOCOL_FEATURES (1ull << 30)

/* The connection. From one thread at a time. */
struct vhost_user {
    int fd; /* the caller's */
    int patience_ms;
    uint64_t features; /* of virtio, that the back end offers */
    uint64_t protocol; /* features of the protocol, agreed on */
    char why[160];     /* the last failure */
};

/* Guest memory: part of a file. */
struct vhost_user_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t offset; /* in fd */
    int fd;
};

struct vhost_user_ring {
    uint64_t descriptors, driver_area, device_area; /* guest-physical */
    unsigned int size;
    int kick_fd; /* the driver's eventfd to the back end */
    int call_fd; /* the back end's to the driver */
    int err_fd;  /* the back end's, for a ring that it cannot go on with */
};

/* All return 0, or -errno with vhost_user.why. After a failure the connection is good for nothing:
 * the back end's process is to be ended before its rings are used by somebody else. */

/* Says hello at a connected socket. nr_queues: how many the device will have. patience_ms: for each
 * answer. */
int vhost_user_open(struct vhost_user *vu, int fd, unsigned int nr_queues, int patience_ms);

/* What the driver has agreed to, of what is offered. Before the first ring is started. */
int vhost_user_set_features(struct vhost_user *vu, uint64_t features);

/* Guest memory, all that rings and buffers may lie in. */
int vhost_user_set_memory(struct vhost_user *vu, const struct vhost_user_region *regions,
                          unsigned int nr_regions);

/* From now on the back end serves this ring, from its first buffer on. */
int vhost_user_start_ring(struct vhost_user *vu, unsigned int index,
                          const struct vhost_user_ring *ring);

/* When it returns, the back end uses neither the ring nor buffers of it. */
int vhost_user_stop_ring(struct vhost_user *vu, unsigned int index);

/* Whether the other end has gone; at any time, without waiting. */
bool vhost_user_is_gone(const struct vhost_user *vu);

#endif
