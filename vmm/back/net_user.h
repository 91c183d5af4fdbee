/* The host side of a network device that is a network of its own, behind which is this machine's:
 * what users may do without root. It is a program of its own, hostvm-net-user, for libslirp is no
 * part of a static program. */
#ifndef BACK_NET_USER_H
#define BACK_NET_USER_H

#include <stddef.h>

#include "back/net_forward.h"
#include "back/net_host.h"

struct net_user;

struct net_user_config {
    const char *program; /* NULL: beside this program, or where make install puts it */
    const struct net_forward *forwards;
    unsigned nr_forwards;
};

/* Starts it, and waits until its ports are open. NULL: why is what is wrong, in one line. */
struct net_user *net_user_create(const struct net_user_config *config, char *why, size_t size);

/* Lives as long as the user network. */
struct net_host *net_user_host(struct net_user *user);

/* Ends the program. NULL is fine. */
void net_user_destroy(struct net_user *user);

#endif
