/* The virtio network device: frames in both directions, commands, and what a guest or a host side
 * can do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <sys/mman.h>

#include <virtio/virtio_net.h>

#include "net_fixture.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/net.h"

#define BIT_OF(feature) (UINT64_C(1) << (feature))

enum { HEADER = 12, RX = 0, TX = 1, MTU_BIT = 3 };

/* A host side that is a socket to the test. */
struct fake_host {
    struct net_host host;
    int far[NET_MAX_PAIRS];
    uint64_t offloads; /* set last */
    atomic_uint nr_active;
    atomic_uint nr_lost;
    bool refuses; /* to change what is active */
};

struct bench {
    struct fake_host side;
    struct net *net;
    hostvm_virtio_t *device;
    uint8_t bytes[1 << 17]; /* guest memory */
};

static void set_offloads(struct net_host *host, uint64_t offloads)
{
    ((struct fake_host *)host)->offloads = offloads;
}

static int set_active(struct net_host *host, unsigned nr_active)
{
    struct fake_host *side = (struct fake_host *)host;

    if (side->refuses) {
        return -EIO;
    }
    atomic_store(&side->nr_active, nr_active);
    return 0;
}

static void lost(struct net_host *host)
{
    atomic_fetch_add(&((struct fake_host *)host)->nr_lost, 1);
}

static void side_init(struct fake_host *side, unsigned nr_pairs)
{
    *side = (struct fake_host){
        .host = {.nr_fds = nr_pairs,
                 .set_offloads = set_offloads,
                 .set_active = set_active,
                 .lost = lost},
    };
    for (unsigned i = 0; i < nr_pairs; i++) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        side->host.fds[i] = fds[0];
        side->far[i] = fds[1];
    }
}

static void side_fini(struct fake_host *side)
{
    for (unsigned i = 0; i < side->host.nr_fds; i++) {
        (void)close(side->host.fds[i]);
        (void)close(side->far[i]);
    }
}

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static void bench_open(struct bench *bench, unsigned nr_pairs)
{
    struct net_config config;

    side_init(&bench->side, nr_pairs);
    config.host = &bench->side.host;
    memcpy(config.mac, mac, sizeof(mac));
    bench->net = net_create(NULL, &config);
    assert_non_null(bench->net);
    bench->device = net_device(bench->net);
}

static void start(struct bench *bench, uint64_t features)
{
    for (unsigned i = 0; i < bench->device->made_of.nr_queues; i++) {
        bench->device->queues[i].is_ready = true;
    }
    assert_int_equal(bench->device->made_of.ops->start(bench->device->made_of.cookie, features), 0);
    bench->device->is_started = true;
}

static void stop(struct bench *bench)
{
    bench->device->made_of.ops->stop(bench->device->made_of.cookie);
    bench->device->is_started = false;
}

/* Started, with one pair. */
static struct bench *bench_new(uint64_t features)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    bench_open(bench, 1);
    start(bench, features);
    return bench;
}

static void bench_delete(struct bench *bench)
{
    net_destroy(bench->net);
    side_fini(&bench->side);
    free(bench);
}

static struct hostvm_virtqueue *queue_of(struct bench *bench, unsigned index)
{
    return &bench->device->queues[index];
}

/* --- frames out of the guest --- */

static void add_out(struct bench *bench, unsigned queue, void *bytes, size_t size)
{
    const struct iovec piece = {bytes, size};

    fake_add(queue_of(bench, queue), &piece, 1, 0);
}

/* The far side gets one message, waiting for it. */
static size_t far_recv(int fd, uint8_t *bytes, size_t size)
{
    ssize_t r;

    do {
        r = recv(fd, bytes, size, 0);
        if (r < 0) {
            assert_int_equal(errno, EAGAIN);
            (void)sched_yield();
        }
    } while (r < 0);
    return (size_t)r;
}

static void test_frame_in_pieces_leaves_the_guest_as_one(void **state)
{
    struct bench *b = bench_new(0);
    uint8_t frame[HEADER + 5] = {1, 2, 3, [HEADER] = 'a', 'b', 'c', 'd', 'e'};
    const struct iovec pieces[] = {{frame, 3}, {frame + 3, 10}, {frame + 13, 4}};
    uint8_t got[64];

    (void)state;
    fake_add(queue_of(b, TX), pieces, 3, 0);
    fake_wait_used(queue_of(b, TX), 1);
    assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    assert_int_equal(queue_of(b, TX)->used[0].written, 0);
    bench_delete(b);
}

