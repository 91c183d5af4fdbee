/* Virtio devices: what their drivers agree on with them, and when they start and stop. */
#include "virtio/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/vm.h>

#include "base/io.h"
#include "base/reason.h"

int virtio_status_of(vm_t *vm, int r)
{
    if (r < 0) {
        hostvm_vm_log(vm, HOSTVM_LOG_ERROR, "%s", reason_last());
        return -1;
    }
    return 0;
}

/* --- making and unmaking --- */

static bool is_queue_size(uint16_t size)
{
    return size > 0 && size <= HOSTVM_VIRTIO_MAX_QUEUE_SIZE && (size & (size - 1)) == 0;
}

static int check_config(const hostvm_virtio_config_t *config)
{
    if (config->ops == NULL || (config->config_size > 0 && config->config == NULL) ||
        (config->nr_queues > 0 && config->queue_sizes == NULL)) {
        return fail(-EINVAL,
                    "cannot make virtio device %u: no functions, no configuration or no "
                    "sizes of queues given",
                    config->id);
    }
    if (config->nr_queues > HOSTVM_VIRTIO_MAX_QUEUES || config->config_size > VIRTIO_CONFIG_MAX) {
        return fail(-EINVAL,
                    "cannot make virtio device %u with %u queues and %zu bytes of configuration: "
                    "at most %d and %d are possible",
                    config->id, config->nr_queues, config->config_size, HOSTVM_VIRTIO_MAX_QUEUES,
                    VIRTIO_CONFIG_MAX);
    }
    if ((config->features & ~VIRTIO_F_OF_DEVICES) != 0) {
        return fail(-EINVAL,
                    "cannot make virtio device %u with features 0x%llx: a device's own are bits 0 "
                    "to 23 and 50 to 63",
                    config->id, (unsigned long long)config->features);
    }
    for (unsigned i = 0; i < config->nr_queues; i++) {
        if (!is_queue_size(config->queue_sizes[i])) {
            return fail(-EINVAL,
                        "cannot make virtio device %u with a queue of %u: sizes are powers of two, "
                        "at most %d",
                        config->id, config->queue_sizes[i], HOSTVM_VIRTIO_MAX_QUEUE_SIZE);
        }
    }
    return 0;
}

static int create_queues(struct hostvm_virtio *device, const hostvm_virtio_config_t *config)
{
    device->queues = calloc(config->nr_queues + 1u, sizeof(*device->queues)); /* never 0 */
    if (device->queues == NULL) {
        return fail(-ENOMEM, "cannot make virtio device %u: out of memory", config->id);
    }
    while (device->nr_queues < config->nr_queues) {
        struct hostvm_virtqueue *queue = &device->queues[device->nr_queues];

        queue->device = device;
        queue->index = device->nr_queues;
        queue->size_max = config->queue_sizes[queue->index];
        queue->kick_fd = io_eventfd();
        if (queue->kick_fd < 0) {
            return queue->kick_fd;
        }
        virtqueue_reset(queue);
        device->nr_queues++;
    }
    return 0;
}

static int create(vm_t *vm, const hostvm_virtio_config_t *config, struct hostvm_virtio **ret)
{
    struct hostvm_virtio *device;
    int r = check_config(config);

    if (r < 0) {
        return r;
    }
    device = calloc(1, sizeof(*device));
    if (device == NULL) {
        return fail(-ENOMEM, "cannot make virtio device %u: out of memory", config->id);
    }
    *device = (struct hostvm_virtio){
        .vm = vm,
        .id = config->id,
        .offered = config->features | VIRTIO_F_VERSION_1 | (VIRTIO_F_OF_QUEUES & ~config->without),
        .ops = config->ops,
        .cookie = config->cookie,
        .config_lock = PTHREAD_MUTEX_INITIALIZER,
        .config_size = config->config_size,
    };
    if (config->config_size > 0) {
        memcpy(device->config, config->config, config->config_size);
    }
    *ret = device;
    return create_queues(device, config);
}

