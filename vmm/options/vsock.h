/* The text of --vsock. */
#ifndef OPTIONS_VSOCK_H
#define OPTIONS_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "back/vsock_unix.h"

struct options_vsock {
    bool is_given;
    char path[VSOCK_PATH_MAX + 1];
    uint32_t cid; /* the guest's address */
};

/* Reads "PATH[,cid=N]". 0; -1 with why not, a line for the user. */
int options_vsock_parse(const char *text, struct options_vsock *ret, char *why, size_t why_size);

/* For options_print_help. */
#define OPTIONS_VSOCK_HELP                                                                         \
    "  --vsock PATH      sockets between guest and host, through a Unix socket (cid=N)\n"

#endif