static void test_frames_that_wait_are_shown_to_be_used_at_once(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    uint8_t got[64];

    (void)state;
    bench_open(b, 1);
    for (unsigned i = 0; i < 20; i++) {
        b->bytes[i * 32 + HEADER] = (uint8_t)i;
        add_out(b, TX, &b->bytes[i * 32], HEADER + 1);
    }
    start(b, 0);
    fake_wait_used(queue_of(b, TX), 20);
    assert_int_equal(queue_of(b, TX)->nr_publishes, 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), HEADER + 1);
        assert_int_equal(got[HEADER], i);
    }
    bench_delete(b);
}

static void test_more_frames_than_a_batch_all_leave(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    uint8_t got[64];

    (void)state;
    bench_open(b, 1);
    for (unsigned i = 0; i < 500; i++) {
        b->bytes[i * 32 + HEADER] = (uint8_t)i;
        add_out(b, TX, &b->bytes[i * 32], HEADER + 1);
    }
    start(b, 0);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), HEADER + 1);
        assert_int_equal(got[HEADER], (uint8_t)i);
    }
    fake_wait_used(queue_of(b, TX), 500);
    bench_delete(b);
}

static void test_frames_that_are_none_are_given_back(void **state)
{
    static const size_t sizes[] = {0, 1, HEADER - 1, HEADER, 64 << 20};
    struct bench *b = bench_new(0);
    uint8_t *large =
        mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t got[64];

    (void)state;
    assert_ptr_not_equal(large, MAP_FAILED);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        add_out(b, TX, large, sizes[i]);
    }
    add_out(b, TX, b->bytes, HEADER + 7);
    fake_wait_used(queue_of(b, TX), 6);
    assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), HEADER + 7);
    assert_int_equal(b->device->nr_failures, 0);
    bench_delete(b);
    (void)munmap(large, 64 << 20);
}

/* What is sent from memory that is not there (a balloon's, a file's) is lost alone. */
static void test_frame_that_the_host_side_refuses_is_lost_alone(void **state)
{
    struct bench *b = bench_new(0);
    void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t got[64];

    (void)state;
    add_out(b, TX, hole, 100);
    add_out(b, TX, b->bytes, HEADER + 7);
    fake_wait_used(queue_of(b, TX), 2);
    assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), HEADER + 7);
    assert_int_equal(atomic_load(&b->side.nr_lost), 0);
    bench_delete(b);
    (void)munmap(hole, 4096);
}

static void test_host_side_without_room_is_waited_for(void **state)
{
    struct bench *b = bench_new(0);
    static uint8_t got[4096];

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        memcpy(&b->bytes[i * 64], &i, sizeof(i));
    }
    for (unsigned i = 0; i < 600; i++) {
        add_out(b, TX, &b->bytes[i * 64], 4000);
    }
    for (unsigned i = 0; i < 600; i++) {
        unsigned nr;

        assert_int_equal(far_recv(b->side.far[0], got, sizeof(got)), 4000);
        memcpy(&nr, got, sizeof(nr));
        assert_int_equal(nr, i);
    }
    fake_wait_used(queue_of(b, TX), 600);
    bench_delete(b);
}

/* --- frames into the guest --- */

/* The place of the buffer's n-th byte of memory: pieces of size bytes each, at distance. */
static void add_in(struct bench *bench, unsigned queue, size_t offset, size_t size)
{
    const struct iovec piece = {&bench->bytes[offset], size};

    fake_add(queue_of(bench, queue), &piece, 0, 1);
}

static void far_send(struct bench *bench, size_t size, uint8_t seed)
{
    static uint8_t message[70000];

    memset(message, 0, HEADER);
    for (size_t i = HEADER; i < size; i++) {
        message[i] = (uint8_t)(seed + i);
    }
    while (send(bench->side.far[0], message, size, 0) < 0) {
        assert_int_equal(errno, EAGAIN);
        (void)sched_yield();
    }
}

static unsigned num_buffers_at(const struct bench *bench, size_t offset)
{
    uint16_t nr;

    memcpy(&nr, &bench->bytes[offset + 10], sizeof(nr));
    return nr;
}

