/* The balloon, whose target the host changes. */
#include "virtio/balloon.h"

#include "driver.h"

static struct balloon *balloon;

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    balloon = balloon_create(vm, worker, (uint64_t)fuzz_u8() << 12);
    return balloon == NULL ? NULL : balloon_device(balloon);
}

static void destroy(void)
{
    balloon_destroy(balloon);
}

static void host(void)
{
    balloon_set_target(balloon, fuzz_u64());
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy, .host = host};
