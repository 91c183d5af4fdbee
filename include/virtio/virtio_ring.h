/* The split virtqueue as it lies in memory. Section numbers are those of virtio 1.2. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 2.7.5, flags of a descriptor */
#define VRING_DESC_F_NEXT     1 /* the buffer goes on in the descriptor `next` */
#define VRING_DESC_F_WRITE    2 /* the device writes it; otherwise it reads it */
#define VRING_DESC_F_INDIRECT 4 /* the buffer is a table of descriptors */

/* 2.7.8: the device needs no notification of new buffers */
#define VRING_USED_F_NO_NOTIFY 1

/* 2.7.6: the driver needs no interrupt for used buffers */
#define VRING_AVAIL_F_NO_INTERRUPT 1

/* 6: feature bits */
#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX     29

/* 2.7.5 */
struct vring_desc {
    uint64_t addr; /* guest-physical */
    uint32_t len;  /* bytes */
    uint16_t flags;
    uint16_t next;
};

/* 2.7.6; num entries, and behind them used_event */
struct vring_avail {
    uint16_t flags;
    uint16_t idx; /* counts up without end; the entry is ring[idx % num] */
    __extension__ uint16_t ring[];
};

/* 2.7.8 */
struct vring_used_elem {
    uint32_t id;  /* the first descriptor of the chain */
    uint32_t len; /* bytes that the device wrote */
};

/* 2.7.8; num entries, and behind them avail_event */
struct vring_used {
    uint16_t flags;
    uint16_t idx;
    __extension__ struct vring_used_elem ring[];
};

/**
 * Where the parts of a queue are: addresses of the process, or guest addresses kept as pointers by
 * a device that never follows them.
 */
struct vring {
    unsigned int num; /* entries, a power of two */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
};

/* 2.7.10: the event indexes lie behind the other side's ring */
#define vring_used_event(vr)  ((vr)->avail->ring[(vr)->num])
#define vring_avail_event(vr) (*(uint16_t *)&(vr)->used->ring[(vr)->num])

/**
 * Computes where the parts of a queue are when they lie together, as 2.7.2 lays them out: the
 * descriptors, the available ring, and at the next multiple of align the used ring. Touches no
 * memory, so p may be a guest address, 0 as well.
 *
 * @param num    entries, a power of two
 * @param p      where the queue begins
 * @param align  a power of two: VIRTIO_PCI_VRING_ALIGN on legacy PCI
 */
static inline void vring_init(struct vring *vr, unsigned int num, void *p, unsigned long align)
{
    uintptr_t desc = (uintptr_t)p;
    uintptr_t avail = desc + num * sizeof(struct vring_desc);
    uintptr_t avail_end = avail + (3 + (uintptr_t)num) * sizeof(uint16_t);

    vr->num = num;
    vr->desc = (struct vring_desc *)desc;
    vr->avail = (struct vring_avail *)avail;
    vr->used = (struct vring_used *)((avail_end + align - 1) & ~(align - 1));
}

/**
 * The bytes that such a queue takes.
 */
static inline unsigned vring_size(unsigned int num, unsigned long align)
{
    unsigned long head = num * sizeof(struct vring_desc) + (3 + num) * sizeof(uint16_t);

    return (unsigned)(((head + align - 1) & ~(align - 1)) + 3 * sizeof(uint16_t) +
                      num * sizeof(struct vring_used_elem));
}

/**
 * With VIRTIO_RING_F_EVENT_IDX: whether the step of an index from old_idx to new_idx passed the
 * one that the other side wants to hear of (2.7.7.1).
 */
static inline int vring_need_event(uint16_t event_idx, uint16_t new_idx, uint16_t old_idx)
{
    uint16_t behind = (uint16_t)(new_idx - event_idx - 1);
    uint16_t step = (uint16_t)(new_idx - old_idx);

    return behind < step;
}

#ifdef __cplusplus
}
#endif
