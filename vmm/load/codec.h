/* Decompressors behind one function type, found by the magic number of their data. */
#ifndef LOAD_CODEC_H
#define LOAD_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* [offset, offset + size) of the decompressed bytes goes to host */
struct piece {
    uint64_t offset;
    uint64_t size;
    uint8_t *host; /* NULL: nobody wants these bytes */
    bool is_zero;  /* host is all zero as yet */
};

enum decode_status {
    DECODE_DONE,      /* every piece is full */
    DECODE_ENDED,     /* the data came to its proper end before that */
    DECODE_TRUNCATED, /* the data breaks off */
    DECODE_CORRUPT,
    DECODE_NO_MEMORY,
};

/*
 * Decompresses in[0..in_size) into pieces that follow each other without a gap from offset 0 and
 * stops when the last is full. ret_size, written in every case, counts the bytes produced until
 * then.
 */
typedef enum decode_status (*decode_fn)(const uint8_t *in, size_t in_size,
                                        const struct piece *pieces, unsigned nr_pieces,
                                        uint64_t *ret_size);

struct codec {
    const char *name;
    uint8_t magic[6];
    uint8_t magic_size;
    decode_fn decode; /* NULL: known by its magic, but not supported */
};

/* NULL when data starts with no known magic. */
const struct codec *codec_find(const uint8_t *data, size_t size);

enum decode_status gzip_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                               unsigned nr_pieces, uint64_t *ret_size);
enum decode_status xz_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                             unsigned nr_pieces, uint64_t *ret_size);
enum decode_status zstd_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                               unsigned nr_pieces, uint64_t *ret_size);
enum decode_status lz4_frame_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                                    unsigned nr_pieces, uint64_t *ret_size);

/* lz4_legacy.c: the LZ4 format of kernel images; skips zeros where they are already */
enum decode_status lz4_legacy_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                                     unsigned nr_pieces, uint64_t *ret_size);

#endif