hostvm_virtio_t *hostvm_virtio_create(vm_t *vm, const hostvm_virtio_config_t *config)
{
    struct hostvm_virtio *device = NULL;
    int r;

    if (vm == NULL || config == NULL) {
        r = fail(-EINVAL, "hostvm_virtio_create: no VM or no configuration given");
    } else {
        r = create(vm, config, &device);
    }
    if (virtio_status_of(vm, r) < 0) {
        hostvm_virtio_destroy(device);
        return NULL;
    }
    return device;
}

static void reset(struct hostvm_virtio *device)
{
    if (device->is_started) {
        device->is_started = false;
        if (device->ops->stop != NULL) {
            device->ops->stop(device->cookie);
        }
    }
    for (unsigned i = 0; i < device->nr_queues; i++) {
        virtqueue_reset(&device->queues[i]);
    }
    if (device->transport != NULL && device->transport->reset != NULL) {
        device->transport->reset(device);
    }
    device->accepted = 0;
    atomic_store(&device->isr, 0);
    atomic_store(&device->status, 0);
}

void hostvm_virtio_destroy(hostvm_virtio_t *device)
{
    if (device == NULL) {
        return;
    }
    reset(device);
    if (device->transport != NULL) {
        device->transport->detach(device);
    }
    for (unsigned i = 0; i < device->nr_queues; i++) {
        io_close(&device->queues[i].kick_fd);
    }
    free(device->queues);
    free(device);
}

hostvm_virtqueue_t *hostvm_virtio_queue(hostvm_virtio_t *device, unsigned int index)
{
    return device == NULL ? NULL : virtio_select(device, index);
}

/* --- status --- */

static bool features_are_good(const struct hostvm_virtio *device)
{
    return (device->accepted & ~device->offered) == 0 &&
           (device->accepted & VIRTIO_F_VERSION_1) != 0;
}

static void start(struct hostvm_virtio *device)
{
    for (unsigned i = 0; i < device->nr_queues; i++) {
        if (device->queues[i].is_enabled && virtqueue_start(&device->queues[i]) < 0) {
            return; /* in need of a reset by now */
        }
    }
    if (device->ops->start != NULL &&
        device->ops->start(device->cookie, device->accepted & VIRTIO_F_OF_DEVICES) != 0) {
        hostvm_virtio_fail(device, NULL); /* whoever failed has said why */
        return;
    }
    device->is_started = true;
}

void virtio_set_status(struct hostvm_virtio *device, uint8_t status)
{
    unsigned before = atomic_load(&device->status);
    unsigned added = status & ~before & ~(unsigned)VIRTIO_NEEDS_RESET;

    if (status == 0) {
        reset(device);
        return;
    }
    if ((added & VIRTIO_FEATURES_OK) != 0 && !features_are_good(device)) {
        added &= ~(unsigned)VIRTIO_FEATURES_OK;
    }
    before = atomic_fetch_or(&device->status, added);
    if ((added & VIRTIO_DRIVER_OK) != 0 && ((before | added) & VIRTIO_FEATURES_OK) != 0 &&
        (before & (VIRTIO_NEEDS_RESET | VIRTIO_FAILED)) == 0) {
        start(device);
    }
}

void hostvm_virtio_fail(hostvm_virtio_t *device, const char *why)
{
    unsigned before = atomic_fetch_or(&device->status, VIRTIO_NEEDS_RESET);

    if (why != NULL) {
        hostvm_vm_log_guest(device->vm, "virtio device %u is in need of a reset: %s", device->id,
                            why);
    }
    if ((before & VIRTIO_DRIVER_OK) != 0 && (before & VIRTIO_NEEDS_RESET) == 0 &&
        device->transport != NULL) {
        device->transport->interrupt_config(device);
    }
}

/* --- features --- */

enum { WORDS = 2, WORD_BITS = 32 };

static uint32_t word_of(uint64_t features, uint32_t word)
{
    return word < WORDS ? (uint32_t)(features >> word * WORD_BITS) : 0;
}

