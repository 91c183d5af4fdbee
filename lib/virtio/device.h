/* A virtio device as its transports see it, and its queues. */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include <hostvm/virtio.h>

/* Device status (virtio 1.2, 2.1). */
enum virtio_status {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};

/* Features (virtio 1.2, 2.2 and 6). */
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_F_OF_QUEUES                                                                         \
    (HOSTVM_VIRTIO_F_INDIRECT_DESC | HOSTVM_VIRTIO_F_EVENT_IDX | HOSTVM_VIRTIO_F_RING_PACKED)
#define VIRTIO_F_OF_DEVICES (0xffffffull | 0x3fffull << 50)

/* Interrupt status: a buffer was used, the configuration changed (4.1.4.5, 4.2.2). */
enum virtio_isr {
    VIRTIO_ISR_QUEUE = 1,
    VIRTIO_ISR_CONFIG = 2,
};

enum { VIRTIO_CONFIG_MAX = 256 };

/* How the device interrupts the driver. From any thread. */
struct virtio_transport {
    void (*interrupt_queue)(struct hostvm_virtio *device, struct hostvm_virtqueue *queue);
    void (*interrupt_config)(struct hostvm_virtio *device);
    void (*reset)(struct hostvm_virtio *device); /* NULL: there is nothing of its own */
    void (*detach)(struct hostvm_virtio *device);
};

struct split_ring {
    const struct split_descriptor *descriptors;
    const struct split_available *available;
    struct split_used *used;
    const uint16_t *used_event; /* behind the rings, as the next */
    uint16_t *available_event;
    uint16_t next_available; /* what the device takes next */
    uint16_t seen_available; /* the driver's index when it was last looked at */
    uint16_t next_used;      /* where the device puts the next */
    uint16_t published;      /* the driver sees those before */
    uint16_t *returned;      /* heads that a server has left unused, or NULL */
    uint16_t nr_returned;    /* those still to be taken, the next one last */
};

struct packed_ring {
    struct packed_descriptor *descriptors;
    const struct packed_events *driver; /* who wants to be told of what: the driver, the device */
    struct packed_events *device;
    uint16_t next_available, next_used;
    bool available_wrap, used_wrap;
    uint16_t nr_pushed;    /* descriptors since the last publication */
    uint16_t first_pushed; /* where they begin; shown last of all */
    uint16_t first_flags;
};

struct hostvm_virtqueue {
    struct hostvm_virtio *device;
    unsigned index;
    uint16_t size_max;
    int kick_fd;

    /* Set by the driver through a transport, before it is ready. Guarded by the VM's lock. */
    uint16_t size;
    bool is_enabled;
    uint64_t descriptors, driver_area, device_area; /* guest-physical */
    uint16_t vector;                                /* PCI's */

    /* From start to stop; then of the thread that uses the queue. */
    bool is_ready;
    bool is_broken; /* nothing comes of it any more */
    bool is_packed, has_indirect, has_events;
    union {
        struct split_ring split;
        struct packed_ring packed;
    };
};

struct hostvm_virtio {
    vm_t *vm;
    uint16_t id;
    uint64_t offered, accepted; /* features */
    const hostvm_virtio_ops_t *ops;
    void *cookie;
    atomic_uint status;
    bool is_started; /* start succeeded; stop is to come */
    struct hostvm_virtqueue *queues;
    unsigned nr_queues;

    pthread_mutex_t config_lock; /* guards config; calls nothing */
    uint8_t config[VIRTIO_CONFIG_MAX];
    size_t config_size;
    atomic_uint generation; /* of config */

    const struct virtio_transport *transport; /* NULL: not attached */
    void *transport_state;                    /* the transport's own */
    atomic_uint isr;
};

/* --- what transports pass on from the driver; VM lock held --- */

void virtio_set_status(struct hostvm_virtio *device, uint8_t status);
uint32_t virtio_offered(const struct hostvm_virtio *device, uint32_t word);
uint32_t virtio_accepted(const struct hostvm_virtio *device, uint32_t word);
void virtio_accept(struct hostvm_virtio *device, uint32_t word, uint32_t bits);
void virtio_read_config(struct hostvm_virtio *device, size_t offset, void *bytes, size_t size);
void virtio_write_config(struct hostvm_virtio *device, size_t offset, const void *bytes,
                         size_t size);
struct hostvm_virtqueue *virtio_select(struct hostvm_virtio *device, uint32_t index); /* or NULL */

/* A queue can be set up while it is not enabled, and the device not started. */
void virtio_queue_set_size(struct hostvm_virtqueue *queue, uint32_t size);
void virtio_queue_set_address(struct hostvm_virtqueue *queue, uint64_t *address, unsigned word,
                              uint32_t value); /* half of one of its three */
void virtio_queue_enable(struct hostvm_virtqueue *queue, bool wanted);
void virtio_kick(struct hostvm_virtqueue *queue); /* a notification that was no doorbell's */

/* --- for public functions --- */

int virtio_status_of(vm_t *vm, int r); /* says the reason of a failure: 0 or -1 */

/* --- mmio.c: accesses of 1 to 8 bytes; VM lock held, and the device is attached so --- */

uint64_t virtio_mmio_read(struct hostvm_virtio *device, unsigned offset, size_t size);
void virtio_mmio_write(struct hostvm_virtio *device, unsigned offset, size_t size, uint64_t value);

/* --- queue.c --- */

int virtqueue_start(struct hostvm_virtqueue *queue); /* -errno, said: nothing comes of it */
void virtqueue_reset(struct hostvm_virtqueue *queue);

#endif
