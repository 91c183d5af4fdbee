/* PCI configuration space through ports, and the scan that finds devices in it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/ioreg.h>
#include <pci/pci.h>

#include "base/reason.h"

enum { NR_BUSES = 256, NR_DEVICES = 32, NR_FUNCTIONS = 8, NAME_SIZE = sizeof("0xffff") };

/* Where a function is. */
struct place {
    uint8_t bus;
    uint8_t dev;
    uint8_t fun;
};

/* One scan; a thread has its last one. */
struct scan {
    ps_io_port_ops_t ports;
    uint32_t nr_devices;
    libpci_device_t devices[PCI_MAX_DEVICES];
    char names[PCI_MAX_DEVICES][2][NAME_SIZE];
    bool is_seen[NR_BUSES]; /* a bridge can lead to any bus, also back */
    uint8_t buses[NR_BUSES];
    unsigned nr_buses;
};

/* The interface has no argument that could carry it, and a library no globals to put it in. */
static __thread struct scan *last_scan;

/* --- ports --- */

uint32_t libpci_ioread(uint32_t port_no, uint32_t *val, uint32_t size)
{
    if (last_scan == NULL) {
        return ENOSYS;
    }
    return (uint32_t)ps_io_port_in(&last_scan->ports, port_no, (int)size, val);
}

uint32_t libpci_iowrite(uint32_t port_no, uint32_t val, uint32_t size)
{
    if (last_scan == NULL) {
        return ENOSYS;
    }
    return (uint32_t)ps_io_port_out(&last_scan->ports, port_no, (int)size, val);
}

/* --- configuration space --- */

static bool select_register(struct place at, uint8_t reg)
{
    uint32_t address = 1u << 31 | (uint32_t)at.bus << 16 | (at.dev & (NR_DEVICES - 1u)) << 11 |
                       (at.fun & (NR_FUNCTIONS - 1u)) << 8 | (reg & 0xfcu);

    return libpci_iowrite(PCI_CONF_PORT_ADDR, address, 4) == 0;
}

static bool is_register(uint8_t reg, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && reg % size == 0;
}

static uint32_t all_ones(unsigned size)
{
    return size >= 4 ? UINT32_MAX : (1u << 8 * size) - 1;
}

static uint32_t read_register(struct place at, uint8_t reg, unsigned size)
{
    uint32_t value = UINT32_MAX;

    if (!is_register(reg, size)) {
        return UINT32_MAX;
    }
    if (!select_register(at, reg) ||
        libpci_ioread(PCI_CONF_PORT_DATA + reg % 4u, &value, size) != 0) {
        value = UINT32_MAX;
    }
    return value & all_ones(size);
}

static void write_register(struct place at, uint8_t reg, uint32_t value, unsigned size)
{
    if (is_register(reg, size) && select_register(at, reg)) {
        /* a write that fails is dropped, as one to a device that is not there */
        (void)libpci_iowrite(PCI_CONF_PORT_DATA + reg % 4u, value & all_ones(size), size);
    }
}

uint32_t libpci_read_reg(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint8_t size)
{
    return read_register((struct place){bus, dev, fun}, reg, size);
}

uint32_t libpci_read_reg32(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg)
{
    return read_register((struct place){bus, dev, fun}, reg, 4);
}

uint16_t libpci_read_reg16(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg)
{
    return (uint16_t)read_register((struct place){bus, dev, fun}, reg, 2);
}

uint16_t libpci_read_reg8(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg)
{
    return (uint16_t)read_register((struct place){bus, dev, fun}, reg, 1);
}

void libpci_write_reg(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint32_t val,
                      uint8_t size)
{
    write_register((struct place){bus, dev, fun}, reg, val, size);
}

void libpci_write_reg32(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint32_t val)
{
    write_register((struct place){bus, dev, fun}, reg, val, 4);
}

void libpci_write_reg16(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint16_t val)
{
    write_register((struct place){bus, dev, fun}, reg, val, 2);
}

void libpci_write_reg8(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint8_t val)
{
    write_register((struct place){bus, dev, fun}, reg, val, 1);
}

/* --- base addresses --- */

/* What can be written of a base address; the register is as before afterwards. */
static uint32_t probe(struct place at, uint8_t reg, uint32_t raw)
{
    uint32_t mask;

    write_register(at, reg, UINT32_MAX, 4);
    mask = read_register(at, reg, 4);
    write_register(at, reg, raw, 4);
    return mask;
}