uint32_t virtio_offered(const struct hostvm_virtio *device, uint32_t word)
{
    return word_of(device->offered, word);
}

uint32_t virtio_accepted(const struct hostvm_virtio *device, uint32_t word)
{
    return word_of(device->accepted, word);
}

void virtio_accept(struct hostvm_virtio *device, uint32_t word, uint32_t bits)
{
    uint64_t mask = (uint64_t)UINT32_MAX << (word % WORDS * WORD_BITS);

    if (word >= WORDS || (atomic_load(&device->status) & VIRTIO_FEATURES_OK) != 0) {
        return;
    }
    device->accepted = (device->accepted & ~mask) | (uint64_t)bits << word * WORD_BITS;
}

/* --- configuration space --- */

void virtio_read_config(struct hostvm_virtio *device, size_t offset, void *bytes, size_t size)
{
    memset(bytes, 0, size);
    if (offset >= device->config_size) {
        return;
    }
    if (size > device->config_size - offset) {
        size = device->config_size - offset;
    }
    (void)pthread_mutex_lock(&device->config_lock);
    memcpy(bytes, device->config + offset, size);
    (void)pthread_mutex_unlock(&device->config_lock);
}

void virtio_write_config(struct hostvm_virtio *device, size_t offset, const void *bytes,
                         size_t size)
{
    if (device->ops->write_config != NULL && offset < device->config_size &&
        size <= device->config_size - offset) {
        device->ops->write_config(device->cookie, offset, bytes, size);
    }
}

int hostvm_virtio_set_config(hostvm_virtio_t *device, size_t offset, const void *bytes, size_t size)
{
    if (offset > device->config_size || size > device->config_size - offset) {
        return virtio_status_of(
            device->vm, fail(-EINVAL, "virtio device %u has %zu bytes of configuration, not %zu",
                             device->id, device->config_size, offset + size));
    }
    (void)pthread_mutex_lock(&device->config_lock);
    memcpy(device->config + offset, bytes, size);
    atomic_fetch_add(&device->generation, 1);
    (void)pthread_mutex_unlock(&device->config_lock);
    if ((atomic_load(&device->status) & VIRTIO_DRIVER_OK) != 0 && device->transport != NULL) {
        device->transport->interrupt_config(device);
    }
    return 0;
}

/* --- queues, as the driver sets them up --- */

struct hostvm_virtqueue *virtio_select(struct hostvm_virtio *device, uint32_t index)
{
    return index < device->nr_queues ? &device->queues[index] : NULL;
}

static bool can_be_set_up(const struct hostvm_virtqueue *queue)
{
    return !queue->is_enabled && !queue->device->is_started;
}

/* Other sizes are the driver's mistake, and ignored: it finds the size that is. Packed rings may
 * have any. */
void virtio_queue_set_size(struct hostvm_virtqueue *queue, uint32_t size)
{
    bool is_packed = (queue->device->accepted & HOSTVM_VIRTIO_F_RING_PACKED) != 0;

    if (can_be_set_up(queue) && size > 0 && size <= queue->size_max &&
        (is_packed || (size & (size - 1)) == 0)) {
        queue->size = (uint16_t)size;
    }
}

void virtio_queue_set_address(struct hostvm_virtqueue *queue, uint64_t *address, unsigned word,
                              uint32_t value)
{
    uint64_t mask = (uint64_t)UINT32_MAX << word * WORD_BITS;

    if (can_be_set_up(queue)) {
        *address = (*address & ~mask) | (uint64_t)value << word * WORD_BITS;
    }
}

void virtio_queue_enable(struct hostvm_virtqueue *queue, bool wanted)
{
    if (!queue->device->is_started) {
        queue->is_enabled = wanted;
    }
}

void virtio_kick(struct hostvm_virtqueue *queue)
{
    (void)eventfd_write(queue->kick_fd, 1); /* full: it is readable all the same */
}
