/*
 * LZ4's legacy format, which compressed kernels use.
 *
 * The library's decoder wants one contiguous output. This one writes each piece where it belongs,
 * so that no segment of a kernel is moved afterwards, and it leaves out long runs of zeros where
 * memory is zero already: a third of Debian's kernel is such padding and bss, and guest pages that
 * are not touched need not be allocated. Formats: lz4_Block_format.md, lz4_Frame_format.md "Legacy
 * frame".
 */
#include "load/codec.h"

#include <stdlib.h>
#include <string.h>

#include "load/bytes.h"

enum {
    LEGACY_MAGIC = 0x184c2102,
    MATCH_MIN = 4,       /* shortest match, added to the length in the token */
    LENGTH_MORE = 15,    /* this length in a token continues in the bytes that follow */
    EXPANSION_MAX = 255, /* no byte of input stands for more bytes of output */
    COPY_MAX = 1024,     /* from here on the C library copies faster */
    PAGE = 4096,
};

/*
 * The short way writes whole words: up to this many bytes of output room are overwritten, and of
 * input read, beyond what the sequence asks for.
 */
enum { SLACK_OUT = 64, SLACK_IN = 32 };

struct output {
    struct piece *pieces; /* each with memory behind it */
    unsigned nr_pieces;
    unsigned current;
    uint8_t *at;          /* next byte, in the current piece */
    uint8_t *end;         /* of the current piece */
    uint8_t *low;         /* of the current piece what belongs to the current block starts here */
    uint64_t block_start; /* a match reaches back to here at most */
};

static uint64_t output_position(const struct output *out)
{
    const struct piece *piece = &out->pieces[out->current];

    return piece->offset + (uint64_t)(out->at - piece->host);
}

static void output_enter(struct output *out, unsigned index)
{
    out->current = index;
    out->at = out->pieces[index].host;
    out->end = out->at + out->pieces[index].size;
    out->low = out->at;
}

