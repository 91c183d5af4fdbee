/* What stands in for the core of virtio devices, and for a host side, in the network device's test:
 * queues that the test fills, and that are looked into from any thread. */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hostvm/virtio.h>

#include "back/net_host.h"

enum { FAKE_BUFFERS = 1024, FAKE_QUEUES = 2 * NET_MAX_PAIRS + 1 };

/* A buffer that the driver has made available: pieces of memory of its own. */
struct fake_buffer {
    struct iovec iov[32];
    unsigned nr_out, nr_in;
};

struct fake_used {
    uint16_t id;
    size_t written;
};

struct hostvm_virtqueue {
    int fd;
    bool is_ready, is_broken, is_armed;
    struct fake_buffer buffers[FAKE_BUFFERS]; /* [taken, added) are available; ids are indices */
    unsigned added, taken;
    struct fake_used used[FAKE_BUFFERS]; /* [0, published) are the driver's again */
    unsigned pushed, published;
    unsigned nr_publishes; /* that showed something */
    unsigned nr_pops;
};

struct hostvm_virtio {
    hostvm_virtio_config_t made_of;
    uint16_t sizes[FAKE_QUEUES];
    uint8_t config[256];
    unsigned nr_failures;
    bool is_started;
    struct hostvm_virtqueue queues[FAKE_QUEUES];
};

/* Guards all devices and queues; changed is signalled when something of them does. */
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_changed = PTHREAD_COND_INITIALIZER;

static void fake_enter(void)
{
    (void)pthread_mutex_lock(&fake_lock);
}

static void fake_leave(void)
{
    (void)pthread_cond_broadcast(&fake_changed);
    (void)pthread_mutex_unlock(&fake_lock);
}

/* --- what the device calls --- */

void hostvm_virtio_destroy(hostvm_virtio_t *device)
{
    if (device == NULL) {
        return;
    }
    if (device->is_started) {
        device->made_of.ops->stop(device->made_of.cookie);
    }
    for (unsigned i = 0; i < device->made_of.nr_queues; i++) {
        if (device->queues[i].fd >= 0) {
            (void)close(device->queues[i].fd);
        }
    }
    free(device);
}

hostvm_virtio_t *hostvm_virtio_create(vm_t *vm, const hostvm_virtio_config_t *config)
{
    hostvm_virtio_t *device = calloc(1, sizeof(*device));
    bool is_complete = true;

    (void)vm;
    if (device == NULL) {
        return NULL;
    }
    device->made_of = *config;
    memcpy(device->sizes, config->queue_sizes, config->nr_queues * sizeof(device->sizes[0]));
    memcpy(device->config, config->config, config->config_size);
    for (unsigned i = 0; i < config->nr_queues; i++) {
        device->queues[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        device->queues[i].is_armed = true;
        is_complete &= device->queues[i].fd >= 0;
    }
    if (!is_complete) {
        hostvm_virtio_destroy(device);
        return NULL;
    }
    return device;
}

hostvm_virtqueue_t *hostvm_virtio_queue(hostvm_virtio_t *device, unsigned index)
{
    return index < device->made_of.nr_queues ? &device->queues[index] : NULL;
}

int hostvm_virtio_set_config(hostvm_virtio_t *device, size_t offset, const void *bytes, size_t size)
{
    fake_enter();
    memcpy(device->config + offset, bytes, size);
    fake_leave();
    return 0;
}

void hostvm_virtio_fail(hostvm_virtio_t *device, const char *why)
{
    (void)why;
    fake_enter();
    device->nr_failures++;
    fake_leave();
}

int hostvm_virtqueue_fd(const hostvm_virtqueue_t *queue)
{
    return queue->fd;
}

bool hostvm_virtqueue_is_ready(const hostvm_virtqueue_t *queue)
{
    return queue->is_ready;
}

/* fake_lock held */
static void fake_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer)
{
    const struct fake_buffer *from = &queue->buffers[queue->taken];
    unsigned nr = from->nr_out + from->nr_in;

    buffer->nr_out = from->nr_out;
    buffer->nr_in = from->nr_in;
    buffer->out_size = buffer->in_size = 0;
    for (unsigned i = 0; i < nr && i < buffer->iov_max; i++) {
        buffer->iov[i] = from->iov[i];
        *(i < from->nr_out ? &buffer->out_size : &buffer->in_size) += from->iov[i].iov_len;
    }
    buffer->id = (uint16_t)queue->taken++;
}

