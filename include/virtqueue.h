/* Queues of buffers between two parties that share memory. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A driver offers buffers in the available ring, a device gives them back in the used ring; a
 * buffer can be a chain of several pieces. Both rings and the table of descriptors lie in memory
 * that both share. The rings' indexes wrap at their length, so they can tell a full ring from an
 * empty one only because a driver never offers as many chains as the ring is long.
 *
 * Each side may be used by one thread at a time. What the other side writes is checked: it can
 * garble messages, but make nobody read or write outside the rings and the table. Addresses in
 * descriptors are passed on as they are.
 */

/* Nonzero when the other side has put something into the ring that this one reads. */
#define VQ_DEV_POLL(vq)                                                                            \
    ((((vq)->a_ring_last_seen + 1) & ((vq)->queue_len - 1)) != (vq)->avail_ring->idx)
#define VQ_DRV_POLL(vq)                                                                            \
    ((((vq)->u_ring_last_seen + 1) & ((vq)->queue_len - 1)) != (vq)->used_ring->idx)

/* What the device does with a piece. */
typedef enum vq_flags { VQ_READ = 0, VQ_WRITE, VQ_RW } vq_flags_t;

typedef struct vq_vring_avail {
    uint16_t flags;
    uint16_t idx;                  /* the next entry to be written */
    __extension__ uint16_t ring[]; /* first descriptors of chains */
} vq_vring_avail_t;

typedef struct vq_vring_used_elem {
    uint32_t id;  /* first descriptor of the chain */
    uint32_t len; /* bytes that the device wrote */
} vq_vring_used_elem_t;

typedef struct vq_vring_used {
    uint16_t flags;
    uint16_t idx; /* the next entry to be written */
    __extension__ struct vq_vring_used_elem ring[];
} vq_vring_used_t;

typedef struct vq_vring_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* vq_flags_t */
    uint16_t next;  /* the descriptor of the chain's next piece; queue_len: the last one */
} vq_vring_desc_t;

/* A place in a chain. */
typedef struct virtqueue_ring_object {
    uint32_t cur;
    uint32_t first;
} virtqueue_ring_object_t;

typedef struct virtqueue_device {
    void (*notify)(void); /* wakes the driver; for the client to call */
    void *cookie;         /* the client's */
    unsigned queue_len;
    unsigned a_ring_last_seen;
    struct vq_vring_avail *avail_ring;
    struct vq_vring_used *used_ring;
    struct vq_vring_desc *desc_table;
} virtqueue_device_t;

typedef struct virtqueue_driver {
    void (*notify)(void); /* wakes the device; for the client to call */
    void *cookie;         /* the client's */
    unsigned queue_len;
    unsigned free_desc_head;
    unsigned u_ring_last_seen;
    struct vq_vring_avail *avail_ring;
    struct vq_vring_used *used_ring;
    struct vq_vring_desc *desc_table;
} virtqueue_driver_t;

/**
 * Initialises the driver's side, and the shared memory: before the device uses it.
 *
 * @param queue_len  entries of each ring and of the table: a power of two from 2 to 32768; with
 *                   another length the queue never has room, and a reason is in
 *                   hostvm_last_error()
 */
void virtqueue_init_driver(virtqueue_driver_t *vq, unsigned queue_len, vq_vring_avail_t *avail_ring,
                           vq_vring_used_t *used_ring, vq_vring_desc_t *desc, void (*notify)(void),
                           void *cookie);

/**
 * Initialises the device's side; the shared memory is the driver's to initialise.
 */
void virtqueue_init_device(virtqueue_device_t *vq, unsigned queue_len, vq_vring_avail_t *avail_ring,
                           vq_vring_used_t *used_ring, vq_vring_desc_t *desc, void (*notify)(void),
                           void *cookie);

/* The parts of virtqueue_init_driver that concern shared memory. */
void virtqueue_init_desc_table(vq_vring_desc_t *table, unsigned queue_len);
void virtqueue_init_avail_ring(vq_vring_avail_t *ring);
void virtqueue_init_used_ring(vq_vring_used_t *ring);

/**
 * Makes a place that is nowhere yet, for virtqueue_add_available_buf.
 */
void virtqueue_init_ring_object(virtqueue_ring_object_t *obj);

/* All of these return 1, or 0 when there is no room or nothing there. */

/**
 * Driver: offers a buffer; with the same obj again, one more piece of it. The device sees the
 * pieces that are there when it looks: notify it after the last one.
 *
 * Differs from seL4's libvirtqueue, where a ring full of chains seems to be empty: the last
 * descriptor begins no chain.
 */
int virtqueue_add_available_buf(virtqueue_driver_t *vq, virtqueue_ring_object_t *obj, void *buf,
                                unsigned len, vq_flags_t flag);

/**
 * Driver: takes a buffer back, to be walked through with virtqueue_gather_used.
 *
 * @param len  receives the bytes that the device wrote
 */
int virtqueue_get_used_buf(virtqueue_driver_t *vq, virtqueue_ring_object_t *robj, uint32_t *len);

/**
 * Driver: the next piece of a buffer that came back; its descriptor is free again.
 */
int virtqueue_gather_used(virtqueue_driver_t *vq, virtqueue_ring_object_t *robj, void **buf,
                          unsigned *len, vq_flags_t *flag);

/**
 * Device: takes a buffer, to be walked through with virtqueue_gather_available.
 */
int virtqueue_get_available_buf(virtqueue_device_t *vq, virtqueue_ring_object_t *robj);

/**
 * Device: the next piece of a buffer.
 */
int virtqueue_gather_available(virtqueue_device_t *vq, virtqueue_ring_object_t *robj, void **buf,
                               unsigned *len, vq_flags_t *flag);

/**
 * Device: the bytes of all pieces; of a chain that runs in a circle, each piece once.
 */
uint32_t virtqueue_scattered_available_size(virtqueue_device_t *vq, virtqueue_ring_object_t *robj);

/**
 * Device: gives a buffer back.
 *
 * @param len  the bytes written
 */
int virtqueue_add_used_buf(virtqueue_device_t *vq, virtqueue_ring_object_t *robj, uint32_t len);

#ifdef __cplusplus
}
#endif