static void test_frame_comes_to_lie_in_one_buffer(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF));

    (void)state;
    add_in(b, RX, 0, 2048);
    add_in(b, RX, 4096, 2048);
    far_send(b, 1000, 3);
    fake_wait_used(queue_of(b, RX), 1);
    assert_int_equal(queue_of(b, RX)->used[0].written, 1000);
    assert_int_equal(num_buffers_at(b, 0), 1);
    for (size_t i = HEADER; i < 1000; i++) {
        assert_int_equal(b->bytes[i], (uint8_t)(3 + i));
    }
    assert_int_equal(b->bytes[1000], 0);
    bench_delete(b);
}

static void test_frame_comes_to_lie_in_several_buffers(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF) | NET_GUEST_CSUM | NET_GUEST_TSO4);

    (void)state;
    for (unsigned i = 0; i < 90; i++) {
        add_in(b, RX, (size_t)i * 1024, 1000);
    }
    far_send(b, 2500, 9);
    far_send(b, 20, 1);
    fake_wait_used(queue_of(b, RX), 4);
    for (unsigned i = 0; i < 4; i++) {
        static const size_t written[] = {1000, 1000, 500, 20};

        assert_int_equal(queue_of(b, RX)->used[i].id, i);
        assert_int_equal(queue_of(b, RX)->used[i].written, written[i]);
    }
    assert_int_equal(num_buffers_at(b, 0), 3);
    assert_int_equal(num_buffers_at(b, 3 * 1024), 1);
    for (size_t i = HEADER; i < 2500; i++) {
        assert_int_equal(b->bytes[i / 1000 * 1024 + i % 1000], (uint8_t)(9 + i));
    }
    bench_delete(b);
}

/* Through the end of the stock's arrays, and back to their beginning, more than once. */
static void test_no_buffer_is_lost_or_used_twice(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF));
    unsigned used = 0;

    (void)state;
    for (unsigned i = 0; i < FAKE_BUFFERS; i++) {
        add_in(b, RX, (size_t)(i % 64) * 2048, i % 3 == 0 ? 700 : 1900);
    }
    while (used < FAKE_BUFFERS - 8) {
        size_t size = used % 5 == 0 ? 1500 : 200, room = 0;

        far_send(b, size, (uint8_t)used);
        for (; room < size; used++) {
            room += used % 3 == 0 ? 700 : 1900;
        }
        fake_wait_used(queue_of(b, RX), used);
        assert_int_equal(queue_of(b, RX)->published, used);
    }
    for (unsigned i = 0; i < used; i++) {
        assert_int_equal(queue_of(b, RX)->used[i].id, i);
    }
    bench_delete(b);
}

/* As drivers cut them from larger blocks. */
static void test_buffers_that_follow_each_other_are_told_apart(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF) | NET_GUEST_CSUM | NET_GUEST_TSO4);
    unsigned used = 0;

    (void)state;
    for (unsigned i = 0; i < 800; i++) { /* a gap after each 50 */
        add_in(b, RX, (size_t)i * 100 + i / 50 * 64, 100);
    }
    for (unsigned frame = 0; frame < 30; frame++) {
        static const size_t sizes[] = {250, 40, 100, 1234};
        size_t size = sizes[frame % 4];
        unsigned nr = (unsigned)(size + 99) / 100;

        far_send(b, size, (uint8_t)frame);
        fake_wait_used(queue_of(b, RX), used + nr);
        assert_int_equal(num_buffers_at(b, (size_t)used * 100 + used / 50 * 64), nr);
        for (size_t i = 0; i < size; i++) {
            unsigned buffer = used + (unsigned)i / 100;
            size_t at = (size_t)buffer * 100 + buffer / 50 * 64 + i % 100;

            if (i >= HEADER) {
                assert_int_equal(b->bytes[at], (uint8_t)(frame + i));
            }
            if (i % 100 == 0) {
                assert_int_equal(queue_of(b, RX)->used[buffer].id, buffer);
                assert_int_equal(queue_of(b, RX)->used[buffer].written,
                                 size - i < 100 ? size - i : 100);
            }
        }
        used += nr;
        assert_int_equal(queue_of(b, RX)->published, used);
    }
    bench_delete(b);
}

