/* The way to a PCI bus's registers through ports. */
#include "dev/pci_ports.h"

enum {
    DATA_PORTS = 4,
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

/* --- in the port map --- */

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
