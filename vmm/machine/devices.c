/* The machine's virtio devices, made from what the user asked for. */
#include "machine/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back/worker.h"
#include "virtio/fs.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"

struct devices {
    struct worker *worker; /* of all that have little to do */
    struct rng *rng;
    struct vsock *vsock;
    struct fs *shares[DEVICES_SHARES_MAX];
    hostvm_virtio_t *list[DEVICES_MAX]; /* in the order of their places */
    unsigned nr_devices;
};

unsigned devices_count(const struct devices_config *config)
{
    return (unsigned)config->has_rng + config->vsock.is_given + config->nr_shares;
}

static void enlist(struct devices *devices, hostvm_virtio_t *device)
{
    devices->list[devices->nr_devices++] = device;
}

static int create_rng(struct devices *devices, vm_t *vm)
{
    devices->rng = rng_create(vm, devices->worker);
    if (devices->rng == NULL) {
        return -1;
    }
    enlist(devices, rng_device(devices->rng));
    return 0;
}

static int create_vsock(struct devices *devices, vm_t *vm, const struct options_vsock *options)
{
    const struct vsock_config config = {.path = options->path, .guest_cid = options->cid};

    devices->vsock = vsock_create(vm, &config);
    if (devices->vsock == NULL) {
        return -1;
    }
    enlist(devices, vsock_device(devices->vsock));
    return 0;
}

static int create_share(struct fs **share, struct devices *devices, vm_t *vm,
                        const struct options_share *options)
{
    const struct fs_config config = {
        .dir = options->dir, .tag = options->tag, .is_readonly = options->is_readonly};

    *share = fs_create(vm, &config);
    if (*share == NULL) {
        return -1;
    }
    enlist(devices, fs_device(*share));
    return 0;
}

static int create_all(struct devices *devices, vm_t *vm, const struct devices_config *config)
{
    devices->worker = worker_create("devices");
    if (devices->worker == NULL) {
        return -1;
    }
    if (config->has_rng && create_rng(devices, vm) != 0) {
        return -1;
    }
    if (config->vsock.is_given && create_vsock(devices, vm, &config->vsock) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < config->nr_shares; i++) {
        if (create_share(&devices->shares[i], devices, vm, &config->shares[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

struct devices *devices_create(vm_t *vm, const struct devices_config *config)
{
    struct devices *devices = calloc(1, sizeof(*devices));

    if (devices == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for devices: %s\n", strerror(ENOMEM));
        return NULL;
    }
    if (create_all(devices, vm, config) != 0) {
        devices_destroy(devices);
        return NULL;
    }
    return devices;
}

int devices_attach(struct devices *devices, const struct device_place *places)
{
    for (unsigned i = 0; i < devices->nr_devices; i++) {
        if (hostvm_virtio_attach_mmio(devices->list[i], places[i].gpa, places[i].gsi) != 0) {
            return -1;
        }
    }
    return 0;
}

void devices_destroy(struct devices *devices)
{
    if (devices == NULL) {
        return;
    }
    for (unsigned i = 0; i < DEVICES_SHARES_MAX; i++) {
        fs_destroy(devices->shares[i]);
    }
    vsock_destroy(devices->vsock);
    rng_destroy(devices->rng);
    worker_destroy(devices->worker);
    free(devices);
}
