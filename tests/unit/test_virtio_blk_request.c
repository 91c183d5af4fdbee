/* Requests of a virtio disk: every framing, and what a hostile driver could write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/blk_request.h"

enum { SECTORS = 1000, NOT_WRITTEN = 0xee };

static const struct blk_traits writable = {
    .size = (uint64_t)SECTORS * DISK_SECTOR,
    .can_discard = true,
    .serial = "serial-number\0\0\0\0\0\0\0",
};

/* A request whose bytes lie in blocks of their own, so that a sanitizer sees each step outside. */
struct frame {
    struct blk_request request;
    uint8_t *blocks[BLK_QUEUE_SIZE];
    size_t written;
};

static void add(struct frame *f, const void *bytes, size_t size, bool is_in)
{
    hostvm_virtio_buffer_t *buffer = &f->request.buffer;
    unsigned i = buffer->nr_out + buffer->nr_in;

    f->blocks[i] = malloc(size > 0 ? size : 1);
    if (bytes != NULL) {
        memcpy(f->blocks[i], bytes, size);
    } else {
        memset(f->blocks[i], NOT_WRITTEN, size);
    }
    buffer->iov[i] = (struct iovec){f->blocks[i], size};
    if (is_in) {
        buffer->nr_in++;
        buffer->in_size += size;
    } else {
        buffer->nr_out++;
        buffer->out_size += size;
    }
}

static void frame_init(struct frame *f)
{
    memset(f, 0, sizeof(*f));
    f->request.buffer.iov = f->request.iov;
    f->request.buffer.iov_max = BLK_QUEUE_SIZE;
}

static void add_header(struct frame *f, uint32_t type, uint64_t sector)
{
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};

    add(f, &header, sizeof(header), false);
}

static void frame_fini(struct frame *f)
{
    for (unsigned i = 0; i < BLK_QUEUE_SIZE; i++) {
        free(f->blocks[i]);
    }
}

static enum blk_verdict begin(struct frame *f, const struct blk_traits *traits)
{
    f->written = 12345;
    return blk_request_begin(&f->request, traits, &f->written);
}

/* Ends the frame, which is answered at once, with this status in the last byte of its block. */
static void assert_answered(struct frame *f, const struct blk_traits *traits, unsigned block,
                            size_t offset, uint8_t status, size_t written)
{
    assert_int_equal(begin(f, traits), BLK_ANSWERED);
    assert_int_equal(f->blocks[block][offset], status);
    assert_int_equal(f->written, written);
    frame_fini(f);
}

/* --- framing --- */

static void test_read_as_linux_frames_it(void **state)
{
    struct frame f;

    (void)state;
    frame_init(&f);
    add_header(&f, VIRTIO_BLK_T_IN, 7);
    add(&f, NULL, 4096, true);
    add(&f, NULL, 512, true);
    add(&f, NULL, 1, true);
    assert_int_equal(begin(&f, &writable), BLK_DISK);
    assert_int_equal(f.request.io.op, DISK_READ);
    assert_int_equal(f.request.io.offset, 7 * 512);
    assert_int_equal(f.request.io.size, 4608);
    assert_int_equal(f.request.io.nr_iov, 2);
    assert_ptr_equal(f.request.io.iov[0].iov_base, f.blocks[1]);
    assert_int_equal(f.request.io.iov[0].iov_len, 4096);
    assert_int_equal(f.request.io.iov[1].iov_len, 512);
    f.request.io.result = 0;
    assert_int_equal(blk_request_answer(&f.request), 4609);
    assert_int_equal(f.blocks[3][0], VIRTIO_BLK_S_OK);
    frame_fini(&f);
}

/* Header and data cut anywhere, and the status behind the data in one piece. */
static void test_write_in_any_framing(void **state)
{
    uint8_t bytes[16 + 1024];

    (void)state;
    for (unsigned cut = 1; cut < 40; cut++) {
        struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT, .sector = 998};
        uint8_t seen[1024];
        size_t n = 0;
        struct frame f;

        memcpy(bytes, &header, sizeof(header));
        for (unsigned i = 0; i < 1024; i++) {
            bytes[16 + i] = (uint8_t)(i * 7);
        }
        frame_init(&f);
        for (size_t at = 0; at < sizeof(bytes); at += cut) {
            add(&f, bytes + at, at + cut <= sizeof(bytes) ? cut : sizeof(bytes) - at, false);
            if (f.request.buffer.nr_out > 200) {
                at += cut;
                add(&f, bytes + at, sizeof(bytes) - at, false);
                break;
            }
        }
        add(&f, NULL, 0, false);
        add(&f, NULL, 3, true);
        add(&f, NULL, 0, true);
        assert_int_equal(begin(&f, &writable), BLK_DISK);
        assert_int_equal(f.request.io.op, DISK_WRITE);
        assert_int_equal(f.request.io.offset, 998 * 512);
        assert_int_equal(f.request.io.size, 1024);
        for (unsigned i = 0; i < f.request.io.nr_iov; i++) {
            memcpy(seen + n, f.request.io.iov[i].iov_base, f.request.io.iov[i].iov_len);
            n += f.request.io.iov[i].iov_len;
        }
        assert_int_equal(n, 1024);
        assert_memory_equal(seen, bytes + 16, 1024);
        f.request.io.result = -EIO;
        assert_int_equal(blk_request_answer(&f.request), 0);
        frame_fini(&f);
    }
}

