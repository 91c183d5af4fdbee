/* The virtio console device: virtio 1.2, 5.3. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <virtio/virtio_pci.h>

/* 5.3.2: the queues of the control port when there are several ports */
#define CTL_RX_QUEUE 2
#define CTL_TX_QUEUE 3

/* 5.3.3, feature bits */
#define VIRTIO_CON_F_SIZE        0 /* the configuration has a size in characters */
#define VIRTIO_CON_F_MULTIPORT   1 /* there are several ports, and a control port */
#define VIRTIO_CON_F_EMERG_WRITE 2 /* the configuration has a register to write to early */

/* The port number that no port has. */
#define VIRTIO_CON_BAD_ID (~(uint32_t)0)

/* Ports of the devices that platform support makes. */
#define VIRTIO_CON_MAX_PORTS 4

/* 5.3.4 */
struct virtio_con_cfg {
    uint16_t cols;
    uint16_t rows;
    uint32_t max_nr_ports;
    uint32_t emerg_wr;
} __attribute__((packed));

/* Where a legacy PCI device without MSI-X has max_nr_ports. */
#define VIRTIO_CON_CFG_MAX_PORTS                                                                   \
    (VIRTIO_PCI_CONFIG_OFF(false) + offsetof(struct virtio_con_cfg, max_nr_ports))

/* 5.3.6.2, a message on the control queues */
struct virtio_con_ctl {
    uint32_t id;    /* port */
    uint16_t event; /* VIRTIO_CON_... below */
    uint16_t value;
} __attribute__((packed));

#define VIRTIO_CON_DEVICE_READY 0
#define VIRTIO_CON_PORT_ADD     1
#define VIRTIO_CON_PORT_REMOVE  2
#define VIRTIO_CON_PORT_READY   3
#define VIRTIO_CON_CON_PORT     4
#define VIRTIO_CON_RESIZE       5
#define VIRTIO_CON_PORT_OPEN    6
#define VIRTIO_CON_PORT_NAME    7
