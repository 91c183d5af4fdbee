/* The bytes of an image, stored or compressed, handed out straight to where they belong. */
#include "load/payload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int explain(const struct payload *payload, enum decode_status status, uint64_t size,
                   struct load_error *err)
{
    const char *codec = payload->codec->name;

    switch (status) {
    case DECODE_DONE:
        return 0;
    case DECODE_ENDED:
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its %s data decompresses to %" PRIu64
                           " bytes, its headers promise more; is the file damaged?",
                           codec, size);
    case DECODE_TRUNCATED:
        return kernel_fail(err, -ENOEXEC, payload->name,
                           "its %s data breaks off after %" PRIu64
                           " decompressed bytes; is the download complete?",
                           codec, size);
    case DECODE_CORRUPT:
        return kernel_fail(err, -EILSEQ, payload->name,
                           "its %s data is damaged after %" PRIu64
                           " decompressed bytes; get the file again",
                           codec, size);
    case DECODE_NO_MEMORY:
        break;
    }
    return kernel_fail(err, -ENOMEM, payload->name,
                       "no memory to decompress its %s data; free some", codec);
}

static enum decode_status decode(const struct payload *payload, const struct piece *pieces,
                                 unsigned nr_pieces, uint64_t *ret_size)
{
    return payload->codec->decode(payload->data, payload->size, pieces, nr_pieces, ret_size);
}

/* Pages that are all zero are left out where memory is zero already: they need not be allocated. */
static void copy_stored(const struct piece *piece, const uint8_t *from)
{
    static const uint8_t zeros[4096];
    uint64_t done = 0;

    if (!piece->is_zero) {
        memcpy(piece->host, from, piece->size);
        return;
    }
    while (done < piece->size) {
        uint64_t left = piece->size - done;
        size_t n = left < sizeof(zeros) ? left : sizeof(zeros);

        if (memcmp(from + done, zeros, n) != 0) {
            memcpy(piece->host + done, from + done, n);
        }
        done += n;
    }
}

int payload_read(const struct payload *payload, uint8_t *buffer, size_t size, bool is_zero,
                 size_t *ret_size, struct load_error *err)
{
    struct piece piece = {.size = size, .host = buffer, .is_zero = is_zero};
    enum decode_status status;
    uint64_t got;

    if (payload->codec == NULL) {
        piece.size = size < payload->size ? size : payload->size;
        copy_stored(&piece, payload->data);
        *ret_size = piece.size;
        return 0;
    }
    status = decode(payload, &piece, 1, &got);
    if (status != DECODE_DONE && status != DECODE_ENDED) {
        return explain(payload, status, got, err);
    }
    *ret_size = got;
    return 0;
}

static int fill_stored(const struct payload *payload, const struct piece *pieces,
                       unsigned nr_pieces, struct load_error *err)
{
    for (unsigned i = 0; i < nr_pieces; i++) {
        const struct piece *piece = &pieces[i];

        if (piece->offset > payload->size || piece->size > payload->size - piece->offset) {
            return kernel_fail(err, -ENOEXEC, payload->name,
                               "the file ends at byte %zu, its headers promise %" PRIu64
                               "; is the download complete?",
                               payload->size, piece->offset + piece->size);
        }
        copy_stored(piece, payload->data + piece->offset);
    }
    return 0;
}

/* Pieces without a host for what lies between those wanted; ret_all has room for twice as many. */
static unsigned add_gaps(const struct piece *pieces, unsigned nr_pieces, struct piece *ret_all)
{
    uint64_t end = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < nr_pieces; i++) {
        if (pieces[i].size == 0) {
            continue;
        }
        if (pieces[i].offset > end) {
            ret_all[n++] = (struct piece){.offset = end, .size = pieces[i].offset - end};
        }
        ret_all[n++] = pieces[i];
        end = pieces[i].offset + pieces[i].size;
    }
    return n;
}

int payload_fill(const struct payload *payload, const struct piece *pieces, unsigned nr_pieces,
                 struct load_error *err)
{
    enum decode_status status = DECODE_DONE;
    struct piece *all;
    uint64_t got = 0;
    unsigned nr_all;

    if (payload->codec == NULL) {
        return fill_stored(payload, pieces, nr_pieces, err);
    }
    all = calloc(2 * (size_t)nr_pieces, sizeof(*all));
    if (all == NULL) {
        return explain(payload, DECODE_NO_MEMORY, 0, err);
    }
    nr_all = add_gaps(pieces, nr_pieces, all);
    if (nr_all > 0) {
        status = decode(payload, all, nr_all, &got);
    }
    free(all);
    return explain(payload, status, got, err);
}

int payload_unpack(const struct payload *payload, size_t limit, struct payload *ret_plain,
                   struct load_error *err)
{
    struct piece piece = {.size = limit, .is_zero = true};
    enum decode_status status;
    uint64_t got;

    piece.host = mmap(NULL, limit, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (piece.host == MAP_FAILED) {
        return explain(payload, DECODE_NO_MEMORY, 0, err);
    }
    status = decode(payload, &piece, 1, &got);
    if (status == DECODE_ENDED) {
        *ret_plain = (struct payload){.data = piece.host, .size = got, .name = payload->name};
        return 0;
    }
    munmap(piece.host, limit);
    if (status == DECODE_DONE) {
        return kernel_fail(
            err, -EFBIG, payload->name,
            "its %s data decompresses to more than the RAM of %zu MiB; give more RAM",
            payload->codec->name, limit >> 20);
    }
    return explain(payload, status, got, err);
}

void payload_free(struct payload *plain, size_t limit)
{
    munmap((void *)(uintptr_t)plain->data, limit);
    plain->data = NULL;
}
