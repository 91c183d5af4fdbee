/* Image bytes, stored or compressed by each supported codec, handed out in pieces. */
#include "load_fixture.h"

#include <stdio.h>

#include "load/payload.h"

struct packer {
    const char *name;
    struct blob (*pack)(struct blob plain);
};

static const struct packer packers[] = {
    {"gzip", gzip_pack}, {"xz", xz_pack},         {"zstd", zstd_pack},
    {"lz4", lz4_pack},   {"lz4", lz4_frame_pack},
};

enum { NR_PACKERS = sizeof(packers) / sizeof(packers[0]), PLAIN_SIZE = 60000 };

static struct payload payload_of(struct blob blob)
{
    return (struct payload){blob.data, blob.size, codec_find(blob.data, blob.size), "k"};
}

static struct blob plain_make(void)
{
    struct blob plain = blob_make(PLAIN_SIZE);

    fill_mixed(plain.data, plain.size, 99);
    return plain;
}

static void test_each_codec_is_found_by_its_magic(void **state)
{
    struct blob plain = plain_make();

    (void)state;
    for (unsigned i = 0; i < NR_PACKERS; i++) {
        struct blob packed = packers[i].pack(plain);

        assert_string_equal(codec_find(packed.data, packed.size)->name, packers[i].name);
        assert_null(codec_find(packed.data, 2));
        blob_free(&packed);
    }
    assert_null(codec_find(plain.data, plain.size));
    assert_string_equal(codec_find((const uint8_t *)"BZh91AY", 7)->name, "bzip2");
    blob_free(&plain);
}

static void test_pieces_are_filled_and_gaps_passed_over(void **state)
{
    struct blob plain = plain_make();
    uint8_t out[20000];

    (void)state;
    for (unsigned i = 0; i <= NR_PACKERS; i++) {
        struct blob packed =
            i < NR_PACKERS ? packers[i].pack(plain) : blob_copy(plain.data, plain.size);
        struct payload payload = payload_of(packed);
        struct piece pieces[] = {
            {.offset = 100, .size = 900, .host = out},
            {.offset = 1000, .size = 0, .host = out + 900},
            {.offset = 40000, .size = 19000, .host = out + 900},
        };

        memset(out, 0xee, sizeof(out));
        assert_int_equal(payload_fill(&payload, pieces, 3, NULL), 0);
        assert_memory_equal(out, plain.data + 100, 900);
        assert_memory_equal(out + 900, plain.data + 40000, 19000);
        assert_int_equal(out[19900], 0xee);
        assert_int_equal(payload_fill(&payload, pieces + 1, 1, NULL), 0);
        blob_free(&packed);
    }
    blob_free(&plain);
}

static void test_reading_more_than_there_is_gives_what_there_is(void **state)
{
    struct blob plain = plain_make();
    uint8_t *out = malloc(PLAIN_SIZE + 500);
    size_t size;

    (void)state;
    for (unsigned i = 0; i <= NR_PACKERS; i++) {
        struct blob packed =
            i < NR_PACKERS ? packers[i].pack(plain) : blob_copy(plain.data, plain.size);
        struct payload payload = payload_of(packed);

        assert_int_equal(payload_read(&payload, out, PLAIN_SIZE + 500, false, &size, NULL), 0);
        assert_int_equal(size, PLAIN_SIZE);
        assert_memory_equal(out, plain.data, PLAIN_SIZE);
        assert_int_equal(payload_read(&payload, out, 10, false, &size, NULL), 0);
        assert_int_equal(size, 10);
        blob_free(&packed);
    }
    free(out);
    blob_free(&plain);
}

static void test_pieces_behind_the_end_are_refused(void **state)
{
    struct blob plain = plain_make();
    uint8_t out[20];
    struct piece piece = {.offset = PLAIN_SIZE - 10, .size = 20, .host = out};
    struct payload stored = payload_of(plain);
    struct load_error err;

    (void)state;
    assert_int_equal(payload_fill(&stored, &piece, 1, &err), -ENOEXEC);
    assert_string_equal(err.text,
                        "cannot load kernel 'k': the file ends at byte 60000, its headers "
                        "promise 60010; is the download complete?");
    for (unsigned i = 0; i < NR_PACKERS; i++) {
        struct blob packed = packers[i].pack(plain);
        struct payload payload = payload_of(packed);
        char line[256];

        (void)snprintf(
            line, sizeof(line),
            "cannot load kernel 'k': its %s data decompresses to 60000 bytes, its headers "
            "promise more; is the file damaged?",
            packers[i].name);
        assert_int_equal(payload_fill(&payload, &piece, 1, &err), -ENOEXEC);
        assert_string_equal(err.text, line);
        blob_free(&packed);
    }
    blob_free(&plain);
}

