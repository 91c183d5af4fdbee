/* A socket device (virtio 1.2, 5.10): streams between programs in the guest and on the host. */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include <stdint.h>

#include <hostvm/virtio.h>

struct vsock;

struct vsock_config {
    const char *path;   /* of the socket that host programs connect to; copied */
    uint32_t guest_cid; /* the guest's address: 3 or above, not 0xffffffff */
};

/*
 * Listens at path from now on. A host program writes "CONNECT <port>\n" and, when a program of the
 * guest listens there, reads "OK <its own port>\n"; what follows is the stream. A program of the
 * guest that connects to the host (CID 2) finds who listens at the socket "PATH_<port>".
 *
 * Streams are few (VSOCK_CONNS_MAX) and hold little (VSOCK_ROOM) for who does not read: neither
 * guest nor host programs make this grow or wait.
 *
 * NULL: the reason was said on stderr, or is in the log.
 */
struct vsock *vsock_create(vm_t *vm, const struct vsock_config *config);

/* The device, to be attached. */
hostvm_virtio_t *vsock_device(struct vsock *vsock);

/*
 * Ends all streams, and tells the guest that whatever it had has come to an end (5.10.6.7): the
 * host side is not the one that it was. From any thread but under no lock that the device's worker
 * wants.
 */
void vsock_transport_reset(struct vsock *vsock);

/* Not while the VM runs. NULL is fine. */
void vsock_destroy(struct vsock *vsock);

#endif
