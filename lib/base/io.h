/* Descriptors: reading and writing in full, and making the kinds the library uses. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>

/*
 * 0 or a negative errno; -ENODATA when the input ends early. Interrupted calls are taken up again.
 */
int io_read_full(int fd, void *buf, size_t size);
int io_write_full(int fd, const void *buf, size_t size);

/* These return a close-on-exec descriptor or a negative errno with its reason. */
int io_memfd(const char *name, uint64_t size);
int io_eventfd(void); /* starts at 0 and never blocks */
int io_dup(int fd);

/* Closes it if it is one (>= 0) and forgets it: *fd is -1 afterwards. */
void io_close(int *fd);

#endif
