/*
 * ACPI tables of the PC.
 *
 * The machine is "hardware-reduced" (ACPI 6.4, 4.1): no fixed-hardware registers, no SCI, no
 * power-management timer. Guests switch off through the sleep control register and reset through
 * the reset register, and Linux skips what it would probe for on older PCs.
 */
#include "machine/acpi.h"

#include <autoconf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine/aml.h"
#include "machine/layout_pc.h"

struct __attribute__((packed)) header { /* 5.2.6 */
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
};

struct __attribute__((packed)) address { /* 5.2.3.2 */
    uint8_t space;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t access_size;
    uint64_t address;
};

enum { SPACE_IO = 1, ACCESS_BYTE = 1 };

struct __attribute__((packed)) rsdp { /* 5.2.5.3 */
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
};

enum { TABLES_MAX = 3 };

struct __attribute__((packed)) xsdt { /* 5.2.8 */
    struct header header;
    uint64_t tables[TABLES_MAX]; /* as many as there are */
};

struct __attribute__((packed)) fadt { /* 5.2.9 */
    struct header header;
    uint32_t firmware_ctrl;
    uint32_t dsdt;
    uint8_t reserved0;
    uint8_t preferred_profile;
    uint16_t sci_int;
    uint8_t fixed_hardware0[109 - 48]; /* all zero: there is none */
    uint16_t boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct address reset;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor;
    uint64_t x_firmware_ctrl;
    uint64_t x_dsdt;
    struct address fixed_hardware1[8]; /* all zero */
    struct address sleep_control;
    struct address sleep_status;
    uint64_t hypervisor_vendor;
};

_Static_assert(offsetof(struct fadt, boot_arch) == 109, "ACPI 6.4, table 5.9");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.4, table 5.9");

enum {
    BOOT_LEGACY_DEVICES = 1u << 0,
    BOOT_NO_VGA = 1u << 2, /* table 5.11; no bit for an 8042: there is none to find */
    FADT_WBINVD = 1u << 0,
    FADT_RESET_REG_SUP = 1u << 10,
    FADT_HW_REDUCED = 1u << 20, /* table 5.10 */
    FADT_REVISION = 6,
    FADT_MINOR = 4,
    RESET_VALUE = 0x6, /* what port 0xcf9 of a PC takes for a full reset */
};

struct __attribute__((packed)) madt { /* 5.2.12 */
    struct header header;
    uint32_t lapic;
    uint32_t flags;
};

struct __attribute__((packed)) madt_lapic {
    uint8_t type, length, uid, apic_id;
    uint32_t flags;
};

struct __attribute__((packed)) madt_ioapic {
    uint8_t type, length, id, reserved;
    uint32_t address;
    uint32_t gsi_base;
};

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_PCAT_COMPAT = 1, MADT_ENABLED = 1 };

struct __attribute__((packed)) mcfg { /* PCI Firmware Specification 3.3, 4.1.2 */
    struct header header;
    uint64_t reserved0;
    uint64_t ecam;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved1;
};

/* --- putting tables one behind the other --- */

struct builder {
    uint8_t *buffer;
    size_t size;
    size_t used;
    uint64_t gpa;
    bool is_short;
};

static uint8_t sum(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint8_t total = 0;

    for (size_t i = 0; i < n; i++) {
        total = (uint8_t)(total + p[i]);
    }
    return total;
}

static struct header header_of(const char *signature, uint8_t revision)
{
    struct header header = {.revision = revision, .oem_revision = 1, .creator_revision = 1};

    memcpy(header.signature, signature, 4);
    memcpy(header.oem_id, "HOSTVM", 6);
    memcpy(header.oem_table_id, "HOSTVMPC", 8);
    memcpy(header.creator_id, "HSTV", 4);
    return header;
}

/* Room for a table of at most size bytes; NULL when there is none. */
static uint8_t *begin(struct builder *builder, size_t size)
{
    builder->used = (builder->used + 15) & ~(size_t)15;
    if (builder->used > builder->size || size > builder->size - builder->used) {
        builder->is_short = true;
        return NULL;
    }
    memset(builder->buffer + builder->used, 0, size);
    return builder->buffer + builder->used;
}

/* Fixes length and checksum of the table begun last; its guest address. */
static uint64_t finish(struct builder *builder, uint8_t *table, size_t length)
{
    struct header *header = (struct header *)(void *)table;

    header->length = (uint32_t)length;
    header->checksum = 0;
    header->checksum = (uint8_t)-sum(table, length);
    builder->used += length;
    return builder->gpa + (uint64_t)(table - builder->buffer);
}

