/* The command line, as one struct. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/devices.h"

enum command {
    COMMAND_RUN,
    COMMAND_CHECK,
    COMMAND_HELP,
    COMMAND_VERSION,
};

enum { MAX_MODULES = 16 };

struct options {
    enum command command;
    const char *kernel;               /* NULL: none given */
    const char *initrd;               /* NULL: none */
    const char *modules[MAX_MODULES]; /* "FILE" or "FILE COMMAND LINE", for multiboot kernels */
    unsigned nr_modules;
    const char *append; /* the guest's command line */
    uint64_t mem;       /* bytes of RAM */
    unsigned cpus;
    bool has_debug_exit;
    bool has_pmu;
    const char *dtb;       /* a device tree in the place of ours; NULL: none */
    const char *dump_acpi; /* a directory; NULL: boot */
    const char *dump_dtb;  /* a file; NULL: boot */
    struct devices_config devices;
};

/*
 * Reads the command line. Returns 0, or an exit status after it has said on standard error what is
 * wrong. The strings are argv's.
 */
int options_parse(int argc, char **argv, struct options *ret);

void options_print_help(void);

#endif
