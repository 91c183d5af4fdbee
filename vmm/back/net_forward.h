/* A port of this machine that leads to one of the guest's, as user networking has it. */
#ifndef BACK_NET_FORWARD_H
#define BACK_NET_FORWARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct net_forward {
    bool is_udp;
    struct in_addr host; /* INADDR_ANY: all of this machine's */
    unsigned short host_port;
    struct in_addr guest;
    unsigned short guest_port;
};

/* Where the guest is, unless it takes another address than it is offered. */
#define NET_GUEST_ADDRESS "10.0.2.15"

/* What such a text looks like. */
#define NET_FORWARD_SHAPE "tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"

/* Reads size bytes of such a text. 0, or -1: they are none. */
int net_forward_parse(const char *text, size_t size, struct net_forward *ret);

/* Enough for what net_forward_print leaves. */
enum { NET_FORWARD_TEXT = 64 };

/* The text again, with all its parts. */
void net_forward_print(const struct net_forward *forward, char text[NET_FORWARD_TEXT]);

#endif
