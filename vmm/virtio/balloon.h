/* The virtio balloon (virtio 1.2, 5.5): memory that the guest does not need goes back to the host.
 */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include <stdint.h>

#include <hostvm/virtio.h>

#include "back/worker.h"

struct balloon;

/*
 * What the guest puts into the balloon, and what it reports to be free, is given back to the host;
 * the guest may use it again whenever it likes, and then finds zeros there. Pages that are not RAM,
 * as it was when this was called, are not touched. Linux reports free memory of its own accord,
 * also with a target of 0.
 *
 * target is in bytes: what the guest is asked to do without. It takes back what it needs before it
 * ends programs for want of memory. The worker lives longer. NULL: the host refuses; it was said.
 */
struct balloon *balloon_create(vm_t *vm, struct worker *worker, uint64_t target);

/* Another target. From any thread. */
void balloon_set_target(struct balloon *balloon, uint64_t target);

/* For the machine to attach; it is the balloon's. */
hostvm_virtio_t *balloon_device(struct balloon *balloon);

/* As hostvm_virtio_destroy. NULL is fine. */
void balloon_destroy(struct balloon *balloon);

/* What has come of the guest's pages, since the balloon was made. */
struct balloon_count {
    uint64_t given_back; /* bytes */
    uint64_t ignored;    /* bytes that were not RAM, or no whole page of the host's */
    uint64_t refused;    /* bytes that the host did not take */
};

/* Not while the VM runs. */
struct balloon_count balloon_count(const struct balloon *balloon);

#endif
