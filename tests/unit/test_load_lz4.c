/* LZ4's legacy format: what the library packs comes out, wherever the pieces lie. */
#include "load_fixture.h"

#include "load/codec.h"

enum { PIECES_MAX = 32, PAGE = 4096 };

/* Cuts [0, size) into pieces, every third of them without a host. */
static unsigned cut(struct piece *pieces, size_t size, size_t step, uint8_t *host, bool is_zero)
{
    unsigned n = 0;

    for (size_t at = 0; at < size && n < PIECES_MAX; n++) {
        size_t left = size - at;
        size_t length = n == PIECES_MAX - 1 || left < step ? left : step + n % 5;

        length = length < left ? length : left;
        pieces[n] = (struct piece){.offset = at, .size = length, .is_zero = is_zero};
        pieces[n].host = n % 3 == 2 ? NULL : host + at;
        at += length;
    }
    return n;
}

static void check_decoded(struct blob plain, struct blob packed, size_t step, bool is_zero)
{
    struct load_ram ram = ram_make(0, (plain.size + PAGE - 1) & ~(size_t)(PAGE - 1), is_zero);
    struct piece pieces[PIECES_MAX];
    unsigned n = cut(pieces, plain.size, step, ram.host, is_zero);
    uint64_t size;

    assert_int_equal(lz4_legacy_decode(packed.data, packed.size, pieces, n, &size), DECODE_DONE);
    assert_int_equal(size, plain.size);
    for (unsigned i = 0; i < n; i++) {
        for (uint64_t at = pieces[i].offset; at < pieces[i].offset + pieces[i].size; at++) {
            uint8_t untouched = is_zero ? 0 : 0xee;

            assert_int_equal(ram.host[at], pieces[i].host == NULL ? untouched : plain.data[at]);
        }
    }
    ram_free(&ram);
}

static void test_pieces_of_any_size_get_what_was_packed(void **state)
{
    static const size_t steps[] = {1, 7, 100, 4096, 5000, 30000, 1 << 20};
    static const size_t blocks[] = {1000, 65536, 8 << 20};
    struct blob plain = blob_make(150000);

    (void)state;
    for (uint32_t seed = 1; seed < 5; seed++) {
        fill_mixed(plain.data, plain.size, seed * 77777);
        for (size_t b = 0; b < 3; b++) {
            struct blob packed = lz4_pack_blocks(plain, blocks[b]);

            for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                check_decoded(plain, packed, steps[i], true);
                check_decoded(plain, packed, steps[i], false);
            }
            blob_free(&packed);
        }
    }
    blob_free(&plain);
}

static void test_zeros_on_fresh_memory_touch_no_page(void **state)
{
    struct blob plain = blob_make(64 * PAGE);
    struct load_ram ram = ram_make(0, plain.size, true);
    struct piece piece = {.size = plain.size, .host = ram.host, .is_zero = true};
    unsigned char is_there[64];
    struct blob packed;
    unsigned nr_there = 0;
    uint64_t size;

    (void)state;
    plain.data[0] = 1;
    plain.data[63 * PAGE] = 1;
    packed = lz4_pack(plain);
    assert_int_equal(lz4_legacy_decode(packed.data, packed.size, &piece, 1, &size), DECODE_DONE);
    assert_int_equal(mincore(ram.host, plain.size, is_there), 0);
    for (unsigned i = 0; i < 64; i++) {
        nr_there += is_there[i] & 1;
    }
    assert_in_range(nr_there, 2, 4);
    assert_memory_equal(ram.host, plain.data, plain.size);
    blob_free(&packed);
    blob_free(&plain);
    ram_free(&ram);
}

static void test_data_behind_the_last_piece_is_not_looked_at(void **state)
{
    struct blob plain = blob_make(1000);
    struct blob packed;
    uint8_t out[900];
    struct piece piece = {.size = sizeof(out), .host = out};
    uint64_t size;
    size_t second;

    (void)state;
    fill_mixed(plain.data, plain.size, 5);
    packed = lz4_pack_blocks(plain, 900);
    second = 8 + load_le32(packed.data + 4);
    memset(packed.data + second, 0xff, packed.size - second);
    assert_int_equal(lz4_legacy_decode(packed.data, packed.size, &piece, 1, &size), DECODE_DONE);
    assert_memory_equal(out, plain.data, sizeof(out));
    blob_free(&packed);
    blob_free(&plain);
}