static void test_status_shares_a_piece_with_data(void **state)
{
    struct frame f;

    (void)state;
    frame_init(&f);
    add_header(&f, VIRTIO_BLK_T_IN, 0);
    add(&f, NULL, 513, true);
    assert_int_equal(begin(&f, &writable), BLK_DISK);
    assert_int_equal(f.request.io.nr_iov, 1);
    assert_int_equal(f.request.io.iov[0].iov_len, 512);
    f.request.io.result = -ENODATA;
    assert_int_equal(blk_request_answer(&f.request), 0);
    assert_int_equal(f.blocks[1][512], VIRTIO_BLK_S_IOERR);
    frame_fini(&f);
}

static void test_no_room_for_a_status(void **state)
{
    struct frame f;

    (void)state;
    frame_init(&f);
    assert_int_equal(begin(&f, &writable), BLK_MALFORMED);
    add_header(&f, VIRTIO_BLK_T_OUT, 0);
    add(&f, NULL, 512, false);
    assert_int_equal(begin(&f, &writable), BLK_MALFORMED);
    add(&f, NULL, 0, true);
    assert_int_equal(begin(&f, &writable), BLK_MALFORMED);
    frame_fini(&f);
}

static void test_short_header(void **state)
{
    struct frame f;

    (void)state;
    for (size_t size = 0; size < 16; size++) {
        frame_init(&f);
        add(&f, NULL, size, false);
        add(&f, NULL, 1, true);
        assert_answered(&f, &writable, 1, 0, VIRTIO_BLK_S_IOERR, 1);
    }
    frame_init(&f);
    add(&f, NULL, 1, true);
    assert_answered(&f, &writable, 0, 0, VIRTIO_BLK_S_IOERR, 1);
}

/* --- ranges --- */

static void test_transfers_stay_inside(void **state)
{
    static const struct {
        uint64_t sector;
        size_t size;
        bool is_good;
    } cases[] = {
        {SECTORS - 2, 1024, true},
        {SECTORS - 1, 1024, false},
        {SECTORS, 512, false},
        {SECTORS + 1, 512, false},
        {UINT64_MAX, 512, false},
        {UINT64_MAX / 512 + 1, 512, false},
        {0x0080000000000000, 512, false}, /* times 512 it is 0 */
        {0, 511, false},
        {0, 513, false},
        {0, 1, false},
    };
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            struct frame f;

            frame_init(&f);
            add_header(&f, types[j], cases[i].sector);
            add(&f, NULL, cases[i].size, types[j] == VIRTIO_BLK_T_IN);
            add(&f, NULL, 1, true);
            if (cases[i].is_good) {
                assert_int_equal(begin(&f, &writable), BLK_DISK);
                assert_int_equal(f.request.io.offset, cases[i].sector * 512);
                frame_fini(&f);
            } else {
                assert_answered(&f, &writable, 2, 0, VIRTIO_BLK_S_IOERR,
                                types[j] == VIRTIO_BLK_T_IN ? 0 : 1);
            }
        }
    }
}

static void test_transfers_of_nothing_succeed(void **state)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        frame_init(&f);
        add_header(&f, types[i], SECTORS);
        add(&f, NULL, 1, true);
        assert_answered(&f, &writable, 1, 0, VIRTIO_BLK_S_OK, 1);
        frame_init(&f);
        add_header(&f, types[i], SECTORS + 1);
        add(&f, NULL, 1, true);
        assert_answered(&f, &writable, 1, 0, VIRTIO_BLK_S_IOERR, 1);
    }
}

/* --- other requests --- */

