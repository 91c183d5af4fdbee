/* A PCI bus: the memory it takes of the VM, and the functions in its slots. */
#include "pci/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hostvm/vm.h>

#include "base/reason.h"

enum { PAGE = 0x1000, CLASS_HOST_BRIDGE = 0x060000 };

int pci_status(vm_t *vm, int r)
{
    if (r < 0) {
        hostvm_vm_log(vm, HOSTVM_LOG_ERROR, "%s", reason_last());
        return -1;
    }
    return 0;
}

/* --- the bus --- */

static bool is_window(const hostvm_pci_window_t *window)
{
    return window->start % PAGE == 0 && window->size % PAGE == 0 &&
           range_is_valid(window->start, window->size);
}

static int check_bus(const hostvm_pci_bus_config_t *config)
{
    static const uint64_t four_gib = (uint64_t)1 << 32;

    if (config->ecam % HOSTVM_PCI_ECAM_SIZE != 0) {
        return fail(-EINVAL,
                    "cannot make a PCI bus with registers at 0x%llx: that is no multiple of 1 MiB",
                    (unsigned long long)config->ecam);
    }
    if (!is_window(&config->memory) || config->memory.start + config->memory.size > four_gib ||
        !is_window(&config->memory64)) {
        return fail(-EINVAL,
                    "cannot make a PCI bus with memory at [0x%llx..0x%llx) and [0x%llx..0x%llx): "
                    "that is not of whole pages, or the first not below 4 GiB",
                    (unsigned long long)config->memory.start,
                    (unsigned long long)(config->memory.start + config->memory.size),
                    (unsigned long long)config->memory64.start,
                    (unsigned long long)(config->memory64.start + config->memory64.size));
    }
    return 0;
}

/* NULL: no reservation there, and the reason has been said. */
static vm_memory_reservation_t *reserve(struct hostvm_pci_bus *bus, uint64_t start, uint64_t size,
                                        memory_fault_callback_fn callback)
{
    return vm_reserve_memory_at(bus->vm, start, size, callback, bus);
}

static int reserve_all(struct hostvm_pci_bus *bus)
{
    const hostvm_pci_window_t *windows[] = {&bus->config.memory, &bus->config.memory64};

    bus->reservations[0] = reserve(bus, bus->config.ecam, HOSTVM_PCI_ECAM_SIZE, pci_config_fault);
    if (bus->reservations[0] == NULL) {
        return -1;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (windows[i]->size == 0) {
            continue;
        }
        bus->reservations[1 + i] =
            reserve(bus, windows[i]->start, windows[i]->size, pci_memory_fault);
        if (bus->reservations[1 + i] == NULL) {
            return -1;
        }
    }
    return 0;
}

static int add_bridge(struct hostvm_pci_bus *bus)
{
    static const hostvm_pci_ops_t nothing;
    const hostvm_pci_config_t config = {
        .vendor = bus->config.vendor,
        .device = bus->config.device,
        .class_code = CLASS_HOST_BRIDGE,
        .ops = &nothing,
    };

    if (config.vendor == 0) {
        return 0;
    }
    return hostvm_pci_add(bus, 0, &config) != NULL ? 0 : -1;
}

static int create_bus(vm_t *vm, const hostvm_pci_bus_config_t *config, struct hostvm_pci_bus **ret)
{
    struct hostvm_pci_bus *bus;
    int r = check_bus(config);

    if (r < 0) {
        return r;
    }
    bus = calloc(1, sizeof(*bus));
    if (bus == NULL) {
        return fail(-ENOMEM, "cannot make a PCI bus: out of memory");
    }
    bus->vm = vm;
    bus->config = *config;
    (void)pthread_mutex_init(&bus->lock, NULL); /* cannot fail: without attributes */
    *ret = bus;
    if (rangemap_reserve(&bus->decoded, (size_t)HOSTVM_PCI_SLOTS * HOSTVM_PCI_BARS) < 0) {
        return fail(-ENOMEM, "cannot make a PCI bus: out of memory");
    }
    return 0;
}

hostvm_pci_bus_t *hostvm_pci_bus_create(vm_t *vm, const hostvm_pci_bus_config_t *config)
{
    struct hostvm_pci_bus *bus = NULL;
    int r;

    if (vm == NULL || config == NULL) {
        r = fail(-EINVAL, "hostvm_pci_bus_create: no VM or no configuration given");
    } else {
        r = create_bus(vm, config, &bus);
    }
    if (pci_status(vm, r) < 0 || reserve_all(bus) < 0 || add_bridge(bus) < 0) {
        hostvm_pci_bus_destroy(bus);
        return NULL;
    }
    return bus;
}

void hostvm_pci_bus_destroy(hostvm_pci_bus_t *bus)
{
    if (bus == NULL) {
        return;
    }
    for (unsigned slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        hostvm_pci_remove(bus->functions[slot]);
    }
    for (unsigned i = 0; i < sizeof(bus->reservations) / sizeof(bus->reservations[0]); i++) {
        if (bus->reservations[i] != NULL) {
            (void)vm_free_reserved_memory(bus->vm, bus->reservations[i]); /* it is the VM's */
        }
    }
    rangemap_fini(&bus->decoded);
    (void)pthread_mutex_destroy(&bus->lock);
    free(bus);
}

