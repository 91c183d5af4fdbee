/* A virtio driver for tests: it sets queues up in the memory of a VM without KVM, and does with
 * them what a guest does, or should not do. The device's transport is a list of what it said. */
#ifndef UNIT_VIRTIO_DRIVER_H
#define UNIT_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <hostvm/env.h>
#include <hostvm/virtio.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>

#include "fake_controllers.h"
#include "support/fake_irqs.h"
#include "support/fake_kvm.h"
#include "support/leak.h"
#include "virtio/ring.h"

/* Where things lie: rings of up to 64 from RINGS_GPA on, a page for each part; then what buffers
 * are made of. */
enum {
    DRIVER_RAM = 4 << 20,
    RINGS_GPA = 0x1000,
    QUEUE_STRIDE = 0x3000,
    TABLE_GPA = 0x80000,
    BUFFERS_GPA = 0x100000,
    DRIVER_QUEUES = 8,
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
    hostvm_env_t env;
    vm_t vm;
    struct fake_irqs *irqs; /* what the VM's KVM was told */
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
    driver.nr_config_interrupts++;
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

/* Nothing is left of a test that is over. */
static struct leak_state driver_leak_state;

static inline int driver_leak_begin(void **state)
{
    (void)state;
    leak_begin(&driver_leak_state);
    return 0;
}

static inline int driver_leak_end(void **state)
{
    (void)state;
    leak_check(&driver_leak_state);
    return 0;
}

#define driver_test(f) cmocka_unit_test_setup_teardown(f, driver_leak_begin, driver_leak_end)

/* The last thing that was said. */
static char driver_said[512];

static inline void driver_log(void *cookie, enum hostvm_log_level level, const char *message)
{
    (void)cookie;
    (void)level;
    (void)snprintf(driver_said, sizeof(driver_said), "%s", message);
}

/* A VM with RAM, and no device yet. */
static inline vm_t *driver_begin(void)
{
    const hostvm_env_config_t config = {.log_fn = driver_log};

    memset(&driver, 0, sizeof(driver));
    driver_said[0] = '\0';
    fake_kvm_begin();
    driver.irqs = fake_irqs_begin();
    assert_int_equal(hostvm_env_create(&driver.env, &config), 0);
    assert_int_equal(vm_init(&driver.vm, &driver.env.vka, &driver.env.simple, driver.env.vspace,
                             &driver.env.io_ops, driver.env.endpoint, "driver"),
                     0);
    assert_int_equal(vm_ram_register_at(&driver.vm, 0, DRIVER_RAM, false), 0);
    assert_int_equal(fake_controllers_start(&driver.vm), 0);
    return &driver.vm;
}

/* The device is gone by now. */
static inline void driver_end(void)
{
    assert_int_equal(driver.irqs->nr_irqfds, 0);
    assert_int_equal(driver.irqs->nr_bells, 0);
    assert_int_equal(hostvm_vm_destroy(&driver.vm), 0);
    hostvm_env_destroy(&driver.env);
    fake_kvm_end();
}

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

/* Up to DRIVER_OK, with all queues of this size. */
static inline void driver_start(hostvm_virtio_t *device, uint64_t features, uint16_t size)
{
    enum { READY = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER };

    driver.device = device;
    driver.is_packed = (features & HOSTVM_VIRTIO_F_RING_PACKED) != 0;
    device->transport = &driver_transport;
    features |= VIRTIO_F_VERSION_1;
    virtio_set_status(device, READY);
    virtio_accept(device, 0, (uint32_t)features);
    virtio_accept(device, 1, (uint32_t)(features >> 32));
    virtio_set_status(device, READY | VIRTIO_FEATURES_OK);
    assert_true((atomic_load(&device->status) & VIRTIO_FEATURES_OK) != 0);
    for (unsigned i = 0; i < device->nr_queues && i < DRIVER_QUEUES; i++) {
        driver_set_up(i, size);
    }
    virtio_set_status(device, READY | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

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
    q->available->ring[q->available->index % q->size] = head;
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

#endif