/* Goes on to the next piece when the current one is full; false when it was the last. */
static bool output_has_room(struct output *out)
{
    if (out->at == out->end && out->current + 1 < out->nr_pieces) {
        output_enter(out, out->current + 1);
    }
    return out->at < out->end;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whole words: up to 15 bytes more than size are read and written. They may not overlap closer. */
static void copy_words(uint8_t *to, const uint8_t *from, size_t size)
{
    uint8_t *end = to + size;

    do {
        memcpy(to, from, 16);
        to += 16;
        from += 16;
    } while (to < end);
}

/* in_size: how much may be read, size or more. */
static void put_literals(struct output *out, const uint8_t *in, size_t in_size, uint64_t size)
{
    if (size + SLACK_IN <= in_size && size + SLACK_OUT <= (uint64_t)(out->end - out->at)) {
        copy_words(out->at, in, size);
        out->at += size;
        return;
    }
    while (size > 0 && output_has_room(out)) {
        size_t n = least(size, (uint64_t)(out->end - out->at));

        memcpy(out->at, in, n);
        out->at += n;
        in += n;
        size -= n;
    }
}

/*
 * Repeats the byte before at. What earlier sequences may have overwritten is cleared in any case.
 */
static void put_run(uint8_t *at, size_t size, bool is_zero)
{
    uintptr_t dirty_end = ((uintptr_t)at + SLACK_OUT + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    size_t dirty = dirty_end - (uintptr_t)at;

    memset(at, at[-1], is_zero && at[-1] == 0 && dirty < size ? dirty : size);
}

/* Within one piece: what is copied may overlap what is written, and repeats itself then. */
static void put_repeat(uint8_t *at, size_t distance, size_t size)
{
    while (size > distance) {
        memcpy(at, at - distance, distance);
        at += distance;
        size -= distance;
        distance *= 2;
    }
    memcpy(at, at - distance, size);
}

/* The bytes lie in an earlier piece; returns how many were taken from there. */
static size_t put_from_earlier(struct output *out, uint64_t source, size_t size)
{
    const struct piece *piece = &out->pieces[out->current];
    uint64_t skip;

    while (piece->offset > source) {
        piece--;
    }
    skip = source - piece->offset;
    size = least(size, piece->size - skip);
    memcpy(out->at, piece->host + skip, size);
    return size;
}

static enum decode_status put_match(struct output *out, uint64_t distance, uint64_t size)
{
    if (distance >= 16 && distance <= (uint64_t)(out->at - out->low) && size <= COPY_MAX &&
        size + SLACK_OUT <= (uint64_t)(out->end - out->at)) {
        copy_words(out->at, out->at - distance, size);
        out->at += size;
        return DECODE_DONE;
    }
    if (distance == 0 || distance > output_position(out) - out->block_start) {
        return DECODE_CORRUPT;
    }
    while (size > 0 && output_has_room(out)) {
        const struct piece *piece = &out->pieces[out->current];
        size_t n = least(size, (uint64_t)(out->end - out->at));

        if (distance > (uint64_t)(out->at - piece->host)) {
            n = put_from_earlier(out, output_position(out) - distance, n);
        } else if (distance == 1) {
            put_run(out->at, n, piece->is_zero);
        } else {
            put_repeat(out->at, distance, n);
        }
        out->at += n;
        size -= n;
    }
    return DECODE_DONE;
}

/* Sequences of short lengths in the middle of everything: most of them. Stops before any other. */
static const uint8_t *decode_short_sequences(struct output *out, const uint8_t *in,
                                             const uint8_t *in_end)
{
    const uint8_t *low = out->low;
    uint8_t *at = out->at;
    const uint8_t *in_limit, *at_limit;

    if (in_end - in < SLACK_IN || out->end - at < SLACK_OUT) {
        return in;
    }
    in_limit = in_end - SLACK_IN;
    at_limit = out->end - SLACK_OUT;
    while (in <= in_limit && at <= at_limit) {
        size_t token = *in;
        size_t literals = token >> 4;
        size_t length = token & 15;
        uint8_t *match = at + literals;
        const uint8_t *from;
        size_t distance;

        if (literals == LENGTH_MORE || length == LENGTH_MORE) {
            break;
        }
        distance = load_le16(in + 1 + literals);
        if (distance < 8 || distance > (size_t)(match - low)) {
            break;
        }
        from = match - distance;
        memcpy(at, in + 1, 16);
        memcpy(match, from, 8);
        memcpy(match + 8, from + 8, 8);
        memcpy(match + 16, from + 16, 2);
        at = match + length + MATCH_MIN;
        in += 1 + literals + 2;
    }
    out->at = at;
    return in;
}

/* Adds the bytes that continue a length; false when the block ends in them. */
static bool read_length(const uint8_t **in, const uint8_t *in_end, uint64_t *length)
{
    uint8_t byte;

    do {
        if (*in == in_end) {
            return false;
        }
        byte = *(*in)++;
        *length += byte;
    } while (byte == 255);
    return true;
}

/* Any one sequence; moves *in to the next. The last of a block has no match. */
static enum decode_status decode_sequence(struct output *out, const uint8_t **in,
                                          const uint8_t *in_end)
{
    uint8_t token = *(*in)++;
    uint64_t literals = token >> 4;
    uint64_t length = token & 15;
    uint64_t distance;

    if (literals == LENGTH_MORE && !read_length(in, in_end, &literals)) {
        return DECODE_CORRUPT;
    }
    if (literals > (uint64_t)(in_end - *in)) {
        return DECODE_CORRUPT;
    }
    put_literals(out, *in, (size_t)(in_end - *in), literals);
    *in += literals;
    if (*in == in_end) {
        return DECODE_DONE;
    }
    if (in_end - *in < 2) {
        return DECODE_CORRUPT;
    }
    distance = load_le16(*in);
    *in += 2;
    if (length == LENGTH_MORE && !read_length(in, in_end, &length)) {
        return DECODE_CORRUPT;
    }
    return put_match(out, distance, length + MATCH_MIN);
}

static enum decode_status decode_block(struct output *out, const uint8_t *in, size_t in_size)
{
    const uint8_t *in_end = in + in_size;
    enum decode_status status = DECODE_DONE;

    out->block_start = output_position(out);
    out->low = out->at;
    while (status == DECODE_DONE && in < in_end && output_has_room(out)) {
        in = decode_short_sequences(out, in, in_end);
        status = decode_sequence(out, &in, in_end);
    }
    return status;
}

/* Each block is preceded by its size; another magic number may stand in its place. */
static enum decode_status decode_blocks(struct output *out, const uint8_t *in, size_t in_size)
{
    while (output_has_room(out)) {
        enum decode_status status;
        uint32_t size;

        if (in_size < 4) {
            return in_size == 0 ? DECODE_ENDED : DECODE_TRUNCATED;
        }
        size = load_le32(in);
        in += 4;
        in_size -= 4;
        if (size == LEGACY_MAGIC) {
            continue;
        }
        status = decode_block(out, in, least(size, in_size));
        if (size > in_size && output_has_room(out)) {
            return DECODE_TRUNCATED;
        }
        if (status != DECODE_DONE) {
            return status;
        }
        in += least(size, in_size);
        in_size -= least(size, in_size);
    }
    return DECODE_DONE;
}

static void free_memory(struct piece *copies, const struct piece *pieces, unsigned nr_pieces)
{
    for (unsigned i = 0; i < nr_pieces; i++) {
        if (pieces[i].host == NULL) {
            free(copies[i].host);
        }
    }
    free(copies);
}

/*
 * A copy of the pieces in which those without memory have some: matches reach back into them. No
 * more than the input could ever fill, for sizes come from headers that may lie.
 */
static struct piece *give_memory(const struct piece *pieces, unsigned nr_pieces, size_t in_size)
{
    struct piece *copies = calloc(nr_pieces, sizeof(*copies));

    if (copies == NULL) {
        return NULL;
    }
    memcpy(copies, pieces, nr_pieces * sizeof(*copies));
    for (unsigned i = 0; i < nr_pieces; i++) {
        if (pieces[i].host == NULL) {
            copies[i].size = least(pieces[i].size, (uint64_t)in_size * EXPANSION_MAX + SLACK_OUT);
            copies[i].host = calloc(1, copies[i].size);
            copies[i].is_zero = true;
            if (copies[i].host == NULL) {
                free_memory(copies, pieces, i);
                return NULL;
            }
        }
    }
    return copies;
}

enum decode_status lz4_legacy_decode(const uint8_t *in, size_t in_size, const struct piece *pieces,
                                     unsigned nr_pieces, uint64_t *ret_size)
{
    struct output out = {.nr_pieces = nr_pieces};
    enum decode_status status;

    *ret_size = 0;
    out.pieces = give_memory(pieces, nr_pieces, in_size);
    if (out.pieces == NULL) {
        return DECODE_NO_MEMORY;
    }
    output_enter(&out, 0);
    status = decode_blocks(&out, in, in_size);
    *ret_size = output_position(&out);
    free_memory(out.pieces, pieces, nr_pieces);
    return status;
}
