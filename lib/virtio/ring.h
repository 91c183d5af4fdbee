/* The two kinds of rings: their layouts in guest memory, and what each does for a queue. */
#ifndef VIRTIO_RING_H
#define VIRTIO_RING_H

#include "virtio/device.h"

/* --- split (virtio 1.2, 2.7) --- */

enum descriptor_flags {
    DESCRIPTOR_NEXT = 1,
    DESCRIPTOR_WRITE = 2,
    DESCRIPTOR_INDIRECT = 4,
    DESCRIPTOR_AVAILABLE = 1 << 7, /* packed */
    DESCRIPTOR_USED = 1 << 15,     /* packed */
};

struct split_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct split_available {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[];
};

struct split_used_entry {
    uint32_t id;
    uint32_t length;
};

struct split_used {
    uint16_t flags;
    uint16_t index;
    struct split_used_entry ring[];
};

enum split_flags { SPLIT_NO_INTERRUPT = 1, SPLIT_NO_NOTIFY = 1 };

/* --- packed (virtio 1.2, 2.8) --- */

struct packed_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t id;
    uint16_t flags;
};

struct packed_events {
    uint16_t place; /* index, and in the highest bit the wrap counter */
    uint16_t flags;
};

enum packed_event_flags {
    PACKED_EVENTS_ENABLE = 0,
    PACKED_EVENTS_DISABLE = 1,
    PACKED_EVENTS_AT_PLACE = 2,
};

/* --- guest memory for them; queue.c --- */

/* A part of a ring, for the device to read, or to write. NULL: it is not all memory, or not for the
 * guest to write, or not aligned. */
const void *queue_area(const struct hostvm_virtqueue *queue, uint64_t gpa, size_t size,
                       unsigned align);
void *queue_writable_area(const struct hostvm_virtqueue *queue, uint64_t gpa, size_t size,
                          unsigned align);

static inline void buffer_begin(hostvm_virtio_buffer_t *buffer)
{
    buffer->nr_out = buffer->nr_in = 0;
    buffer->out_size = buffer->in_size = 0;
}

/* 0, or -1 when that is no piece: the queue is broken then. */
int buffer_add(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer, uint64_t gpa,
               uint32_t size, bool is_writable);
/* A table of descriptors in guest memory; ret_nr is how many. NULL: it is none. */
const void *buffer_table(struct hostvm_virtqueue *queue, uint64_t gpa, uint32_t size,
                         uint16_t flags, unsigned *ret_nr);
int queue_break(struct hostvm_virtqueue *queue, const char *why); /* always -1 */

/* Whether somebody who wants to know of place event has to be told when index goes from before to
 * now (2.7.10). */
static inline bool event_is_due(uint16_t event, uint16_t now, uint16_t before)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

/* Of guest memory, once, as a whole. */
#define LOAD(field)                 __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define LOAD_ACQUIRE(field)         __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value)         __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define STORE_RELEASE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

/* --- what queue.c asks of each --- */

int split_start(struct hostvm_virtqueue *queue);
int split_pop(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer);
void split_push(struct hostvm_virtqueue *queue, const hostvm_virtio_buffer_t *buffer,
                uint32_t written);
bool split_publish(struct hostvm_virtqueue *queue); /* whether the driver wants an interrupt */
void split_disarm(struct hostvm_virtqueue *queue);
bool split_rearm(struct hostvm_virtqueue *queue);

int split_take_back(struct hostvm_virtqueue *queue);
void split_stop(struct hostvm_virtqueue *queue);

int packed_start(struct hostvm_virtqueue *queue);
int packed_pop(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer);
void packed_push(struct hostvm_virtqueue *queue, const hostvm_virtio_buffer_t *buffer,
                 uint32_t written);
bool packed_publish(struct hostvm_virtqueue *queue);
void packed_disarm(struct hostvm_virtqueue *queue);
bool packed_rearm(struct hostvm_virtqueue *queue);

#endif
