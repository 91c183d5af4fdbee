/* The host side of a network device that is a tap: an interface of this machine. */
#ifndef BACK_NET_TAP_H
#define BACK_NET_TAP_H

#include <stddef.h>

#include "back/net_host.h"

struct net_tap;

/*
 * Opens a tap that is there.
 *
 * @param name    copied
 * @param nr_fds  how many of its queues, 1 to NET_MAX_PAIRS; more than one wants a tap with
 *                multi_queue
 * @param why     what is wrong, in one line, when NULL is returned
 */
struct net_tap *net_tap_open(const char *name, unsigned nr_fds, char *why, size_t size);

/* Lives as long as the tap is open. */
struct net_host *net_tap_host(struct net_tap *tap);

/* NULL is fine. */
void net_tap_close(struct net_tap *tap);

#endif
