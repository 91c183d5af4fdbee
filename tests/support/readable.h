/* Whether something can be read: memory, as the kernel sees it, and descriptors. */
#ifndef SUPPORT_READABLE_H
#define SUPPORT_READABLE_H

#include <stdbool.h>

/* The byte there. False also where there is no pipe to try it with. */
bool is_readable(const void *pointer);

/* At once. */
bool is_readable_fd(int fd);

#endif
