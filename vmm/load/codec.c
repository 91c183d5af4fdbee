/* Decompressors that are the system's libraries, and the table of magic numbers. */
#include "load/codec.h"

#include <limits.h>
#include <lz4frame.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static const struct codec codecs[] = {
    {"gzip", {0x1f, 0x8b, 0x08}, 3, gzip_decode},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0x00}, 6, xz_decode},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, zstd_decode},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, lz4_legacy_decode},
    {"lz4", {0x04, 0x22, 0x4d, 0x18}, 4, lz4_frame_decode},
    {"bzip2", {'B', 'Z', 'h'}, 3, NULL},
    {"lzma", {0x5d, 0x00, 0x00}, 3, NULL},
    {"lzo", {0x89, 'L', 'Z', 'O', 0x00, 0x0d}, 6, NULL},
};

const struct codec *codec_find(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        const struct codec *codec = &codecs[i];

        if (size >= codec->magic_size && memcmp(data, codec->magic, codec->magic_size) == 0) {
            return codec;
        }
    }
    return NULL;
}

/* Produces up to size bytes; DECODE_DONE says that there may be more to come. */
typedef enum decode_status (*step_fn)(void *stream, uint8_t *out, size_t size, size_t *ret_size);

/* One piece; without a host its bytes fall into a scratch buffer. */
static enum decode_status fill_piece(step_fn step, void *stream, const struct piece *piece,
                                     uint64_t *size)
{
    enum { STEP_MAX = 1 << 30 }; /* zlib counts in unsigned int */
    uint8_t scratch[16384];
    uint64_t done = 0;

    while (done < piece->size) {
        uint64_t left = piece->size - done;
        uint64_t step_max = piece->host == NULL ? sizeof(scratch) : STEP_MAX;
        uint8_t *out = piece->host == NULL ? scratch : piece->host + done;
        enum decode_status status;
        size_t got = 0;

        status = step(stream, out, left < step_max ? left : step_max, &got);
        done += got;
        *size += got;
        if (status != DECODE_DONE && !(status == DECODE_ENDED && done == piece->size)) {
            return status;
        }
    }
    return DECODE_DONE;
}

static enum decode_status fill_pieces(step_fn step, void *stream, const struct piece *pieces,
                                      unsigned nr_pieces, uint64_t *ret_size)
{
    *ret_size = 0;
    for (unsigned i = 0; i < nr_pieces; i++) {
        enum decode_status status = fill_piece(step, stream, &pieces[i], ret_size);

        if (status != DECODE_DONE) {
            return status;
        }
    }
    return DECODE_DONE;
}

struct gzip_stream {
    z_stream z;
    size_t in_left; /* not yet shown to zlib, which counts in unsigned int */
};

static enum decode_status gzip_step(void *cookie, uint8_t *out, size_t size, size_t *ret_size)
{
    struct gzip_stream *stream = cookie;
    z_stream *z = &stream->z;
    int r;

    if (z->avail_in == 0) {
        z->avail_in = stream->in_left < UINT_MAX ? (uInt)stream->in_left : UINT_MAX;
        stream->in_left -= z->avail_in;
    }
    z->next_out = out;
    z->avail_out = (uInt)size;
    r = inflate(z, Z_NO_FLUSH);
    *ret_size = size - z->avail_out;
    switch (r) {
    case Z_OK:
        return DECODE_DONE;
    case Z_STREAM_END:
        return DECODE_ENDED;
    case Z_BUF_ERROR:
        return DECODE_TRUNCATED;
    case Z_MEM_ERROR:
        return DECODE_NO_MEMORY;
    default:
        return DECODE_CORRUPT;
    }
}

enum decode_status gzip_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                               unsigned nr_pieces, uint64_t *ret_size)
{
    enum { GZIP_HEADER = 16 }; /* added to the window bits: data has a gzip header */
    struct gzip_stream stream = {.in_left = in_size};
    enum decode_status status;

    *ret_size = 0;
    stream.z.next_in = (z_const Bytef *)(uintptr_t)in;
    if (inflateInit2(&stream.z, MAX_WBITS + GZIP_HEADER) != Z_OK) {
        return DECODE_NO_MEMORY;
    }
    status = fill_pieces(gzip_step, &stream, pieces, nr_pieces, ret_size);
    (void)inflateEnd(&stream.z); /* fails only for a stream that is none */
    return status;
}

static enum decode_status xz_step(void *cookie, uint8_t *out, size_t size, size_t *ret_size)
{
    lzma_stream *xz = cookie;
    lzma_ret r;

