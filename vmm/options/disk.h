/* What follows --disk: FILE[,ro][,serial=S]. */
#ifndef OPTIONS_DISK_H
#define OPTIONS_DISK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { DISK_SERIAL_MAX = 20 }; /* characters */

struct options_disk {
    char path[PATH_MAX];
    bool is_readonly;
    char serial[DISK_SERIAL_MAX + 1]; /* "": none */
};

/* A comma that belongs to the file's name is doubled. 0; -1: what is wrong is left in error, for a
 * line of its own. */
int options_disk_parse(const char *text, struct options_disk *ret, char *error, size_t error_size);

/* For options_print_help. */
#define OPTIONS_DISK_HELP                                                                          \
    "  --disk FILE[,ro][,serial=S]\n"                                                              \
    "                    a disk: a raw image or a block device, to be read only, with a serial "   \
    "number; repeatable\n"

#endif
