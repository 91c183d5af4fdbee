/* The way through ACPI's tables to the registers for power (ACPI 6.5, 5.2). */
#include "x86_64/acpi.h"

#include <stddef.h>

#include "lib/boot.h"

/* Where firmware leaves the root pointer when the loader does not say (5.2.5.1). */
enum {
    RSDP_SEARCH_START = 0xe0000,
    RSDP_SEARCH_END = 0x100000,
    RSDP_ALIGNMENT = 16,
};

#define RSDP_SIGNATURE 0x2052545020445352ull    /* "RSD PTR " */

enum {
    SIGNATURE_FADT = 0x50434146,     /* "FACP" */
    SIGNATURE_S5 = 0x5f35535f,       /* "_S5_" */
    TABLE_HEADER_SIZE = 36,
};

/* 5.2.9: offsets in the FADT. */
enum {
    FADT_DSDT = 40,
    FADT_SMI_COMMAND = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_PM1A_CONTROL = 64,
    FADT_FLAGS = 112,
    FADT_RESET = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CONTROL = 172,
    FADT_SLEEP_CONTROL = 244,
    FADT_FLAG_CAN_RESET = 1u << 10,
};

/* 20.2: AML's bytes around the package that _S5_ names. */
enum {
    AML_PACKAGE = 0x12,
    AML_BYTE = 0x0a,
    GENERIC_ADDRESS_SIZE = 12,
};

struct table {
    uint32_t signature;
    uint32_t size;    /* the header included */
};

/* Fields are not aligned; x86 does not mind. */
static uint32_t load32(uint64_t address)
{
    return *(const volatile uint32_t *)address;
}

static uint64_t load64(uint64_t address)
{
    return *(const volatile uint64_t *)address;
}

static uint8_t load8(uint64_t address)
{
    return *(const volatile uint8_t *)address;
}

static uint64_t find_rsdp(void)
{
    if (boot_info.rsdp != 0) {
        return boot_info.rsdp;
    }
    for (uint64_t at = RSDP_SEARCH_START; at < RSDP_SEARCH_END; at += RSDP_ALIGNMENT) {
        if (load64(at) == RSDP_SIGNATURE) {
            return at;
        }
    }
    return 0;
}

/* The table that an RSDT (entries of 4 bytes) or XSDT (8 bytes) lists under this signature. */
static uint64_t find_listed(uint64_t list, unsigned entry_size, uint32_t signature)
{
    uint64_t end = list + load32(list + offsetof(struct table, size));

    for (uint64_t at = list + TABLE_HEADER_SIZE; at + entry_size <= end; at += entry_size) {
        uint64_t table = entry_size == 8 ? load64(at) : load32(at);

        if (load32(table) == signature) {
            return table;
        }
    }
    return 0;
}

/* 5.2.5.3: the revision at 15, the RSDT at 16, the XSDT since revision 2 at 24. */
static uint64_t find_fadt(uint64_t rsdp)
{
    if (load8(rsdp + 15) >= 2 && load64(rsdp + 24) != 0) {
        return find_listed(load64(rsdp + 24), 8, SIGNATURE_FADT);
    }
    return find_listed(load32(rsdp + 16), 4, SIGNATURE_FADT);
}

/* Does the FADT, whose size tells its revision, have the field of so many bytes? */
static bool has_field(uint64_t fadt, unsigned offset, unsigned size)
{
    return offset + size <= load32(fadt + offsetof(struct table, size));
}

static struct acpi_register read_register(uint64_t fadt, unsigned offset)
{
    if (!has_field(fadt, offset, GENERIC_ADDRESS_SIZE)) {
        return (struct acpi_register){.address = 0};
    }
    return (struct acpi_register){
        .space = load8(fadt + offset) == ACPI_PORT ? ACPI_PORT : ACPI_MEMORY,
        .address = load64(fadt + offset + 4),
    };
}

static uint64_t find_dsdt(uint64_t fadt)
{
    if (has_field(fadt, FADT_X_DSDT, 8) && load64(fadt + FADT_X_DSDT) != 0) {
        return load64(fadt + FADT_X_DSDT);
    }
    return load32(fadt + FADT_DSDT);
}

/*
 * The first number of _S5_'s package. An interpreter would find the object by its place in the name
 * space; its name and the byte of a package behind it are enough to tell it from other data.
 */
static bool find_sleep_type(uint64_t dsdt, uint8_t *ret_type)
{
    uint64_t end = dsdt + load32(dsdt + offsetof(struct table, size));

    for (uint64_t at = dsdt + TABLE_HEADER_SIZE; at + 9 <= end; at++) {
        uint64_t number = at + 7;    /* behind the name, the package's byte, its length and count */

        if (load32(at) != SIGNATURE_S5 || load8(at + 4) != AML_PACKAGE) {
            continue;
        }
        number += load8(at + 5) >> 6;    /* 20.2.4: so many more bytes of length */
        *ret_type = load8(number) == AML_BYTE ? load8(number + 1) : load8(number);
        return true;
    }
    return false;
}

static void read_pm1_control(uint64_t fadt, struct acpi_power *power)
{
    power->pm1_control = read_register(fadt, FADT_X_PM1A_CONTROL);
    if (power->pm1_control.address == 0) {
        power->pm1_control.space = ACPI_PORT;
        power->pm1_control.address = load32(fadt + FADT_PM1A_CONTROL);
    }
    power->enable_port = (uint16_t)load32(fadt + FADT_SMI_COMMAND);
    power->enable_value = load8(fadt + FADT_ACPI_ENABLE);
}

static void read_reset(uint64_t fadt, struct acpi_power *power)
{
    if ((load32(fadt + FADT_FLAGS) & FADT_FLAG_CAN_RESET) != 0) {
        power->reset = read_register(fadt, FADT_RESET);
        power->reset_value = load8(fadt + FADT_RESET_VALUE);
    }
}

bool acpi_find_power(struct acpi_power *ret_power)
{
    uint64_t rsdp = find_rsdp();
    uint64_t fadt = rsdp == 0 ? 0 : find_fadt(rsdp);

    if (fadt == 0) {
        return false;
    }
    *ret_power = (struct acpi_power){.has_sleep_type = false};
    read_pm1_control(fadt, ret_power);
    read_reset(fadt, ret_power);
    ret_power->sleep_control = read_register(fadt, FADT_SLEEP_CONTROL);
    ret_power->has_sleep_type = find_sleep_type(find_dsdt(fadt), &ret_power->sleep_type);
    return true;
}
