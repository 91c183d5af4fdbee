/* Memory for the driver of virtio_driver.h, without a VM: to be included by one file of a test. */
#ifndef SUPPORT_VIRTIO_MEMORY_H
#define SUPPORT_VIRTIO_MEMORY_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/error.h>

#include "back/worker.h"
#include "support/virtio_driver.h"

/* The memory of whatever VM. */
static uint8_t *driver_ram;
static int driver_ram_fd = -1;

static atomic_uint driver_nr_stops; /* hostvm_vm_stop */

/* --- in the place of the library's: what a device asks of its VM. The linker gives them these
 * names (virtio_memory.flags) --- */

void *__wrap_hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size);
void *__wrap_hostvm_vm_writable_pointer(vm_t *vm, uintptr_t gpa, size_t size);
int __wrap_hostvm_vm_stop(vm_t *vm);
void __wrap_hostvm_vm_log(vm_t *vm, enum hostvm_log_level level, const char *fmt, ...);
void __wrap_hostvm_vm_log_guest(vm_t *vm, const char *fmt, ...);

void *__wrap_hostvm_vm_pointer(vm_t *vm, uintptr_t gpa, size_t size)
{
    (void)vm;
    return gpa < DRIVER_RAM && size <= DRIVER_RAM - gpa ? driver_ram + gpa : NULL;
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

/* --- memory --- */

static inline void driver_ram_open(void)
{
    driver_ram_fd = memfd_create("ram", MFD_CLOEXEC);
    assert_true(driver_ram_fd >= 0);
    assert_int_equal(ftruncate(driver_ram_fd, DRIVER_RAM), 0);
    driver_ram = mmap(NULL, DRIVER_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, driver_ram_fd, 0);
    assert_ptr_not_equal(driver_ram, MAP_FAILED);
    memset(&driver, 0, sizeof(driver));
}

static inline void driver_ram_close(void)
{
    (void)munmap(driver_ram, DRIVER_RAM);
    (void)close(driver_ram_fd);
}

/* --- what the device gives back --- */

static inline void driver_nothing(void *cookie)
{
    (void)cookie;
}

/* All that could be served has been, by the worker. */
static inline void driver_settle(struct worker *worker)
{
    for (unsigned i = 0; i < 12; i++) {
        worker_call(worker, driver_nothing, NULL);
    }
}

static inline struct split_used *driver_used(unsigned queue)
{
    return driver_at(driver_area_of(queue, 2), 0x1000);
}

/* How many buffers the device has given back. */
static inline unsigned driver_nr_used(unsigned queue)
{
    return LOAD_ACQUIRE(driver_used(queue)->index);
}

/* How much it has written to the n-th of them. */
static inline uint32_t driver_written(unsigned queue, unsigned n)
{
    return driver_used(queue)->ring[n % driver.queues[queue].size].length;
}

static inline unsigned driver_nr_config_interrupts(void)
{
    return __atomic_load_n(&driver.nr_config_interrupts, __ATOMIC_RELAXED);
}

/* What no driver does: rings full of chance, of which the index moves on a little, so that some of
 * it is looked at; most addresses are of memory, or just not. */
static inline void driver_garbage(unsigned queue, unsigned *seed)
{
    uint16_t size = driver.queues[queue].size;
    struct split_descriptor *descriptors = driver.queues[queue].descriptors;
    struct split_available *available = driver.queues[queue].available;

    for (unsigned i = 0; i < size; i++) {
        unsigned r = (unsigned)rand_r(seed);

        descriptors[i].address =
            r % 5 == 0 ? (uint64_t)rand_r(seed) << 33 : (uint64_t)rand_r(seed) % DRIVER_RAM;
        descriptors[i].length = r % 7 == 0 ? (uint32_t)rand_r(seed) : (uint32_t)rand_r(seed) % 9000;
        descriptors[i].flags = (uint16_t)(rand_r(seed) % 8 & (r % 3 == 0 ? 7 : 3));
        descriptors[i].next = (uint16_t)(rand_r(seed) % (size + 1));
        available->ring[i] = (uint16_t)(rand_r(seed) % (size + (r % 11 == 0)));
    }
    STORE_RELEASE(available->index, (uint16_t)(driver_nr_used(queue) + rand_r(seed) % 8));
    driver_kick(queue);
}

#endif
