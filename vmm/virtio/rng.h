/* Virtio's entropy device (virtio 1.2, 5.4). */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include <hostvm/virtio.h>

#include "back/worker.h"

struct rng;

/* The worker lives longer. NULL: the host refuses; it was said. */
struct rng *rng_create(vm_t *vm, struct worker *worker);

/* For the machine to attach; it is the rng's. */
hostvm_virtio_t *rng_device(struct rng *rng);

/* As hostvm_virtio_destroy. NULL is fine. */
void rng_destroy(struct rng *rng);

#endif
