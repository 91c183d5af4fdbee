/* What every device of the machine has: its way out to interrupt lines, and its place in the port
 * map. */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include <stdint.h>

#include <sel4vm/guest_vm.h>

#include "dev/irq_line.h"

/* A device behind ports, one byte wide each. Wider accesses are split, as the bus of a PC does. */
struct port_device {
    void *device;
    uint8_t (*read)(void *device, unsigned offset);
    void (*write)(void *device, unsigned offset, uint8_t value);
    uint16_t base;
    uint16_t nr_ports;
    const char *name;
};

/* Registers the ports; port_device lives as long as the VM. 0 or -1. */
int port_device_attach(vm_t *vm, struct port_device *ports);

#endif
