/* A disk for the guest (virtio 1.2, 5.2), in front of one of the host's. */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include <hostvm/virtio.h>

#include "back/disk.h"

enum { BLK_MAX_QUEUES = 16 };

struct blk_config {
    struct disk *disk;  /* becomes the device's own, also when there is to be no device */
    const char *serial; /* at most 20 bytes are used; NULL: none */
    unsigned nr_queues; /* one per vcpu is best; more than BLK_MAX_QUEUES is cut */
    bool is_plain;      /* without io_uring, even where there is one */
};

struct blk;

/* Each queue has a thread, which sleeps until a driver is ready. NULL: the reason was said, on
 * standard error or in the log. */
struct blk *blk_create(vm_t *vm, const struct blk_config *config);

/* The device, to be attached. */
hostvm_virtio_t *blk_device(struct blk *blk);

/* When the VM does not run any more. Closes the disk. NULL is fine. */
void blk_destroy(struct blk *blk);

#endif
