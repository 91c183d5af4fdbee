/* The guest's accesses to a bus: to its registers, and to the memory of its functions. */
#include "pci/bus.h"

#include <hostvm/vm.h>
#include <sel4vm/guest_vcpu_fault.h>

/* --- registers --- */

/* The function that has all of the bytes; NULL: none. */
static struct hostvm_pci_function *find_function(struct hostvm_pci_bus *bus, uint32_t offset,
                                                 size_t size)
{
    enum { SLOT_SHIFT = 15, FUNCTION_MASK = 0x7000 };

    if (offset >= HOSTVM_PCI_ECAM_SIZE || (offset & FUNCTION_MASK) != 0 || size == 0 ||
        size > sizeof(uint64_t) || offset % PCI_FUNCTION_SIZE + size > PCI_FUNCTION_SIZE) {
        return NULL;
    }
    return bus->functions[offset >> SLOT_SHIFT];
}

uint64_t hostvm_pci_read_config(hostvm_pci_bus_t *bus, uint32_t offset, size_t size)
{
    struct hostvm_pci_function *function = find_function(bus, offset, size);

    return function == NULL ? UINT64_MAX
                            : pci_config_read(function, offset % PCI_FUNCTION_SIZE, size);
}

void hostvm_pci_write_config(hostvm_pci_bus_t *bus, uint32_t offset, size_t size, uint64_t value)
{
    struct hostvm_pci_function *function = find_function(bus, offset, size);

    if (function != NULL) {
        pci_config_write(function, offset % PCI_FUNCTION_SIZE, size, value);
    }
}

/* --- memory --- */

static uint64_t read_bar(const struct pci_bar *bar, uint64_t offset, size_t size)
{
    struct hostvm_pci_function *function = bar->function;

    if (function->msix.nr_vectors > 0 && bar->index == function->msix.bar) {
        return pci_msix_read(function, offset, size);
    }
    return function->ops->read == NULL
               ? 0
               : function->ops->read(function->cookie, bar->index, offset, size);
}

static void write_bar(const struct pci_bar *bar, uint64_t offset, size_t size, uint64_t value)
{
    struct hostvm_pci_function *function = bar->function;

    if (function->msix.nr_vectors > 0 && bar->index == function->msix.bar) {
        pci_msix_write(function, offset, size, value);
    } else if (function->ops->write != NULL) {
        function->ops->write(function->cookie, bar->index, offset, size, value);
    }
}

/* The memory that has all of the bytes; NULL: none. */
static const struct pci_bar *find_memory(struct hostvm_pci_bus *bus, uint64_t addr, size_t size)
{
    const struct pci_bar *bar = pci_bars_find(bus, addr);

    return bar != NULL && range_contains(bar->range, (struct range){addr, size}) ? bar : NULL;
}

uint64_t pci_memory_read(struct hostvm_pci_bus *bus, uint64_t addr, size_t size)
{
    const struct pci_bar *bar = find_memory(bus, addr, size);

    return bar == NULL ? UINT64_MAX : read_bar(bar, addr - bar->range.start, size);
}

void pci_memory_write(struct hostvm_pci_bus *bus, uint64_t addr, size_t size, uint64_t value)
{
    const struct pci_bar *bar = find_memory(bus, addr, size);

    if (bar != NULL) {
        write_bar(bar, addr - bar->range.start, size, value);
    }
}

/* --- faults --- */

memory_fault_result_t pci_config_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie)
{
    struct hostvm_pci_bus *bus = cookie;
    uint32_t offset = (uint32_t)(addr - bus->config.ecam);

    (void)vm;
    if (is_vcpu_read_fault(vcpu)) {
        (void)hostvm_set_fault_data(vcpu, hostvm_pci_read_config(bus, offset, size)); /* a read */
    } else {
        hostvm_pci_write_config(bus, offset, size, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

memory_fault_result_t pci_memory_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                       void *cookie)
{
    (void)vm;
    if (is_vcpu_read_fault(vcpu)) {
        (void)hostvm_set_fault_data(vcpu, pci_memory_read(cookie, addr, size)); /* likewise */
    } else {
        pci_memory_write(cookie, addr, size, get_vcpu_fault_data(vcpu));
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}
