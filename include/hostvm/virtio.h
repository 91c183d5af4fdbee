/*
 * Virtio devices of one's own (OASIS, Virtual I/O Device version 1.2). Here are queues, features,
 * the configuration space, interrupts and two ways for the guest to find the device: registers in
 * memory (4.2) and PCI (4.1). What becomes of a request is the program's.
 *
 * A device in a page: hostvm_virtio_create, hostvm_virtio_attach_mmio, and for each queue a watch
 * on hostvm_virtqueue_fd, in the VM's event loop (hostvm_event_add) or any thread:
 *
 *     while (hostvm_virtqueue_pop(queue, &buffer) > 0) {
 *         ... reads buffer.iov[0 .. nr_out), writes the nr_in behind them
 *         hostvm_virtqueue_push(queue, &buffer, written);
 *     }
 *     hostvm_virtqueue_publish(queue);
 *
 * The guest is not trusted: whatever lies in its queues, a buffer is guest memory from end to end.
 * But the guest can write to it at any time: what is checked is copied first. A guest that breaks a
 * queue's rules finds the device in need of a reset (2.1.1), and its queues stand still until then.
 *
 * Threads: each queue is used by one thread at a time. Different queues, and the functions that say
 * so, may be used by any threads at once. start, stop and write_config are called on a vcpu's
 * thread, under the VM's lock; a thread that they wait for must not want that lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <hostvm/pci.h>
#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A device. Opaque.
 */
typedef struct hostvm_virtio hostvm_virtio_t;

/**
 * One of its queues. Opaque.
 */
typedef struct hostvm_virtqueue hostvm_virtqueue_t;

/* The most queues of a device, and the most buffers of a queue. */
#define HOSTVM_VIRTIO_MAX_QUEUES     64
#define HOSTVM_VIRTIO_MAX_QUEUE_SIZE 1024

/**
 * What a program does for its device. NULL where there is nothing to do.
 */
typedef struct hostvm_virtio_ops {
    /**
     * The driver is ready (DRIVER_OK): queues that it has set up may be used from now on.
     *
     * @param features  those that driver and device agreed on
     * @return 0; -1: the device is in need of a reset
     */
    int (*start)(void *cookie, uint64_t features);

    /**
     * The driver resets the device. When this returns, nobody uses its queues, nor memory that came
     * from them; buffers that were not pushed are forgotten. Also called by hostvm_virtio_destroy;
     * always after a start that succeeded, once.
     */
    void (*stop)(void *cookie);

    /**
     * The driver writes to the configuration space, inside of it, 1 to 8 bytes. Nothing changes
     * unless this calls hostvm_virtio_set_config.
     */
    void (*write_config)(void *cookie, size_t offset, const void *bytes, size_t size);
} hostvm_virtio_ops_t;

/* Features of queues (virtio 1.2, 6), which every device offers. */
#define HOSTVM_VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define HOSTVM_VIRTIO_F_EVENT_IDX     (1ull << 29)
#define HOSTVM_VIRTIO_F_RING_PACKED   (1ull << 34)

/**
 * What a device is.
 */
typedef struct hostvm_virtio_config {
    uint16_t id;                 /* virtio 1.2, 5: 1 network, 2 block, 3 console, 4 entropy, ... */
    uint64_t features;           /* the device's own, bits 0 to 23 and 50 to 63; those of queues and
                                    transports are added */
    uint64_t without;            /* features of queues that it does not offer */
    unsigned int nr_queues;      /* at most HOSTVM_VIRTIO_MAX_QUEUES */
    const uint16_t *queue_sizes; /* the most buffers of each: powers of two, at most
                                    HOSTVM_VIRTIO_MAX_QUEUE_SIZE; copied */
    const void *config;          /* first contents of the configuration space; copied */
    size_t config_size;          /* at most 256 */
    const hostvm_virtio_ops_t *ops; /* lives as long as the device */
    void *cookie;
} hostvm_virtio_config_t;

