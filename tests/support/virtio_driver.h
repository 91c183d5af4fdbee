/* Memory and a driver for one virtio device, without a VM: to be included by one file of a test. */
#ifndef SUPPORT_VIRTIO_DRIVER_H
#define SUPPORT_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/vm.h>

#include "virtio/device.h"
#include "virtio/ring.h"

/* RAM is in one piece, from 0 on; rings lie at its end. */
enum {
    DRIVER_RAM_SIZE = 4 << 20,
    DRIVER_QUEUES = 5,
    DRIVER_RING = 0x4000, /* bytes of a queue's rings */
    DRIVER_RINGS = DRIVER_RAM_SIZE - DRIVER_QUEUES * DRIVER_RING,
    DRIVER_AVAILABLE = 0x2000,
    DRIVER_USED = 0x3000,
};

struct driver {
    struct hostvm_virtio *device;
    uint16_t next_descriptor[DRIVER_QUEUES];
};

/* The memory of whatever VM. */
static uint8_t *driver_ram;
static int driver_ram_fd = -1;

static atomic_uint driver_nr_interrupts, driver_nr_config_interrupts;
static atomic_uint driver_nr_stops; /* hostvm_vm_stop */

#define UNUSED __attribute__((unused))

/* --- in the place of the library's: what a device asks of its VM. The linker gives them these
 * names (virtio_driver.flags) --- */

void *__wrap_hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size);
void *__wrap_hostvm_vm_writable_pointer(vm_t *vm, uintptr_t gpa, size_t size);
int __wrap_hostvm_vm_stop(vm_t *vm);
void __wrap_hostvm_vm_log(vm_t *vm, enum hostvm_log_level level, const char *fmt, ...);
void __wrap_hostvm_vm_log_guest(vm_t *vm, const char *fmt, ...);

void *__wrap_hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    (void)vm;
    return gpa < DRIVER_RAM_SIZE && size <= DRIVER_RAM_SIZE - gpa ? driver_ram + gpa : NULL;
}

void *__wrap_hostvm_vm_writable_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    return __wrap_hostvm_vm_pointer(vm, gpa, size);
}

int __wrap_hostvm_vm_stop(vm_t *vm)
{
    (void)vm;
    atomic_fetch_add(&driver_nr_stops, 1);
    return 0;
}

void __wrap_hostvm_vm_log(vm_t *vm, enum hostvm_log_level level, const char *fmt, ...)
{
    (void)vm;
    (void)level;
    (void)fmt;
}

void __wrap_hostvm_vm_log_guest(vm_t *vm, const char *fmt, ...)
{
    (void)vm;
    (void)fmt;
}

/* The host's random numbers; an errno in their place. */
static atomic_int driver_getrandom_errno;

ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    int error = atomic_load(&driver_getrandom_errno);

    if (error != 0) {
        errno = error;
        return -1;
    }
    return __real_getrandom(bytes, size, flags);
}

/* --- a transport that counts --- */

static void driver_interrupt_queue(struct hostvm_virtio *device, struct hostvm_virtqueue *queue)
{
    (void)device;
    (void)queue;
    atomic_fetch_add(&driver_nr_interrupts, 1);
}

static void driver_interrupt_config(struct hostvm_virtio *device)
{
    (void)device;
    atomic_fetch_add(&driver_nr_config_interrupts, 1);
}

static void driver_detach(struct hostvm_virtio *device)
{
    device->transport = NULL;
}

static const struct virtio_transport driver_transport = {
    .interrupt_queue = driver_interrupt_queue,
    .interrupt_config = driver_interrupt_config,
    .detach = driver_detach,
};

/* --- memory --- */

static UNUSED void driver_ram_open(void)
{
    driver_ram_fd = memfd_create("ram", MFD_CLOEXEC);
    assert_true(driver_ram_fd >= 0);
    assert_int_equal(ftruncate(driver_ram_fd, DRIVER_RAM_SIZE), 0);
    driver_ram = mmap(NULL, DRIVER_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, driver_ram_fd, 0);
    assert_ptr_not_equal(driver_ram, MAP_FAILED);
}

static UNUSED void driver_ram_close(void)
{
    (void)munmap(driver_ram, DRIVER_RAM_SIZE);
    (void)close(driver_ram_fd);
}

/* --- the driver --- */

static uint64_t driver_ring(unsigned queue)
{
    return DRIVER_RINGS + (uint64_t)queue * DRIVER_RING;
}

static void driver_set_address(struct hostvm_virtqueue *queue, uint64_t *address, uint64_t gpa)
{
    virtio_queue_set_address(queue, address, 0, (uint32_t)gpa);
    virtio_queue_set_address(queue, address, 1, (uint32_t)(gpa >> 32));
}

/* Before the device is used. */
static UNUSED void driver_attach(struct driver *driver, struct hostvm_virtio *device)
{
    *driver = (struct driver){.device = device};
    device->transport = &driver_transport;
}