static void test_header_is_complete_across_pieces(void **state)
{
    struct bench *b = bench_new(0);
    const struct iovec pieces[] = {
        {b->bytes, 5}, {b->bytes + 64, 6}, {b->bytes + 128, 1}, {b->bytes + 192, 100}};

    (void)state;
    b->bytes[69] = b->bytes[128] = 0xff;
    fake_add(queue_of(b, RX), pieces, 0, 4);
    far_send(b, 50, 3);
    fake_wait_used(queue_of(b, RX), 1);
    assert_int_equal(b->bytes[64 + 5], 1);
    assert_int_equal(b->bytes[128], 0);
    assert_int_equal(b->bytes[192], 3 + HEADER);
    bench_delete(b);
}

static void test_frame_waits_for_a_buffer(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF));

    (void)state;
    far_send(b, 100, 1);
    fake_wait_armed(queue_of(b, RX));
    add_in(b, RX, 0, 2048);
    fake_wait_used(queue_of(b, RX), 1);
    assert_int_equal(queue_of(b, RX)->used[0].written, 100);
    bench_delete(b);
}

/* A driver that has had room for the largest frame will have it again. */
static void test_frame_waits_until_there_is_room_for_the_largest(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF));

    (void)state;
    add_in(b, RX, 0, 1600);
    far_send(b, 1400, 1);
    fake_wait_used(queue_of(b, RX), 1);
    add_in(b, RX, 2048, 800);
    far_send(b, 1400, 2);
    fake_wait_armed(queue_of(b, RX));
    add_in(b, RX, 4096, 800);
    fake_wait_used(queue_of(b, RX), 3);
    assert_int_equal(num_buffers_at(b, 2048), 2);
    assert_int_equal(queue_of(b, RX)->used[2].written, 600);
    bench_delete(b);
}

static void test_frame_without_room_is_dropped_and_the_next_arrives(void **state)
{
    static const uint64_t features[] = {0, BIT_OF(VIRTIO_NET_F_MRG_RXBUF)};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(features[i]);

        add_in(b, RX, 0, 500);
        far_send(b, 501, 1);
        far_send(b, 500, 2);
        fake_wait_used(queue_of(b, RX), 1);
        assert_int_equal(queue_of(b, RX)->used[0].written, 500);
        assert_int_equal(b->bytes[HEADER], 2 + HEADER);
        assert_int_equal(b->bytes[500], 0);
        bench_delete(b);
    }
}

/* Somebody on the host's side sends more than its MTU: the driver need never have room for that. */
static void test_frame_above_the_mtu_does_not_stop_the_others(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF));

    (void)state;
    add_in(b, RX, 0, 1600);
    far_send(b, 1700, 1);
    far_send(b, 100, 2);
    fake_wait_used(queue_of(b, RX), 1);
    assert_int_equal(queue_of(b, RX)->used[0].written, 100);
    bench_delete(b);
}

static void test_message_without_a_header_is_dropped(void **state)
{
    struct bench *b = bench_new(0);

    (void)state;
    add_in(b, RX, 0, 500);
    far_send(b, HEADER - 1, 1);
    far_send(b, HEADER + 1, 2);
    fake_wait_used(queue_of(b, RX), 1);
    assert_int_equal(queue_of(b, RX)->used[0].written, HEADER + 1);
    bench_delete(b);
}

/* 512 pieces are the most that a stock begins another buffer behind. */
static void test_buffers_of_many_small_pieces_are_used(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_MRG_RXBUF) | NET_GUEST_CSUM | NET_GUEST_TSO4);
    struct iovec pieces[32];

    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        pieces[i] = (struct iovec){&b->bytes[i * 2], 1};
    }
    for (unsigned i = 0; i < 300; i++) {
        fake_add(queue_of(b, RX), pieces, 0, 32);
    }
    for (unsigned i = 0; i < 90; i++) {
        far_send(b, 70, 1);
    }
    fake_wait_used(queue_of(b, RX), 270);
    assert_int_equal(queue_of(b, RX)->used[269].written, 6);
    bench_delete(b);
}

/* --- guests that break the rules --- */

static void wait_failures(struct bench *bench, unsigned nr)
{
    fake_enter();
    while (bench->device->nr_failures < nr) {
        (void)pthread_cond_wait(&fake_changed, &fake_lock);
    }
    fake_leave();
}