/**
 * Makes a device, which the guest does not see yet. Before the VM runs.
 *
 * @param config  copied
 * @return the device, to be destroyed before the VM is; NULL when vm or config is NULL, config is
 * not as described, or memory or descriptors run out
 */
hostvm_virtio_t *hostvm_virtio_create(vm_t *vm, const hostvm_virtio_config_t *config);

/**
 * Takes a device away: stops it, and frees what it holds of the VM. Not while the VM runs, not from
 * its callbacks. NULL is fine.
 */
void hostvm_virtio_destroy(hostvm_virtio_t *device);

/* Bytes of guest memory that a device's registers take. */
#define HOSTVM_VIRTIO_MMIO_SIZE 0x1000

/**
 * Shows the device to the guest as registers in memory (virtio 1.2, 4.2). That they are there, the
 * guest is told by ACPI (LNRO0005), a device tree ("virtio,mmio") or a command line: the program's
 * business. After vm_create_default_irq_controller, once per device.
 *
 * @param gpa  a multiple of 4 KiB; HOSTVM_VIRTIO_MMIO_SIZE bytes are reserved there
 * @param gsi  interrupt line (hostvm_irq_line), which the guest is told to take for an edge, and
 *             which no other device has
 * @return 0; -1 when device is NULL, it is attached already, gpa is not aligned or reserved, there
 * is no such line, or KVM refuses
 */
int hostvm_virtio_attach_mmio(hostvm_virtio_t *device, uintptr_t gpa, unsigned int gsi);

/**
 * Shows the device to the guest as a PCI function (virtio 1.2, 4.1; without what drivers before
 * virtio 1.0 want), with a message for each queue and one for the configuration. Once per device.
 *
 * @param bus   outlives the device
 * @param slot  0 to 31; -1: the first that is free
 * @return 0; -1 when device or bus is NULL, it is attached already, the slot, or every slot, is
 * taken, or memory or descriptors run out
 */
int hostvm_virtio_attach_pci(hostvm_virtio_t *device, hostvm_pci_bus_t *bus, int slot);

/**
 * One of the device's queues; it lives as long as the device.
 *
 * @return NULL when device is NULL or has no such queue
 */
hostvm_virtqueue_t *hostvm_virtio_queue(hostvm_virtio_t *device, unsigned int index);

/**
 * Changes the configuration space, and tells the driver (2.5, 2.3). From any thread.
 *
 * @return 0; -1 when it reaches past the end of the configuration space
 */
int hostvm_virtio_set_config(hostvm_virtio_t *device, size_t offset, const void *bytes,
                             size_t size);

/**
 * Has the driver know that the device is in need of a reset: it, or its guest, did what cannot be
 * gone on from. Queues stand still. From any thread.
 *
 * @param why  for the log, which is limited for what a guest can provoke
 */
void hostvm_virtio_fail(hostvm_virtio_t *device, const char *why);

/* --- queues: by the thread that uses the queue; hot: no lock, no allocation --- */

/**
 * An eventfd that is readable when the driver has made buffers available and was asked to tell
 * (hostvm_virtqueue_rearm). Always the same one, from create to destroy; non-blocking. Whoever
 * watches it reads it. It may also be written, to have the queue looked at.
 */
int hostvm_virtqueue_fd(const hostvm_virtqueue_t *queue);

/**
 * The driver has set this queue up. From start to stop.
 */
bool hostvm_virtqueue_is_ready(const hostvm_virtqueue_t *queue);

/**
 * A buffer that the driver has made available. iov and iov_max are the caller's: set before
 * hostvm_virtqueue_pop, which fills in the rest. A copy of it is as good.
 */
typedef struct hostvm_virtio_buffer {
    struct iovec *iov; /* pieces of guest memory: nr_out for the device to read, then nr_in for it
                          to write */
    unsigned int iov_max;
    unsigned int nr_out, nr_in;
    size_t out_size, in_size; /* bytes in them */
    uint16_t id;              /* the queue's own from here on */
    uint16_t nr_descriptors;
} hostvm_virtio_buffer_t;

