/* Devices behind byte-wide ports, in the VM's port map. */
#include "dev/device.h"

static ioport_fault_result_t port_in(vm_vcpu_t *vcpu, void *cookie, unsigned port_no, unsigned size,
                                     unsigned *result)
{
    const struct port_device *ports = cookie;

    (void)vcpu;
    for (unsigned i = 0; i < size; i++) {
        unsigned offset = port_no - ports->base + i;
        uint8_t byte = offset < ports->nr_ports ? ports->read(ports->device, offset) : 0xff;

        *result |= (unsigned)byte << 8 * i;
    }
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t port_out(vm_vcpu_t *vcpu, void *cookie, unsigned port_no,
                                      unsigned size, unsigned value)
{
    const struct port_device *ports = cookie;

    (void)vcpu;
    for (unsigned i = 0; i < size && port_no - ports->base + i < ports->nr_ports; i++) {
        ports->write(ports->device, port_no - ports->base + i, (uint8_t)(value >> 8 * i));
    }
    return IO_FAULT_HANDLED;
}

int port_device_attach(vm_t *vm, struct port_device *ports)
{
    const vm_ioport_range_t range = {ports->base, (uint16_t)(ports->base + ports->nr_ports - 1)};
    const vm_ioport_interface_t interface = {ports, port_in, port_out, ports->name};

    return vm_io_port_add_handler(vm, range, interface);
}
