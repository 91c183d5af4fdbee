/* Numbers and sizes of memory on the command line. */
#ifndef OPTIONS_SIZE_H
#define OPTIONS_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* The number that text begins with, and what is behind it. False: there is none, or one too large.
 */
bool options_number_parse(const char *text, uint64_t *ret, const char **ret_end);

/* A size in bytes: a number with suffix K, M, G or T; without one MiB. False: text is none. More
 * than 64 bits hold is UINT64_MAX. */
bool options_size_parse(const char *text, uint64_t *ret);

#endif
