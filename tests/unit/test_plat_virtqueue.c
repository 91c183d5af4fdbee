/* Queues in shared memory, and the switch's table of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hostvm/error.h>
#include <virtqueue.h>
#include <vswitch.h>

enum { LEN = 8 };

struct queue {
    vq_vring_avail_t *avail;
    vq_vring_used_t *used;
    vq_vring_desc_t *desc;
    virtqueue_driver_t driver;
    virtqueue_device_t device;
};

static void nobody(void)
{
}

static int set_up(void **state)
{
    struct queue *queue = calloc(1, sizeof(*queue));

    assert_non_null(queue);
    queue->avail = calloc(1, sizeof(*queue->avail) + LEN * sizeof(uint16_t));
    queue->used = calloc(1, sizeof(*queue->used) + LEN * sizeof(vq_vring_used_elem_t));
    queue->desc = calloc(LEN, sizeof(*queue->desc));
    virtqueue_init_driver(&queue->driver, LEN, queue->avail, queue->used, queue->desc, nobody,
                          queue);
    virtqueue_init_device(&queue->device, LEN, queue->avail, queue->used, queue->desc, nobody,
                          queue);
    *state = queue;
    return 0;
}

static int tear_down(void **state)
{
    struct queue *queue = *state;

    free(queue->avail);
    free(queue->used);
    free(queue->desc);
    free(queue);
    return 0;
}

static int offer(struct queue *queue, void *buf, unsigned len)
{
    virtqueue_ring_object_t place;

    virtqueue_init_ring_object(&place);
    return virtqueue_add_available_buf(&queue->driver, &place, buf, len, VQ_RW);
}

static void test_buffer_goes_to_the_device_and_back(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    char data[4] = "abc";
    vq_flags_t flag = VQ_READ;
    unsigned len = 0;
    uint32_t written = 0;
    void *buf = NULL;

    assert_false(VQ_DEV_POLL(&queue->device));
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 0);
    assert_int_equal(offer(queue, data, sizeof(data)), 1);
    assert_true(VQ_DEV_POLL(&queue->device));
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 1);
    assert_int_equal(virtqueue_scattered_available_size(&queue->device, &at), 4);
    assert_int_equal(virtqueue_gather_available(&queue->device, &at, &buf, &len, &flag), 1);
    assert_ptr_equal(buf, data);
    assert_int_equal(len, 4);
    assert_int_equal(flag, VQ_RW);
    assert_int_equal(virtqueue_gather_available(&queue->device, &at, &buf, &len, &flag), 0);

    assert_false(VQ_DRV_POLL(&queue->driver));
    assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 0);
    assert_int_equal(virtqueue_add_used_buf(&queue->device, &at, 3), 1);
    assert_true(VQ_DRV_POLL(&queue->driver));
    assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 1);
    assert_int_equal(written, 3);
    buf = NULL;
    assert_int_equal(virtqueue_gather_used(&queue->driver, &at, &buf, &len, &flag), 1);
    assert_ptr_equal(buf, data);
    assert_int_equal(virtqueue_gather_used(&queue->driver, &at, &buf, &len, &flag), 0);
}

static void test_pieces_of_a_buffer_come_in_order(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t place;
    virtqueue_ring_object_t at;
    char data[3];
    vq_flags_t flag;
    unsigned len;
    void *buf;
    unsigned i;

    virtqueue_init_ring_object(&place);
    for (i = 0; i < 3; i++) {
        assert_int_equal(
            virtqueue_add_available_buf(&queue->driver, &place, &data[i], i + 1, VQ_WRITE), 1);
    }
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 1);
    assert_int_equal(virtqueue_scattered_available_size(&queue->device, &at), 6);
    for (i = 0; i < 3; i++) {
        assert_int_equal(virtqueue_gather_available(&queue->device, &at, &buf, &len, &flag), 1);
        assert_ptr_equal(buf, &data[i]);
        assert_int_equal(len, i + 1);
    }
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 0);
}

static void test_full_queue_does_not_seem_to_be_empty(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    int nr;

    for (nr = 0; offer(queue, queue, 1) == 1; nr++) {
        continue;
    }
    assert_int_equal(nr, LEN - 1);
    assert_true(VQ_DEV_POLL(&queue->device));
    for (nr = 0; virtqueue_get_available_buf(&queue->device, &at) == 1; nr++) {
        continue;
    }
    assert_int_equal(nr, LEN - 1);
}

/* One buffer can have as many pieces as there are descriptors. */
static void test_chain_may_take_every_descriptor(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t place;
    int i;

    virtqueue_init_ring_object(&place);
    for (i = 0; i < LEN; i++) {
        assert_int_equal(virtqueue_add_available_buf(&queue->driver, &place, queue, 1, VQ_READ), 1);
    }
    assert_int_equal(virtqueue_add_available_buf(&queue->driver, &place, queue, 1, VQ_READ), 0);
}

