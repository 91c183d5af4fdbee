/* A folder of the host in the guest: virtio's file system device (virtio 1.2, 5.11), whose queues
 * virtiofsd serves. */
#ifndef VIRTIO_FS_H
#define VIRTIO_FS_H

#include <stdbool.h>

#include <hostvm/virtio.h>

enum { FS_TAG_MAX = 36 }; /* bytes of a tag (5.11.4) */

struct fs;

struct fs_config {
    const char *dir;  /* that is shared */
    const char *tag;  /* that the guest mounts it by: 1 to FS_TAG_MAX bytes; copied */
    bool is_readonly; /* for the guest */
};

/*
 * Starts virtiofsd, on this thread: it ends with it. Should it end before, that is said once on
 * standard error, and what the guest asks of the folder fails with EIO from then on.
 *
 * NULL: the reason was said.
 */
struct fs *fs_create(vm_t *vm, const struct fs_config *config);

/* The device, to be attached. */
hostvm_virtio_t *fs_device(struct fs *fs);

/* Not while the VM runs. NULL is fine. */
void fs_destroy(struct fs *fs);

#endif
