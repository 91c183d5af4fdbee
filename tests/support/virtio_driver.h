/* A virtio driver for tests: it sets queues up in a guest's memory, and does with them what a guest
 * does, or should not do. The device's transport is a list of what it said. Whose memory it is,
 * says the file that includes this one: virtio_vm.h or virtio_memory.h. */
#ifndef SUPPORT_VIRTIO_DRIVER_H
#define SUPPORT_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <hostvm/virtio.h>
#include <hostvm/vm.h>

#include "virtio/ring.h"

/* RAM is in one piece, from 0 on; at its end lie rings of up to 64, a page for each part. */
enum {
    DRIVER_RAM = 4 << 20,
    DRIVER_QUEUES = 8,
    QUEUE_STRIDE = 0x3000,
    RINGS_GPA = DRIVER_RAM - DRIVER_QUEUES * QUEUE_STRIDE,
};

struct driver_queue {
    struct hostvm_virtqueue *queue;
    struct split_descriptor *descriptors; /* either kind: the same size */
    struct packed_descriptor *packed;
    struct split_available *available;
    struct split_used *used;
    struct packed_events *driver_events, *device_events;
    uint16_t size, next, next_used;
    bool wrap, used_wrap;
};

struct driver {
    vm_t vm;
    hostvm_virtio_t *device;
    bool is_packed;
    struct driver_queue queues[DRIVER_QUEUES];
    unsigned nr_interrupts[DRIVER_QUEUES];
    unsigned nr_config_interrupts;
};

/* One driver at a time. */
static struct driver driver;

static inline void driver_interrupted(struct hostvm_virtio *device, struct hostvm_virtqueue *queue)
{
    (void)device;
    /* Whose thread it is, the device decides. */
    (void)__atomic_fetch_add(&driver.nr_interrupts[queue->index], 1, __ATOMIC_RELAXED);
}

static inline void driver_config_interrupted(struct hostvm_virtio *device)
{
    (void)device;
    (void)__atomic_fetch_add(&driver.nr_config_interrupts, 1, __ATOMIC_RELAXED);
}

static inline void driver_detached(struct hostvm_virtio *device)
{
    device->transport = NULL;
}

static const struct virtio_transport driver_transport = {
    .interrupt_queue = driver_interrupted,
    .interrupt_config = driver_config_interrupted,
    .detach = driver_detached,
};

static inline void *driver_at(uint64_t gpa, size_t size)
{
    void *bytes = hostvm_vm_pointer(&driver.vm, gpa, size);

    assert_non_null(bytes);
    return bytes;
}

/* --- its beginning --- */

static inline uint64_t driver_area_of(unsigned queue, unsigned part)
{
    return RINGS_GPA + queue * QUEUE_STRIDE + part * 0x1000;
}

static inline void driver_set_up(unsigned index, uint16_t size)
{
    struct driver_queue *q = &driver.queues[index];
    struct hostvm_virtqueue *queue = virtio_select(driver.device, index);

    assert_non_null(queue);
    *q = (struct driver_queue){.queue = queue, .size = size, .wrap = true, .used_wrap = true};
    memset(driver_at(driver_area_of(index, 0), QUEUE_STRIDE), 0, QUEUE_STRIDE);
    q->descriptors = driver_at(driver_area_of(index, 0), 0x1000);
    q->packed = (struct packed_descriptor *)(void *)q->descriptors;
    q->available = driver_at(driver_area_of(index, 1), 0x1000);
    q->used = driver_at(driver_area_of(index, 2), 0x1000);
    q->driver_events = (struct packed_events *)(void *)q->available;
    q->device_events = (struct packed_events *)(void *)q->used;
    virtio_queue_set_size(queue, size);
    virtio_queue_set_address(queue, &queue->descriptors, 0, (uint32_t)driver_area_of(index, 0));
    virtio_queue_set_address(queue, &queue->driver_area, 0, (uint32_t)driver_area_of(index, 1));
    virtio_queue_set_address(queue, &queue->device_area, 0, (uint32_t)driver_area_of(index, 2));
    virtio_queue_enable(queue, true);
}

enum { DRIVER_READY = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER };

static inline void driver_attach(hostvm_virtio_t *device)
{
    driver.device = device;
    device->transport = &driver_transport;
}

static inline void driver_negotiate(uint64_t features)
{
    driver.is_packed = (features & HOSTVM_VIRTIO_F_RING_PACKED) != 0;
    features |= VIRTIO_F_VERSION_1;
    virtio_set_status(driver.device, DRIVER_READY);
    virtio_accept(driver.device, 0, (uint32_t)features);
    virtio_accept(driver.device, 1, (uint32_t)(features >> 32));
    virtio_set_status(driver.device, DRIVER_READY | VIRTIO_FEATURES_OK);
}