/* --- functions --- */

static int choose_slot(const struct hostvm_pci_bus *bus, int slot)
{
    if (slot >= HOSTVM_PCI_SLOTS || slot < -1) {
        return fail(-EINVAL, "there is no PCI slot %d: they are 0 to %d", slot,
                    HOSTVM_PCI_SLOTS - 1);
    }
    if (slot >= 0) {
        return bus->functions[slot] == NULL
                   ? slot
                   : fail(-EEXIST, "cannot add a PCI function: slot %d is taken", slot);
    }
    for (slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        if (bus->functions[slot] == NULL) {
            return slot;
        }
    }
    return fail(-ENOSPC, "cannot add a PCI function: all %d slots are taken", HOSTVM_PCI_SLOTS);
}

static int check_function(const hostvm_pci_config_t *config)
{
    if (config->ops == NULL) {
        return fail(-EINVAL, "cannot add a PCI function: it has no functions to call");
    }
    if (config->vendor == 0 || config->vendor == 0xffff) {
        return fail(-EINVAL, "cannot add a PCI function of vendor 0x%04x: that means none",
                    config->vendor);
    }
    if (config->nr_vectors > HOSTVM_PCI_MAX_VECTORS) {
        return fail(-EINVAL, "cannot add a PCI function with %u messages: the most is %d",
                    config->nr_vectors, HOSTVM_PCI_MAX_VECTORS);
    }
    if (config->nr_vectors > 0 &&
        (config->msix_bar >= HOSTVM_PCI_BARS || config->bars[config->msix_bar].size != 0)) {
        return fail(-EINVAL,
                    "cannot add a PCI function: base address %u is not free for its messages",
                    config->msix_bar);
    }
    return 0;
}

static int init(struct hostvm_pci_function *function, const hostvm_pci_config_t *config)
{
    hostvm_pci_bar_t bars[HOSTVM_PCI_BARS];
    int r;

    memcpy(bars, config->bars, sizeof(bars));
    if (config->nr_vectors > 0) {
        bars[config->msix_bar] = (hostvm_pci_bar_t){pci_msix_bar_size(config->nr_vectors), 0, 0};
    }
    pci_config_init(function, config);
    r = pci_bars_init(function, bars);
    return r < 0 ? r : pci_msix_init(function, config->nr_vectors, config->msix_bar);
}

static int create_function(struct hostvm_pci_bus *bus, int slot, const hostvm_pci_config_t *config,
                           struct hostvm_pci_function **ret)
{
    struct hostvm_pci_function *function;
    int r = check_function(config);

    if (r == 0) {
        r = slot = choose_slot(bus, slot);
    }
    if (r < 0) {
        return r;
    }
    function = calloc(1, sizeof(*function));
    if (function == NULL) {
        return fail(-ENOMEM, "cannot add a PCI function: out of memory");
    }
    function->bus = bus;
    function->slot = (unsigned)slot;
    function->ops = config->ops;
    function->cookie = config->cookie;
    function->has_line = config->has_line;
    function->may_raise = true;
    bus->functions[slot] = function;
    *ret = function;
    return init(function, config);
}

hostvm_pci_function_t *hostvm_pci_add(hostvm_pci_bus_t *bus, int slot,
                                      const hostvm_pci_config_t *config)
{
    struct hostvm_pci_function *function = NULL;
    int r;

    if (bus == NULL || config == NULL) {
        r = fail(-EINVAL, "hostvm_pci_add: no bus or no configuration given");
    } else {
        r = create_function(bus, slot, config, &function);
    }
    if (pci_status(bus == NULL ? NULL : bus->vm, r) < 0) {
        hostvm_pci_remove(function);
        return NULL;
    }
    return function;
}

void hostvm_pci_remove(hostvm_pci_function_t *function)
{
    if (function == NULL) {
        return;
    }
    pci_line_fini(function);
    pci_bars_fini(function);
    pci_msix_fini(function);
    function->bus->functions[function->slot] = NULL;
    free(function);
}

unsigned int hostvm_pci_slot(const hostvm_pci_function_t *function)
{
    return function->slot;
}

int hostvm_pci_add_capability(hostvm_pci_function_t *function, uint8_t id, const void *bytes,
                              const void *writable, size_t size)
{
    int offset;

    if (function == NULL || bytes == NULL || size == 0) {
        offset = fail(-EINVAL, "hostvm_pci_add_capability: no function, or no bytes given");
    } else {
        offset = pci_capability_add(function, id, bytes, writable, size);
    }
    if (offset < 0) {
        return pci_status(function == NULL ? NULL : function->bus->vm, offset);
    }
    function->capabilities[function->nr_capabilities].offset = (unsigned)offset;
    function->capabilities[function->nr_capabilities].size = (unsigned)size;
    function->nr_capabilities++;
    return offset;
}

uint8_t *hostvm_pci_capability(hostvm_pci_function_t *function, unsigned int offset)
{
    return &function->config[offset];
}
