/* ACPI tables of the PC (ACPI 6.4): what firmware tells a guest of its machine. */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/devices.h"

/* A device that the guest finds through its ACPI name. */
struct acpi_device {
    const char *name; /* four characters, unlike any other's */
    const char
        *hid; /* "PNP0501"; other forms than three letters and four digits are passed as strings */
    uint16_t port; /* 0: none */
    uint8_t nr_ports;
    uint32_t memory; /* 0: none */
    uint32_t memory_size;
    uint32_t gsi; /* 0: none */
    bool is_level;
};

struct acpi_config {
    unsigned nr_cpus;
    const struct acpi_device *devices;
    unsigned nr_devices;
    const struct device_place *virtio; /* virtio devices in memory, in the guest's order */
    unsigned nr_virtio;
    const hostvm_pci_bus_config_t *pci; /* NULL: there is none */
};

/*
 * Writes all tables into a buffer that the guest will find at gpa, the root pointer first. Returns
 * their size; 0 when the buffer is too small.
 */
size_t acpi_build(const struct acpi_config *config, uint64_t gpa, uint8_t *buffer, size_t size);

/* Writes each table of such a buffer to directory/SIGNATURE.aml. 0 or -errno. */
int acpi_dump(const uint8_t *buffer, size_t size, const char *directory);

#endif
