/* What follows --console: serial or virtio. */
#ifndef OPTIONS_CONSOLE_H
#define OPTIONS_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

/* 0; -1 with why not, a line for the user. */
int options_console_parse(const char *text, bool *ret_is_virtio, char *why, size_t why_size);

/* For options_print_help. */
#define OPTIONS_CONSOLE_HELP                                                                       \
    "  --console KIND    what standard input and output are for the guest: serial, its first "     \
    "serial port, or\n"                                                                            \
    "                    virtio, Linux's hvc0 (serial)\n"

#endif
