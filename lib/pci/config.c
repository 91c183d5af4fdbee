/* Configuration space of a function: what is in it, which of it the guest can write, and what comes
 * of that. */
#include "pci/bus.h"

#include <errno.h>
#include <string.h>

#include "base/reason.h"

uint64_t pci_get(const struct hostvm_pci_function *function, unsigned offset, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)function->config[offset + i] << 8 * i;
    }
    return value;
}

void pci_set(struct hostvm_pci_function *function, unsigned offset, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++) {
        function->config[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

void pci_config_init(struct hostvm_pci_function *function, const hostvm_pci_config_t *config)
{
    static const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_LINE;
    unsigned gsi = function->bus->config.gsi[function->slot % HOSTVM_PCI_LINES];

    pci_set(function, PCI_VENDOR, 2, config->vendor);
    pci_set(function, PCI_DEVICE, 2, config->device);
    pci_set(function, PCI_REVISION, 1, config->revision);
    pci_set(function, PCI_CLASS, 3, config->class_code);
    pci_set(function, PCI_SUBSYSTEM_VENDOR, 2, config->subsystem_vendor);
    pci_set(function, PCI_SUBSYSTEM, 2, config->subsystem);
    function->writable[PCI_COMMAND] = (uint8_t)command;
    function->writable[PCI_COMMAND + 1] = (uint8_t)(command >> 8);
    function->writable[PCI_CACHE_LINE] = 0xff;
    function->writable[PCI_LINE] = 0xff;
    if (config->has_line) {
        pci_set(function, PCI_LINE, 1, gsi);
        pci_set(function, PCI_PIN, 1, 1); /* the first of four, as functions that are alone have */
    }
    function->free_config = PCI_HEADER_END;
}

int pci_capability_add(struct hostvm_pci_function *function, uint8_t id, const uint8_t *bytes,
                       const uint8_t *writable, size_t size)
{
    enum { HEAD = 2 }; /* its number, and a pointer to the next one */
    unsigned offset = function->free_config;

    if (size > PCI_CONFIG_SIZE || offset + HEAD + size > PCI_CONFIG_SIZE) {
        return fail(-ENOSPC,
                    "cannot add a capability of %zu bytes: configuration space has room for %u",
                    size + HEAD, PCI_CONFIG_SIZE - offset);
    }
    pci_set(function,
            function->last_capability == 0 ? PCI_CAPABILITIES : function->last_capability + 1, 1,
            offset);
    pci_set(function, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
    pci_set(function, offset, 1, id);
    memcpy(&function->config[offset + HEAD], bytes, size);
    if (writable != NULL) {
        memcpy(&function->writable[offset + HEAD], writable, size);
    }
    function->last_capability = offset;
    function->free_config = (unsigned)align_up(offset + HEAD + size, 4);
    return (int)(offset + HEAD);
}

/* --- accesses --- */

typedef void (*config_hook_fn)(void *cookie, unsigned offset, size_t size);

/* Tells the program which bytes of its capabilities are accessed. */
static void call(const struct hostvm_pci_function *function, config_hook_fn hook, unsigned offset,
                 size_t size)
{
    for (unsigned i = 0; hook != NULL && i < function->nr_capabilities; i++) {
        unsigned start = function->capabilities[i].offset;
        unsigned end = start + function->capabilities[i].size;

        start = start > offset ? start : offset;
        end = end < offset + size ? end : offset + (unsigned)size;
        if (start < end) {
            hook(function->cookie, start, end - start);
        }
    }
}

static bool touches(unsigned offset, size_t size, unsigned start, unsigned end)
{
    return offset < end && offset + size > start;
}

/* The line's state is not in config: it changes in any thread. */
static uint8_t read_byte(struct hostvm_pci_function *function, unsigned offset)
{
    uint8_t byte = function->config[offset];

    if (offset == PCI_STATUS) {
        (void)pthread_mutex_lock(&function->bus->lock);
        byte |= function->wants_line ? PCI_STATUS_LINE : 0;
        (void)pthread_mutex_unlock(&function->bus->lock);
    }
    return byte;
}

uint64_t pci_config_read(struct hostvm_pci_function *function, unsigned offset, size_t size)
{
    uint64_t value = 0;

    call(function, function->ops->reads_config, offset, size);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte =
            offset + i < PCI_CONFIG_SIZE ? read_byte(function, offset + (unsigned)i) : 0xff;

        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

void pci_config_write(struct hostvm_pci_function *function, unsigned offset, size_t size,
                      uint64_t value)
{
    unsigned control = function->msix.capability;
    bool is_command = touches(offset, size, PCI_COMMAND, PCI_STATUS);

    for (size_t i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++) {
        uint8_t mask = function->writable[offset + i];
        uint8_t *byte = &function->config[offset + i];

        *byte = (uint8_t)((*byte & ~mask) | ((value >> 8 * i) & mask));
    }
    if (is_command || touches(offset, size, PCI_BAR, PCI_BAR_END)) {
        pci_bars_update(function);
    }
    if (is_command || (control != 0 && touches(offset, size, control, control + 2))) {
        pci_msix_update(function);
        pci_line_update(function);
    }
    call(function, function->ops->wrote_config, offset, size);
}
