/* Split rings (virtio 1.2, 2.7). */
#include "virtio/ring.h"

#include <stdlib.h>
#include <string.h>

enum { DESCRIPTORS_ALIGN = 16, AVAILABLE_ALIGN = 2, USED_ALIGN = 4 };

int split_start(struct hostvm_virtqueue *queue)
{
    struct split_ring *ring = &queue->split;
    size_t size = queue->size;

    *ring = (struct split_ring){
        .descriptors = queue_area(queue, queue->descriptors, size * sizeof(struct split_descriptor),
                                  DESCRIPTORS_ALIGN),
        .available = queue_area(queue, queue->driver_area,
                                sizeof(struct split_available) + (size + 1) * sizeof(uint16_t),
                                AVAILABLE_ALIGN),
        .used = queue_writable_area(queue, queue->device_area,
                                    sizeof(struct split_used) +
                                        size * sizeof(struct split_used_entry) + sizeof(uint16_t),
                                    USED_ALIGN),
    };
    if (ring->descriptors == NULL || ring->available == NULL || ring->used == NULL) {
        return -1;
    }
    ring->used_event = &ring->available->ring[size];
    ring->available_event = (uint16_t *)(void *)&ring->used->ring[size];
    return 0;
}

void split_stop(struct hostvm_virtqueue *queue)
{
    free(queue->split.returned);
    queue->split.returned = NULL;
    queue->split.nr_returned = 0;
}

/* --- taking --- */

static inline struct split_descriptor load(const struct split_descriptor *descriptor)
{
    return (struct split_descriptor){
        .address = LOAD(descriptor->address),
        .length = LOAD(descriptor->length),
        .flags = LOAD(descriptor->flags),
        .next = LOAD(descriptor->next),
    };
}

/* From its head on, in a table of nr descriptors. No chain is longer than that: the guest may have
 * made a loop of it. */
static int collect(struct hostvm_virtqueue *queue, const struct split_descriptor *table,
                   unsigned nr, unsigned next, bool may_be_indirect, hostvm_virtio_buffer_t *buffer)
{
    for (unsigned i = 0; i < nr; i++) {
        struct split_descriptor descriptor;

        if (next >= nr) {
            return queue_break(queue, "a descriptor follows that there is not");
        }
        descriptor = load(&table[next]);
        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0) {
            unsigned nr_inner;
            const struct split_descriptor *inner;

            if (!may_be_indirect) {
                return queue_break(queue, "a table of descriptors is where none may be");
            }
            inner = buffer_table(queue, descriptor.address, descriptor.length, descriptor.flags,
                                 &nr_inner);
            return inner == NULL ? -1 : collect(queue, inner, nr_inner, 0, false, buffer);
        }
        if (buffer_add(queue, buffer, descriptor.address, descriptor.length,
                       (descriptor.flags & DESCRIPTOR_WRITE) != 0) < 0) {
            return -1;
        }
        if ((descriptor.flags & DESCRIPTOR_NEXT) == 0) {
            return 0;
        }
        next = descriptor.next;
    }
    return queue_break(queue, "its descriptors form a loop");
}

/* More than the queue holds cannot be there. */
static int look(struct hostvm_virtqueue *queue)
{
    struct split_ring *ring = &queue->split;
    uint16_t seen = LOAD_ACQUIRE(ring->available->index);

    if ((uint16_t)(seen - ring->next_available) > queue->size) {
        return queue_break(queue, "more buffers are available than it holds");
    }
    ring->seen_available = seen;
    return seen != ring->next_available;
}

static int take(struct hostvm_virtqueue *queue, uint16_t head, hostvm_virtio_buffer_t *buffer)
{
    buffer_begin(buffer);
    if (collect(queue, queue->split.descriptors, queue->size, head, queue->has_indirect, buffer) <
        0) {
        return -1;
    }
    buffer->id = head;
    buffer->nr_descriptors = 1;
    return 1;
}

int split_pop(struct hostvm_virtqueue *queue, hostvm_virtio_buffer_t *buffer)
{
    struct split_ring *ring = &queue->split;
    uint16_t head;

    if (ring->nr_returned > 0) {
        return take(queue, ring->returned[--ring->nr_returned], buffer);
    }
    if (ring->next_available == ring->seen_available) {
        int r = look(queue);

        if (r <= 0) {
            return r;
        }
    }
    head = LOAD(ring->available->ring[ring->next_available & (queue->size - 1)]);
    if (take(queue, head, buffer) < 0) {
        return -1;
    }
    ring->next_available++;
    return 1;
}

/* --- giving back --- */

void split_push(struct hostvm_virtqueue *queue, const hostvm_virtio_buffer_t *buffer,
                uint32_t written)
{
    struct split_ring *ring = &queue->split;
    struct split_used_entry *entry = &ring->used->ring[ring->next_used & (queue->size - 1)];

    STORE(entry->id, (uint32_t)buffer->id);
    STORE(entry->length, written);
    ring->next_used++;
}