static void test_descriptors_are_used_again(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    vq_flags_t flag;
    uint32_t written;
    unsigned len;
    void *buf;
    uintptr_t i;

    for (i = 1; i < 5 * LEN; i++) {
        assert_int_equal(offer(queue, (void *)i, 1), 1);
        assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 1);
        assert_int_equal(virtqueue_add_used_buf(&queue->device, &at, (uint32_t)i), 1);
        assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 1);
        assert_int_equal(written, i);
        assert_int_equal(virtqueue_gather_used(&queue->driver, &at, &buf, &len, &flag), 1);
        assert_ptr_equal(buf, (void *)i);
    }
}

static void test_garbage_from_the_other_side_leads_nowhere(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    vq_flags_t flag;
    uint32_t written;
    unsigned len;
    void *buf;
    int nr = 0;

    /* the driver's: an entry outside the table, and a circle */
    assert_int_equal(offer(queue, queue, 5), 1);
    queue->avail->ring[0] = LEN + 1000;
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 1);
    assert_int_equal(virtqueue_scattered_available_size(&queue->device, &at), 0);
    assert_int_equal(virtqueue_gather_available(&queue->device, &at, &buf, &len, &flag), 0);
    queue->avail->ring[1] = 0;
    queue->avail->idx = 0xfffa; /* 2 in a ring of 8 */
    queue->desc[0].next = 0;
    assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 1);
    assert_int_equal(virtqueue_scattered_available_size(&queue->device, &at), 5 * LEN);
    queue->used->idx = 0xffff;
    assert_int_equal(virtqueue_add_used_buf(&queue->device, &at, 1), 1);
    assert_int_equal(queue->used->idx, 0);

    /* the device's: an index and an entry outside */
    queue->used->idx = 1001; /* 1 */
    queue->used->ring[0].id = UINT32_MAX;
    assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 1);
    assert_int_equal(virtqueue_gather_used(&queue->driver, &at, &buf, &len, &flag), 0);
    assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 0);
    queue->avail->idx = 0xfff7; /* 7 */
    assert_int_equal(offer(queue, queue, 5), 1);
    assert_int_equal(queue->avail->idx, 0);
    queue->desc[queue->driver.free_desc_head].next = 5000;
    while (nr < 2 * LEN && offer(queue, queue, 5) == 1) {
        nr++;
    }
    assert_int_equal(nr, 0);
}

static void test_bad_lengths_have_no_room(void **state)
{
    static const unsigned bad[] = {0, 1, 3, 7, 65536, 0xffffffff};
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    uint32_t written;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        virtqueue_init_driver(&queue->driver, bad[i], queue->avail, queue->used, queue->desc,
                              nobody, NULL);
        virtqueue_init_device(&queue->device, bad[i], queue->avail, queue->used, queue->desc,
                              nobody, NULL);
        assert_non_null(strstr(hostvm_last_error(), "entries: not a power of two from 2 to 32768"));
        assert_int_equal(offer(queue, queue, 1), 0);
        assert_int_equal(virtqueue_get_used_buf(&queue->driver, &at, &written), 0);
        assert_int_equal(virtqueue_get_available_buf(&queue->device, &at), 0);
        assert_int_equal(virtqueue_add_used_buf(&queue->device, &at, 1), 0);
    }
}

enum { NR_SENT = 20000 };

/* Echoes: gives every buffer back with its first word plus one written to it. */
static void *echo(void *cookie)
{
    struct queue *queue = cookie;
    virtqueue_ring_object_t at;
    vq_flags_t flag;
    unsigned len;
    void *buf;
    int nr = 0;

    while (nr < NR_SENT) {
        if (virtqueue_get_available_buf(&queue->device, &at) == 1 &&
            virtqueue_gather_available(&queue->device, &at, &buf, &len, &flag) == 1) {
            ++*(int *)buf;
            (void)virtqueue_add_used_buf(&queue->device, &at, sizeof(int));
            nr++;
        }
    }
    return NULL;
}

