/* A receive and a transmit queue of a network device, between the guest and a host side's
 * descriptor, on an event thread of their own. */
#ifndef VIRTIO_NET_PAIR_H
#define VIRTIO_NET_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <hostvm/virtio.h>

#include "back/worker.h"

enum {
    NET_QUEUE_SIZE = 256,
    /* The pieces of one buffer: as many as a queue has descriptors, each of which may lie across
     * the border of two regions. */
    NET_BUFFER_PIECES = 2 * NET_QUEUE_SIZE,
    /* readv(2) takes 1,024; the last one is the byte that shows a frame without room. */
    NET_STOCK_PIECES = 1023,
    NET_STOCK_BUFFERS = 512,
};

/*
 * Receive buffers taken from the queue that no frame has filled yet: two windows, one side of which
 * is filled and the other used up, until they are moved back to the start. Drivers cut their
 * buffers from larger blocks: those that follow each other in memory are one piece for readv(2).
 */
struct net_stock {
    hostvm_virtio_buffer_t buffers[NET_STOCK_BUFFERS]; /* [first, end); without their pieces */
    unsigned first, end;
    struct iovec pieces[NET_STOCK_PIECES + 1]; /* [first_piece, end_piece), one more is free */
    unsigned first_piece, end_piece;
    size_t size; /* bytes in them */
};

struct net_pair {
    hostvm_virtio_t *device;
    hostvm_virtqueue_t *rx, *tx;
    int fd;
    struct worker *worker;
    void (*lost)(void *cookie); /* the host side is gone; on the worker's thread */
    void *cookie;

    /* From start to stop the worker's alone. */
    bool is_mergeable;   /* a frame may take several buffers */
    bool is_lost;        /* frames from the guest go nowhere */
    bool has_rx, has_tx; /* the driver has set the queue up, and not broken it */
    bool is_rx_armed;    /* the driver is to tell of receive buffers */
    bool had_enough;     /* the driver has given as much at once as the largest frame takes */
    size_t wanted;       /* bytes of the largest frame and its header */
    bool is_watched;
    uint32_t events; /* of fd that are watched for */
    struct net_stock stock;
    struct iovec rx_pieces[NET_BUFFER_PIECES]; /* of the buffer that comes into it */
    bool is_held;                              /* the host side had no room for the frame in held */
    hostvm_virtio_buffer_t held;
    struct iovec tx_pieces[NET_BUFFER_PIECES];
};

/* What driver and device agreed on. */
struct net_pair_rules {
    bool is_mergeable;
    size_t max_frame; /* that the host side sends, as far as it is known */
};

/* Starts the thread. Everything above the line is set by the caller, but worker; the rest is
 * zero. 0 or -1, which was said. */
int net_pair_open(struct net_pair *pair, const char *name);

/* The pair is stopped. */
void net_pair_close(struct net_pair *pair);

/* From any thread but the pair's. 0 or -1. */
int net_pair_start(struct net_pair *pair, const struct net_pair_rules *rules);

/* When it returns, the queues are not used any more. From any thread. Stopped already: fine. */
void net_pair_stop(struct net_pair *pair);

#endif
