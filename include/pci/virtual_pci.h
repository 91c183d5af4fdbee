/* PCI as seen by who emulates it: the numbers and types of pci/pci.h. */
#pragma once

#include <pci/helper.h>
#include <pci/pci.h>
#include <pci/pci_config.h>

/* What a guest reads where there is no device. */
#define PCI_INVALID_READ_VALUE 0xFFFFFFFF
