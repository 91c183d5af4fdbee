/* The registers of a legacy virtio device on PCI: virtio 1.2, 4.1.4.10. */
#pragma once

/* Offsets into the device's first base address, and the bytes of each register. */
#define VIRTIO_PCI_HOST_FEATURES  0  /* 4, read: what the device can do */
#define VIRTIO_PCI_GUEST_FEATURES 4  /* 4: what the driver wants of it */
#define VIRTIO_PCI_QUEUE_PFN      8  /* 4: page number of the selected queue */
#define VIRTIO_PCI_QUEUE_NUM      12 /* 2, read: entries of the selected queue */
#define VIRTIO_PCI_QUEUE_SEL      14 /* 2: selects a queue */
#define VIRTIO_PCI_QUEUE_NOTIFY   16 /* 2: number of the queue that has new buffers */
#define VIRTIO_PCI_STATUS         18 /* 1: VIRTIO_CONFIG_S_... */
#define VIRTIO_PCI_ISR            19 /* 1, read: why it interrupted; reading acknowledges */

/* Bit of VIRTIO_PCI_ISR: the configuration changed. */
#define VIRTIO_PCI_ISR_CONFIG 0x2

/* Present when MSI-X is enabled. */
#define VIRTIO_MSI_CONFIG_VECTOR 20 /* 2 */
#define VIRTIO_MSI_QUEUE_VECTOR  22 /* 2 */
#define VIRTIO_MSI_NO_VECTOR     0xffff

/* Where the configuration of the kind of device begins. */
#define VIRTIO_PCI_CONFIG_OFF(msix_enabled) ((msix_enabled) ? 24 : 20)

/* PCI revision of a legacy device. */
#define VIRTIO_PCI_ABI_VERSION 0

/* VIRTIO_PCI_QUEUE_PFN counts pages of this size, and the used ring begins at one. */
#define VIRTIO_PCI_QUEUE_ADDR_SHIFT 12
#define VIRTIO_PCI_VRING_ALIGN      4096
