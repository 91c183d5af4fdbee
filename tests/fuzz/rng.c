/* The entropy device. */
#include "virtio/rng.h"

#include "driver.h"

static struct rng *rng;

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    rng = rng_create(vm, worker);
    return rng == NULL ? NULL : rng_device(rng);
}

static void destroy(void)
{
    rng_destroy(rng);
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy};