/* The lowest bit that can be written is the size. */
static uint32_t size_of_mask(uint32_t mask)
{
    return mask & -mask;
}

static void read_base_address(libpci_device_iocfg_t *cfg, int i, struct place at)
{
    uint8_t reg = (uint8_t)(PCI_BASE_ADDRESS_0 + 4 * i);
    uint32_t raw = read_register(at, reg, 4);
    uint32_t type_bits = (uint32_t)~PCI_BASE_ADDRESS_MEM_MASK;
    uint32_t probed;

    cfg->base_addr_raw[i] = raw;
    if (cfg->base_addr_64H[i]) {
        cfg->base_addr[i] = raw;
        cfg->base_addr_size_mask[i] = UINT32_MAX;
        return;
    }
    probed = probe(at, reg, raw);
    if (probed == 0) {
        return;
    }
    cfg->base_addr_space[i] = (uint8_t)(probed & PCI_BASE_ADDRESS_SPACE);
    if (cfg->base_addr_space[i] == PCI_BASE_ADDRESS_SPACE_IO) {
        type_bits = (uint32_t)~PCI_BASE_ADDRESS_IO_MASK;
    } else {
        cfg->base_addr_type[i] = (uint8_t)(probed & PCI_BASE_ADDRESS_MEM_TYPE_MASK);
        cfg->base_addr_prefetchable[i] = (probed & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0;
        if (cfg->base_addr_type[i] == PCI_BASE_ADDRESS_MEM_TYPE_64 && i < 5) {
            cfg->base_addr_64H[i + 1] = true;
        }
    }
    cfg->base_addr[i] = raw & ~type_bits;
    cfg->base_addr_size_mask[i] = probed & ~type_bits;
    cfg->base_addr_size[i] = size_of_mask(cfg->base_addr_size_mask[i]);
}

/* Bridges have other registers where devices have base addresses. */
static int nr_base_addresses(struct place at)
{
    switch (read_register(at, PCI_HEADER_TYPE, 1) & 0x7f) {
    case PCI_HEADER_TYPE_NORMAL:
        return 6;
    case PCI_HEADER_TYPE_BRIDGE:
        return 2;
    default:
        return 0;
    }
}

static void read_ioconfig(libpci_device_iocfg_t *cfg, struct place at)
{
    uint32_t command = read_register(at, PCI_COMMAND, 2);
    int nr = nr_base_addresses(at);
    int i;

    memset(cfg, 0, sizeof(*cfg));
    if (read_register(at, PCI_VENDOR_ID, 2) == PCI_VENDOR_ID_INVALID) {
        return;
    }
    /* while probed, an address is wrong: nobody may decode it */
    write_register(at, PCI_COMMAND, command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY), 2);
    for (i = 0; i < nr; i++) {
        read_base_address(cfg, i, at);
    }
    write_register(at, PCI_COMMAND, command, 2);
}

void libpci_read_ioconfig(libpci_device_iocfg_t *cfg, uint8_t bus, uint8_t dev, uint8_t fun)
{
    if (cfg != NULL) {
        read_ioconfig(cfg, (struct place){bus, dev, fun});
    }
}

/* --- the scan --- */

static void add_bus(struct scan *scan, uint8_t bus)
{
    if (!scan->is_seen[bus]) {
        scan->is_seen[bus] = true;
        scan->buses[scan->nr_buses++] = bus;
    }
}

static void add_device(struct scan *scan, struct place at, uint16_t vendor)
{
    libpci_device_t *device = &scan->devices[scan->nr_devices];
    char(*names)[NAME_SIZE] = scan->names[scan->nr_devices];

    if (scan->nr_devices == PCI_MAX_DEVICES) {
        return;
    }
    scan->nr_devices++;
    device->bus = at.bus;
    device->dev = at.dev;
    device->fun = at.fun;
    device->vendor_id = vendor;
    device->device_id = (uint16_t)read_register(at, PCI_DEVICE_ID, 2);
    device->subsystem_id = (uint16_t)read_register(at, PCI_SUBSYSTEM_ID, 2);
    device->interrupt_pin = (uint8_t)read_register(at, PCI_INTERRUPT_PIN, 1);
    device->interrupt_line = (uint8_t)read_register(at, PCI_INTERRUPT_LINE, 1);
    (void)snprintf(names[0], NAME_SIZE, "0x%04x", device->vendor_id); /* fits */
    (void)snprintf(names[1], NAME_SIZE, "0x%04x", device->device_id); /* as above */
    device->vendor_name = names[0];
    device->device_name = names[1];
    read_ioconfig(&device->cfg, at);
}