static void test_two_threads_see_each_others_buffers_whole(void **state)
{
    struct queue *queue = *state;
    virtqueue_ring_object_t at;
    int words[LEN] = {0};
    pthread_t thread;
    vq_flags_t flag;
    uint32_t written;
    unsigned len;
    void *buf;
    int sent = 0;
    int back = 0;

    assert_int_equal(pthread_create(&thread, NULL, echo, queue), 0);
    while (back < NR_SENT) {
        if (sent < NR_SENT && sent - back < LEN - 1) {
            words[sent % LEN] = sent;
            sent += offer(queue, &words[sent % LEN], sizeof(int));
        }
        if (virtqueue_get_used_buf(&queue->driver, &at, &written) == 1) {
            assert_int_equal(virtqueue_gather_used(&queue->driver, &at, &buf, &len, &flag), 1);
            assert_int_equal(*(int *)buf, back + 1);
            back++;
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static struct ether_addr address(uint8_t last)
{
    return (struct ether_addr){{2, 0, 0, 0, 0, last}};
}

static void test_switch_finds_queues_by_address(void **state)
{
    struct queue *queue = *state;
    struct ether_addr one = address(1);
    struct ether_addr two = address(2);
    vswitch_t table;

    assert_int_equal(vswitch_init(&table), 0);
    assert_int_equal(vswitch_connect(&table, &one, &queue->driver, &queue->device), 0);
    assert_int_equal(table.n_connected, 1);
    assert_int_equal(vswitch_get_destnode_index_by_macaddr(&table, &one), 0);
    assert_int_equal(vswitch_get_destnode_index_by_macaddr(&table, &two), -1);
    assert_ptr_equal(vswitch_get_destnode_by_macaddr(&table, &one)->virtqueues.send_queue,
                     &queue->driver);
    assert_ptr_equal(vswitch_get_destnode_by_index(&table, 0)->virtqueues.recv_queue,
                     &queue->device);
    assert_null(vswitch_get_destnode_by_macaddr(&table, &two));
    assert_null(vswitch_get_destnode_by_index(&table, 1));
    assert_null(vswitch_get_destnode_by_index(&table, VSWITCH_NUM_NODES));
    assert_null(vswitch_get_destnode_by_index(NULL, 0));
    assert_int_equal(vswitch_get_destnode_index_by_macaddr(NULL, &one), -1);
    assert_int_equal(vswitch_init(NULL), -1);
}

static void test_switch_refuses_what_it_cannot_tell_apart(void **state)
{
    struct ether_addr zero = {{0}};
    struct ether_addr one = address(1);
    vswitch_t table;
    uint8_t i;

    (void)state;
    assert_int_equal(vswitch_init(&table), 0);
    assert_int_equal(vswitch_connect(&table, &zero, NULL, NULL), -1);
    assert_string_equal(hostvm_last_error(),
                        "cannot connect 0:0:0:0:0:0: it is nobody's, or connected");
    assert_int_equal(vswitch_get_destnode_index_by_macaddr(&table, &zero), -1);
    for (i = 1; i <= VSWITCH_NUM_NODES; i++) {
        struct ether_addr next = address(i);

        assert_int_equal(vswitch_connect(&table, &next, NULL, NULL), 0);
    }
    assert_int_equal(vswitch_connect(&table, &one, NULL, NULL), -1);
    assert_string_equal(hostvm_last_error(),
                        "cannot connect 2:0:0:0:0:1: it is nobody's, or connected");
    one = address(77);
    assert_int_equal(vswitch_connect(&table, &one, NULL, NULL), -1);
    assert_string_equal(hostvm_last_error(), "cannot connect 2:0:0:0:0:4d: all 4 places are taken");
    assert_int_equal(vswitch_connect(NULL, &one, NULL, NULL), -1);
    assert_int_equal(vswitch_connect(&table, NULL, NULL, NULL), -1);
    assert_int_equal(table.n_connected, VSWITCH_NUM_NODES);
}

static void test_addresses_of_many(void **state)
{
    const struct ether_addr everybody = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    const struct ether_addr ipv6 = {{0x33, 0x33, 0, 0, 0, 1}};
    const struct ether_addr one = address(1);

    (void)state;
    assert_true(mac802_addr_eq_bcast(&everybody));
    assert_false(mac802_addr_eq_bcast(&ipv6));
    assert_true(mac802_addr_eq_ipv6_mcast(&ipv6));
    assert_false(mac802_addr_eq_ipv6_mcast(&one));
    assert_true(mac802_addr_eq(&one, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_buffer_goes_to_the_device_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pieces_of_a_buffer_come_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_queue_does_not_seem_to_be_empty, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_chain_may_take_every_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_descriptors_are_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage_from_the_other_side_leads_nowhere, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_bad_lengths_have_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_threads_see_each_others_buffers_whole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_switch_finds_queues_by_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_switch_refuses_what_it_cannot_tell_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_addresses_of_many, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