static void test_receive_buffer_without_room_is_a_failure(void **state)
{
    static const struct {
        size_t size;
        unsigned nr_out, nr_in;
    } rows[] = {{HEADER - 1, 0, 1}, {0, 0, 1}, {0, 0, 0}, {100, 1, 0}, {100, 1, 1}};

    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench *b = bench_new(0);
        const struct iovec pieces[] = {{b->bytes, rows[i].size}, {b->bytes + 4096, 100}};

        fake_add(queue_of(b, RX), pieces, rows[i].nr_out, rows[i].nr_in);
        wait_failures(b, 1);
        far_send(b, 100, 1);
        add_in(b, RX, 0, 2000);
        add_out(b, TX, b->bytes, 100); /* the other direction is served */
        fake_wait_used(queue_of(b, TX), 1);
        assert_int_equal(queue_of(b, RX)->published, 0);
        bench_delete(b);
    }
}

static void test_broken_queue_stands_still_and_the_other_goes_on(void **state)
{
    struct bench *b = bench_new(0);
    unsigned nr_pops;

    (void)state;
    fake_enter();
    queue_of(b, TX)->is_broken = true;
    fake_leave();
    add_out(b, TX, b->bytes, 100);
    add_in(b, RX, 0, 2000);
    far_send(b, 100, 1);
    fake_wait_used(queue_of(b, RX), 1);
    fake_enter();
    nr_pops = queue_of(b, TX)->nr_pops;
    fake_leave();
    (void)eventfd_write(queue_of(b, TX)->fd, 1);
    add_in(b, RX, 0, 2000);
    far_send(b, 100, 1);
    fake_wait_used(queue_of(b, RX), 2);
    fake_enter();
    assert_in_range(queue_of(b, TX)->nr_pops, 0, nr_pops + 1);
    fake_leave();
    bench_delete(b);
}

static void test_queues_that_the_driver_did_not_set_up_are_let_be(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));

    (void)state;
    bench_open(b, 1);
    assert_int_equal(b->device->made_of.ops->start(b->device->made_of.cookie, 0), 0);
    b->device->is_started = true;
    far_send(b, 100, 1);
    (void)eventfd_write(queue_of(b, RX)->fd, 1);
    (void)eventfd_write(queue_of(b, TX)->fd, 1);
    stop(b);
    assert_int_equal(queue_of(b, RX)->nr_pops + queue_of(b, TX)->nr_pops, 0);
    bench_delete(b);
}

/* --- the host side's end --- */

static void wait_link_down(struct bench *bench)
{
    fake_enter();
    while (bench->device->config[6] != 0) {
        (void)pthread_cond_wait(&fake_changed, &fake_lock);
    }
    fake_leave();
}

static void test_end_of_the_host_side_is_a_link_that_is_down(void **state)
{
    struct bench *b = bench_new(0);

    (void)state;
    assert_int_equal(b->device->config[6], VIRTIO_NET_S_LINK_UP);
    add_in(b, RX, 0, 2000);
    (void)shutdown(b->side.far[0], SHUT_RDWR);
    wait_link_down(b);
    assert_int_equal(atomic_load(&b->side.nr_lost), 1);
    add_out(b, TX, b->bytes, 100);
    fake_wait_used(queue_of(b, TX), 1);
    add_in(b, RX, 0, 2000);
    stop(b);
    start(b, 0); /* it stays so */
    add_out(b, TX, b->bytes, 100);
    fake_wait_used(queue_of(b, TX), 2);
    assert_int_equal(atomic_load(&b->side.nr_lost), 1);
    assert_int_equal(b->device->config[6], 0);
    bench_delete(b);
}

/* Also where the guest only sends, and has no buffers to read into. */
static void test_end_of_the_host_side_is_noticed_without_receive_buffers(void **state)
{
    struct bench *b = bench_new(0);

    (void)state;
    (void)shutdown(b->side.far[0], SHUT_RDWR);
    wait_link_down(b);
    assert_int_equal(atomic_load(&b->side.nr_lost), 1);
    bench_delete(b);
}

static void test_end_of_the_host_side_lets_go_of_a_frame_that_waits(void **state)
{
    struct bench *b = bench_new(0);

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        add_out(b, TX, b->bytes, 4000);
    }
    fake_enter();
    while (queue_of(b, TX)->published == 0) { /* the room is used up some time */
        (void)pthread_cond_wait(&fake_changed, &fake_lock);
    }
    fake_leave();
    (void)shutdown(b->side.far[0], SHUT_RDWR);
    fake_wait_used(queue_of(b, TX), 600);
    wait_link_down(b);
    bench_delete(b);
}

/* --- commands --- */

