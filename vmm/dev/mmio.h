/* Devices behind registers of 32 bits in guest memory. */
#ifndef DEV_MMIO_H
#define DEV_MMIO_H

#include <stddef.h>
#include <stdint.h>

#include <sel4vm/guest_vm.h>

struct mmio_device {
    void *device;
    uint32_t (*read)(void *device, unsigned offset); /* of multiples of 4 */
    void (*write)(void *device, unsigned offset, uint32_t value);
    uint64_t base, size;
    const char *name;
};

/*
 * An access of 1, 2, 4 or 8 bytes, as the bridge to a peripheral bus does it: 8 bytes are two
 * registers; less than 4 are a part of one, of which only the lowest can be written. What lies
 * across registers reads 0 and is not written.
 */
uint64_t mmio_device_read(const struct mmio_device *mmio, unsigned offset, size_t size);
void mmio_device_write(const struct mmio_device *mmio, unsigned offset, size_t size,
                       uint64_t value);

/* Puts it into guest memory; mmio lives as long as the VM. 0 or -1. */
int mmio_device_attach(vm_t *vm, const struct mmio_device *mmio);

#endif
