/* Reading the text of --vsock. */
#include "options/vsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0 to 2 are the hypervisor's, the loopback's and the host's, the last one is nobody's. */
enum { CID_FIRST = 3 };
#define CID_LAST 0xfffffffeul

static int parse_cid(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long number;

    if (*text < '0' || *text > '9') {
        return -1;
    }
    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < CID_FIRST || number > CID_LAST) {
        return -1;
    }
    *ret = (uint32_t)number;
    return 0;
}

int options_vsock_parse(const char *text, struct options_vsock *ret, char *why, size_t why_size)
{
    size_t length = strcspn(text, ",");
    const char *rest = text + length;

    *ret = (struct options_vsock){.is_given = true, .cid = CID_FIRST};
    if (length == 0) {
        (void)snprintf(why, why_size, "--vsock wants PATH[,cid=N], not '%s'", text);
        return -1;
    }
    if (length > VSOCK_PATH_MAX) {
        (void)snprintf(why, why_size, "--vsock wants a path of at most %d characters",
                       VSOCK_PATH_MAX);
        return -1;
    }
    memcpy(ret->path, text, length);
    if (*rest == '\0') {
        return 0;
    }
    if (strncmp(rest, ",cid=", 5) != 0) {
        (void)snprintf(why, why_size, "--vsock does not know '%s', only cid=N", rest + 1);
        return -1;
    }
    if (parse_cid(rest + 5, &ret->cid) != 0) {
        (void)snprintf(why, why_size, "--vsock wants a cid from 3 to 4294967294, not '%s'",
                       rest + 5);
        return -1;
    }
    return 0;
}
