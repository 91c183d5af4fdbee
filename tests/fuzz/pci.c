/* Devices on a PCI bus: its registers, base addresses that the guest moves, messages, and a plain
 * function beside the device. */
#include <hostvm/pci.h>

#include "driver.h"
#include "echo.h"

static hostvm_pci_function_t *chip;
static hostvm_pci_config_t config;

static void check_access(unsigned bar, uint64_t offset, size_t size)
{
    fuzz_check(bar < HOSTVM_PCI_BARS && size >= 1 && size <= 8);
    fuzz_check(offset < config.bars[bar].size && size <= config.bars[bar].size - offset);
}

static uint64_t read_chip(void *cookie, unsigned bar, uint64_t offset, size_t size)
{
    (void)cookie;
    check_access(bar, offset, size);
    return offset;
}

static void write_chip(void *cookie, unsigned bar, uint64_t offset, size_t size, uint64_t value)
{
    (void)cookie;
    check_access(bar, offset, size);
    hostvm_pci_set_irq(chip, (value & 1) != 0);
}

static void configured(void *cookie, unsigned offset, size_t size)
{
    (void)cookie;
    fuzz_check(size > 0 && offset + size <= 0x100);
    (void)hostvm_pci_capability(chip, offset);
}

static void add_chip(hostvm_pci_bus_t *bus)
{
    static const hostvm_pci_ops_t ops = {read_chip, write_chip, configured, configured};
    static const uint8_t capability[6] = {6, 1, 2, 3, 4, 5};
    static const uint8_t writable[6] = {0, 0xff, 0xf0, 0xff, 0x0f, 0};
    const hostvm_doorbell_t doorbell = {.addr = 0x20, .size = 4};

    config = (hostvm_pci_config_t){
        .vendor = 0x1234,
        .device = 0x5678,
        .class_code = 0xff0000,
        .has_line = true,
        .bars = {{.size = 16}, {.size = 0x1000}, {.size = 0x8000, .is_64bit = true}},
        .nr_vectors = 9,
        .msix_bar = 4,
        .ops = &ops,
    };
    chip = hostvm_pci_add(bus, 1, &config);
    fuzz_check(chip != NULL);
    fuzz_check(hostvm_pci_add_capability(chip, 9, capability, writable, sizeof(capability)) >= 0);
    fuzz_check(hostvm_pci_doorbell_add(chip, 1, &doorbell, hostvm_pci_vector_fd(chip, 0)) == 0);
}

const struct fuzz_target fuzz_target = {
    .transport = FUZZ_PCI,
    .create = echo_create,
    .destroy = echo_destroy,
    .host = echo_host,
    .add_functions = add_chip,
};
