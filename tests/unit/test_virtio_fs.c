/* The file system device, with this program in the place of virtiofsd: requests go there and back,
 * and fail with EIO once it has ended, in whatever way. */
#include "virtio_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "back/vhost_user.h"
#include "back/virtiofsd.h"
#include "back/worker.h"
#include "support/inject.h"
#include "vhost_backend.h"
#include "virtio/fs.h"

enum { QUEUE_SIZE = 16, HIPRIO = 0, REQUESTS = 1, DEVICE_ID = 26 };

#define FEATURES (1ull << 32 | 1ull << 29 | 1ull << 28 | VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL (1ull << 0 | 1ull << 3)

/* --- virtiofsd, as the device knows it --- */

static struct backend server;
static atomic_bool is_running;
static bool no_server;
static unsigned nr_ends;

int virtiofsd_start(struct virtiofsd *s, const char *dir, bool is_readonly, char *why,
                    size_t why_size)
{
    assert_string_equal(dir, "/some/folder");
    assert_true(is_readonly);
    *s = (struct virtiofsd){.socket = -1};
    (void)snprintf(why, why_size, "there is none");
    if (no_server) {
        return -ENOENT;
    }
    s->socket = backend_begin(&server);
    if (s->socket < 0) {
        return -EAGAIN;
    }
    s->pid = 1;
    is_running = true;
    return 0;
}

void virtiofsd_end(struct virtiofsd *s, char *how, size_t how_size)
{
    how[0] = '\0';
    if (is_running) {
        backend_end(&server);
        (void)snprintf(how, how_size, "exit status 3");
    }
    is_running = false;
    if (s->socket >= 0) {
        (void)close(s->socket);
        nr_ends++;
    }
    *s = (struct virtiofsd){.socket = -1};
}

/* --- the bench --- */

static const struct fs_config config = {
    .dir = "/some/folder", .tag = "some-tag", .is_readonly = true};

static struct fs *fs;

static void begin_without_driver(const struct backend *b)
{
    vm_t *vm = driver_begin();

    server = *b;
    nr_ends = 0;
    fs = fs_create(vm, &config);
    assert_non_null(fs);
}

static void start_driver(void)
{
    driver_start(fs_device(fs), 1ull << 28, QUEUE_SIZE);
}

static void begin(const struct backend *b)
{
    begin_without_driver(b);
    start_driver();
}

static void end(void)
{
    fs_destroy(fs);
    assert_false(is_running);
    assert_int_equal(nr_ends, 1);
    driver_end();
}

static const struct backend good = {
    .features = FEATURES, .protocol = PROTOCOL, .nr_queues = 2, .serves = true};

/* A request with that number, and room for its answer behind it. */
static void request(unsigned queue, unsigned number, bool has_answer)
{
    const uint64_t gpa = BUFFERS_GPA + number * 0x1000;
    const struct piece pieces[] = {{gpa, 40, false}, {gpa + 0x800, 64, true}};
    uint64_t *in = driver_at(gpa, 40);

    memset(driver_at(gpa, 0x1000), 0, 0x1000);
    in[0] = 40;
    in[1] = 0xabcd0000 + number;
    driver_add(queue, pieces, has_answer ? 2 : 1);
    assert_int_equal(eventfd_write(driver.queues[queue].queue->kick_fd, 1), 0);
}

/* The next used buffer, of that many descriptors; a device that does not come is a failure. */
static uint32_t await_used(unsigned queue, unsigned nr)
{
    uint32_t written = 0;

    for (int ms = 0; ms < 10000; ms++) {
        if (driver_take(queue, nr, &written) >= 0) {
            return written;
        }
        (void)poll(NULL, 0, 1);
    }
    fail_msg("nothing is used");
    return 0;
}

static bool is_interrupted(unsigned queue)
{
    const unsigned *count = &driver.nr_interrupts[queue];

    for (int ms = 0; ms < 10000 && __atomic_load_n(count, __ATOMIC_RELAXED) == 0; ms++) {
        (void)poll(NULL, 0, 1);
    }
    return __atomic_load_n(count, __ATOMIC_RELAXED) > 0;
}

static void check_answer(unsigned number, int error)
{
    const uint32_t *out = driver_at(BUFFERS_GPA + number * 0x1000 + 0x800, 64);

    assert_int_equal(out[0], 16);
    assert_int_equal((int)out[1], error);
    assert_int_equal(out[2], 0xabcd0000 + number);
    assert_int_equal(out[3], 0);
}

