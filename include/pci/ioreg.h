/* Configuration space of PCI devices through the ports of the last scan. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Access by configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2): the address
 * goes to port 0xcf8, the data comes from 0xcfc to 0xcff. The ports are those that libpci_scan
 * (pci/pci.h) was given last on the calling thread. Without any, or where a port access fails, a
 * read gives all ones and a write is dropped, as for a device that is not there.
 *
 * reg is a byte offset into the first 256 bytes of configuration space, a multiple of the size.
 * dev is 0 to 31, fun is 0 to 7; higher bits are ignored.
 */
uint32_t libpci_read_reg32(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg);
uint16_t libpci_read_reg16(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg);
uint16_t libpci_read_reg8(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg);
void libpci_write_reg32(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint32_t val);
void libpci_write_reg16(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint16_t val);
void libpci_write_reg8(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint8_t val);

/* The same with a size of 1, 2 or 4 bytes; another size reads all ones and writes nothing. */
uint32_t libpci_read_reg(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint8_t size);
void libpci_write_reg(uint8_t bus, uint8_t dev, uint8_t fun, uint8_t reg, uint32_t val,
                      uint8_t size);

#ifdef __cplusplus
}
#endif