int hostvm_virtqueue_pop(hostvm_virtqueue_t *queue, hostvm_virtio_buffer_t *buffer)
{
    int r = -1;

    fake_enter();
    queue->nr_pops++;
    if (queue->is_ready && !queue->is_broken) {
        r = queue->taken < queue->added;
        if (r > 0) {
            fake_pop(queue, buffer);
        }
    }
    fake_leave();
    return r;
}

void hostvm_virtqueue_push(hostvm_virtqueue_t *queue, const hostvm_virtio_buffer_t *buffer,
                           size_t written)
{
    fake_enter();
    queue->used[queue->pushed++] = (struct fake_used){buffer->id, written};
    fake_leave();
}

void hostvm_virtqueue_publish(hostvm_virtqueue_t *queue)
{
    fake_enter();
    queue->nr_publishes += queue->published != queue->pushed;
    queue->published = queue->pushed;
    fake_leave();
}

void hostvm_virtqueue_disarm(hostvm_virtqueue_t *queue)
{
    fake_enter();
    queue->is_armed = false;
    fake_leave();
}

bool hostvm_virtqueue_rearm(hostvm_virtqueue_t *queue)
{
    bool r;

    fake_enter();
    queue->is_armed = true;
    r = queue->taken < queue->added;
    fake_leave();
    return r;
}

/* What read and write have in common: pieces from index on, an offset, bytes one way or the other.
 */
static size_t fake_copy(const struct iovec *iov, unsigned nr, size_t offset, uint8_t *bytes,
                        size_t size, bool is_write)
{
    size_t done = 0;

    for (unsigned i = 0; i < nr; i++) {
        for (size_t j = 0; j < iov[i].iov_len && done < size; j++) {
            uint8_t *byte = (uint8_t *)iov[i].iov_base + j;

            if (offset > 0) {
                offset--;
            } else if (is_write) {
                *byte = bytes[done++];
            } else {
                bytes[done++] = *byte;
            }
        }
    }
    return done;
}

size_t hostvm_virtio_read(const hostvm_virtio_buffer_t *buffer, size_t offset, void *bytes,
                          size_t size)
{
    return fake_copy(buffer->iov, buffer->nr_out, offset, bytes, size, false);
}

size_t hostvm_virtio_write(const hostvm_virtio_buffer_t *buffer, size_t offset, const void *bytes,
                           size_t size)
{
    uint8_t copy[64];

    memcpy(copy, bytes, size);
    return fake_copy(buffer->iov + buffer->nr_out, buffer->nr_in, offset, copy, size, true);
}

/* --- what the driver does --- */

/* Makes a buffer of pieces available, as a driver that tells when it is asked to. */
static void fake_add(struct hostvm_virtqueue *queue, const struct iovec *iov, unsigned nr_out,
                     unsigned nr_in)
{
    bool tells;

    fake_enter();
    memcpy(queue->buffers[queue->added].iov, iov, (nr_out + nr_in) * sizeof(*iov));
    queue->buffers[queue->added].nr_out = nr_out;
    queue->buffers[queue->added++].nr_in = nr_in;
    tells = queue->is_armed;
    queue->is_armed = false; /* as with an event index: once */
    fake_leave();
    if (tells) {
        (void)eventfd_write(queue->fd, 1);
    }
}

static void fake_wait_used(struct hostvm_virtqueue *queue, unsigned nr)
{
    fake_enter();
    while (queue->published < nr) {
        (void)pthread_cond_wait(&fake_changed, &fake_lock);
    }
    fake_leave();
}

/* Until the device has looked for buffers when there were none. */
static void fake_wait_armed(struct hostvm_virtqueue *queue)
{
    fake_enter();
    while (!queue->is_armed || queue->taken < queue->added) {
        (void)pthread_cond_wait(&fake_changed, &fake_lock);
    }
    fake_leave();
}

#endif
