/* The machine's virtio devices, made from what the user asked for. */
#include "machine/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back/worker.h"
#include "virtio/rng.h"

struct devices {
    struct worker *worker; /* of all that have little to do */
    struct rng *rng;
    hostvm_virtio_t *list[DEVICES_MAX]; /* in the order of their places */
    unsigned nr_devices;
};

unsigned devices_count(const struct devices_config *config)
{
    return config->has_rng;
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

static int create_all(struct devices *devices, vm_t *vm, const struct devices_config *config)
{
    devices->worker = worker_create("devices");
    if (devices->worker == NULL) {
        return -1;
    }
    return config->has_rng ? create_rng(devices, vm) : 0;
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

int devices_attach_pci(struct devices *devices, hostvm_pci_bus_t *bus)
{
    for (unsigned i = 0; i < devices->nr_devices; i++) {
        if (hostvm_virtio_attach_pci(devices->list[i], bus, -1) != 0) {
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
    rng_destroy(devices->rng);
    worker_destroy(devices->worker);
    free(devices);
}
