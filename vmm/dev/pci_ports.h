/* The way to a PCI bus's registers through ports, as every PC has it (PCI 3.0, 3.2.2.3.2). */
#ifndef DEV_PCI_PORTS_H
#define DEV_PCI_PORTS_H

#include <stdint.h>

#include <hostvm/pci.h>
#include <sel4vm/guest_vm.h>

struct pci_ports {
    hostvm_pci_bus_t *bus;
    uint32_t address; /* enable, bus, slot, function, register */
};

/* Of 1, 2 or 4 bytes; the address is read and written as a whole. */
uint32_t pci_ports_read_address(const struct pci_ports *ports, unsigned size);
void pci_ports_write_address(struct pci_ports *ports, unsigned size, uint32_t value);
uint32_t pci_ports_read_data(const struct pci_ports *ports, unsigned offset, unsigned size);
void pci_ports_write_data(const struct pci_ports *ports, unsigned offset, unsigned size,
                          uint32_t value);

/* Registers the ports: one for the address, four for the data; ports lives as long as the VM. 0 or
 * -1. */
int pci_ports_attach(struct pci_ports *ports, vm_t *vm, uint16_t address_port, uint16_t data_port);

#endif
