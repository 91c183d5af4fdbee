/* Reading cpio archives that are in memory, in the format that `cpio -H newc` writes. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPIO_HEADER_MAGIC "070701"
#define CPIO_FOOTER_MAGIC "TRAILER!!!"
#define CPIO_ALIGNMENT    4

/**
 * What each entry begins with; all numbers are hexadecimal digits. Name and file follow, each
 * padded so that the next thing begins at a multiple of CPIO_ALIGNMENT.
 */
struct cpio_header {
    char c_magic[6];
    char c_ino[8];
    char c_mode[8];
    char c_uid[8];
    char c_gid[8];
    char c_nlink[8];
    char c_mtime[8];
    char c_filesize[8];
    char c_devmajor[8];
    char c_devminor[8];
    char c_rdevmajor[8];
    char c_rdevminor[8];
    char c_namesize[8]; /* with the NUL that ends it */
    char c_check[8];
};

struct cpio_info {
    unsigned int file_count;  /* entries, without the trailer */
    unsigned int max_path_sz; /* bytes of the longest name, without the NUL */
};

/*
 * An archive is len bytes, of which nothing behind is read. One that is damaged, or has no trailer,
 * ends before the first entry that is not complete. seL4's libcpio trusts the numbers in it.
 */

/**
 * One entry, counted from 0.
 *
 * @param name  receives its name, which lies in the archive; may be NULL
 * @param size  receives the bytes of the file; may be NULL
 * @return the file, in the archive: not to be written unless the archive may be; NULL when there
 *         is no such entry
 */
void *cpio_get_entry(const void *archive, unsigned long len, int index, const char **name,
                     unsigned long *size);

/**
 * The entry of a name.
 *
 * @return as cpio_get_entry does
 */
void *cpio_get_file(const void *archive, unsigned long len, const char *name, unsigned long *size);

/**
 * Counts the entries.
 *
 * @return 0; -1 when something is missing, the archive is damaged or has no trailer, with a reason
 *         in hostvm_last_error() and *info untouched
 */
int cpio_info(const void *archive, unsigned long len, struct cpio_info *info);

/**
 * Copies the names of the first entries.
 *
 * @param buf      strings, each with room for max_path_sz characters and a NUL
 * @param buf_len  how many there are
 */
void cpio_ls(const void *archive, unsigned long len, char **buf, unsigned long buf_len);

#ifdef __cplusplus
}
#endif