static inline void driver_be_ready(void)
{
    virtio_set_status(driver.device, DRIVER_READY | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

/* Up to DRIVER_OK, with all queues of this size. */
static inline void driver_start(hostvm_virtio_t *device, uint64_t features, uint16_t size)
{
    driver_attach(device);
    driver_negotiate(features);
    assert_true((atomic_load(&device->status) & VIRTIO_FEATURES_OK) != 0);
    for (unsigned i = 0; i < device->nr_queues && i < DRIVER_QUEUES; i++) {
        driver_set_up(i, size);
    }
    driver_be_ready();
}

static inline void driver_reset(void)
{
    virtio_set_status(driver.device, 0);
    memset(driver_at(RINGS_GPA, DRIVER_QUEUES * QUEUE_STRIDE), 0, DRIVER_QUEUES * QUEUE_STRIDE);
}

/* From wherever it is, with those queues that are bits of the mask, as large as the device lets
 * them be. The device may not manage. */
static inline void driver_restart(uint64_t features, unsigned queues)
{
    driver_reset();
    driver_negotiate(features);
    for (unsigned i = 0; i < driver.device->nr_queues; i++) {
        if ((queues & 1u << i) != 0) {
            driver_set_up(i, driver.device->queues[i].size_max);
        }
    }
    driver_be_ready();
}

static inline bool driver_needs_reset(void)
{
    return (atomic_load(&driver.device->status) & VIRTIO_NEEDS_RESET) != 0;
}

/* --- buffers --- */

/* A piece of a buffer. */
struct piece {
    uint64_t gpa;
    uint32_t size;
    bool is_writable;
};

static inline uint16_t packed_flags(bool wrap)
{
    return wrap ? DESCRIPTOR_AVAILABLE : DESCRIPTOR_USED;
}

static inline void driver_add_packed(struct driver_queue *q, const struct piece *pieces,
                                     unsigned nr)
{
    uint16_t first = q->next;
    uint16_t first_flags = 0;
    uint16_t id = q->next;

    for (unsigned i = 0; i < nr; i++) {
        uint16_t flags =
            (uint16_t)((i + 1 < nr ? DESCRIPTOR_NEXT : 0) |
                       (pieces[i].is_writable ? DESCRIPTOR_WRITE : 0) | packed_flags(q->wrap));

        q->packed[q->next] = (struct packed_descriptor){pieces[i].gpa, pieces[i].size, id,
                                                        i == 0 ? q->packed[q->next].flags : flags};
        first_flags = i == 0 ? flags : first_flags;
        q->next++;
        if (q->next == q->size) {
            q->next = 0;
            q->wrap = !q->wrap;
        }
    }
    STORE_RELEASE(q->packed[first].flags, first_flags);
}

static inline void driver_add_split(struct driver_queue *q, const struct piece *pieces, unsigned nr)
{
    uint16_t head = q->next % q->size;

    for (unsigned i = 0; i < nr; i++) {
        uint16_t place = q->next++ % q->size;

        q->descriptors[place] =
            (struct split_descriptor){pieces[i].gpa, pieces[i].size,
                                      (uint16_t)((i + 1 < nr ? DESCRIPTOR_NEXT : 0) |
                                                 (pieces[i].is_writable ? DESCRIPTOR_WRITE : 0)),
                                      q->next % q->size};
    }
    STORE(q->available->ring[q->available->index % q->size], head);
    STORE_RELEASE(q->available->index, (uint16_t)(q->available->index + 1));
}

/* Makes a buffer available. There is room: the driver counts on the test. */
static inline void driver_add(unsigned queue, const struct piece *pieces, unsigned nr)
{
    struct driver_queue *q = &driver.queues[queue];

    if (driver.is_packed) {
        driver_add_packed(q, pieces, nr);
    } else {
        driver_add_split(q, pieces, nr);
    }
}

/* Takes a used buffer; its first descriptor, or -1: there is none. nr: of how many descriptors it
 * was made. */
static inline int driver_take(unsigned queue, unsigned nr, uint32_t *ret_written)
{
    struct driver_queue *q = &driver.queues[queue];
    int id;

    if (driver.is_packed) {
        uint16_t flags = LOAD_ACQUIRE(q->packed[q->next_used].flags);
        bool used = (flags & DESCRIPTOR_USED) != 0;

        if (((flags & DESCRIPTOR_AVAILABLE) != 0) != used || used != q->used_wrap) {
            return -1;
        }
        id = q->packed[q->next_used].id;
        *ret_written = q->packed[q->next_used].length;
        q->next_used = (uint16_t)(q->next_used + nr);
        if (q->next_used >= q->size) {
            q->next_used = (uint16_t)(q->next_used - q->size);
            q->used_wrap = !q->used_wrap;
        }
        return id;
    }
    if (LOAD_ACQUIRE(q->used->index) == q->next_used) {
        return -1;
    }
    id = (int)q->used->ring[q->next_used % q->size].id;
    *ret_written = q->used->ring[q->next_used % q->size].length;
    q->next_used++;
    return id;
}

static inline void driver_kick(unsigned queue)
{
    virtio_kick(&driver.device->queues[queue]);
}

#endif