/* True when a function is there. */
static bool scan_function(struct scan *scan, struct place at)
{
    uint16_t vendor = (uint16_t)read_register(at, PCI_VENDOR_ID, 2);

    if (vendor == PCI_VENDOR_ID_INVALID) {
        return false;
    }
    add_device(scan, at, vendor);
    if (read_register(at, PCI_CLASS_DEVICE, 2) == PCI_CLASS_BRIDGE_PCI) {
        add_bus(scan, (uint8_t)read_register(at, PCI_SECONDARY_BUS, 1));
    }
    return true;
}

static void scan_device(struct scan *scan, uint8_t bus, uint8_t dev)
{
    struct place at = {bus, dev, 0};

    if (!scan_function(scan, at) || (read_register(at, PCI_HEADER_TYPE, 1) & 0x80) == 0) {
        return;
    }
    for (at.fun = 1; at.fun < NR_FUNCTIONS; at.fun++) {
        (void)scan_function(scan, at); /* functions need not be numbered without gaps */
    }
}

/* A host with several buses has a bridge for each as a function of device 0 (PCI 3.0, 6.1). */
static void add_host_buses(struct scan *scan)
{
    struct place at = {0, 0, 1};

    add_bus(scan, 0);
    if ((read_register((struct place){0, 0, 0}, PCI_HEADER_TYPE, 1) & 0x80) == 0) {
        return;
    }
    for (; at.fun < NR_FUNCTIONS; at.fun++) {
        if (read_register(at, PCI_VENDOR_ID, 2) != PCI_VENDOR_ID_INVALID &&
            read_register(at, PCI_CLASS_DEVICE, 2) == PCI_CLASS_BRIDGE_HOST) {
            add_bus(scan, at.fun);
        }
    }
}

void libpci_scan(ps_io_port_ops_t port_ops)
{
    unsigned bus;
    uint8_t dev;

    free(last_scan);
    last_scan = NULL;
    if (port_ops.io_port_in_fn == NULL || port_ops.io_port_out_fn == NULL) {
        return;
    }
    last_scan = calloc(1, sizeof(*last_scan));
    if (last_scan == NULL) {
        (void)fail(-ENOMEM, "cannot scan for PCI devices: out of memory");
        return;
    }
    last_scan->ports = port_ops;
    add_host_buses(last_scan);
    for (bus = 0; bus < last_scan->nr_buses; bus++) {
        for (dev = 0; dev < NR_DEVICES; dev++) {
            scan_device(last_scan, last_scan->buses[bus], dev);
        }
    }
}

/* --- what it found --- */

static bool has_numbers(const libpci_device_t *device, uint16_t vendor_id, uint16_t device_id)
{
    return device->vendor_id == vendor_id && device->device_id == device_id;
}

int libpci_find_device_all(uint16_t vendor_id, uint16_t device_id, libpci_device_t **out)
{
    int nr = 0;
    uint32_t i;

    for (i = 0; last_scan != NULL && out != NULL && i < last_scan->nr_devices; i++) {
        if (has_numbers(&last_scan->devices[i], vendor_id, device_id)) {
            out[nr++] = &last_scan->devices[i];
        }
    }
    return nr;
}

libpci_device_t *libpci_find_device(uint16_t vendor_id, uint16_t device_id)
{
    uint32_t i;

    for (i = 0; last_scan != NULL && i < last_scan->nr_devices; i++) {
        if (has_numbers(&last_scan->devices[i], vendor_id, device_id)) {
            return &last_scan->devices[i];
        }
    }
    return NULL;
}

libpci_device_t *libpci_find_device_bdf(uint8_t bus, uint8_t dev, uint8_t fun)
{
    uint32_t i;

    for (i = 0; last_scan != NULL && i < last_scan->nr_devices; i++) {
        libpci_device_t *device = &last_scan->devices[i];

        if (device->bus == bus && device->dev == dev && device->fun == fun) {
            return device;
        }
    }
    return NULL;
}

libpci_device_t *libpci_find_device_matching(libpci_device_t *device)
{
    libpci_device_t *found =
        device == NULL ? NULL : libpci_find_device_bdf(device->bus, device->dev, device->fun);

    return found != NULL && has_numbers(found, device->vendor_id, device->device_id) ? found : NULL;
}
