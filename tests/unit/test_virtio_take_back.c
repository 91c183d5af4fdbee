/* Queues that another process serves: where they are, and what comes of them when it has ended
 * without a word. */
#include "support/virtio_vm.h"

#include "support/inject.h"

enum { SIZE = 8, LARGE = 64 };

static uint16_t size = SIZE; /* of the queue */

static hostvm_virtqueue_t *queue;
static struct iovec pieces[4];
static hostvm_virtio_buffer_t buffer;

static void begin(uint64_t features)
{
    static const hostvm_virtio_ops_t ops = {.start = NULL};
    static const uint16_t sizes[] = {64};
    const hostvm_virtio_config_t config = {
        .id = 42, .features = 1, .nr_queues = 1, .queue_sizes = sizes, .ops = &ops};
    hostvm_virtio_t *device = hostvm_virtio_create(driver_begin(), &config);

    assert_non_null(device);
    driver_start(device, features, size);
    queue = hostvm_virtio_queue(device, 0);
    buffer = (hostvm_virtio_buffer_t){.iov = pieces, .iov_max = 4};
}

static void end(void)
{
    hostvm_virtio_destroy(driver.device);
    driver_end();
}

/* A buffer of one descriptor, with that number, made available. */
static void offer(unsigned head)
{
    struct driver_queue *q = &driver.queues[0];

    q->descriptors[head] =
        (struct split_descriptor){BUFFERS_GPA + head * 64, 64, DESCRIPTOR_WRITE, 0};
    q->available->ring[q->available->index % size] = (uint16_t)head;
    q->available->index++;
}

/* The other process gives it back. */
static void use(unsigned head)
{
    struct driver_queue *q = &driver.queues[0];

    q->used->ring[q->used->index % size] = (struct split_used_entry){head, 1};
    q->used->index++;
}

/* What comes of the queue, up to a number that ends the list. */
static void check_comes(const int *heads)
{
    for (; *heads >= 0; heads++) {
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        assert_int_equal(buffer.id, *heads);
        assert_ptr_equal(pieces[0].iov_base, driver_at(BUFFERS_GPA + (unsigned)*heads * 64, 64));
    }
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 0);
}

#define assert_comes(...) check_comes((const int[]){__VA_ARGS__, -1})

static void test_layout_is_what_the_driver_set_up(void **state)
{
    hostvm_virtqueue_layout_t layout = {0};

    (void)state;
    begin(HOSTVM_VIRTIO_F_EVENT_IDX | 1);
    assert_int_equal(hostvm_virtqueue_layout(queue, &layout), 0);
    assert_int_equal(layout.descriptors, driver_area_of(0, 0));
    assert_int_equal(layout.driver_area, driver_area_of(0, 1));
    assert_int_equal(layout.device_area, driver_area_of(0, 2));
    assert_int_equal(layout.size, SIZE);
    assert_int_equal(layout.features, HOSTVM_VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | 1);
    assert_int_equal(hostvm_virtqueue_layout(queue, NULL), -1);
    virtio_set_status(driver.device, 0);
    layout.size = 77;
    assert_int_equal(hostvm_virtqueue_layout(queue, &layout), -1);
    assert_string_equal(hostvm_last_error(),
                        "cannot tell where queue 0 of virtio device 42 lies: it is not ready, or "
                        "no result is given");
    assert_int_equal(layout.size, 77);
    end();
}

static void test_driver_can_be_interrupted_for_another(void **state)
{
    (void)state;
    begin(0);
    driver.queues[0].available->flags = SPLIT_NO_INTERRUPT; /* the other one has looked */
    hostvm_virtqueue_interrupt(queue);
    assert_int_equal(driver.nr_interrupts[0], 1);
    end();
}

static void test_what_was_not_used_comes_again_in_its_order(void **state)
{
    (void)state;
    begin(0);
    for (unsigned i = 0; i < 5; i++) {
        offer(i);
    }
    use(3);
    use(0);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_true(hostvm_virtqueue_rearm(queue));
    assert_comes(1, 2, 4);
    assert_false(hostvm_virtqueue_rearm(queue));
    end();
}

static void test_what_is_given_back_goes_behind_what_was(void **state)
{
    struct driver_queue *q;

    (void)state;
    begin(HOSTVM_VIRTIO_F_EVENT_IDX);
    q = &driver.queues[0];
    offer(0);
    offer(1);
    use(1);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
    hostvm_virtqueue_push(queue, &buffer, 17);
    hostvm_virtqueue_publish(queue);
    assert_int_equal(q->used->index, 2);
    assert_int_equal(q->used->ring[1].id, 0);
    assert_int_equal(q->used->ring[1].length, 17);
    offer(1); /* and new ones come */
    assert_comes(1);
    end();
}

