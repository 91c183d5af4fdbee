/* What follows --balloon: SIZE or none. */
#ifndef OPTIONS_BALLOON_H
#define OPTIONS_BALLOON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options_balloon {
    bool is_there;
    uint64_t target; /* bytes that the guest is asked to do without */
};

/* 0; -1 with why not, a line for the user. */
int options_balloon_parse(const char *text, struct options_balloon *ret, char *why,
                          size_t why_size);

/* Whether it leaves the guest something of its memory; as above. */
int options_balloon_check(const struct options_balloon *balloon, uint64_t mem, char *why,
                          size_t why_size);

/* For options_print_help. */
#define OPTIONS_BALLOON_HELP                                                                       \
    "  --balloon SIZE    what of its RAM the guest frees goes back to the host, and it is asked "  \
    "to do without\n"                                                                              \
    "                    SIZE of it, 0 or more (none)\n"

#endif