static UNUSED void driver_reset(struct driver *driver)
{
    virtio_set_status(driver->device, 0);
    memset(driver_ram + DRIVER_RINGS, 0, DRIVER_QUEUES * DRIVER_RING);
    memset(driver->next_descriptor, 0, sizeof(driver->next_descriptor));
}

/* Sets up the queues that are bits of the mask, and says that it is there. */
static UNUSED void driver_start(struct driver *driver, uint64_t features, unsigned queues)
{
    struct hostvm_virtio *device = driver->device;

    driver_reset(driver);
    virtio_set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_accept(device, 0, (uint32_t)features);
    virtio_accept(device, 1, (uint32_t)((features | VIRTIO_F_VERSION_1) >> 32));
    virtio_set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
    for (unsigned i = 0; i < device->nr_queues; i++) {
        struct hostvm_virtqueue *queue = &device->queues[i];

        if ((queues & 1u << i) != 0) {
            driver_set_address(queue, &queue->descriptors, driver_ring(i));
            driver_set_address(queue, &queue->driver_area, driver_ring(i) + DRIVER_AVAILABLE);
            driver_set_address(queue, &queue->device_area, driver_ring(i) + DRIVER_USED);
            virtio_queue_enable(queue, true);
        }
    }
    virtio_set_status(device,
                      VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static UNUSED bool driver_needs_reset(const struct driver *driver)
{
    return (atomic_load(&driver->device->status) & VIRTIO_NEEDS_RESET) != 0;
}

struct driver_piece {
    uint64_t gpa;
    uint32_t size;
    bool is_writable;
};

/* Makes a buffer available, without a word. Descriptors are taken in turns, of a queue as large as
 * the device lets it be. Its head. */
static UNUSED unsigned driver_add(struct driver *driver, unsigned queue,
                                  const struct driver_piece *pieces, unsigned nr_pieces)
{
    uint16_t size = driver->device->queues[queue].size;
    uint8_t *ring = driver_ram + driver_ring(queue);
    struct split_descriptor *descriptors = (struct split_descriptor *)(void *)ring;
    struct split_available *available = (struct split_available *)(void *)(ring + DRIVER_AVAILABLE);
    unsigned head = driver->next_descriptor[queue] % size;

    for (unsigned i = 0; i < nr_pieces; i++) {
        unsigned at = driver->next_descriptor[queue]++ % size;

        descriptors[at] = (struct split_descriptor){
            .address = pieces[i].gpa,
            .length = pieces[i].size,
            .flags = (uint16_t)((i + 1 < nr_pieces ? DESCRIPTOR_NEXT : 0) |
                                (pieces[i].is_writable ? DESCRIPTOR_WRITE : 0)),
            .next = (uint16_t)((at + 1) % size),
        };
    }
    STORE(available->ring[available->index % size], (uint16_t)head);
    STORE_RELEASE(available->index, (uint16_t)(available->index + 1));
    return head;
}

static UNUSED void driver_kick(struct driver *driver, unsigned queue)
{
    virtio_kick(&driver->device->queues[queue]);
}

/* How many buffers the device has given back. */
static UNUSED unsigned driver_nr_used(unsigned queue)
{
    const struct split_used *used =
        (const struct split_used *)(const void *)(driver_ram + driver_ring(queue) + DRIVER_USED);

    return LOAD_ACQUIRE(used->index);
}

/* How much it has written to the n-th of them. */
static UNUSED uint32_t driver_written(const struct driver *driver, unsigned queue, unsigned n)
{
    const struct split_used *used =
        (const struct split_used *)(const void *)(driver_ram + driver_ring(queue) + DRIVER_USED);

    return used->ring[n % driver->device->queues[queue].size].length;
}

/* What no driver does: rings full of chance, of which the index moves on a little, so that some of
 * it is looked at; most addresses are of memory, or just not. */
static UNUSED void driver_garbage(struct driver *driver, unsigned queue, unsigned *seed)
{
    uint16_t size = driver->device->queues[queue].size;
    uint8_t *ring = driver_ram + driver_ring(queue);
    struct split_descriptor *descriptors = (struct split_descriptor *)(void *)ring;
    struct split_available *available = (struct split_available *)(void *)(ring + DRIVER_AVAILABLE);

    for (unsigned i = 0; i < size; i++) {
        unsigned r = (unsigned)rand_r(seed);

        descriptors[i].address =
            r % 5 == 0 ? (uint64_t)rand_r(seed) << 33 : (uint64_t)rand_r(seed) % DRIVER_RAM_SIZE;
        descriptors[i].length = r % 7 == 0 ? (uint32_t)rand_r(seed) : (uint32_t)rand_r(seed) % 9000;
        descriptors[i].flags = (uint16_t)(rand_r(seed) % 8 & (r % 3 == 0 ? 7 : 3));
        descriptors[i].next = (uint16_t)(rand_r(seed) % (size + 1));
        available->ring[i] = (uint16_t)(rand_r(seed) % (size + (r % 11 == 0)));
    }
    STORE_RELEASE(available->index, (uint16_t)(driver_nr_used(queue) + rand_r(seed) % 8));
    driver_kick(driver, queue);
}

#endif