static void test_rings_that_went_round_are_understood(void **state)
{
    (void)state;
    begin(0);
    for (unsigned i = 0; i < 70000; i++) { /* also the indices */
        offer(i % 3);
        use(i % 3);
    }
    for (unsigned i = 3; i < 8; i++) {
        offer(i);
    }
    use(7);
    use(5);
    offer(5);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_comes(3, 4, 6, 5);
    end();
}

static void test_all_or_nothing_under_way(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 0);
    for (unsigned i = 0; i < SIZE; i++) {
        offer(SIZE - 1 - i);
    }
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_comes(7, 6, 5, 4, 3, 2, 1, 0);
    end();
}

/* Random orders, compared with who knows them. A buffer is under way for less than a round. */
static void test_random_orders_are_told_apart(void **state)
{
    uint32_t seed = 99;

    (void)state;
    size = LARGE;
    for (unsigned round = 0; round < 200; round++) {
        unsigned held[LARGE], nr_held = 0;
        bool is_free[LARGE];

        begin(0);
        memset(is_free, true, sizeof(is_free));
        for (unsigned i = 0; i < 300; i++) {
            bool must_use = nr_held > 0 && i % 12 < 4; /* all is used now and then */

            seed = seed * 1664525 + 1013904223;
            if (!must_use && nr_held < 6 && (seed >> 16) % 2 == 0) {
                unsigned head = (seed >> 20) % LARGE;

                while (!is_free[head]) {
                    head = (head + 1) % LARGE;
                }
                is_free[head] = false;
                held[nr_held++] = head;
                offer(head);
            } else if (nr_held > 0) {
                unsigned at = (seed >> 24) % nr_held;

                use(held[at]);
                is_free[held[at]] = true;
                memmove(&held[at], &held[at + 1], (--nr_held - at) * sizeof(held[0]));
            }
        }
        assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
        while (hostvm_virtqueue_pop(queue, &buffer) == 1) {
            unsigned at = 0;

            while (at < nr_held && held[at] != buffer.id) {
                at++;
            }
            assert_true(at < nr_held);
            memmove(&held[at], &held[at + 1], (--nr_held - at) * sizeof(held[0]));
        }
        assert_int_equal(nr_held, 0);
        end();
    }
    size = SIZE;
}

static void test_rings_that_lie_lead_nowhere(void **state)
{
    struct driver_queue *q;

    (void)state;
    begin(0);
    q = &driver.queues[0];
    q->available->index = SIZE + 1;
    assert_int_equal(hostvm_virtqueue_take_back(queue), -1);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_int_equal(hostvm_virtqueue_take_back(queue), -1);
    end();
    begin(0);
    q = &driver.queues[0];
    offer(0);
    offer(1);
    q->available->ring[0] = 0xffff; /* no descriptor has that number */
    q->used->ring[0].id = 0xffffffff;
    q->used->index = 1;
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_comes(1);
    end();
    begin(0);
    for (unsigned i = 0; i < 6; i++) {
        offer(2); /* the same one, again and again: it comes once */
    }
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_comes(2);
    end();
}

static void test_queues_that_cannot_be_taken_back(void **state)
{
    (void)state;
    begin(HOSTVM_VIRTIO_F_RING_PACKED);
    assert_int_equal(hostvm_virtqueue_take_back(queue), -1);
    virtio_set_status(driver.device, 0);
    assert_int_equal(hostvm_virtqueue_take_back(queue), -1);
    end();
    for (unsigned n = 1; n <= 2; n++) {
        begin(0);
        offer(0);
        inject_fail_nth(n);
        assert_int_equal(hostvm_virtqueue_take_back(queue), -1);
        assert_true(inject_disarm());
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        end();
    }
}

static void test_reset_forgets_what_came_back(void **state)
{
    (void)state;
    begin(0);
    offer(0);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0);
    assert_int_equal(hostvm_virtqueue_take_back(queue), 0); /* again: the same */
    virtio_set_status(driver.device, 0);
    driver_start(driver.device, 0, SIZE);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driver_test(test_layout_is_what_the_driver_set_up),
        driver_test(test_driver_can_be_interrupted_for_another),
        driver_test(test_what_was_not_used_comes_again_in_its_order),
        driver_test(test_what_is_given_back_goes_behind_what_was),
        driver_test(test_rings_that_went_round_are_understood),
        driver_test(test_all_or_nothing_under_way),
        driver_test(test_random_orders_are_told_apart),
        driver_test(test_rings_that_lie_lead_nowhere),
        driver_test(test_queues_that_cannot_be_taken_back),
        driver_test(test_reset_forgets_what_came_back),
    };

    return cmocka_run_group_tests_name("virtio_take_back", tests, NULL, NULL);
}
