/* A virtio device as a PCI function: what its transport's files share. */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include <hostvm/pci.h>

#include "virtio/device.h"

enum { PCI_NO_VECTOR = 0xffff };

struct pci {
    struct hostvm_virtio *device;
    hostvm_pci_function_t *function;
    unsigned nr_vectors;
    uint16_t config_vector; /* atomic */
    uint32_t device_features_select, driver_features_select;
    uint16_t queue_select;
    unsigned access; /* the place of that capability */

    pthread_mutex_t line_lock; /* the line is as the device's isr says; the bus's comes after it */
};

/* pci_common.c: the common configuration (virtio 1.2, 4.1.4.3). Accesses of other sizes than its
 * registers' have no effect, and read 0. VM lock held. */
enum { PCI_COMMON_SIZE = 0x3c };
uint64_t pci_common_read(struct pci *pci, uint64_t offset, size_t size);
void pci_common_write(struct pci *pci, uint64_t offset, size_t size, uint64_t value);
void pci_common_reset(struct pci *pci);

#endif
