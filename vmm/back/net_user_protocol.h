/* What hostvm and hostvm-net-user agree on: the program gets a socket (SOCK_SEQPACKET, which
 * does not block) as its descriptor NET_USER_FD, and forwarded ports as arguments (net_forward.h).
 * Its first message is NET_USER_READY, or why it cannot be; then each is a frame behind a header of
 * zeros, as a network device without offloads has it. When its end of the socket finds nobody, the
 * program ends. */
#ifndef BACK_NET_USER_PROTOCOL_H
#define BACK_NET_USER_PROTOCOL_H

#define NET_USER_READY   "ready"
#define NET_USER_PROGRAM "hostvm-net-user"

enum {
    NET_USER_FD = 3,
    NET_USER_HEADER = 12,
    NET_USER_FRAME = 1514, /* at most, without the header */
    NET_USER_REASON = 200, /* bytes of a reason, at most */
};

#endif
