/* The ports of a PCI bus's registers, in the VM's port map. */
#include "dev/pci_ports.h"

enum { DATA_PORTS = 4 };

static ioport_fault_result_t address_in(vm_vcpu_t *vcpu, void *cookie, unsigned port_no,
                                        unsigned size, unsigned *result)
{
    (void)vcpu;
    (void)port_no;
    *result = pci_ports_read_address(cookie, size);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t address_out(vm_vcpu_t *vcpu, void *cookie, unsigned port_no,
                                         unsigned size, unsigned value)
{
    (void)vcpu;
    (void)port_no;
    pci_ports_write_address(cookie, size, value);
    return IO_FAULT_HANDLED;
}

/* An access past the last data port is one to nothing. */
static ioport_fault_result_t data_in(vm_vcpu_t *vcpu, void *cookie, unsigned port_no, unsigned size,
                                     unsigned *result)
{
    unsigned offset = port_no % DATA_PORTS;

    (void)vcpu;
    *result = offset + size <= DATA_PORTS ? pci_ports_read_data(cookie, offset, size) : UINT32_MAX;
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t data_out(vm_vcpu_t *vcpu, void *cookie, unsigned port_no,
                                      unsigned size, unsigned value)
{
    unsigned offset = port_no % DATA_PORTS;

    (void)vcpu;
    if (offset + size <= DATA_PORTS) {
        pci_ports_write_data(cookie, offset, size, value);
    }
    return IO_FAULT_HANDLED;
}

int pci_ports_attach(struct pci_ports *ports, vm_t *vm, uint16_t address_port, uint16_t data_port)
{
    const vm_ioport_range_t address = {address_port, address_port};
    const vm_ioport_range_t data = {data_port, (uint16_t)(data_port + DATA_PORTS - 1)};
    const vm_ioport_interface_t address_interface = {ports, address_in, address_out, "PCI address"};
    const vm_ioport_interface_t data_interface = {ports, data_in, data_out, "PCI data"};

    if (vm_io_port_add_handler(vm, address, address_interface) != 0) {
        return -1;
    }
    return vm_io_port_add_handler(vm, data, data_interface);
}
