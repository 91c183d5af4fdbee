/* What every virtio device has: status bits (virtio 1.2, 2.1) and common feature bits. */
#pragma once

#define VIRTIO_CONFIG_S_ACKNOWLEDGE 1    /* the guest has seen the device */
#define VIRTIO_CONFIG_S_DRIVER      2    /* it has a driver for it */
#define VIRTIO_CONFIG_S_DRIVER_OK   4    /* the driver is ready */
#define VIRTIO_CONFIG_S_FAILED      0x80 /* the guest gave up */

/* Feature bits of the transport: from the first, up to the second without it. */
#define VIRTIO_TRANSPORT_F_START 28
#define VIRTIO_TRANSPORT_F_END   32

/* Legacy: interrupt when the queue runs empty, suppressed or not. */
#define VIRTIO_F_NOTIFY_ON_EMPTY 24

/* The device makes nothing of how a message is divided into descriptors. */
#define VIRTIO_F_ANY_LAYOUT 27