static void await_taken(unsigned nr)
{
    for (int ms = 0; ms < 10000 && atomic_load(&server.nr_taken) < nr; ms++) {
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(atomic_load(&server.nr_taken), nr);
}

/* --- what it is --- */

static void test_device_is_what_the_driver_looks_for(void **state)
{
    uint8_t space[40];
    uint32_t nr_queues;
    hostvm_virtio_t *device;

    (void)state;
    begin_without_driver(&good);
    device = fs_device(fs);
    assert_int_equal(device->id, DEVICE_ID);
    assert_int_equal(device->nr_queues, 2);
    assert_int_equal(device->offered, 1ull << 32 | 1ull << 29 | 1ull << 28);
    virtio_read_config(device, 0, space, sizeof(space));
    assert_memory_equal(space, "some-tag\0\0\0\0", 12);
    memcpy(&nr_queues, space + 36, 4);
    assert_int_equal(nr_queues, 1);
    end();
}

static void test_features_that_the_back_end_has_not_are_not_offered(void **state)
{
    struct backend b = good;

    (void)state;
    b.features &= ~(1ull << 29);
    begin_without_driver(&b);
    assert_int_equal(fs_device(fs)->offered, 1ull << 32 | 1ull << 28);
    end();
}

/* --- requests --- */

static void test_requests_go_to_the_server_and_back(void **state)
{
    (void)state;
    begin(&good);
    for (unsigned i = 0; i < 40; i++) { /* the ring goes round */
        request(REQUESTS, i % 8, true);
        assert_int_equal(await_used(REQUESTS, 2), 16);
        check_answer(i % 8, 0);
    }
    request(HIPRIO, 9, true);
    assert_int_equal(await_used(HIPRIO, 2), 16);
    assert_true(is_interrupted(HIPRIO));
    assert_true(is_interrupted(REQUESTS));
    assert_int_equal(server.driver_features,
                     1ull << 32 | 1ull << 28 | VHOST_USER_F_PROTOCOL_FEATURES);
    assert_int_equal(server.table.payload.memory.nr, 1);
    assert_int_equal(server.table.payload.memory.regions[0].size, DRIVER_RAM);
    end();
}

static void test_reset_takes_the_queues_from_the_server_and_a_start_gives_them_again(void **state)
{
    (void)state;
    begin(&good);
    request(REQUESTS, 0, true);
    (void)await_used(REQUESTS, 2);
    virtio_set_status(fs_device(fs), 0);
    assert_int_equal(server.seen[11], 2);
    start_driver();
    request(REQUESTS, 1, true);
    assert_int_equal(await_used(REQUESTS, 2), 16);
    check_answer(1, 0);
    end();
    assert_int_equal(server.seen[11], 4);
}

/* --- without a server --- */

static void test_end_of_the_server_is_eio_for_what_was_under_way_and_what_comes(void **state)
{
    struct backend b = good;

    (void)state;
    b.nr_held = 2;
    begin(&b);
    for (unsigned i = 0; i < 4; i++) {
        request(REQUESTS, i, true);
    }
    request(HIPRIO, 8, false);
    (void)await_used(REQUESTS, 2);
    await_taken(5);
    (void)shutdown(server.fd, SHUT_RDWR); /* its end */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(await_used(REQUESTS, 2), 16);
    }
    request(REQUESTS, 5, true);
    assert_int_equal(await_used(REQUESTS, 2), 16);
    check_answer(5, -EIO);
    request(HIPRIO, 6, false); /* as to forget something: nobody waits for an answer */
    (void)await_used(HIPRIO, 1);
    assert_int_equal(await_used(HIPRIO, 1), 0);
    end();
}

static void test_driver_that_starts_again_without_a_server_gets_eio(void **state)
{
    (void)state;
    begin(&good);
    (void)shutdown(server.fd, SHUT_RDWR);
    request(REQUESTS, 0, true);
    (void)await_used(REQUESTS, 2);
    virtio_set_status(fs_device(fs), 0);
    start_driver();
    request(REQUESTS, 1, true);
    assert_int_equal(await_used(REQUESTS, 2), 16);
    check_answer(1, -EIO);
    end();
}

static void test_server_that_speaks_unasked_is_given_up(void **state)
{
    (void)state;
    begin(&good);
    assert_int_equal(write(server.fd, "x", 1), 1);
    for (int ms = 0; ms < 10000 && atomic_load(&is_running); ms++) {
        (void)poll(NULL, 0, 1);
    }
    request(REQUESTS, 0, true);
    (void)await_used(REQUESTS, 2);
    check_answer(0, -EIO);
    end();
}

