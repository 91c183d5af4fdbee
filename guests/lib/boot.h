/* What the loader told the guest, whichever loader it was. */
#ifndef LIB_BOOT_H
#define LIB_BOOT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BOOT_REGIONS_MAX = 32,
    BOOT_MODULES_MAX = 8,
};

struct boot_region {
    uint64_t start, size;
    uint32_t type;    /* 1: RAM; others as in the ACPI specification, 15.1 */
};

struct boot_module {
    uint64_t start, size;
    const char *text;
};

struct boot_info {
    const char *method;     /* how the guest was entered */
    const char *cmdline;    /* "" when there is none */
    unsigned nr_regions;
    struct boot_region regions[BOOT_REGIONS_MAX];
    unsigned nr_modules;
    struct boot_module modules[BOOT_MODULES_MAX];
    uint64_t rsdp;          /* of the ACPI tables; 0 when the loader does not say */
};

extern struct boot_info boot_info;

/* Is this word on the command line? */
bool boot_has_word(const char *word);

/* The decimal number after key, which ends in "=", of the first word that begins with key. */
bool boot_find_number(const char *key, unsigned *ret_number);

#endif
