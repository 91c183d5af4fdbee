/* Forwarded ports as texts. */
#include "back/net_forward.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 63 };

/* [ADDRESS]:PORT */
static int parse_end(const char *text, const char *default_address, struct in_addr *ret_address,
                     unsigned short *ret_port)
{
    const char *colon = strchr(text, ':');
    char address[INET_ADDRSTRLEN] = "";
    unsigned port = 0;
    const char *digit;

    if (colon == NULL || colon - text >= (ptrdiff_t)sizeof(address)) {
        return -1;
    }
    memcpy(address, text, (size_t)(colon - text));
    if (inet_pton(AF_INET, address[0] != '\0' ? address : default_address, ret_address) != 1) {
        return -1;
    }
    for (digit = colon + 1; *digit >= '0' && *digit <= '9' && port <= 65535; digit++) {
        port = port * 10 + (unsigned)(*digit - '0');
    }
    if (*digit != '\0' || port == 0 || port > 65535) {
        return -1;
    }
    *ret_port = (unsigned short)port;
    return 0;
}

int net_forward_parse(const char *text, size_t size, struct net_forward *ret)
{
    struct net_forward forward;
    char copy[MAX_TEXT + 1] = "";
    char *dash;

    if (size > MAX_TEXT) {
        return -1;
    }
    memcpy(copy, text, size);
    dash = strchr(copy, '-');
    if (dash == NULL || (strncmp(copy, "tcp:", 4) != 0 && strncmp(copy, "udp:", 4) != 0)) {
        return -1;
    }
    *dash = '\0';
    forward.is_udp = copy[0] == 'u';
    if (parse_end(copy + 4, "0.0.0.0", &forward.host, &forward.host_port) != 0 ||
        parse_end(dash + 1, NET_GUEST_ADDRESS, &forward.guest, &forward.guest_port) != 0) {
        return -1;
    }
    *ret = forward;
    return 0;
}

void net_forward_print(const struct net_forward *forward, char text[NET_FORWARD_TEXT])
{
    char host[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN];

    (void)inet_ntop(AF_INET, &forward->host, host, sizeof(host));
    (void)inet_ntop(AF_INET, &forward->guest, guest, sizeof(guest));
    (void)snprintf(text, NET_FORWARD_TEXT, "%s:%s:%u-%s:%u", forward->is_udp ? "udp" : "tcp", host,
                   forward->host_port, guest, forward->guest_port);
}
