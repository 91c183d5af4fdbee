/* What ACPI's tables say about power: which register takes which value. */
#ifndef X86_64_ACPI_H
#define X86_64_ACPI_H

#include <stdbool.h>
#include <stdint.h>

/* ACPI 6.5, 5.2.3.2: a generic address, in the two spaces that matter here. */
struct acpi_register {
    enum {
        ACPI_MEMORY = 0,
        ACPI_PORT = 1,
    } space;
    uint64_t address;    /* 0: there is no such register */
};

struct acpi_power {
    struct acpi_register pm1_control;      /* 16 bits */
    struct acpi_register sleep_control;    /* 8 bits; of machines without pm1_control */
    uint8_t sleep_type;                    /* what S5 is called in either */
    bool has_sleep_type;
    uint16_t enable_port;                  /* where enable_value turns ACPI on; 0: it is on */
    uint8_t enable_value;
    struct acpi_register reset;            /* 8 bits */
    uint8_t reset_value;
};

/* False when there are no tables. */
bool acpi_find_power(struct acpi_power *ret_power);

#endif
