/* Queues of buffers in memory that somebody else may write to. */
#include <errno.h>
#include <stddef.h>

#include <virtqueue.h>

#include "base/reason.h"

/* Longest queue: indexes have 16 bits, and queue_len itself has to be one of them. */
enum { QUEUE_LEN_MAX = 32768 };

/* Rings of a length that is not allowed: nothing fits. */
static unsigned checked_length(unsigned queue_len)
{
    if (queue_len < 2 || queue_len > QUEUE_LEN_MAX || (queue_len & (queue_len - 1)) != 0) {
        (void)fail(-EINVAL, "cannot use a virtqueue of %u entries: not a power of two from 2 to %d",
                   queue_len, QUEUE_LEN_MAX);
        return 0;
    }
    return queue_len;
}

/*
 * An index of a ring: what was written before it was published is seen by who reads it. The other
 * side may write anything, so it is brought into the ring.
 */
static unsigned load_index(const uint16_t *idx, unsigned queue_len)
{
    return __atomic_load_n(idx, __ATOMIC_ACQUIRE) & (queue_len - 1);
}

static void publish_index(uint16_t *idx, unsigned value)
{
    __atomic_store_n(idx, (uint16_t)value, __ATOMIC_RELEASE);
}

void virtqueue_init_desc_table(vq_vring_desc_t *table, unsigned queue_len)
{
    unsigned i;

    for (i = 0; i < queue_len; i++) {
        table[i] = (vq_vring_desc_t){.next = (uint16_t)(i + 1)};
    }
}

void virtqueue_init_avail_ring(vq_vring_avail_t *ring)
{
    ring->flags = 0;
    ring->idx = 0;
}

void virtqueue_init_used_ring(vq_vring_used_t *ring)
{
    ring->flags = 0;
    ring->idx = 0;
}

void virtqueue_init_driver(virtqueue_driver_t *vq, unsigned queue_len, vq_vring_avail_t *avail_ring,
                           vq_vring_used_t *used_ring, vq_vring_desc_t *desc, void (*notify)(void),
                           void *cookie)
{
    unsigned length = checked_length(queue_len);

    *vq = (virtqueue_driver_t){
        .notify = notify,
        .cookie = cookie,
        .queue_len = length,
        .free_desc_head = 0,
        .u_ring_last_seen = length - 1,
        .avail_ring = avail_ring,
        .used_ring = used_ring,
        .desc_table = desc,
    };
    virtqueue_init_desc_table(desc, length);
    virtqueue_init_avail_ring(avail_ring);
    virtqueue_init_used_ring(used_ring);
}

void virtqueue_init_device(virtqueue_device_t *vq, unsigned queue_len, vq_vring_avail_t *avail_ring,
                           vq_vring_used_t *used_ring, vq_vring_desc_t *desc, void (*notify)(void),
                           void *cookie)
{
    unsigned length = checked_length(queue_len);

    *vq = (virtqueue_device_t){
        .notify = notify,
        .cookie = cookie,
        .queue_len = length,
        .a_ring_last_seen = length - 1,
        .avail_ring = avail_ring,
        .used_ring = used_ring,
        .desc_table = desc,
    };
}

void virtqueue_init_ring_object(virtqueue_ring_object_t *obj)
{
    obj->cur = UINT32_MAX;
    obj->first = UINT32_MAX;
}

/* --- the driver --- */