static void test_server_that_fails_at_any_request_is_given_up(void **state)
{
    static const uint32_t requests[] = {2, 5, 8, 9, 10, 12, 13, 14, 18};
    static const enum misdeed misdeeds[] = {MISDEED_HANG_UP, MISDEED_SHORT_BODY,
                                            MISDEED_OTHER_REQUEST, MISDEED_REFUSAL};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        for (size_t k = 0; k < sizeof(misdeeds) / sizeof(misdeeds[0]); k++) {
            struct backend b = good;

            b.at = requests[i];
            b.misdeed = misdeeds[k];
            begin(&b);
            assert_false(is_running);
            request(REQUESTS, 0, true);
            (void)await_used(REQUESTS, 2);
            check_answer(0, -EIO);
            end();
        }
    }
}

static void test_server_that_does_not_give_a_queue_back_is_ended_first(void **state)
{
    struct backend b = good;

    (void)state;
    b.at = 11;
    b.misdeed = MISDEED_HANG_UP;
    begin(&b);
    virtio_set_status(fs_device(fs), 0);
    assert_false(is_running);
    start_driver();
    request(REQUESTS, 0, true);
    (void)await_used(REQUESTS, 2);
    check_answer(0, -EIO);
    end();
}

static void test_error_of_a_queue_is_the_drivers_to_know(void **state)
{
    (void)state;
    begin(&good);
    assert_int_equal(eventfd_write(server.rings[REQUESTS].err_fd, 1), 0);
    for (int ms = 0; ms < 10000 && (atomic_load(&fs_device(fs)->status) & VIRTIO_NEEDS_RESET) == 0;
         ms++) {
        (void)poll(NULL, 0, 1);
    }
    assert_true((atomic_load(&fs_device(fs)->status) & VIRTIO_NEEDS_RESET) != 0);
    end();
}

static void test_memory_in_too_many_pieces_is_the_end_of_the_device(void **state)
{
    (void)state;
    begin_without_driver(&good);
    for (uintptr_t i = 0; i < VHOST_USER_REGIONS_MAX; i++) {
        assert_int_equal(vm_ram_register_at(&driver.vm, (i + 1) << 30, 0x1000, false), 0);
    }
    start_driver();
    assert_true((atomic_load(&fs_device(fs)->status) & VIRTIO_NEEDS_RESET) != 0);
    end();
}

/* --- making it --- */

static void test_each_step_may_fail(void **state)
{
    bool has_failed = true;
    vm_t *vm = driver_begin();
    struct leak_state before;
    struct backend b = good;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        assert_true(n < 60);
        server = good;
        inject_fail_nth(n);
        fs = fs_create(vm, &config);
        has_failed = inject_disarm();
        if (has_failed && n > 30) {
            fail_msg("there is no end to it");
        }
        assert_true((fs == NULL) == has_failed);
        fs_destroy(fs);
        assert_false(is_running);
        leak_check(&before);
    }
    no_server = true;
    assert_null(fs_create(vm, &config));
    no_server = false;
    b.misdeed = MISDEED_HANG_UP;
    b.at = 1;
    server = b;
    assert_null(fs_create(vm, &config));
    assert_false(is_running);
    leak_check(&before);
    driver_end();
}

/* Threads and what they take are kept for the next ones. */
static int prepare(void **state)
{
    worker_destroy(worker_create("first"));
    return backend_prepare(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driver_test(test_device_is_what_the_driver_looks_for),
        driver_test(test_features_that_the_back_end_has_not_are_not_offered),
        driver_test(test_requests_go_to_the_server_and_back),
        driver_test(test_reset_takes_the_queues_from_the_server_and_a_start_gives_them_again),
        driver_test(test_end_of_the_server_is_eio_for_what_was_under_way_and_what_comes),
        driver_test(test_driver_that_starts_again_without_a_server_gets_eio),
        driver_test(test_server_that_speaks_unasked_is_given_up),
        driver_test(test_server_that_fails_at_any_request_is_given_up),
        driver_test(test_server_that_does_not_give_a_queue_back_is_ended_first),
        driver_test(test_error_of_a_queue_is_the_drivers_to_know),
        driver_test(test_memory_in_too_many_pieces_is_the_end_of_the_device),
        driver_test(test_each_step_may_fail),
    };

    return cmocka_run_group_tests_name("virtio_fs", tests, prepare, NULL);
}