    xz->next_out = out;
    xz->avail_out = size;
    r = lzma_code(xz, LZMA_RUN);
    *ret_size = size - xz->avail_out;
    if (r == LZMA_OK) {
        return *ret_size == 0 && xz->avail_in == 0 ? DECODE_TRUNCATED : DECODE_DONE;
    }
    if (r == LZMA_STREAM_END) {
        return DECODE_ENDED;
    }
    if (r == LZMA_BUF_ERROR) {
        return DECODE_TRUNCATED;
    }
    return r == LZMA_MEM_ERROR || r == LZMA_MEMLIMIT_ERROR ? DECODE_NO_MEMORY : DECODE_CORRUPT;
}

enum decode_status xz_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                             unsigned nr_pieces, uint64_t *ret_size)
{
    const uint64_t memory_limit = 256u << 20; /* xz -9 asks for 65 MiB */
    lzma_stream xz = LZMA_STREAM_INIT;
    enum decode_status status;

    *ret_size = 0;
    if (lzma_stream_decoder(&xz, memory_limit, 0) != LZMA_OK) {
        return DECODE_NO_MEMORY;
    }
    xz.next_in = in;
    xz.avail_in = in_size;
    status = fill_pieces(xz_step, &xz, pieces, nr_pieces, ret_size);
    lzma_end(&xz);
    return status;
}

struct zstd_stream {
    ZSTD_DStream *context;
    ZSTD_inBuffer in;
    unsigned long long out_left; /* as the frame has it; a huge number when it does not say */
};

static enum decode_status zstd_step(void *cookie, uint8_t *out, size_t size, size_t *ret_size)
{
    struct zstd_stream *stream = cookie;
    ZSTD_outBuffer buffer = {.dst = out, .size = size};
    size_t r;

    /*
     * the library uses what is left of a buffer as its scratch space: give it no more than it
     * fills
     */
    if (stream->out_left < size) {
        buffer.size = stream->out_left;
    }
    r = ZSTD_decompressStream(stream->context, &buffer, &stream->in);
    *ret_size = buffer.pos;
    stream->out_left -= buffer.pos;
    if (ZSTD_isError(r)) {
        return DECODE_CORRUPT;
    }
    if (r == 0) {
        return DECODE_ENDED;
    }
    return buffer.pos == 0 && stream->in.pos == stream->in.size ? DECODE_TRUNCATED : DECODE_DONE;
}

enum decode_status zstd_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                               unsigned nr_pieces, uint64_t *ret_size)
{
    struct zstd_stream stream = {
        .in = {.src = in, .size = in_size},
        .out_left = ZSTD_getFrameContentSize(in, in_size),
    };
    enum decode_status status;

    *ret_size = 0;
    stream.context = ZSTD_createDStream();
    if (stream.context == NULL) {
        return DECODE_NO_MEMORY;
    }
    status = fill_pieces(zstd_step, &stream, pieces, nr_pieces, ret_size);
    (void)ZSTD_freeDStream(stream.context); /* always succeeds */
    return status;
}

struct lz4_stream {
    LZ4F_dctx *context;
    const uint8_t *in;
    size_t in_left;
};

static enum decode_status lz4_frame_step(void *cookie, uint8_t *out, size_t size, size_t *ret_size)
{
    struct lz4_stream *stream = cookie;
    size_t in_size = stream->in_left;
    size_t r;

    *ret_size = size;
    r = LZ4F_decompress(stream->context, out, ret_size, stream->in, &in_size, NULL);
    if (LZ4F_isError(r)) {
        *ret_size = 0;
        return DECODE_CORRUPT;
    }
    stream->in += in_size;
    stream->in_left -= in_size;
    if (r == 0) {
        return DECODE_ENDED;
    }
    return *ret_size == 0 && stream->in_left == 0 ? DECODE_TRUNCATED : DECODE_DONE;
}

enum decode_status lz4_frame_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                                    unsigned nr_pieces, uint64_t *ret_size)
{
    struct lz4_stream stream = {.in = in, .in_left = in_size};
    enum decode_status status;

    *ret_size = 0;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&stream.context, LZ4F_VERSION))) {
        return DECODE_NO_MEMORY;
    }
    status = fill_pieces(lz4_frame_step, &stream, pieces, nr_pieces, ret_size);
    (void)LZ4F_freeDecompressionContext(stream.context); /* reports where it stood, no failure */
    return status;
}
