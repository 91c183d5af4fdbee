/* Requests of a virtio disk, from a buffer of the guest's to what the host's disk is to do. */
#ifndef VIRTIO_BLK_REQUEST_H
#define VIRTIO_BLK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hostvm/virtio.h>

#include "back/disk_queue.h"

enum {
    BLK_SERIAL_SIZE = 20, /* VIRTIO_BLK_ID_BYTES */
    BLK_QUEUE_SIZE = 256,
    BLK_SEG_MAX = BLK_QUEUE_SIZE - 2,           /* pieces of data, beside header and status */
    BLK_MAX_ZEROES = (128 << 20) / DISK_SECTOR, /* sectors of one discard, or write of zeroes */
};

/* What the disk is like, at the time of the request. */
struct blk_traits {
    uint64_t size; /* bytes */
    bool is_readonly;
    bool can_discard;
    bool can_unmap;     /* what reads as zeroes need not take up space */
    bool is_durable;    /* writes are on the disk before they are answered */
    const char *serial; /* BLK_SERIAL_SIZE bytes, padded with zeros */
};

/* buffer, with iov and iov_max, is set by who has it popped; the rest by blk_request_begin. */
struct blk_request {
    hostvm_virtio_buffer_t buffer;
    uint8_t *status; /* in guest memory: never read */
    size_t in_size;  /* bytes that the guest gets, with the status */
    struct disk_io io;
    struct blk_request *next; /* in a list of whoever has it */
    struct iovec iov[BLK_QUEUE_SIZE];
};

enum blk_verdict {
    BLK_DISK,      /* io is to be done by the disk, then blk_request_answer */
    BLK_ANSWERED,  /* the answer is there */
    BLK_MALFORMED, /* the answer has no place */
};

/* Reads a request (virtio 1.2, 5.2.6). ret_written: when it is answered, what to push it with. */
enum blk_verdict blk_request_begin(struct blk_request *request, const struct blk_traits *traits,
                                   size_t *ret_written);

/* Answers a request that the disk has done, after its io's result. Returns what to push it with. */
size_t blk_request_answer(struct blk_request *request);

#endif
