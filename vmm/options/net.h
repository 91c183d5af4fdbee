/* What --net says. */
#ifndef OPTIONS_NET_H
#define OPTIONS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "back/net_forward.h"

enum net_kind {
    NET_NONE,
    NET_USER,
    NET_TAP,
};

enum { NET_MAX_FORWARDS = 16, NET_MAX_QUEUES = 16, NET_TAP_NAME = 16 };

/* All zero: no network. */
struct options_net {
    enum net_kind kind;
    struct net_forward forwards[NET_MAX_FORWARDS]; /* of a user network */
    unsigned nr_forwards;
    char tap[NET_TAP_NAME]; /* its name, with the zero */
    unsigned queues;        /* of the tap */
    uint8_t mac[6];         /* one that lasts, where none was given */
};

/* Enough for any reason. */
enum { NET_OPTIONS_REASON = 200 };

/*
 * Reads
 *     none
 *     user[,hostfwd=tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT]...[,mac=XX:XX:XX:XX:XX:XX]
 *     tap=NAME[,queues=N][,mac=XX:XX:XX:XX:XX:XX]
 * place counts the networks of the VM, 0, 1, ... Returns 0, or -1: why is what is wrong, in one
 * line. Nothing in ret points to text.
 */
int options_net_parse(const char *text, unsigned place, struct options_net *ret,
                      char why[NET_OPTIONS_REASON]);

/* For options_print_help. */
#define OPTIONS_NET_HELP                                                                           \
    "  --net user|tap=NAME|none\n"                                                                 \
    "                    a network: one of its own behind this machine's (hostfwd=..., mac=...), " \
    "an existing\n"                                                                                \
    "                    tap (queues=N, mac=...), or none; repeatable\n"

#endif