/**
 * Takes the next available buffer.
 *
 * @return 1: there it is; 0: none is available; -1: the guest has broken the queue's rules (a
 * buffer outside of RAM, a loop, more pieces than iov_max, ...), or the queue is not ready: nothing
 * comes from it until the driver resets the device
 */
int hostvm_virtqueue_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer);

/**
 * Gives a buffer back, used, in any order; the driver sees it with the next
 * hostvm_virtqueue_publish.
 *
 * @param written  bytes written to the buffer, from the first one on
 */
void hostvm_virtqueue_push(hostvm_virtqueue_t *queue, const hostvm_virtio_buffer_t *buffer,
                           size_t written);

/**
 * Shows the driver all buffers that were pushed, at once, and interrupts it if it wants to know.
 */
void hostvm_virtqueue_publish(hostvm_virtqueue_t *queue);

/**
 * Asks the driver not to tell of new buffers: they are going to be looked for.
 */
void hostvm_virtqueue_disarm(hostvm_virtqueue_t *queue);

/**
 * Asks the driver to tell of new buffers, as it does at first.
 *
 * @return whether there are some already, of which it may not tell
 */
bool hostvm_virtqueue_rearm(hostvm_virtqueue_t *queue);

/* --- a queue that another process serves (vhost-user) --- */

/**
 * Where a queue lies, as the driver has set it up (virtio 1.2, 2.6).
 */
typedef struct hostvm_virtqueue_layout {
    uint64_t descriptors, driver_area,
        device_area; /* guest-physical; checked: all of it is memory */
    uint16_t size;
    uint64_t features; /* that driver and device agreed on, also those of queues and transports */
} hostvm_virtqueue_layout_t;

/**
 * Tells where a queue lies, for whoever is to serve it in the place of this process: it gets the
 * descriptor of hostvm_virtqueue_fd, too, and until it is done with the queue nobody here uses it
 * otherwise than with the two functions below. Which file the memory is, hostvm_vm_memory_fd
 * (hostvm/vm.h) tells. From start to stop.
 *
 * @return 0; -1 when the queue is not ready, or ret is NULL: *ret is untouched then
 */
int hostvm_virtqueue_layout(const hostvm_virtqueue_t *queue, hostvm_virtqueue_layout_t *ret);

/**
 * Interrupts the driver, as hostvm_virtqueue_publish does if the driver wants to know: for the one
 * who serves the queue, and has found out. From any thread, from start to stop.
 */
void hostvm_virtqueue_interrupt(hostvm_virtqueue_t *queue);

/**
 * Takes a queue back whose server has ended without a word on how far it came: this process serves
 * it from here on. The buffers that the driver has made available, and of which none says that they
 * were used, come from hostvm_virtqueue_pop (again). Which they are, the rings tell only as far as
 * they reach back: a buffer that was under way while as many others came and went as the queue
 * holds is not found, and stays with nobody until the driver resets the device. Only split queues
 * (HOSTVM_VIRTIO_F_RING_PACKED in hostvm_virtio_config.without).
 *
 * @return 0; -1 when the queue is not ready, packed, or what lies in it is no queue (any more)
 */
int hostvm_virtqueue_take_back(hostvm_virtqueue_t *queue);

/**
 * Copies bytes out of what the device reads of a buffer, or into what it writes, from an offset on.
 *
 * @return how many were copied: less than size where the buffer ends
 */
size_t hostvm_virtio_read(const hostvm_virtio_buffer_t *buffer, size_t offset, void *bytes,
                          size_t size);
size_t hostvm_virtio_write(const hostvm_virtio_buffer_t *buffer, size_t offset, const void *bytes,
                           size_t size);

#ifdef __cplusplus
}
#endif
