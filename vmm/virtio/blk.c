/* A disk for the guest (virtio 1.2, 5.2): what it offers to the driver, and its cache. */
#include "virtio/blk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/blk_queue.h"
#include "virtio/blk_request.h"

#define FEATURE(name) (1ull << VIRTIO_BLK_F_##name)

enum { DEVICE_BLOCK = 2 }; /* 5.2.1 */

struct blk {
    struct blk_shared shared;
    bool has_cache;    /* as the configuration space says; guarded by the VM's lock */
    bool is_started;   /* likewise */
    uint64_t features; /* that were agreed on; likewise, while it is started */
    struct blk_queue *queues[BLK_MAX_QUEUES]; /* NULL: not yet */
    unsigned nr_queues;
};

/* --- what the driver does --- */

static void show_cache(struct blk *blk, bool has_cache)
{
    const uint8_t value = has_cache;

    if (blk->has_cache != has_cache) {
        blk->has_cache = has_cache;
        (void)hostvm_virtio_set_config(blk->shared.device, offsetof(struct virtio_blk_config, wce),
                                       &value, 1);
    }
}

/* All at once. */
static void stop(void *cookie)
{
    struct blk *blk = cookie;

    for (unsigned i = 0; i < blk->nr_queues; i++) {
        blk_queue_begin_stop(blk->queues[i]);
    }
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        blk_queue_end_stop(blk->queues[i]);
    }
    blk->is_started = false;
    show_cache(blk, true);
}

/* Who does not know how to flush takes for written what was answered (5.2.5.2). */
static int start(void *cookie, uint64_t features)
{
    struct blk *blk = cookie;

    if ((features & FEATURE(FLUSH)) == 0) {
        show_cache(blk, false);
    }
    atomic_store(&blk->shared.is_durable, !blk->has_cache);
    blk->features = features;
    blk->is_started = true;
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        blk_queue_start(blk->queues[i]);
    }
    return 0;
}

static void end_cache(struct blk *blk)
{
    int r;

    if (!atomic_exchange(&blk->shared.is_durable, true)) {
        r = disk_sync(blk->shared.disk);
        if (r < 0) {
            disk_complain(blk->shared.disk, "flush", 0, -r);
        }
    }
}

/* The cache, on or off. What it holds when it goes is brought to the disk. A driver writes this
 * before it is started, too: then features do not tell yet, and start decides. */
static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    const uint64_t needed = FEATURE(CONFIG_WCE) | FEATURE(FLUSH);
    struct blk *blk = cookie;
    uint8_t value = *(const uint8_t *)bytes;

    if (offset != offsetof(struct virtio_blk_config, wce) || size != 1 || value > 1 ||
        disk_traits(blk->shared.disk)->is_readonly ||
        (blk->is_started && (blk->features & needed) != needed)) {
        return;
    }
    show_cache(blk, value == 1);
    if (blk->is_started && value == 1) {
        atomic_store(&blk->shared.is_durable, false);
    } else if (blk->is_started) {
        end_cache(blk);
    }
}

/* --- what it is --- */

static uint64_t features_of(const struct blk *blk)
{
    const struct disk_traits *traits = disk_traits(blk->shared.disk);
    uint64_t features = FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) | FEATURE(TOPOLOGY) | FEATURE(FLUSH);

    if (traits->is_readonly) {
        features |= FEATURE(RO);
    } else {
        features |= FEATURE(CONFIG_WCE) | FEATURE(WRITE_ZEROES);
        features |= traits->can_discard ? FEATURE(DISCARD) : 0;
    }
    return features | (blk->nr_queues > 1 ? FEATURE(MQ) : 0);
}

static unsigned exponent_of(uint32_t number)
{
    return (unsigned)__builtin_ctz(number);
}