/* --- the tables --- */

static bool is_eisa(const char *hid)
{
    return strlen(hid) == 7 && hid[3] >= '0' && hid[3] <= '9';
}

static void write_device(struct aml *aml, const struct acpi_device *device, unsigned uid)
{
    size_t mark = aml_device_begin(aml, device->name);
    size_t resources;

    aml_name(aml, "_HID");
    if (is_eisa(device->hid)) {
        aml_eisa_id(aml, device->hid);
    } else {
        aml_string(aml, device->hid);
    }
    aml_name(aml, "_UID");
    aml_integer(aml, uid);
    aml_name(aml, "_CRS");
    resources = aml_resources_begin(aml);
    if (device->port != 0) {
        aml_io(aml, device->port, device->nr_ports);
    }
    if (device->memory != 0) {
        aml_memory(aml, device->memory, device->memory_size);
    }
    if (device->gsi != 0) {
        aml_interrupt(aml, device->gsi, device->is_level);
    }
    aml_resources_end(aml, resources);
    aml_end(aml, mark);
}

/* Virtio devices in memory, as Linux knows them (drivers/virtio/virtio_mmio.c); the line is pulsed.
 */
static void write_virtio(struct aml *aml, const struct device_place *place, unsigned uid)
{
    char name[] = {'V', 'R', (char)('0' + uid / 10 % 10), (char)('0' + uid % 10), '\0'};
    const struct acpi_device device = {
        .name = name,
        .hid = "LNRO0005",
        .memory = (uint32_t)place->gpa,
        .memory_size = HOSTVM_VIRTIO_MMIO_SIZE,
        .gsi = place->gsi,
    };

    write_device(aml, &device, uid);
}

/* --- PCI --- */

/* Every function has the first of four interrupt pins, if any (PCI Firmware Specification 3.3,
 * 4.8.1). */
static void write_pci_lines(struct aml *aml, const hostvm_pci_bus_config_t *pci)
{
    enum { SLOT_SHIFT = 16, ALL_FUNCTIONS = 0xffff, FIRST_PIN = 0, NO_LINK = 0 };
    size_t lines;

    aml_name(aml, "_PRT");
    lines = aml_package_begin(aml, HOSTVM_PCI_SLOTS);
    for (unsigned slot = 0; slot < HOSTVM_PCI_SLOTS; slot++) {
        size_t line = aml_package_begin(aml, 4);

        aml_integer(aml, (uint64_t)slot << SLOT_SHIFT | ALL_FUNCTIONS);
        aml_integer(aml, FIRST_PIN);
        aml_integer(aml, NO_LINK);
        aml_integer(aml, pci->gsi[slot % HOSTVM_PCI_LINES]);
        aml_end(aml, line);
    }
    aml_end(aml, lines);
}

/*
 * The system asks what it may do itself, and is told: nothing, for there is no hot plug, no power
 * management and no error reporting (6.2.11; PCI Firmware Specification 3.3, 4.5.1).
 */
