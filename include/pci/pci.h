/* Finding PCI devices through I/O ports. */
#pragma once

#include <pci/pci_config.h>
#include <platsupport/io.h>
#include <sel4/sel4.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ports of configuration mechanism #1, and the first ones behind them. */
#define PCI_CONF_PORT_ADDR     0x0CF8
#define PCI_CONF_PORT_DATA     0x0CFC
#define PCI_CONF_PORT_ADDR_END (PCI_CONF_PORT_ADDR + 4)
#define PCI_CONF_PORT_DATA_END (PCI_CONF_PORT_DATA + 4)

/* Devices that one scan can find. */
#define PCI_MAX_DEVICES 128

/**
 * A device that a scan found.
 */
typedef struct libpci_device {
    uint8_t bus;
    uint8_t dev;
    uint8_t fun;

    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t subsystem_id;
    uint8_t interrupt_pin;
    uint8_t interrupt_line;

    const char *vendor_name; /* the number in hexadecimal: there is no list of names here */
    const char *device_name;
    libpci_device_iocfg_t cfg;
} libpci_device_t;

/*
 * What a scan found belongs to the thread that scanned, so that no two users of this library in one
 * process disturb each other: all functions below, and those of pci/ioreg.h, see the last scan of
 * the thread they are called on. Pointers to devices are good until that thread's next scan.
 */

/**
 * Looks for all devices on bus 0 and behind its bridges, and sizes their base addresses: for that
 * a device stops decoding addresses for a moment. Replaces what the last scan found; without
 * operations in port_ops it finds nothing, and gives the memory of the last scan back, which a
 * thread that ends should have done.
 *
 * Differs from seL4's libpci: one list per thread, not per process; a bridge's other registers are
 * not probed as if they were base addresses, and none is probed while it is decoded.
 *
 * The ports of a hosted environment's io_ops are NULL: a process has no PCI bus. A client that can
 * reach one, or emulates one, gives its own functions.
 *
 * @param port_ops  copied; its cookie has to live until the thread's next scan
 */
void libpci_scan(ps_io_port_ops_t port_ops);

/**
 * The first device of a vendor and device number; NULL when there is none.
 */
libpci_device_t *libpci_find_device(uint16_t vendor_id, uint16_t device_id);

/**
 * All devices of a vendor and device number.
 *
 * @param out  has room for PCI_MAX_DEVICES pointers
 * @return how many there are
 */
int libpci_find_device_all(uint16_t vendor_id, uint16_t device_id, libpci_device_t **out);

/**
 * The device that has the place and the numbers of the given one; NULL when there is none.
 */
libpci_device_t *libpci_find_device_matching(libpci_device_t *device);

/**
 * The device in a place; NULL when there is none.
 */
libpci_device_t *libpci_find_device_bdf(uint8_t bus, uint8_t dev, uint8_t fun);

/**
 * Reads and sizes the base addresses of the device in a place. *cfg is all zeros where there is
 * none.
 */
void libpci_read_ioconfig(libpci_device_iocfg_t *cfg, uint8_t bus, uint8_t dev, uint8_t fun);

/**
 * Reads or writes a port of the last scan's, size 1, 2 or 4 bytes.
 *
 * @return 0, or a positive errno: ENOSYS when there are none
 */
uint32_t libpci_ioread(uint32_t port_no, uint32_t *val, uint32_t size);
uint32_t libpci_iowrite(uint32_t port_no, uint32_t val, uint32_t size);

#ifdef __cplusplus
}
#endif
