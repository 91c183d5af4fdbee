/* Packed rings (virtio 1.2, 2.8). */
#include "virtio/ring.h"

enum { DESCRIPTORS_ALIGN = 16, EVENTS_ALIGN = 4, WRAP_BIT = 1 << 15 };

int packed_start(struct hostvm_virtqueue *queue)
{
    struct packed_ring *ring = &queue->packed;

    *ring = (struct packed_ring){
        .descriptors =
            queue_writable_area(queue, queue->descriptors,
                                queue->size * sizeof(struct packed_descriptor), DESCRIPTORS_ALIGN),
        .driver = queue_area(queue, queue->driver_area, sizeof(struct packed_events), EVENTS_ALIGN),
        .device = queue_writable_area(queue, queue->device_area, sizeof(struct packed_events),
                                      EVENTS_ALIGN),
        .available_wrap = true,
        .used_wrap = true,
    };
    return ring->descriptors == NULL || ring->driver == NULL || ring->device == NULL ? -1 : 0;
}

/* --- taking --- */

static inline struct packed_descriptor load(const struct packed_descriptor *descriptor)
{
    return (struct packed_descriptor){
        .address = LOAD(descriptor->address),
        .length = LOAD(descriptor->length),
        .id = LOAD(descriptor->id),
        .flags = LOAD(descriptor->flags),
    };
}

static bool is_available(const struct hostvm_virtqueue *queue)
{
    const struct packed_ring *ring = &queue->packed;
    uint16_t flags = LOAD_ACQUIRE(ring->descriptors[ring->next_available].flags);
    bool available = (flags & DESCRIPTOR_AVAILABLE) != 0;
    bool used = (flags & DESCRIPTOR_USED) != 0;

    return available != used && available == ring->available_wrap;
}

static int collect_table(struct hostvm_virtqueue *queue, const struct packed_descriptor *outer,
                         hostvm_virtio_buffer_t *buffer)
{
    unsigned nr;
    const struct packed_descriptor *table =
        buffer_table(queue, outer->address, outer->length, outer->flags, &nr);

    for (unsigned i = 0; table != NULL && i < nr; i++) {
        struct packed_descriptor descriptor = load(&table[i]);

        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            return queue_break(queue, "a table of descriptors is where none may be");
        }
        if (buffer_add(queue, buffer, descriptor.address, descriptor.length,
                       (descriptor.flags & DESCRIPTOR_WRITE) != 0) < 0) {
            return -1;
        }
    }
    return table == NULL ? -1 : 0;
}

/* One buffer's descriptors follow each other. */
static int collect(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer)
{
    const struct packed_ring *ring = &queue->packed;
    unsigned place = ring->next_available;

    for (unsigned i = 0; i < queue->size; i++) {
        struct packed_descriptor descriptor = load(&ring->descriptors[place]);
        int r;

        if ((descriptor.flags & DESCRIPTOR_INDIRECT) == 0) {
            r = buffer_add(queue, buffer, descriptor.address, descriptor.length,
                           (descriptor.flags & DESCRIPTOR_WRITE) != 0);
        } else if (!queue->has_indirect) {
            r = queue_break(queue, "a table of descriptors is where none may be");
        } else {
            r = collect_table(queue, &descriptor, buffer);
        }
        if (r < 0) {
            return r;
        }
        if ((descriptor.flags & DESCRIPTOR_NEXT) == 0) {
            buffer->id = descriptor.id;
            buffer->nr_descriptors = (uint16_t)(i + 1);
            return 0;
        }
        place = place + 1 < queue->size ? place + 1 : 0;
    }
    return queue_break(queue, "its descriptors form a loop");
}

/* Steps over descriptors; at the ring's end, the meaning of the flags is turned round. */
static void advance(const struct hostvm_virtqueue *queue, uint16_t *place, bool *wrap, unsigned nr)
{
    unsigned next = *place + nr;

    if (next >= queue->size) {
        next -= queue->size;
        *wrap = !*wrap;
    }
    *place = (uint16_t)next;
}

int packed_pop(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer)
{
    struct packed_ring *ring = &queue->packed;

    if (!is_available(queue)) {
        return 0;
    }
    buffer_begin(buffer);
    if (collect(queue, buffer) < 0) {
        return -1;
    }
    advance(queue, &ring->next_available, &ring->available_wrap, buffer->nr_descriptors);
    return 1;
}

/* --- giving back --- */

/* The driver looks at them in order: as long as it does not see the first, it sees none. */
void packed_push(struct hostvm_virtqueue *queue, const hostvm_virtio_buffer_t *buffer,
                 uint32_t written)
{
    struct packed_ring *ring = &queue->packed;
    struct packed_descriptor *descriptor = &ring->descriptors[ring->next_used];
    uint16_t flags = ring->used_wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0;

    if (written > 0) {
        flags |= DESCRIPTOR_WRITE;
    }
    STORE(descriptor->id, buffer->id);
    STORE(descriptor->length, written);
    if (ring->nr_pushed == 0) {
        ring->first_pushed = ring->next_used;
        ring->first_flags = flags;
    } else {
        STORE_RELEASE(descriptor->flags, flags);
    }
    ring->nr_pushed = (uint16_t)(ring->nr_pushed + buffer->nr_descriptors);
    advance(queue, &ring->next_used, &ring->used_wrap, buffer->nr_descriptors);
}

static bool wants_interrupt(const struct hostvm_virtqueue *queue, uint16_t nr_pushed)
{
    const struct packed_ring *ring = &queue->packed;
    uint16_t flags = LOAD(ring->driver->flags);
    uint16_t place;
    uint16_t event;

    if (flags != PACKED_EVENTS_AT_PLACE || !queue->has_events) {
        return flags != PACKED_EVENTS_DISABLE;
    }
    place = LOAD(ring->driver->place);
    event = place & (WRAP_BIT - 1);
    if (((place & WRAP_BIT) != 0) != ring->used_wrap) {
        event = (uint16_t)(event - queue->size); /* of the round before */
    }
    return event_is_due(event, ring->next_used, (uint16_t)(ring->next_used - nr_pushed));
}

bool packed_publish(struct hostvm_virtqueue *queue)
{
    struct packed_ring *ring = &queue->packed;
    uint16_t nr_pushed = ring->nr_pushed;

    if (nr_pushed == 0) {
        return false;
    }
    STORE_RELEASE(ring->descriptors[ring->first_pushed].flags, ring->first_flags);
    ring->nr_pushed = 0;
    atomic_thread_fence(memory_order_seq_cst); /* as in split.c */
    return wants_interrupt(queue, nr_pushed);
}

/* --- notifications --- */

void packed_disarm(struct hostvm_virtqueue *queue)
{
    STORE(queue->packed.device->flags, (uint16_t)PACKED_EVENTS_DISABLE);
}

bool packed_rearm(struct hostvm_virtqueue *queue)
{
    struct packed_ring *ring = &queue->packed;
    uint16_t wrap = ring->available_wrap ? WRAP_BIT : 0;

    if (queue->has_events) {
        STORE(ring->device->place, (uint16_t)(ring->next_available | wrap));
        STORE_RELEASE(ring->device->flags, (uint16_t)PACKED_EVENTS_AT_PLACE);
    } else {
        STORE(ring->device->flags, (uint16_t)PACKED_EVENTS_ENABLE);
    }
    atomic_thread_fence(memory_order_seq_cst); /* asked first, then looked, as the driver does */
    return is_available(queue);
}
