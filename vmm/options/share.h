/* The text of --share. */
#ifndef OPTIONS_SHARE_H
#define OPTIONS_SHARE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { SHARE_TAG_MAX = 36 }; /* bytes: virtio 1.2, 5.11.4 */

struct options_share {
    char dir[PATH_MAX];
    char tag[SHARE_TAG_MAX + 1]; /* that the guest mounts it by */
    bool is_readonly;
};

/* Reads "DIR[,tag=NAME][,ro]". 0; -1 with why not, a line for the user. */
int options_share_parse(const char *text, struct options_share *ret, char *why, size_t why_size);

/* For options_print_help. */
#define OPTIONS_SHARE_HELP                                                                         \
    "  --share DIR       a folder of the host, mounted by its tag (tag=NAME; share), to be read "  \
    "only (ro);\n"                                                                                 \
    "                    takes virtiofsd; repeatable\n"

#endif
