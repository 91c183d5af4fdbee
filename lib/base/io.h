/* Descriptors of the kinds that the library uses. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdint.h>

/* These return a close-on-exec descriptor or a negative errno with its reason. */
int io_memfd(const char *name, uint64_t size);
int io_eventfd(void); /* starts at 0 and never blocks */
int io_dup(int fd);

/* Takes what an eventfd of io_eventfd has counted, if anything. */
void io_drain(int fd);

/* Closes it if it is one (>= 0) and forgets it: *fd is -1 afterwards. */
void io_close(int *fd);

#endif