static void write_pci_control(struct aml *aml)
{
    static const uint8_t uuid[] = {0xf7, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
                                   0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
    enum { UUID = 0, CAPABILITIES = 3, CONTROL = 8, UNKNOWN_UUID = 1 << 2, MASKED = 1 << 4 };
    size_t method = aml_method_begin(aml, "_OSC", 4);
    size_t block, inner;

    aml_field(aml, CAPABILITIES, 0, "CDW1");
    block = aml_if_begin(aml);
    aml_operator(aml, AML_EQUAL);
    aml_argument(aml, UUID);
    aml_bytes(aml, uuid, sizeof(uuid));
    aml_field(aml, CAPABILITIES, CONTROL, "CDW3");
    inner = aml_if_begin(aml);
    aml_named(aml, "CDW3");
    aml_operator(aml, AML_STORE);
    aml_integer(aml, 0);
    aml_named(aml, "CDW3");
    aml_operator(aml, AML_OR);
    aml_named(aml, "CDW1");
    aml_integer(aml, MASKED);
    aml_named(aml, "CDW1");
    aml_end(aml, inner);
    aml_end(aml, block);
    block = aml_else_begin(aml);
    aml_operator(aml, AML_OR);
    aml_named(aml, "CDW1");
    aml_integer(aml, UNKNOWN_UUID);
    aml_named(aml, "CDW1");
    aml_end(aml, block);
    aml_operator(aml, AML_RETURN);
    aml_argument(aml, CAPABILITIES);
    aml_end(aml, method);
}

static void write_pci(struct aml *aml, const hostvm_pci_bus_config_t *pci)
{
    size_t mark = aml_device_begin(aml, "PCI0");
    size_t resources;

    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0A08"); /* PCI Express */
    aml_name(aml, "_CID");
    aml_eisa_id(aml, "PNP0A03"); /* PCI */
    aml_name(aml, "_UID");
    aml_integer(aml, 0);
    aml_name(aml, "_CRS");
    resources = aml_resources_begin(aml);
    aml_bus_numbers(aml, 0, 0);
    aml_window32(aml, (uint32_t)pci->memory.start, (uint32_t)pci->memory.size);
    if (pci->memory64.size != 0) {
        aml_window64(aml, pci->memory64.start, pci->memory64.size);
    }
    aml_resources_end(aml, resources);
    write_pci_lines(aml, pci);
    write_pci_control(aml);
    aml_end(aml, mark);
}

/* The bus's registers are nobody else's (PCI Firmware Specification 3.3, 4.1.2). */
static void write_pci_registers(struct aml *aml, const hostvm_pci_bus_config_t *pci)
{
    const struct acpi_device device = {
        .name = "PCIR",
        .hid = "PNP0C02",
        .memory = (uint32_t)pci->ecam,
        .memory_size = HOSTVM_PCI_ECAM_SIZE,
    };

    write_device(aml, &device, 0);
}

static uint64_t write_dsdt(struct builder *builder, const struct acpi_config *config)
{
    static const uint8_t soft_off[] = {
        5, 0, 0, 0}; /* SLP_TYP of \_S5 (7.4.2); the sleep register's device knows it */
    uint8_t *table = begin(builder, sizeof(struct header));
    struct aml aml;
    size_t scope;

    if (table == NULL) {
        return 0;
    }
    *(struct header *)(void *)table = header_of("DSDT", 2);
    aml = (struct aml){table, builder->size - builder->used, sizeof(struct header), false};
    aml_name(&aml, "_S5_");
    aml_integers(&aml, soft_off, sizeof(soft_off));
    scope = aml_scope_begin(&aml, "_SB_");
    for (unsigned i = 0; i < config->nr_devices; i++) {
        write_device(&aml, &config->devices[i], i);
    }
    for (unsigned i = 0; i < config->nr_virtio; i++) {
        write_virtio(&aml, &config->virtio[i], i);
    }
    if (config->pci != NULL) {
        write_pci(&aml, config->pci);
        write_pci_registers(&aml, config->pci);
    }
    aml_end(&aml, scope);
    builder->is_short |= aml.is_short;
    return finish(builder, table, aml.length);
}

static struct address port_address(uint16_t port)
{
    return (struct address){
        .space = SPACE_IO, .bit_width = 8, .access_size = ACCESS_BYTE, .address = port};
}

static uint64_t write_fadt(struct builder *builder, uint64_t dsdt)
{
    struct fadt *fadt = (struct fadt *)(void *)begin(builder, sizeof(*fadt));

    if (fadt == NULL) {
        return 0;
    }
    fadt->header = header_of("FACP", FADT_REVISION);
    fadt->minor = FADT_MINOR;
    fadt->dsdt = (uint32_t)dsdt;
    fadt->x_dsdt = dsdt;
    fadt->boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA;
    fadt->flags = FADT_WBINVD | FADT_RESET_REG_SUP | FADT_HW_REDUCED;
    fadt->reset = port_address(PC_PORT_RESET);
    fadt->reset_value = RESET_VALUE;
    fadt->sleep_control = port_address(PC_PORT_SLEEP);
    fadt->sleep_status = port_address(PC_PORT_SLEEP + 1);
    memcpy(&fadt->hypervisor_vendor, "hostvm", 6);
    return finish(builder, (uint8_t *)fadt, sizeof(*fadt));
}

_Static_assert(CONFIG_MAX_NUM_NODES < 255, "ACPI 6.4, 5.2.12.2: an APIC's number has eight bits");

static uint64_t write_madt(struct builder *builder, unsigned nr_cpus)
{
    size_t length =
        sizeof(struct madt) + nr_cpus * sizeof(struct madt_lapic) + sizeof(struct madt_ioapic);
    uint8_t *table = begin(builder, length);
    struct madt_lapic *lapics;

    if (table == NULL) {
        return 0;
    }
    *(struct madt *)(void *)table =
        (struct madt){header_of("APIC", 5), (uint32_t)PC_LAPIC, MADT_PCAT_COMPAT};
    lapics = (struct madt_lapic *)(void *)(table + sizeof(struct madt));
    for (unsigned i = 0; i < nr_cpus; i++) {
        lapics[i] =
            (struct madt_lapic){MADT_LAPIC, sizeof(*lapics), (uint8_t)i, (uint8_t)i, MADT_ENABLED};
    }
    *(struct madt_ioapic *)(void *)&lapics[nr_cpus] = (struct madt_ioapic){
        MADT_IOAPIC, sizeof(struct madt_ioapic), (uint8_t)nr_cpus, 0, (uint32_t)PC_IOAPIC, 0};
    return finish(builder, table, length);
}

static uint64_t write_mcfg(struct builder *builder, const hostvm_pci_bus_config_t *pci)
{
    struct mcfg *mcfg = (struct mcfg *)(void *)begin(builder, sizeof(*mcfg));

    if (mcfg == NULL) {
        return 0;
    }
    *mcfg = (struct mcfg){.header = header_of("MCFG", 1), .ecam = pci->ecam};
    return finish(builder, (uint8_t *)mcfg, sizeof(*mcfg));
}

static uint64_t write_xsdt(struct builder *builder, const uint64_t *tables, unsigned nr_tables)
{
    size_t length = sizeof(struct header) + nr_tables * sizeof(tables[0]);
    struct xsdt *xsdt = (struct xsdt *)(void *)begin(builder, length);

    if (xsdt == NULL) {
        return 0;
    }
    xsdt->header = header_of("XSDT", 1);
    memcpy(xsdt->tables, tables, nr_tables * sizeof(tables[0]));
    return finish(builder, (uint8_t *)xsdt, length);
}

static void write_rsdp(struct rsdp *rsdp, uint64_t xsdt)
{
    enum { ACPI_1_LENGTH = 20 };

    *rsdp = (struct rsdp){.revision = 2, .length = sizeof(*rsdp), .xsdt = xsdt};
    memcpy(rsdp->signature, "RSD PTR ", 8);
    memcpy(rsdp->oem_id, "HOSTVM", 6);
    rsdp->checksum = (uint8_t)-sum(rsdp, ACPI_1_LENGTH);
    rsdp->extended_checksum = (uint8_t)-sum(rsdp, sizeof(*rsdp));
}

size_t acpi_build(const struct acpi_config *config, uint64_t gpa, uint8_t *buffer, size_t size)
{
    struct builder builder = {.buffer = buffer, .size = size, .gpa = gpa};
    uint8_t *rsdp = begin(&builder, sizeof(struct rsdp));
    uint64_t tables[TABLES_MAX];
    unsigned nr_tables = 0;
    uint64_t dsdt;
    uint64_t xsdt;

    builder.used = sizeof(struct rsdp);
    dsdt = write_dsdt(&builder, config);
    tables[nr_tables++] = write_fadt(&builder, dsdt);
    tables[nr_tables++] = write_madt(&builder, config->nr_cpus);
    if (config->pci != NULL) {
        tables[nr_tables++] = write_mcfg(&builder, config->pci);
    }
    xsdt = write_xsdt(&builder, tables, nr_tables);
    if (builder.is_short) {
        return 0;
    }
    write_rsdp((struct rsdp *)(void *)rsdp, xsdt);
    return builder.used;
}

/* --- showing them --- */

static int write_file(const char *directory, const char *name, size_t name_length,
                      const void *bytes, size_t n)
{
    char path[4096];
    ssize_t written;
    int r = 0;
    int fd;

    if (snprintf(path, sizeof(path), "%s/%.*s.aml", directory, (int)name_length, name) >=
        (int)sizeof(path)) {
        return -ENAMETOOLONG;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -errno;
    }
    written = write(fd, bytes, n);
    if (written != (ssize_t)n) {
        r = written < 0 ? -errno : -ENOSPC;
    }
    if (close(fd) < 0 && r == 0) {
        r = -errno;
    }
    return r;
}

int acpi_dump(const uint8_t *buffer, size_t size, const char *directory)
{
    const struct rsdp *rsdp = (const struct rsdp *)(const void *)buffer;
    int r = write_file(directory, "rsdp", 4, rsdp, sizeof(*rsdp));
    size_t at = (sizeof(*rsdp) + 15) & ~(size_t)15;

    while (r == 0 && at + sizeof(struct header) <= size) {
        const struct header *header = (const struct header *)(const void *)(buffer + at);

        r = write_file(directory, header->signature, sizeof(header->signature), header,
                       header->length);
        at = (at + header->length + 15) & ~(size_t)15;
    }
    return r;
}
