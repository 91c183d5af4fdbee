/* The entropy device: as much as was asked for, of the host's random numbers. */
#include "support/virtio_driver.h"

#include "back/worker.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/rng.h"

struct bench {
    vm_t vm;
    struct worker *worker;
    struct rng *rng;
    struct driver driver;
};

static void nothing(void *cookie)
{
    (void)cookie;
}

static void settle(struct bench *b)
{
    for (unsigned i = 0; i < 12; i++) {
        worker_call(b->worker, nothing, NULL);
    }
}

static struct bench *begin(void)
{
    static struct bench b;

    memset(&b, 0, sizeof(b));
    driver_ram_open();
    b.worker = worker_create("test");
    assert_non_null(b.worker);
    b.rng = rng_create(&b.vm, b.worker);
    assert_non_null(b.rng);
    driver_attach(&b.driver, rng_device(b.rng));
    driver_start(&b.driver, 0, 1);
    return &b;
}

static void end(struct bench *b)
{
    rng_destroy(b->rng);
    worker_destroy(b->worker);
    driver_ram_close();
}

static bool is_zero(uint64_t from, uint64_t to)
{
    while (from < to && driver_ram[from] == 0) {
        from++;
    }
    return from == to;
}

static uint32_t ask(struct bench *b, const struct driver_piece *pieces, unsigned nr)
{
    unsigned before = driver_nr_used(0);

    (void)driver_add(&b->driver, 0, pieces, nr);
    driver_kick(&b->driver, 0);
    settle(b);
    assert_int_equal(driver_nr_used(0), before + 1);
    return driver_written(&b->driver, 0, before);
}

static void test_buffer_is_filled_and_nothing_else(void **state)
{
    const struct driver_piece pieces[] = {{0x1000, 256, true}, {0x3000, 1000, true}};
    struct bench *b = begin();

    (void)state;
    assert_int_equal(ask(b, pieces, 2), 1256);
    assert_true(is_zero(0, 0x1000));
    assert_false(is_zero(0x1000, 0x1010));
    assert_false(is_zero(0x10f0, 0x1100));
    assert_true(is_zero(0x1100, 0x3000));
    assert_false(is_zero(0x33d8, 0x33e8));
    assert_true(is_zero(0x33e8, 0x10000));
    end(b);
}

/* As many as the queue holds, which is what a driver may use. */
static void test_buffer_of_many_pieces_is_filled(void **state)
{
    struct driver_piece pieces[64];
    struct bench *b = begin();

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        pieces[i] = (struct driver_piece){0x1000 + i * 64, 16, true};
    }
    assert_int_equal(ask(b, pieces, 64), 64 * 16);
    assert_false(driver_needs_reset(&b->driver));
    end(b);
}

static void test_large_buffer_gets_a_part(void **state)
{
    const struct driver_piece piece = {0x1000, 1 << 20, true};
    struct bench *b = begin();

    (void)state;
    assert_int_equal(ask(b, &piece, 1), 1 << 16);
    assert_true(is_zero(0x1000 + (1 << 16), 0x1000 + (1 << 20)));
    end(b);
}

static void test_buffer_without_room_is_given_back(void **state)
{
    const struct driver_piece to_read = {0x1000, 64, false};
    struct bench *b = begin();

    (void)state;
    assert_int_equal(ask(b, &to_read, 1), 0);
    assert_int_equal(ask(b, NULL, 0), 0);
    assert_true(is_zero(0, 0x10000));
    assert_false(driver_needs_reset(&b->driver));
    end(b);
}

static void test_more_requests_than_are_served_at_a_time_are_all_served(void **state)
{
    const struct driver_piece piece = {0x1000, 64, true};
    struct bench *b = begin();

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        (void)driver_add(&b->driver, 0, &piece, 1);
    }
    driver_kick(&b->driver, 0);
    settle(b);
    assert_int_equal(driver_nr_used(0), 64);
    end(b);
}

static void test_host_without_random_numbers_is_no_source_of_zeros(void **state)
{
    const struct driver_piece piece = {0x1000, 64, true};
    struct bench *b = begin();

    (void)state;
    atomic_store(&driver_getrandom_errno, ENOSYS);
    (void)driver_add(&b->driver, 0, &piece, 1);
    driver_kick(&b->driver, 0);
    settle(b);
    assert_int_equal(driver_nr_used(0), 0);
    assert_true(driver_needs_reset(&b->driver));
    atomic_store(&driver_getrandom_errno, 0);
    driver_start(&b->driver, 0, 1);
    assert_int_equal(ask(b, &piece, 1), 64);
    end(b);
}

static void test_start_that_fails_can_be_tried_again(void **state)
{
    const struct driver_piece piece = {0x1000, 64, true};
    struct bench *b = begin();

    (void)state;
    inject_fail_nth(1);
    driver_start(&b->driver, 0, 1);
    assert_true(inject_disarm());
    assert_true(driver_needs_reset(&b->driver));
    driver_start(&b->driver, 0, 1);
    assert_int_equal(ask(b, &piece, 1), 64);
    end(b);
}

static void test_creation_that_fails_leaves_nothing(void **state)
{
    struct bench *b = begin();
    int null = open("/dev/null", O_WRONLY);
    int saved = dup(STDERR_FILENO);
    bool was_refused = true;

    (void)state;
    for (unsigned n = 1; was_refused; n++) {
        struct leak_state held;
        struct rng *rng;

        leak_begin(&held);
        assert_true(dup2(null, STDERR_FILENO) >= 0);
        inject_fail_nth(n);
        rng = rng_create(&b->vm, b->worker);
        was_refused = inject_disarm();
        (void)dup2(saved, STDERR_FILENO);
        assert_int_equal(rng == NULL, was_refused);
        rng_destroy(rng);
        leak_check(&held);
        assert_true(n > 4 || was_refused);
    }
    (void)close(null);
    (void)close(saved);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_is_filled_and_nothing_else),
        cmocka_unit_test(test_buffer_of_many_pieces_is_filled),
        cmocka_unit_test(test_large_buffer_gets_a_part),
        cmocka_unit_test(test_buffer_without_room_is_given_back),
        cmocka_unit_test(test_more_requests_than_are_served_at_a_time_are_all_served),
        cmocka_unit_test(test_host_without_random_numbers_is_no_source_of_zeros),
        cmocka_unit_test(test_start_that_fails_can_be_tried_again),
        cmocka_unit_test(test_creation_that_fails_leaves_nothing),
    };

    return cmocka_run_group_tests_name("virtio entropy", tests, NULL, NULL);
}
