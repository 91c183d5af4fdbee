/* The way to a PCI bus's registers through ports. */
#include "dev/pci_ports.h"

enum {
    ENABLE_SHIFT = 31,
    RESERVED = 0x7f000003, /* and the two lowest bits, which the data port's number has */
    BUS_SHIFT = 16,
    BUS_MASK = 0xff,
    FUNCTION_SHIFT = 8,
    FUNCTION_MASK = 0xff,
    REGISTER_MASK = 0xfc,
    ECAM_FUNCTION_SHIFT = 12,
};

uint32_t pci_ports_read_address(const struct pci_ports *ports, unsigned size)
{
    return size == sizeof(ports->address) ? ports->address : UINT32_MAX;
}

void pci_ports_write_address(struct pci_ports *ports, unsigned size, uint32_t value)
{
    if (size == sizeof(ports->address)) {
        ports->address = value & ~(uint32_t)RESERVED;
    }
}

/* Where it leads to on bus 0, the only one that there is. */
static bool find_register(const struct pci_ports *ports, unsigned offset, uint32_t *ret)
{
    uint32_t function = ports->address >> FUNCTION_SHIFT & FUNCTION_MASK;

    *ret = function << ECAM_FUNCTION_SHIFT | (ports->address & REGISTER_MASK) | offset;
    return ports->address >> ENABLE_SHIFT != 0 && (ports->address >> BUS_SHIFT & BUS_MASK) == 0;
}

uint32_t pci_ports_read_data(const struct pci_ports *ports, unsigned offset, unsigned size)
{
    uint32_t at;

    return find_register(ports, offset, &at)
               ? (uint32_t)hostvm_pci_read_config(ports->bus, at, size)
               : UINT32_MAX;
}

void pci_ports_write_data(const struct pci_ports *ports, unsigned offset, unsigned size,
                          uint32_t value)
{
    uint32_t at;

    if (find_register(ports, offset, &at)) {
        hostvm_pci_write_config(ports->bus, at, size, value);
    }
}
