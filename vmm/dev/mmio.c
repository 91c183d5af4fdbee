/* Devices behind registers of 32 bits, in the VM's reservations. */
#include "dev/mmio.h"

#include <stdbool.h>

#include <hostvm/vm.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vcpu_fault.h>

enum { WORD = 4 };

static uint64_t mask_of(size_t size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1;
}

static bool is_two_registers(unsigned offset, size_t size)
{
    return size == 2 * WORD && offset % WORD == 0;
}

uint64_t mmio_device_read(const struct mmio_device *mmio, unsigned offset, size_t size)
{
    unsigned part = offset % WORD;
    uint64_t value;

    if (is_two_registers(offset, size)) {
        value = mmio->read(mmio->device, offset);
        return value | (uint64_t)mmio->read(mmio->device, offset + WORD) << 32;
    }
    if (part + size > WORD) {
        return 0;
    }
    return mmio->read(mmio->device, offset - part) >> 8 * part & mask_of(size);
}

void mmio_device_write(const struct mmio_device *mmio, unsigned offset, size_t size, uint64_t value)
{
    if (is_two_registers(offset, size)) {
        mmio->write(mmio->device, offset, (uint32_t)value);
        mmio->write(mmio->device, offset + WORD, (uint32_t)(value >> 32));
    } else if (offset % WORD == 0 && size <= WORD) {
        mmio->write(mmio->device, offset, (uint32_t)(value & mask_of(size)));
    }
}

static memory_fault_result_t fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                   void *cookie)
{
    const struct mmio_device *mmio = cookie;
    unsigned offset = (unsigned)(addr - mmio->base);

    (void)vm;
    if (is_vcpu_read_fault(vcpu)) {
        (void)hostvm_set_fault_data(vcpu, mmio_device_read(mmio, offset, size)); /* it is a read */
    } else {
        mmio_device_write(mmio, offset, size, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

int mmio_device_attach(vm_t *vm, const struct mmio_device *mmio)
{
    void *cookie = (void *)(uintptr_t)mmio; /* handed back as it is */

    return vm_reserve_memory_at(vm, mmio->base, mmio->size, fault, cookie) != NULL ? 0 : -1;
}
