/* Streams between a guest's ports and the host's Unix sockets: which there are, and how far each
 * has come. Knows packets, not queues. */
#ifndef VIRTIO_VSOCK_TABLE_H
#define VIRTIO_VSOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "back/worker.h"
#include "virtio/vsock_packet.h"

enum {
    VSOCK_CONNS_MAX = 256,  /* streams at a time, of either side's opening */
    VSOCK_ROOM = 64 * 1024, /* what a stream keeps for a host program that does not read */
    VSOCK_REPLIES_MAX = 64, /* answers to packets of no stream, until the guest takes them */
    VSOCK_PATIENCE_S = 10,  /* for a line CONNECT, a guest's answer, a last byte taken */
    VSOCK_FIRST_HOST_PORT = 1 << 30 /* of streams that host programs open */
};

struct vsock_table;

struct vsock_table_config {
    struct worker *worker; /* all functions below are called on its thread, but for create */
    uint64_t guest_cid;
    const char *path; /* at most VSOCK_PATH_MAX characters; copied */

    /* There is a packet for the guest: after something happened on a socket, or in time. */
    void (*packets_ready)(void *cookie);
    void *cookie;
};

/* NULL, with errno: the host refuses. */
struct vsock_table *vsock_table_create(const struct vsock_table_config *config);

/* With all streams. NULL is fine. From any thread, if there are no streams. */
void vsock_table_destroy(struct vsock_table *table);

/* A host program has connected: fd is the table's from now on. */
void vsock_table_accept(struct vsock_table *table, int fd);

/* Ends all streams, without a word to the guest. */
void vsock_table_clear(struct vsock_table *table);

/* Whether there is room for the answer that a packet may call for. */
bool vsock_table_can_receive(const struct vsock_table *table);

/* A packet from the guest: a copy of its header, and the size bytes behind it, in guest memory. If
 * they are not as many as the header says, the guest is in error. */
void vsock_table_receive(struct vsock_table *table, const struct vsock_header *header,
                         const struct iovec *iov, unsigned int nr_iov, size_t size);

/* Whether there is a packet for the guest, as far as is known without a look at sockets. */
bool vsock_table_has_packet(const struct vsock_table *table);

/*
 * The next packet for the guest: its header, and what comes behind it in guest memory, at least one
 * byte. False: there is none, after all.
 */
bool vsock_table_send(struct vsock_table *table, const struct iovec *iov, unsigned int nr_iov,
                      struct vsock_header *ret_header);

/* Streams at present, also those that are about to begin or to end. */
unsigned int vsock_table_count(const struct vsock_table *table);

/* What a tick of the clock does, VSOCK_PATIENCE_S of them end what waits. */
void vsock_table_tick(struct vsock_table *table);

#endif
