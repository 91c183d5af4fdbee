/*
 * The bytes of an image, stored or compressed, handed out in one pass straight to where they
 * belong.
 *
 * A loader first reads the head, decides from it which pieces of the file go where, and then has
 * them filled. Bytes between pieces are passed over, and what follows the last piece is not even
 * decompressed.
 */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/codec.h"
#include "load/reason.h"

struct payload {
    const uint8_t *data;
    size_t size;
    const struct codec *codec; /* NULL: the bytes are stored as they are */
    const char *name;          /* of the image file, for reasons */
};

/*
 * The first size bytes, or all there are: ret_size. is_zero: buffer is all zero as yet. Compressed
 * data that is damaged or breaks off before that is refused.
 */
int payload_read(const struct payload *payload, uint8_t *buffer, size_t size, bool is_zero,
                 size_t *ret_size, struct load_error *err);

/*
 * Fills pieces, which are sorted by offset and do not overlap. They may be left half filled on
 * failure.
 */
int payload_fill(const struct payload *payload, const struct piece *pieces, unsigned nr_pieces,
                 struct load_error *err);

/*
 * All of a compressed payload, into fresh memory that payload_free takes back; more than limit
 * bytes are refused.
 */
int payload_unpack(const struct payload *payload, size_t limit, struct payload *ret_plain,
                   struct load_error *err);
void payload_free(struct payload *plain, size_t limit);

#endif
