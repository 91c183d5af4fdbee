/* Reading the line "CONNECT <port>". */
#include "back/vsock_connect.h"

#include <string.h>

enum { MAX_DIGITS = 10 };

static size_t count_digits(const char *bytes, size_t size)
{
    size_t n = 0;

    while (n < size && bytes[n] >= '0' && bytes[n] <= '9') {
        n++;
    }
    return n;
}

enum vsock_connect vsock_connect_parse(const char *bytes, size_t size, uint32_t *ret_port,
                                       size_t *ret_size)
{
    static const char word[] = "CONNECT ";
    const size_t length = sizeof(word) - 1;
    uint64_t port = 0;
    size_t end;

    if (memcmp(bytes, word, size < length ? size : length) != 0) {
        return VSOCK_CONNECT_BAD;
    }
    if (size <= length) {
        return VSOCK_CONNECT_MORE;
    }
    end = length + count_digits(bytes + length, size - length);
    if (end > length + MAX_DIGITS) {
        return VSOCK_CONNECT_BAD;
    }
    for (size_t i = length; i < end; i++) {
        port = port * 10 + (uint64_t)(bytes[i] - '0');
    }
    if (port > UINT32_MAX) {
        return VSOCK_CONNECT_BAD;
    }
    if (end == size) {
        return VSOCK_CONNECT_MORE;
    }
    if (end > length && bytes[end] == '\r') {
        end++;
    }
    if (end == size) {
        return VSOCK_CONNECT_MORE;
    }
    if (end == length || bytes[end] != '\n') {
        return VSOCK_CONNECT_BAD;
    }
    *ret_port = (uint32_t)port;
    *ret_size = end + 1;
    return VSOCK_CONNECT_LINE;
}