static void test_cut_off_data_is_truncated_or_ended_at_every_length(void **state)
{
    struct blob plain = blob_make(3000);
    struct blob packed;
    uint8_t out[3000];
    struct piece piece = {.size = sizeof(out), .host = out};
    uint64_t size;

    (void)state;
    fill_mixed(plain.data, plain.size, 3);
    packed = lz4_pack_blocks(plain, 1000);
    for (size_t n = 4; n < packed.size; n++) {
        struct blob short_one = blob_copy(packed.data, n);
        enum decode_status status = lz4_legacy_decode(short_one.data, n, &piece, 1, &size);

        assert_true(status == DECODE_TRUNCATED || status == DECODE_ENDED);
        assert_true(size < plain.size);
        assert_memory_equal(out, plain.data, size);
        blob_free(&short_one);
    }
    blob_free(&packed);
    blob_free(&plain);
}

static void test_flipped_bits_never_write_outside_the_pieces(void **state)
{
    struct load_ram ram = ram_make(0, 2 * PAGE, true);
    struct blob plain = blob_make(2 * PAGE);
    struct blob packed;
    struct piece piece = {.size = plain.size, .host = ram.host};
    uint64_t size;

    (void)state;
    fill_mixed(plain.data, plain.size, 11);
    packed = lz4_pack_blocks(plain, 3000);
    for (size_t at = 4; at < packed.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            packed.data[at] ^= (uint8_t)(1u << bit);
            (void)lz4_legacy_decode(packed.data, packed.size, &piece, 1, &size);
            assert_true(size <= plain.size);
            packed.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    blob_free(&packed);
    blob_free(&plain);
    ram_free(&ram);
}

/* A block of literals and one match, with the distance given. */
static enum decode_status decode_distance(uint8_t distance, uint64_t *ret_size)
{
    uint8_t data[] = {2, 0x21, 0x4c, 0x18, 8, 0, 0, 0, 0x30, 'a', 'b', 'c', distance, 0, 0x10, 'z'};
    uint8_t out[8];
    struct piece piece = {.size = sizeof(out), .host = out};
    enum decode_status status;

    status = lz4_legacy_decode(data, sizeof(data), &piece, 1, ret_size);
    if (status == DECODE_DONE) {
        assert_memory_equal(out, distance == 3 ? "abcabcaz" : "abcccccz", 8);
    }
    return status;
}

static void test_match_reaching_before_the_block_is_corrupt(void **state)
{
    uint64_t size;

    (void)state;
    assert_int_equal(decode_distance(0, &size), DECODE_CORRUPT);
    assert_int_equal(size, 3);
    assert_int_equal(decode_distance(1, &size), DECODE_DONE);
    assert_int_equal(decode_distance(3, &size), DECODE_DONE);
    assert_int_equal(decode_distance(4, &size), DECODE_CORRUPT);
}

static void test_gap_larger_than_memory_ends_the_data(void **state)
{
    struct blob plain = blob_make(5000);
    struct blob packed;
    struct piece pieces[] = {{.size = UINT64_MAX / 2}, {.offset = UINT64_MAX / 2, .size = 1}};
    uint64_t size;

    (void)state;
    packed = lz4_pack(plain);
    assert_int_equal(lz4_legacy_decode(packed.data, packed.size, pieces, 2, &size), DECODE_ENDED);
    assert_int_equal(size, 5000);
    blob_free(&packed);
    blob_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_size_get_what_was_packed),
        cmocka_unit_test(test_zeros_on_fresh_memory_touch_no_page),
        cmocka_unit_test(test_data_behind_the_last_piece_is_not_looked_at),
        cmocka_unit_test(test_cut_off_data_is_truncated_or_ended_at_every_length),
        cmocka_unit_test(test_flipped_bits_never_write_outside_the_pieces),
        cmocka_unit_test(test_match_reaching_before_the_block_is_corrupt),
        cmocka_unit_test(test_gap_larger_than_memory_ends_the_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