bool split_publish(struct hostvm_virtqueue *queue)
{
    struct split_ring *ring = &queue->split;
    uint16_t before = ring->published;

    if (before == ring->next_used) {
        return false;
    }
    STORE_RELEASE(ring->used->index, ring->next_used);
    ring->published = ring->next_used;
    /* The driver asks for interrupts, then looks at the index: we the other way round. */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->has_events) {
        return event_is_due(LOAD(*ring->used_event), ring->published, before);
    }
    return (LOAD(ring->available->flags) & SPLIT_NO_INTERRUPT) == 0;
}

/* --- notifications --- */

/* With events nothing is to be done: the place of the last one asked for lies behind by now. */
void split_disarm(struct hostvm_virtqueue *queue)
{
    if (!queue->has_events) {
        STORE(queue->split.used->flags, (uint16_t)SPLIT_NO_NOTIFY);
    }
}

bool split_rearm(struct hostvm_virtqueue *queue)
{
    struct split_ring *ring = &queue->split;

    if (queue->has_events) {
        STORE(*ring->available_event, ring->next_available);
    } else {
        STORE(ring->used->flags, (uint16_t)0);
    }
    atomic_thread_fence(memory_order_seq_cst); /* asked first, then looked, as the driver does */
    return ring->nr_returned > 0 || LOAD(ring->available->index) != ring->next_available;
}

/* --- coming back --- */

/* Takes one more available buffer as under way. False: it is so already. */
static bool replay_available(const struct hostvm_virtqueue *queue, uint16_t index,
                             bool *is_under_way)
{
    uint16_t head = LOAD(queue->split.available->ring[index & (queue->size - 1)]);

    if (head >= queue->size) {
        return true; /* the guest's mistake: it is none */
    }
    if (is_under_way[head]) {
        return false;
    }
    is_under_way[head] = true;
    return true;
}

/*
 * What happened, by both rings, if at some moment nothing was under way: a buffer is used only
 * after it was made available, and made available again only after it was used. False: it cannot
 * have been so, and that was no such moment. Leaves what is under way in the end.
 */
static bool replay(const struct hostvm_virtqueue *queue, uint16_t since, uint16_t available,
                   uint16_t used, bool *is_under_way)
{
    const struct split_ring *ring = &queue->split;
    uint16_t next = since;
    bool is_possible = true;

    memset(is_under_way, 0, queue->size * sizeof(*is_under_way));
    for (uint16_t i = since; i != used && is_possible; i++) {
        uint32_t head = LOAD(ring->used->ring[i & (queue->size - 1)].id);

        if (head >= queue->size) {
            continue;
        }
        while (!is_under_way[head] && next != available && is_possible) {
            is_possible = replay_available(queue, next++, is_under_way);
        }
        is_possible = is_possible && is_under_way[head];
        is_under_way[head] = false;
    }
    while (next != available) {
        is_possible = replay_available(queue, next++, is_under_way) && is_possible;
    }
    return is_possible;
}

/* In the order in which they were made available, the first one last. */
static void collect_returned(struct hostvm_virtqueue *queue, uint16_t since, uint16_t available,
                             bool *is_under_way)
{
    struct split_ring *ring = &queue->split;

    ring->nr_returned = 0;
    for (uint16_t i = available; i != since;) {
        uint16_t head = LOAD(ring->available->ring[--i & (queue->size - 1)]);

        if (head < queue->size && is_under_way[head]) {
            is_under_way[head] = false;
            ring->returned[ring->nr_returned++] = head;
        }
    }
}

int split_take_back(struct hostvm_virtqueue *queue)
{
    struct split_ring *ring = &queue->split;
    uint16_t available = LOAD_ACQUIRE(ring->available->index);
    uint16_t used = LOAD_ACQUIRE(ring->used->index);
    uint16_t since = (uint16_t)(available - queue->size); /* as far back as the rings reach */
    bool *is_under_way;

    if ((uint16_t)(available - used) > queue->size) {
        return queue_break(queue, "more buffers are available than it holds");
    }
    split_stop(queue);
    ring->returned = calloc(queue->size, sizeof(*ring->returned));
    is_under_way = calloc(queue->size, sizeof(*is_under_way));
    if (ring->returned == NULL || is_under_way == NULL) {
        free(is_under_way);
        return queue_break(queue, "there is no memory to take it back");
    }
    if (available < queue->size && used <= available) {
        since = 0; /* the first round: all that ever was */
    }
    while (!replay(queue, since, available, used, is_under_way) && since != used) {
        since++;
    }
    collect_returned(queue, since, available, is_under_way);
    free(is_under_way);
    ring->next_available = ring->seen_available = available;
    ring->next_used = ring->published = used;
    return 0;
}