int virtqueue_add_available_buf(virtqueue_driver_t *vq, virtqueue_ring_object_t *obj, void *buf,
                                unsigned len, vq_flags_t flag)
{
    unsigned desc = vq->free_desc_head;
    unsigned next;
    unsigned idx;

    if (desc >= vq->queue_len) {
        return 0;
    }
    next = vq->desc_table[desc].next;
    /* the last descriptor begins no chain: one more chain, and the ring would seem to be empty */
    if (obj->first >= vq->queue_len && next >= vq->queue_len) {
        return 0;
    }
    vq->free_desc_head = next;
    vq->desc_table[desc] = (vq_vring_desc_t){
        .addr = (uintptr_t)buf,
        .len = len,
        .flags = (uint16_t)flag,
        .next = (uint16_t)vq->queue_len,
    };
    if (obj->first < vq->queue_len) {
        if (obj->cur < vq->queue_len) {
            vq->desc_table[obj->cur].next = (uint16_t)desc;
        }
        obj->cur = desc;
        return 1;
    }
    obj->first = desc;
    obj->cur = desc;
    idx = load_index(&vq->avail_ring->idx, vq->queue_len);
    vq->avail_ring->ring[idx] = (uint16_t)desc;
    publish_index(&vq->avail_ring->idx, (idx + 1) & (vq->queue_len - 1));
    return 1;
}

int virtqueue_get_used_buf(virtqueue_driver_t *vq, virtqueue_ring_object_t *robj, uint32_t *len)
{
    unsigned next = (vq->u_ring_last_seen + 1) & (vq->queue_len - 1);
    vq_vring_used_elem_t used;

    if (vq->queue_len == 0 || next == load_index(&vq->used_ring->idx, vq->queue_len)) {
        return 0;
    }
    used = vq->used_ring->ring[next];
    robj->first = used.id;
    robj->cur = used.id;
    *len = used.len;
    vq->u_ring_last_seen = next;
    return 1;
}

int virtqueue_gather_used(virtqueue_driver_t *vq, virtqueue_ring_object_t *robj, void **buf,
                          unsigned *len, vq_flags_t *flag)
{
    unsigned idx = robj->cur;
    vq_vring_desc_t desc;

    if (idx >= vq->queue_len) {
        return 0;
    }
    desc = vq->desc_table[idx];
    *buf = (void *)(uintptr_t)desc.addr;
    *len = desc.len;
    *flag = (vq_flags_t)desc.flags;
    robj->cur = desc.next;
    vq->desc_table[idx].next = (uint16_t)vq->free_desc_head;
    vq->free_desc_head = idx;
    return 1;
}

/* --- the device --- */

int virtqueue_get_available_buf(virtqueue_device_t *vq, virtqueue_ring_object_t *robj)
{
    unsigned next = (vq->a_ring_last_seen + 1) & (vq->queue_len - 1);

    if (vq->queue_len == 0 || next == load_index(&vq->avail_ring->idx, vq->queue_len)) {
        return 0;
    }
    robj->first = vq->avail_ring->ring[next];
    robj->cur = robj->first;
    vq->a_ring_last_seen = next;
    return 1;
}

int virtqueue_gather_available(virtqueue_device_t *vq, virtqueue_ring_object_t *robj, void **buf,
                               unsigned *len, vq_flags_t *flag)
{
    vq_vring_desc_t desc;

    if (robj->cur >= vq->queue_len) {
        return 0;
    }
    desc = vq->desc_table[robj->cur];
    *buf = (void *)(uintptr_t)desc.addr;
    *len = desc.len;
    *flag = (vq_flags_t)desc.flags;
    robj->cur = desc.next;
    return 1;
}

uint32_t virtqueue_scattered_available_size(virtqueue_device_t *vq, virtqueue_ring_object_t *robj)
{
    unsigned idx = robj->first;
    uint32_t size = 0;
    unsigned i;

    for (i = 0; i < vq->queue_len && idx < vq->queue_len; i++) {
        vq_vring_desc_t desc = vq->desc_table[idx];

        size += desc.len;
        idx = desc.next;
    }
    return size;
}

int virtqueue_add_used_buf(virtqueue_device_t *vq, virtqueue_ring_object_t *robj, uint32_t len)
{
    unsigned idx;

    if (vq->queue_len == 0) {
        return 0;
    }
    idx = load_index(&vq->used_ring->idx, vq->queue_len);
    vq->used_ring->ring[idx] = (vq_vring_used_elem_t){.id = robj->first, .len = len};
    publish_index(&vq->used_ring->idx, (idx + 1) & (vq->queue_len - 1));
    return 1;
}