static void test_read_only_disk_changes_nothing(void **state)
{
    const struct blk_traits readonly = {.size = writable.size, .is_readonly = true};
    static const uint32_t types[] = {VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD,
                                     VIRTIO_BLK_T_WRITE_ZEROES};
    const struct virtio_blk_discard_write_zeroes range = {.num_sectors = 1};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_init(&f);
        add_header(&f, types[i], 0);
        add(&f, types[i] == VIRTIO_BLK_T_OUT ? NULL : &range, i == 0 ? 512 : 16, false);
        add(&f, NULL, 1, true);
        assert_answered(&f, &readonly, 2, 0, VIRTIO_BLK_S_IOERR, 1);
    }
}

static void test_writes_are_durable_where_there_is_no_cache(void **state)
{
    struct blk_traits traits = writable;
    struct frame f;

    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        traits.is_durable = durable;
        frame_init(&f);
        add_header(&f, VIRTIO_BLK_T_OUT, 0);
        add(&f, NULL, 512, false);
        add(&f, NULL, 1, true);
        assert_int_equal(begin(&f, &traits), BLK_DISK);
        assert_int_equal(f.request.io.is_durable, durable);
        frame_fini(&f);
        frame_init(&f);
        add_header(&f, VIRTIO_BLK_T_IN, 0);
        add(&f, NULL, 513, true);
        assert_int_equal(begin(&f, &traits), BLK_DISK);
        assert_false(f.request.io.is_durable);
        frame_fini(&f);
    }
}

static void test_flush(void **state)
{
    struct frame f;

    (void)state;
    frame_init(&f);
    add_header(&f, VIRTIO_BLK_T_FLUSH, 0);
    add(&f, NULL, 1, true);
    assert_int_equal(begin(&f, &writable), BLK_DISK);
    assert_int_equal(f.request.io.op, DISK_FLUSH);
    f.request.io.result = 0;
    assert_int_equal(blk_request_answer(&f.request), 1);
    frame_fini(&f);
}

static void test_serial_number(void **state)
{
    struct frame f;

    (void)state;
    frame_init(&f);
    add_header(&f, VIRTIO_BLK_T_GET_ID, 0);
    add(&f, NULL, 13, true);
    add(&f, NULL, 8, true);
    assert_int_equal(begin(&f, &writable), BLK_ANSWERED);
    assert_int_equal(f.written, 21);
    assert_memory_equal(f.blocks[1], "serial-number", 13);
    assert_memory_equal(f.blocks[2], "\0\0\0\0\0\0\0\0", 8);
    frame_fini(&f);
    for (size_t size = 0; size < 30; size++) {
        if (size == BLK_SERIAL_SIZE) {
            continue;
        }
        frame_init(&f);
        add_header(&f, VIRTIO_BLK_T_GET_ID, 0);
        add(&f, NULL, size + 1, true);
        assert_answered(&f, &writable, 1, size, VIRTIO_BLK_S_IOERR, size == 0 ? 1 : 0);
    }
}

static void test_types_that_there_are_not(void **state)
{
    static const uint32_t types[] = {2, 3, 5, 6, 7, 9, 10, 12, 14, 0x80000000, UINT32_MAX};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        frame_init(&f);
        add_header(&f, types[i], 0);
        add(&f, NULL, 513, true);
        assert_answered(&f, &writable, 1, 512, VIRTIO_BLK_S_UNSUPP, 0);
    }
}