static uint8_t command(struct bench *bench, unsigned queue, const void *bytes, size_t size)
{
    static uint8_t copy[64];
    static uint8_t ack;
    const struct iovec pieces[] = {{copy, size}, {&ack, 1}};
    struct hostvm_virtqueue *ctrl = queue_of(bench, queue);
    unsigned nr = ctrl->added + 1;

    memcpy(copy, bytes, size);
    ack = 0xee;
    fake_add(ctrl, pieces, 1, 1);
    fake_wait_used(ctrl, nr);
    assert_int_equal(ctrl->used[nr - 1].written, 1);
    return ack;
}

#define CTRL_FEATURES                                                                              \
    (BIT_OF(VIRTIO_NET_F_CTRL_VQ) | BIT_OF(VIRTIO_NET_F_CTRL_RX) |                                 \
     BIT_OF(VIRTIO_NET_F_CTRL_MAC_ADDR))

static void test_commands_are_answered(void **state)
{
    static const struct {
        uint8_t bytes[32];
        size_t size;
        uint8_t ack;
    } rows[] = {
        {{0, 0, 1}, 3, 0},                                   /* promiscuous */
        {{0, 1, 0}, 3, 0},                                   /* all multicast */
        {{0, 2, 0}, 3, 1},                                   /* extra modes: not agreed on */
        {{0, 0}, 2, 1},                                      /* without its argument */
        {{0}, 1, 1},                                         /* half a prefix */
        {{1, 1, 2, 4, 6, 8, 10, 12}, 8, 0},                  /* an address */
        {{1, 1, 2, 4, 6, 8, 10}, 7, 1},                      /* five sixths of one */
        {{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 0},             /* empty tables */
        {{1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0}, 16, 0},    /* one address, none */
        {{1, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0}, 16, 1},    /* two, of which one is there */
        {{1, 0, 0xff, 0xff, 0xff, 0xff, 0}, 16, 1},          /* four thousand million */
        {{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 10, 1}, /* the same in the second table */
        {{1, 0, 0, 0}, 4, 1},                                /* half a length */
        {{1, 2, 0}, 3, 1},
        {{2, 0, 1, 0}, 4, 1}, /* VLANs: not agreed on */
        {{4, 0, 1, 0}, 4, 1}, /* pairs: not agreed on */
        {{255, 255, 255}, 3, 1},
    };
    struct bench *b = bench_new(CTRL_FEATURES);

    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(command(b, 2, rows[i].bytes, rows[i].size), rows[i].ack);
    }
    assert_memory_equal(b->device->config, "\2\4\6\10\12\14", 6);
    bench_delete(b);
}

static void test_commands_that_were_not_agreed_on_are_refused(void **state)
{
    struct bench *b = bench_new(BIT_OF(VIRTIO_NET_F_CTRL_VQ));
    static const uint8_t mode[] = {0, 0, 1}, address[8] = {1, 1, 2}, tables[10] = {1, 0};

    (void)state;
    assert_int_equal(command(b, 2, mode, sizeof(mode)), 1);
    assert_int_equal(command(b, 2, address, sizeof(address)), 1);
    assert_int_equal(command(b, 2, tables, sizeof(tables)), 1);
    assert_memory_equal(b->device->config, mac, 6);
    bench_delete(b);
}

static void test_command_without_room_for_an_answer_gets_none(void **state)
{
    struct bench *b = bench_new(CTRL_FEATURES);

    (void)state;
    memcpy(b->bytes, "\0\0\1", 3);
    for (unsigned i = 0; i < 40; i++) { /* more than are answered at a time */
        add_out(b, 2, b->bytes, 3);
    }
    fake_wait_used(queue_of(b, 2), 40);
    assert_int_equal(queue_of(b, 2)->used[0].written, 0);
    bench_delete(b);
}

/* --- pairs of queues --- */

static void test_pairs_come_and_go(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    static const uint8_t one[] = {4, 0, 1, 0}, three[] = {4, 0, 3, 0}, none[] = {4, 0, 0, 0},
                         four[] = {4, 0, 4, 0};
    uint8_t got[64];

    (void)state;
    bench_open(b, 3);
    assert_int_equal(b->device->made_of.nr_queues, 7);
    start(b, CTRL_FEATURES | BIT_OF(VIRTIO_NET_F_MQ));
    assert_int_equal(atomic_load(&b->side.nr_active), 1);
    add_out(b, 5, b->bytes, 20); /* the third pair's: nobody looks */
    assert_int_equal(command(b, 6, three, sizeof(three)), 0);
    assert_int_equal(atomic_load(&b->side.nr_active), 3);
    fake_wait_used(queue_of(b, 5), 1);
    assert_int_equal(far_recv(b->side.far[2], got, sizeof(got)), 20);
    assert_int_equal(command(b, 6, none, sizeof(none)), 1);
    assert_int_equal(command(b, 6, four, sizeof(four)), 1);
    assert_int_equal(atomic_load(&b->side.nr_active), 3);
    assert_int_equal(command(b, 6, one, sizeof(one)), 0);
    assert_int_equal(atomic_load(&b->side.nr_active), 1);
    add_out(b, 5, b->bytes, 20);
    add_out(b, 1, b->bytes, 20);
    fake_wait_used(queue_of(b, 1), 1);
    assert_int_equal(queue_of(b, 5)->published, 1);
    assert_int_equal(command(b, 6, three, sizeof(three)), 0);
    fake_wait_used(queue_of(b, 5), 2);
    stop(b);
    start(b, 0); /* one pair again */
    assert_int_equal(atomic_load(&b->side.nr_active), 1);
    bench_delete(b);
}

static void test_pairs_that_the_host_side_refuses_are_refused(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    static const uint8_t two[] = {4, 0, 2, 0};

    (void)state;
    bench_open(b, 2);
    start(b, CTRL_FEATURES | BIT_OF(VIRTIO_NET_F_MQ));
    b->side.refuses = true;
    assert_int_equal(command(b, 4, two, sizeof(two)), 1);
    add_out(b, 1, b->bytes, 20);
    fake_wait_used(queue_of(b, 1), 1);
    bench_delete(b);
}

/* A driver that knows of one pair has its commands in the third queue (5.1.2). */
static void test_control_queue_is_behind_the_pairs_that_the_driver_knows(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    static const uint8_t mode[] = {0, 0, 1};

    (void)state;
    bench_open(b, 3);
    start(b, CTRL_FEATURES);
    assert_int_equal(command(b, 2, mode, sizeof(mode)), 0);
    bench_delete(b);
}

/* --- what the device is, and its life --- */

static void test_features_follow_the_host_side(void **state)
{
    const uint64_t own = CTRL_FEATURES | BIT_OF(VIRTIO_NET_F_MAC) | BIT_OF(VIRTIO_NET_F_STATUS) |
                         BIT_OF(VIRTIO_NET_F_MRG_RXBUF);
    struct bench *b = calloc(1, sizeof(*b));
    struct net_config config;
    hostvm_virtio_t *device;

    (void)state;
    bench_open(b, 1);
    assert_int_equal(b->device->made_of.id, 1);
    assert_true(b->device->made_of.features == own);
    assert_int_equal(b->device->made_of.config_size, 12);
    assert_memory_equal(b->device->config, "\x52\x54\0\1\2\3\1\0\1\0\0\0", 12);
    net_destroy(b->net);
    side_fini(&b->side);

    side_init(&b->side, 2);
    b->side.host.offloads = NET_CSUM | NET_HOST_TSO4 | NET_GUEST_CSUM | NET_GUEST_TSO6;
    b->side.host.mtu = 9000;
    config.host = &b->side.host;
    memcpy(config.mac, mac, sizeof(mac));
    b->net = net_create(NULL, &config);
    assert_non_null(b->net);
    device = b->device = net_device(b->net);
    assert_true(device->made_of.features ==
                (own | b->side.host.offloads | BIT_OF(MTU_BIT) | BIT_OF(VIRTIO_NET_F_MQ)));
    assert_memory_equal(device->config, "\x52\x54\0\1\2\3\1\0\2\0\x28\x23", 12);
    start(b, BIT_OF(VIRTIO_NET_F_MRG_RXBUF) | NET_CSUM | NET_GUEST_CSUM | BIT_OF(MTU_BIT));
    assert_true(b->side.offloads == (NET_CSUM | NET_GUEST_CSUM));
    bench_delete(b);
}

static void test_stopped_device_leaves_its_queues_alone(void **state)
{
    struct bench *b = bench_new(CTRL_FEATURES | BIT_OF(VIRTIO_NET_F_MRG_RXBUF));
    unsigned nr_pops = 0;

    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        add_in(b, RX, 0, 2048);
        add_out(b, TX, b->bytes, 64);
        add_out(b, 2, b->bytes, 3);
    }
    stop(b);
    for (unsigned i = 0; i < 3; i++) {
        nr_pops += queue_of(b, i)->nr_pops;
    }
    for (unsigned i = 0; i < 3; i++) {
        (void)eventfd_write(queue_of(b, i)->fd, 1);
    }
    far_send(b, 100, 1);
    for (unsigned i = 0; i < 3; i++) {
        nr_pops -= queue_of(b, i)->nr_pops;
    }
    assert_int_equal(nr_pops, 0);
    bench_delete(b);
}

