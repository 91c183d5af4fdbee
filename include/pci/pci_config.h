/* What the base address registers of a PCI device say. */
#pragma once

#include <pci/helper.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of configuration space that are the same for every device. */
#define PCI_CONFIG_HEADER_SIZE_BYTES PCI_STD_HEADER_SIZEOF

/**
 * The six base address registers, element by element. What is not there is all zeros.
 *
 * A 64-bit address takes two: the first has its lower half and its size, as far as that fits 32
 * bits; the second has base_addr_64H set, holds the upper half, and has no meaning of its own.
 */
struct libpci_device_iocfg {
    uint32_t base_addr[6];             /* the address, without its type bits */
    uint8_t base_addr_space[6];        /* PCI_BASE_ADDRESS_SPACE_IO or _MEMORY */
    uint8_t base_addr_type[6];         /* memory: PCI_BASE_ADDRESS_MEM_TYPE_32, _64, _1M */
    uint8_t base_addr_prefetchable[6]; /* memory: 1 when reading it has no side effect */
    uint32_t base_addr_size_mask[6];   /* the address bits that can be written */
    uint32_t base_addr_size[6];        /* bytes, a power of two; 0: not there, or above 2 GiB */
    uint32_t base_addr_raw[6];         /* the register as it was found */
    bool base_addr_64H[6];             /* the upper half of the one before */
};

typedef struct libpci_device_iocfg libpci_device_iocfg_t;

/**
 * A base address, both halves of it.
 *
 * @param index  0 to 5, not the upper half of another
 * @return the address; 0 for another index
 */
static inline uint64_t libpci_device_iocfg_get_baseaddr(libpci_device_iocfg_t *cfg, int index)
{
    uint64_t address;

    if (cfg == NULL || index < 0 || index > 5) {
        return 0;
    }
    address = cfg->base_addr[index];
    if (index < 5 && cfg->base_addr_64H[index + 1]) {
        address |= (uint64_t)cfg->base_addr[index + 1] << 32;
    }
    return address;
}

/**
 * The lower half of a base address.
 */
static inline uint32_t libpci_device_iocfg_get_baseaddr32(libpci_device_iocfg_t *cfg, int index)
{
    return (uint32_t)libpci_device_iocfg_get_baseaddr(cfg, index);
}

/**
 * True when the device has a base address at all.
 */
static inline bool libpci_device_iocfg_uses_iomem(libpci_device_iocfg_t *cfg)
{
    int i;

    for (i = 0; cfg != NULL && i < 6; i++) {
        if (cfg->base_addr[i] != 0 && !cfg->base_addr_64H[i]) {
            return true;
        }
    }
    return false;
}

#ifdef __cplusplus
}
#endif