static void describe(const struct blk *blk, struct virtio_blk_config *ret)
{
    const struct disk_traits *traits = disk_traits(blk->shared.disk);
    uint32_t ratio = traits->physical_block_size / traits->block_size;

    *ret = (struct virtio_blk_config){
        .capacity = htole64(disk_size(blk->shared.disk) / DISK_SECTOR),
        .seg_max = htole32(BLK_SEG_MAX),
        .blk_size = htole32(traits->block_size),
        .physical_block_exp = (uint8_t)exponent_of(ratio),
        .min_io_size = htole16((uint16_t)ratio),
        .wce = 1,
        .num_queues = htole16((uint16_t)blk->nr_queues),
    };
    if (!traits->is_readonly) {
        ret->max_write_zeroes_sectors = htole32(BLK_MAX_ZEROES);
        ret->max_write_zeroes_seg = htole32(1);
        ret->write_zeroes_may_unmap = traits->can_punch;
    }
    if (traits->can_discard) {
        ret->max_discard_sectors = htole32(BLK_MAX_ZEROES);
        ret->max_discard_seg = htole32(1);
        ret->discard_sector_alignment = htole32(traits->discard_size / DISK_SECTOR);
    }
}

/* --- making and unmaking --- */

static int create_device(struct blk *blk, vm_t *vm)
{
    static const hostvm_virtio_ops_t ops = {
        .start = start,
        .stop = stop,
        .write_config = write_config,
    };
    uint16_t queue_sizes[BLK_MAX_QUEUES];
    struct virtio_blk_config config;

    for (unsigned i = 0; i < blk->nr_queues; i++) {
        queue_sizes[i] = BLK_QUEUE_SIZE;
    }
    describe(blk, &config);
    blk->shared.device = hostvm_virtio_create(vm, &(hostvm_virtio_config_t){
                                                      .id = DEVICE_BLOCK,
                                                      .features = features_of(blk),
                                                      .nr_queues = blk->nr_queues,
                                                      .queue_sizes = queue_sizes,
                                                      .config = &config,
                                                      .config_size = sizeof(config),
                                                      .ops = &ops,
                                                      .cookie = blk,
                                                  });
    return blk->shared.device == NULL ? -1 : 0; /* the reason is in the log */
}

static int complain(int error)
{
    (void)fprintf(stderr, "hostvm: cannot make a virtio disk: %s\n", strerror(error));
    return -1;
}

static int create_queues(struct blk *blk)
{
    for (unsigned i = 0; i < blk->nr_queues; i++) {
        int error = blk_queue_create(&blk->shared, i, &blk->queues[i]);

        if (error != 0) {
            return complain(error);
        }
    }
    return 0;
}

struct blk *blk_create(vm_t *vm, const struct blk_config *config)
{
    struct blk *blk = calloc(1, sizeof(*blk));

    if (blk == NULL) {
        (void)complain(ENOMEM);
        disk_close(config->disk);
        return NULL;
    }
    blk->shared.disk = config->disk;
    blk->shared.is_plain = config->is_plain;
    blk->nr_queues = config->nr_queues < BLK_MAX_QUEUES ? config->nr_queues : BLK_MAX_QUEUES;
    blk->has_cache = true;
    (void)pthread_mutex_init(&blk->shared.size_lock, NULL);
    if (config->serial != NULL) {
        memcpy(blk->shared.serial, config->serial,
               strnlen(config->serial, sizeof(blk->shared.serial)));
    }
    if (create_device(blk, vm) < 0 || create_queues(blk) < 0) {
        blk_destroy(blk);
        return NULL;
    }
    return blk;
}

hostvm_virtio_t *blk_device(struct blk *blk)
{
    return blk->shared.device;
}

/* A queue's descriptor, which its thread sleeps on, ends with the device. */
void blk_destroy(struct blk *blk)
{
    if (blk == NULL) {
        return;
    }
    if (blk->is_started) {
        stop(blk);
    }
    while (blk->nr_queues > 0) { /* the device, which stops once more, finds none */
        blk_queue_destroy(blk->queues[--blk->nr_queues]);
    }
    hostvm_virtio_destroy(blk->shared.device);
    disk_close(blk->shared.disk);
    free(blk);
}
