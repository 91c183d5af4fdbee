/* The numbers of PCI configuration space: Linux's names for what the PCI specifications define. */
#pragma once

#include <linux/pci_regs.h>

/* PCI Local Bus Specification 3.0, 6.1: what reading the vendor of an empty slot gives. */
#define PCI_VENDOR_ID_INVALID 0xffff

/* PCI Local Bus Specification 3.0, appendix D: base class and sub-class of some devices. */
#define PCI_CLASS_STORAGE_SCSI        0x0100
#define PCI_CLASS_NETWORK_ETHERNET    0x0200
#define PCI_CLASS_MEMORY_RAM          0x0500
#define PCI_CLASS_BRIDGE_HOST         0x0600
#define PCI_CLASS_BRIDGE_PCI          0x0604
#define PCI_CLASS_COMMUNICATION_OTHER 0x0780