static void test_discard_and_zeroes(void **state)
{
    static const struct {
        uint32_t type, nr_sectors, flags;
        uint64_t sector;
        bool can_discard, can_unmap;
        int status; /* -1: the disk is to do it */
    } cases[] = {
        {VIRTIO_BLK_T_DISCARD, 8, 0, 8, true, false, -1},
        {VIRTIO_BLK_T_DISCARD, 8, 0, 8, false, false, VIRTIO_BLK_S_UNSUPP},
        {VIRTIO_BLK_T_DISCARD, 8, 1, 8, true, false, VIRTIO_BLK_S_UNSUPP},
        {VIRTIO_BLK_T_DISCARD, 8, 2, 8, true, false, VIRTIO_BLK_S_UNSUPP},
        {VIRTIO_BLK_T_DISCARD, 0, 0, 8, true, false, VIRTIO_BLK_S_OK},
        {VIRTIO_BLK_T_DISCARD, SECTORS, 0, 0, true, false, -1},
        {VIRTIO_BLK_T_DISCARD, SECTORS, 0, 1, true, false, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_DISCARD, UINT32_MAX, 0, 0, true, false, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_DISCARD, 1, 0, UINT64_MAX, true, false, VIRTIO_BLK_S_IOERR},
        {VIRTIO_BLK_T_WRITE_ZEROES, 8, 0, 8, false, false, -1},
        {VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 8, false, true, -1},
        {VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 8, false, false, -1},
        {VIRTIO_BLK_T_WRITE_ZEROES, 8, 2, 8, false, true, VIRTIO_BLK_S_UNSUPP},
        {VIRTIO_BLK_T_WRITE_ZEROES, SECTORS + 1, 1, 0, false, true, VIRTIO_BLK_S_IOERR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct virtio_blk_discard_write_zeroes range = {
            .sector = cases[i].sector,
            .num_sectors = cases[i].nr_sectors,
            .flags = cases[i].flags,
        };
        struct blk_traits traits = writable;
        struct frame f;

        traits.can_discard = cases[i].can_discard;
        traits.can_unmap = cases[i].can_unmap;
        frame_init(&f);
        add_header(&f, cases[i].type, UINT64_MAX);
        add(&f, &range, sizeof(range), false);
        add(&f, NULL, 1, true);
        if (cases[i].status >= 0) {
            assert_answered(&f, &traits, 2, 0, (uint8_t)cases[i].status, 1);
            continue;
        }
        assert_int_equal(begin(&f, &traits), BLK_DISK);
        assert_int_equal(f.request.io.op,
                         cases[i].type == VIRTIO_BLK_T_DISCARD ? DISK_DISCARD : DISK_WRITE_ZEROES);
        assert_int_equal(f.request.io.offset, cases[i].sector * 512);
        assert_int_equal(f.request.io.size, cases[i].nr_sectors * 512ull);
        assert_int_equal(f.request.io.may_unmap, cases[i].flags == 1 && cases[i].can_unmap);
        f.request.io.result = -EOPNOTSUPP;
        assert_int_equal(blk_request_answer(&f.request), 1);
        assert_int_equal(f.blocks[2][0], VIRTIO_BLK_S_UNSUPP);
        frame_fini(&f);
    }
}

static void test_discard_takes_one_whole_range(void **state)
{
    const struct virtio_blk_discard_write_zeroes ranges[2] = {{.num_sectors = 1}};
    static const size_t sizes[] = {0, 1, 15, 17, 32};
    struct frame f;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        frame_init(&f);
        add_header(&f, VIRTIO_BLK_T_DISCARD, 0);
        add(&f, ranges, sizes[i], false);
        add(&f, NULL, 1, true);
        assert_answered(&f, &writable, 2, 0, VIRTIO_BLK_S_IOERR, 1);
    }
}

/* Whatever a driver makes up: what the disk is asked for lies inside of the disk, and is as long as
 * the memory that goes with it. */
static void test_random_requests(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct frame f;
        unsigned nr = (unsigned)rand_r(&seed) % 6;
        const struct disk_io *io = &f.request.io;

        frame_init(&f);
        if (rand_r(&seed) % 8 != 0) {
            add_header(&f, (uint32_t)rand_r(&seed) % 16, (uint64_t)rand_r(&seed) % (SECTORS + 10));
        }
        for (unsigned i = 0; i < nr; i++) {
            static const size_t sizes[] = {0, 1, 16, 511, 512, 4096};

            add(&f, NULL, sizes[rand_r(&seed) % 6],
                f.request.buffer.nr_in > 0 || rand_r(&seed) % 2 == 0);
        }
        if (begin(&f, &writable) == BLK_DISK && io->op <= DISK_WRITE) {
            size_t size = 0;

            for (unsigned i = 0; i < io->nr_iov; i++) {
                size += io->iov[i].iov_len;
                memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
            }
            assert_int_equal(size, io->size);
            assert_true(io->offset + io->size <= writable.size);
        }
        frame_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_as_linux_frames_it),
        cmocka_unit_test(test_write_in_any_framing),
        cmocka_unit_test(test_status_shares_a_piece_with_data),
        cmocka_unit_test(test_no_room_for_a_status),
        cmocka_unit_test(test_short_header),
        cmocka_unit_test(test_transfers_stay_inside),
        cmocka_unit_test(test_transfers_of_nothing_succeed),
        cmocka_unit_test(test_read_only_disk_changes_nothing),
        cmocka_unit_test(test_writes_are_durable_where_there_is_no_cache),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_serial_number),
        cmocka_unit_test(test_types_that_there_are_not),
        cmocka_unit_test(test_discard_and_zeroes),
        cmocka_unit_test(test_discard_takes_one_whole_range),
        cmocka_unit_test(test_random_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