static void test_failures_leave_nothing_behind(void **state)
{
    struct fake_host side;
    struct net_config config = {.host = &side.host};
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    side_init(&side, 2);
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        struct net *net;

        inject_fail_nth(n);
        net = net_create(NULL, &config);
        has_failed = inject_disarm();
        assert_int_equal(net == NULL, has_failed);
        net_destroy(net);
        leak_check(&before);
    }
    side_fini(&side);
}

static void test_start_fails_when_nothing_can_be_watched(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    const hostvm_virtio_ops_t *ops;
    bool has_failed = true;

    (void)state;
    bench_open(b, 1);
    ops = b->device->made_of.ops;
    for (unsigned i = 0; i < 3; i++) {
        queue_of(b, i)->is_ready = true;
    }
    for (unsigned n = 1; has_failed; n++) {
        int r;

        inject_fail_nth(n);
        r = ops->start(b->device->made_of.cookie, CTRL_FEATURES);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
    }
    b->device->is_started = true;
    add_out(b, TX, b->bytes, 20);
    fake_wait_used(queue_of(b, TX), 1);
    bench_delete(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_in_pieces_leaves_the_guest_as_one),
        cmocka_unit_test(test_frames_that_wait_are_shown_to_be_used_at_once),
        cmocka_unit_test(test_more_frames_than_a_batch_all_leave),
        cmocka_unit_test(test_frames_that_are_none_are_given_back),
        cmocka_unit_test(test_frame_that_the_host_side_refuses_is_lost_alone),
        cmocka_unit_test(test_host_side_without_room_is_waited_for),
        cmocka_unit_test(test_frame_comes_to_lie_in_one_buffer),
        cmocka_unit_test(test_frame_comes_to_lie_in_several_buffers),
        cmocka_unit_test(test_no_buffer_is_lost_or_used_twice),
        cmocka_unit_test(test_buffers_that_follow_each_other_are_told_apart),
        cmocka_unit_test(test_header_is_complete_across_pieces),
        cmocka_unit_test(test_frame_waits_for_a_buffer),
        cmocka_unit_test(test_frame_waits_until_there_is_room_for_the_largest),
        cmocka_unit_test(test_frame_without_room_is_dropped_and_the_next_arrives),
        cmocka_unit_test(test_frame_above_the_mtu_does_not_stop_the_others),
        cmocka_unit_test(test_message_without_a_header_is_dropped),
        cmocka_unit_test(test_buffers_of_many_small_pieces_are_used),
        cmocka_unit_test(test_receive_buffer_without_room_is_a_failure),
        cmocka_unit_test(test_broken_queue_stands_still_and_the_other_goes_on),
        cmocka_unit_test(test_queues_that_the_driver_did_not_set_up_are_let_be),
        cmocka_unit_test(test_end_of_the_host_side_is_a_link_that_is_down),
        cmocka_unit_test(test_end_of_the_host_side_is_noticed_without_receive_buffers),
        cmocka_unit_test(test_end_of_the_host_side_lets_go_of_a_frame_that_waits),
        cmocka_unit_test(test_commands_are_answered),
        cmocka_unit_test(test_commands_that_were_not_agreed_on_are_refused),
        cmocka_unit_test(test_command_without_room_for_an_answer_gets_none),
        cmocka_unit_test(test_pairs_come_and_go),
        cmocka_unit_test(test_pairs_that_the_host_side_refuses_are_refused),
        cmocka_unit_test(test_control_queue_is_behind_the_pairs_that_the_driver_knows),
        cmocka_unit_test(test_features_follow_the_host_side),
        cmocka_unit_test(test_stopped_device_leaves_its_queues_alone),
        cmocka_unit_test(test_failures_leave_nothing_behind),
        cmocka_unit_test(test_start_fails_when_nothing_can_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
