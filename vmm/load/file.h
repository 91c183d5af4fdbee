/* A guest image file, mapped for reading. */
#ifndef LOAD_FILE_H
#define LOAD_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "load/reason.h"

struct image_file {
    const uint8_t *data;
    size_t size;      /* never 0 in an open file */
    const char *name; /* the caller's string: must outlive the file */
};

/*
 * Opens and maps the file called name. -ENOENT, -EACCES and so on as open(2) has them, -EISDIR for
 * a directory, -EINVAL for a pipe or device, -ENODATA for an empty file; each with its reason.
 */
int image_file_open(const char *name, struct image_file *ret_file, struct load_error *err);

/* Takes a closed file too. */
void image_file_close(struct image_file *file);

/*
 * Opens name for reading without waiting for the other end of a pipe; ret_size is how long the file
 * is. what names its purpose in the reason ("kernel", "initrd"). Returns the descriptor or -errno.
 */
int regular_file_open(const char *what, const char *name, uint64_t *ret_size,
                      struct load_error *err);

/* Reads size bytes of such a file to where they belong. 0, or -errno with the reason. */
int regular_file_read(const char *what, int fd, const char *name, uint8_t *to, uint64_t size,
                      struct load_error *err);

#endif