static void test_cut_off_data_is_refused_at_every_length(void **state)
{
    struct blob plain = blob_make(600);
    uint8_t out[600];
    struct piece piece = {.size = sizeof(out), .host = out};
    struct load_error err;

    (void)state;
    fill_mixed(plain.data, plain.size, 4);
    for (unsigned i = 0; i < NR_PACKERS; i++) {
        struct blob packed = packers[i].pack(plain);
        struct payload payload = payload_of(packed);
        size_t size = packed.size;
        size_t got;

        /* the last bytes are checksums, which nobody waits for once all is there */
        while (payload_fill(&payload, &piece, 1, &err) == 0) {
            payload.size = --size;
        }
        assert_true(size + 48 > packed.size);
        for (; payload.size > 0; payload.size--) {
            struct blob cut = blob_copy(packed.data, payload.size);
            struct payload short_one = payload;

            short_one.data = cut.data;
            assert_int_equal(payload_fill(&short_one, &piece, 1, &err), -ENOEXEC);
            if (i != 3) {
                assert_int_equal(payload_read(&short_one, out, 600, false, &got, &err), -ENOEXEC);
                assert_non_null(strstr(err.text, "data breaks off after"));
            }
            blob_free(&cut);
        }
        blob_free(&packed);
    }
    blob_free(&plain);
}

static void test_damaged_data_is_refused(void **state)
{
    struct blob plain = plain_make();
    struct blob packed = gzip_pack(plain);
    struct payload payload = payload_of(packed);
    uint8_t *out = malloc(PLAIN_SIZE);
    struct load_error err;
    size_t size;

    (void)state;
    packed.data[10] = 0xff;
    assert_int_equal(payload_read(&payload, out, PLAIN_SIZE, false, &size, &err), -EILSEQ);
    assert_string_equal(err.text, "cannot load kernel 'k': its gzip data is damaged after 0 "
                                  "decompressed bytes; get the file again");
    free(out);
    blob_free(&packed);
    blob_free(&plain);
}

static void test_flipped_bytes_never_write_outside_the_piece(void **state)
{
    struct load_ram ram = ram_make(0, 4096, true);
    struct blob plain = blob_make(4096);
    struct piece piece = {.size = 4096, .host = ram.host};

    (void)state;
    fill_mixed(plain.data, plain.size, 6);
    for (unsigned i = 0; i < NR_PACKERS; i++) {
        struct blob packed = packers[i].pack(plain);
        struct payload payload = payload_of(packed);

        for (size_t at = 0; at < packed.size; at++) {
            packed.data[at] ^= 0x55;
            (void)payload_fill(&payload, &piece, 1, NULL);
            packed.data[at] ^= 0x55;
        }
        blob_free(&packed);
    }
    blob_free(&plain);
    ram_free(&ram);
}

static void test_all_is_unpacked_up_to_the_limit(void **state)
{
    struct blob plain = plain_make();
    struct load_error err;

    (void)state;
    for (unsigned i = 0; i < NR_PACKERS; i++) {
        struct blob packed = packers[i].pack(plain);
        struct payload payload = payload_of(packed);
        struct payload unpacked;

        assert_int_equal(payload_unpack(&payload, 1 << 20, &unpacked, &err), 0);
        assert_int_equal(unpacked.size, PLAIN_SIZE);
        assert_memory_equal(unpacked.data, plain.data, PLAIN_SIZE);
        payload_free(&unpacked, 1 << 20);
        assert_int_equal(payload_unpack(&payload, 40960, &unpacked, &err), -EFBIG);
        payload.size /= 2;
        assert_int_equal(payload_unpack(&payload, 1 << 20, &unpacked, &err), -ENOEXEC);
        assert_int_equal(payload_unpack(&payload, 0, &unpacked, &err), -ENOMEM);
        blob_free(&packed);
    }
    assert_string_equal(err.text,
                        "cannot load kernel 'k': no memory to decompress its lz4 data; free some");
    blob_free(&plain);
}

static void test_stored_zero_pages_stay_untouched_in_fresh_memory(void **state)
{
    struct blob plain = blob_make(16 * 4096);
    struct load_ram ram = ram_make(0, plain.size, true);
    struct payload payload = payload_of(plain);
    unsigned char is_there[16];
    unsigned nr_there = 0;
    size_t size;

    (void)state;
    plain.data[5 * 4096] = 9;
    assert_int_equal(payload_read(&payload, ram.host, plain.size, true, &size, NULL), 0);
    assert_int_equal(mincore(ram.host, plain.size, is_there), 0);
    for (unsigned i = 0; i < 16; i++) {
        nr_there += is_there[i] & 1;
    }
    assert_int_equal(nr_there, 1);
    assert_memory_equal(ram.host, plain.data, plain.size);
    blob_free(&plain);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_codec_is_found_by_its_magic),
        cmocka_unit_test(test_pieces_are_filled_and_gaps_passed_over),
        cmocka_unit_test(test_reading_more_than_there_is_gives_what_there_is),
        cmocka_unit_test(test_pieces_behind_the_end_are_refused),
        cmocka_unit_test(test_cut_off_data_is_refused_at_every_length),
        cmocka_unit_test(test_damaged_data_is_refused),
        cmocka_unit_test(test_flipped_bytes_never_write_outside_the_piece),
        cmocka_unit_test(test_all_is_unpacked_up_to_the_limit),
        cmocka_unit_test(test_stored_zero_pages_stay_untouched_in_fresh_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
