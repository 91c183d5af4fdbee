/* The line that a host program opens a stream to a guest's port with. */
#ifndef BACK_VSOCK_CONNECT_H
#define BACK_VSOCK_CONNECT_H

#include <stddef.h>
#include <stdint.h>

/* The longest line there is: "CONNECT 4294967295\r\n". */
enum { VSOCK_CONNECT_MAX = 20 };

enum vsock_connect {
    VSOCK_CONNECT_LINE, /* *ret_port and *ret_size are set */
    VSOCK_CONNECT_MORE, /* the beginning of a line */
    VSOCK_CONNECT_BAD,  /* no such line begins like this */
};

/*
 * Reads "CONNECT <port>\n", the port in decimal digits, from the first bytes of a stream. ret_size:
 * of the line; what follows it belongs to the guest. A '\r' before the end is overlooked.
 */
enum vsock_connect vsock_connect_parse(const char *bytes, size_t size, uint32_t *ret_port,
                                       size_t *ret_size);

#endif
