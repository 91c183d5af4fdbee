/* The virtio balloon: what the guest gives up goes back to the host, and nothing else does. */
#include "support/virtio_driver.h"

#include <stdio.h>
#include <sys/stat.h>

#include "back/worker.h"
#include "support/inject.h"
#include "support/leak.h"
#include "virtio/balloon.h"

enum {
    INFLATE = 0,
    DEFLATE = 1,
    REPORTING_LINUX = 2,
    REPORTING = 4,
    PAGE = 4096,
    NUMBERS = 0x200000, /* where the guest has lists of pages */
    HOLE = 0x100000,    /* RAM is in two pieces: between them memory that is none of it */
    HOLE_END = 0x180000,
    FULL = 0x5a,
};

#define DEFLATE_ON_OOM (1ull << 2)
#define PAGE_POISON    (1ull << 4)
#define PAGE_REPORTING (1ull << 5)
#define ALL            (DEFLATE_ON_OOM | PAGE_POISON | PAGE_REPORTING)

#define LINUX_QUEUES (1u << INFLATE | 1u << DEFLATE | 1u << REPORTING_LINUX)

struct bench {
    vm_t vm;
    struct vm_ram_region regions[3];
    struct worker *worker;
    struct balloon *balloon;
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

/* All memory has something in it. */
static void prepare(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    driver_ram_open();
    memset(driver_ram, FULL, DRIVER_RAM_SIZE);
    b->regions[0] = (struct vm_ram_region){.start = 0, .size = 0x80000};
    b->regions[1] = (struct vm_ram_region){.start = 0x80000, .size = HOLE - 0x80000};
    b->regions[2] = (struct vm_ram_region){.start = HOLE_END, .size = DRIVER_RAM_SIZE - HOLE_END};
    b->vm.mem.ram_regions = b->regions;
    b->vm.mem.num_ram_regions = 3;
    b->worker = worker_create("test");
    assert_non_null(b->worker);
}

static struct bench *begin(uint64_t target)
{
    static struct bench b;

    prepare(&b);
    b.balloon = balloon_create(&b.vm, b.worker, target);
    assert_non_null(b.balloon);
    driver_attach(&b.driver, balloon_device(b.balloon));
    return &b;
}

static void end(struct bench *b)
{
    balloon_destroy(b->balloon);
    worker_destroy(b->worker);
    driver_ram_close();
}

static uint64_t host_bytes(void)
{
    struct stat stat;

    assert_int_equal(fstat(driver_ram_fd, &stat), 0);
    return (uint64_t)stat.st_blocks * 512;
}

/* A list of pages in guest memory, on its way to a queue. */
static void tell(struct bench *b, unsigned queue, const uint32_t *numbers, unsigned nr)
{
    const struct driver_piece piece = {NUMBERS, nr * 4, false};
    unsigned before = driver_nr_used(queue);

    if (nr > 0) {
        memcpy(driver_ram + NUMBERS, numbers, nr * 4);
    }
    (void)driver_add(&b->driver, queue, &piece, 1);
    driver_kick(&b->driver, queue);
    settle(b);
    assert_int_equal(driver_nr_used(queue), before + 1);
}

static void report(struct bench *b, unsigned queue, const struct driver_piece *pieces, unsigned nr)
{
    unsigned before = driver_nr_used(queue);

    (void)driver_add(&b->driver, queue, pieces, nr);
    driver_kick(&b->driver, queue);
    settle(b);
    assert_int_equal(driver_nr_used(queue), before + 1);
    assert_int_equal(driver_written(&b->driver, queue, before), 0);
}

/* What lies in [from, to) is nothing but byte. */
static bool holds(uint64_t from, uint64_t to, uint8_t byte)
{
    while (from < to && driver_ram[from] == byte) {
        from++;
    }
    return from == to;
}

static uint32_t config_word(const struct bench *b, size_t offset)
{
    uint32_t word;

    virtio_read_config(b->driver.device, offset, &word, sizeof(word));
    return word;
}

/* --- inflation --- */

static void test_inflated_pages_go_back_to_the_host(void **state)
{
    const uint32_t numbers[] = {9, 3, 5, 4, 20, 3};
    struct bench *b = begin(0);
    uint64_t before;

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    before = host_bytes();
    tell(b, INFLATE, numbers, 6);
    assert_int_equal(before - host_bytes(), 5 * PAGE);
    assert_int_equal(balloon_count(b->balloon).given_back, 6 * PAGE);
    assert_int_equal(balloon_count(b->balloon).ignored, 0);
    assert_true(holds(0, 3 * PAGE, FULL));
    assert_true(holds(3 * PAGE, 6 * PAGE, 0));
    assert_true(holds(6 * PAGE, 9 * PAGE, FULL));
    assert_true(holds(9 * PAGE, 10 * PAGE, 0));
    assert_true(holds(10 * PAGE, 20 * PAGE, FULL));
    assert_true(holds(20 * PAGE, 21 * PAGE, 0));
    assert_true(holds(21 * PAGE, HOLE_END, FULL));
    end(b);
}

static void test_deflated_pages_are_there_again(void **state)
{
    const uint32_t number = 7;
    struct bench *b = begin(0);

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    tell(b, INFLATE, &number, 1);
    tell(b, DEFLATE, &number, 1);
    assert_true(holds(7 * PAGE, 8 * PAGE, 0));
    memset(driver_ram + 7 * PAGE, 1, PAGE);
    assert_true(holds(7 * PAGE, 8 * PAGE, 1));
    assert_int_equal(balloon_count(b->balloon).given_back, PAGE);
    end(b);
}

/* Page numbers at and behind every border there is. */
static void test_pages_that_are_no_ram_are_not_touched(void **state)
{
    const uint32_t last = DRIVER_RAM_SIZE / PAGE - 1;
    const uint32_t numbers[] = {
        HOLE / PAGE, HOLE / PAGE + 1, HOLE_END / PAGE - 1, last + 1,   last + 2,
        0xfffff,     0x100000,        0x80000000,          0xfffffffe, 0xffffffff};
    const uint32_t around[] = {HOLE / PAGE - 1, HOLE / PAGE, HOLE_END / PAGE - 1, HOLE_END / PAGE};
    struct bench *b = begin(0);
    uint64_t before;

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    before = host_bytes();
    tell(b, INFLATE, numbers, 10);
    assert_int_equal(host_bytes(), before);
    assert_int_equal(balloon_count(b->balloon).given_back, 0);
    assert_int_equal(balloon_count(b->balloon).ignored, 10 * PAGE);
    tell(b, INFLATE, around, 4);
    assert_int_equal(balloon_count(b->balloon).given_back, 2 * PAGE);
    assert_true(holds(HOLE - PAGE, HOLE, 0));
    assert_true(holds(HOLE, HOLE_END, FULL));
    assert_true(holds(HOLE_END, HOLE_END + PAGE, 0));
    assert_false(driver_needs_reset(&b->driver));
    end(b);
}

/* Pieces of a list lie where the guest likes, in bytes; a number that is not all there is none. */
static void test_list_in_pieces_is_one_list(void **state)
{
    const struct driver_piece pieces[] = {
        {NUMBERS, 3, false}, {NUMBERS + 64, 8, false}, {NUMBERS + 128, 3, false}};
    struct bench *b = begin(0);

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    memcpy(driver_ram + NUMBERS, "\1\0\0", 3);
    memcpy(driver_ram + NUMBERS + 64, "\0\2\0\0\0\5\0\0", 8);
    memcpy(driver_ram + NUMBERS + 128, "\0\6\0", 3);
    (void)driver_add(&b->driver, INFLATE, pieces, 3);
    driver_kick(&b->driver, INFLATE);
    settle(b);
    assert_int_equal(balloon_count(b->balloon).given_back, 3 * PAGE);
    assert_true(holds(1 * PAGE, 3 * PAGE, 0));
    assert_true(holds(5 * PAGE, 6 * PAGE, 0));
    assert_true(holds(6 * PAGE, 7 * PAGE, FULL));
    end(b);
}

/* A list of all memory that there is for one: what is too much is left. */
static void test_endless_list_ends(void **state)
{
    struct bench *b = begin(0);
    const struct driver_piece piece = {NUMBERS, 0x100000, false};

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    memset(driver_ram + NUMBERS, 0, 0x100000);
    for (unsigned i = 0; i < 60; i++) {
        (void)driver_add(&b->driver, INFLATE, &piece, 1);
    }
    driver_kick(&b->driver, INFLATE);
    settle(b);
    assert_int_equal(driver_nr_used(INFLATE), 60);
    assert_int_equal(balloon_count(b->balloon).given_back, 60 * 1024 * PAGE);
    assert_true(holds(0, PAGE, 0));
    assert_true(holds(PAGE, HOLE, FULL));
    end(b);
}

static void test_empty_buffers_are_given_back(void **state)
{
    const struct driver_piece to_write = {NUMBERS, 64, true};
    struct bench *b = begin(0);

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    tell(b, INFLATE, NULL, 0);
    tell(b, DEFLATE, NULL, 0);
    report(b, INFLATE, &to_write, 1);
    report(b, DEFLATE, &to_write, 1);
    assert_int_equal(balloon_count(b->balloon).given_back, 0);
    end(b);
}

/* --- reports --- */

static void test_reported_pages_go_back_to_the_host(void **state)
{
    const struct driver_piece pieces[] = {{0x10000, 16 * PAGE, true}, {0x40000, 2 * PAGE, true}};
    struct bench *b = begin(0);
    uint64_t before;

    (void)state;
    driver_start(&b->driver, ALL & ~PAGE_POISON, LINUX_QUEUES);
    before = host_bytes();
    report(b, REPORTING_LINUX, pieces, 2);
    assert_int_equal(before - host_bytes(), 18 * PAGE);
    assert_true(holds(0, 0x10000, FULL));
    assert_true(holds(0x10000, 0x20000, 0));
    assert_true(holds(0x20000, 0x40000, FULL));
    assert_true(holds(0x40000, 0x42000, 0));
    end(b);
}

static void test_reports_are_found_at_their_number_in_the_standard_as_well(void **state)
{
    const struct driver_piece piece = {0x10000, PAGE, true};
    struct bench *b = begin(0);

    (void)state;
    driver_start(&b->driver, ALL, 1u << INFLATE | 1u << DEFLATE | 1u << REPORTING);
    report(b, REPORTING, &piece, 1);
    assert_int_equal(balloon_count(b->balloon).given_back, PAGE);
    end(b);
}

static void test_report_of_anything_but_ram_is_ignored(void **state)
{
    const struct driver_piece hole = {HOLE, PAGE, true};
    const struct driver_piece across = {HOLE - PAGE, 2 * PAGE, true};
    const struct driver_piece uneven = {0x10010, 3 * PAGE, true};
    const struct driver_piece small = {0x20001, PAGE, true};
    const struct driver_piece to_read = {0x30000, PAGE, false};
    const struct driver_piece outside = {DRIVER_RAM_SIZE, PAGE, true};
    struct bench *b = begin(0);
    uint64_t before;

    (void)state;
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    before = host_bytes();
    report(b, REPORTING_LINUX, &hole, 1);
    report(b, REPORTING_LINUX, &across, 1);
    report(b, REPORTING_LINUX, &small, 1);
    report(b, REPORTING_LINUX, &to_read, 1);
    assert_int_equal(host_bytes(), before);
    report(b, REPORTING_LINUX, &uneven, 1);
    assert_int_equal(before - host_bytes(), 2 * PAGE);
    assert_true(holds(0, 0x11000, FULL));
    assert_true(holds(0x11000, 0x13000, 0));
    assert_true(holds(0x13000, HOLE_END, FULL));
    assert_int_equal(balloon_count(b->balloon).ignored, 5 * PAGE);
    (void)driver_add(&b->driver, REPORTING_LINUX, &outside, 1);
    driver_kick(&b->driver, REPORTING_LINUX);
    settle(b);
    assert_true(driver_needs_reset(&b->driver));
    end(b);
}

static void set_poison(struct bench *b, uint32_t poison)
{
    virtio_write_config(b->driver.device, 12, &poison, sizeof(poison));
}

static void test_poisoned_pages_keep_their_poison(void **state)
{
    const struct driver_piece piece = {0x10000, PAGE, true};
    const uint32_t number = 3;
    struct bench *b = begin(0);

    (void)state;
    set_poison(b, 0x5a5a5a5a);
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    report(b, REPORTING_LINUX, &piece, 1);
    assert_true(holds(0x10000, 0x11000, FULL));
    tell(b, INFLATE, &number, 1);
    assert_true(holds(3 * PAGE, 4 * PAGE, 0));
    set_poison(b, 0);
    report(b, REPORTING_LINUX, &piece, 1);
    assert_true(holds(0x10000, 0x11000, 0));
    set_poison(b, 1u << 31);
    memset(driver_ram + 0x10000, FULL, PAGE);
    report(b, REPORTING_LINUX, &piece, 1);
    assert_true(holds(0x10000, 0x11000, FULL));
    driver_start(&b->driver, ALL & ~PAGE_POISON, LINUX_QUEUES);
    report(b, REPORTING_LINUX, &piece, 1);
    assert_true(holds(0x10000, 0x11000, 0));
    end(b);
}

/* --- the configuration space --- */

static void test_features_are_those_that_work(void **state)
{
    struct bench *b = begin(0);

    (void)state;
    assert_int_equal(virtio_offered(b->driver.device, 0) & 0xffffff, ALL);
    end(b);
}

static void test_target_is_told_in_pages_and_never_more_than_ram(void **state)
{
    struct bench *b = begin(0x30000);
    const uint32_t pages = (DRIVER_RAM_SIZE - (HOLE_END - HOLE)) / PAGE;
    unsigned before;

    (void)state;
    assert_int_equal(config_word(b, 0), 0x30);
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    before = atomic_load(&driver_nr_config_interrupts);
    balloon_set_target(b->balloon, 0x10fff);
    assert_int_equal(config_word(b, 0), 0x10);
    assert_int_equal(atomic_load(&driver_nr_config_interrupts), before + 1);
    balloon_set_target(b->balloon, UINT64_MAX);
    assert_int_equal(config_word(b, 0), pages);
    balloon_set_target(b->balloon, 0);
    assert_int_equal(config_word(b, 0), 0);
    end(b);
}

static void test_driver_writes_its_own_fields_alone(void **state)
{
    static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct bench *b = begin(0x30000);

    (void)state;
    for (size_t size = 1; size <= 8; size++) {
        for (size_t offset = 0; offset < 24; offset++) {
            virtio_write_config(b->driver.device, offset, ones, size);
            assert_int_equal(config_word(b, 0), 0x30);
            assert_int_equal(config_word(b, 8), 0);
        }
    }
    assert_int_equal(config_word(b, 4), 0xffffffff);
    assert_int_equal(config_word(b, 12), 0xffffffff);
    virtio_write_config(b->driver.device, 5, "\0\0", 2);
    assert_int_equal(config_word(b, 4), 0xff0000ff);
    end(b);
}

/* --- resets and refusals --- */

static void test_reset_ends_it_and_a_new_driver_begins(void **state)
{
    const uint32_t number = 3;
    struct bench *b = begin(0);

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        driver_start(&b->driver, ALL, LINUX_QUEUES);
        memset(driver_ram + 3 * PAGE, FULL, PAGE);
        if (i % 2 == 0) {
            tell(b, INFLATE, &number, 1);
            assert_true(holds(3 * PAGE, 4 * PAGE, 0));
        } else {
            driver_kick(&b->driver, INFLATE);
            driver_kick(&b->driver, REPORTING_LINUX);
        }
        driver_reset(&b->driver);
        for (unsigned queue = 0; queue < 5; queue++) {
            driver_kick(&b->driver, queue);
        }
    }
    end(b);
}

/* Memory that the host cannot take piece by piece: private to the process. */
static void test_host_that_refuses_leaves_the_pages_as_they_are(void **state)
{
    const uint32_t numbers[] = {3, 8};
    struct bench *b = begin(0);

    (void)state;
    assert_ptr_equal(mmap(driver_ram, 16 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     driver_ram);
    memset(driver_ram, FULL, 16 * PAGE);
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    tell(b, INFLATE, numbers, 2);
    assert_int_equal(balloon_count(b->balloon).refused, 2 * PAGE);
    assert_int_equal(balloon_count(b->balloon).given_back, 0);
    assert_true(holds(0, 16 * PAGE, FULL));
    end(b);
}

static void test_creation_that_fails_leaves_nothing(void **state)
{
    static struct bench b;
    int null = open("/dev/null", O_WRONLY);
    int saved = dup(STDERR_FILENO);
    unsigned n = 1;

    (void)state;
    prepare(&b);
    for (;; n++) {
        struct leak_state held;
        bool was_refused;

        leak_begin(&held);
        assert_true(dup2(null, STDERR_FILENO) >= 0);
        inject_fail_nth(n);
        b.balloon = balloon_create(&b.vm, b.worker, 0);
        was_refused = inject_disarm();
        (void)dup2(saved, STDERR_FILENO);
        assert_int_equal(b.balloon == NULL, was_refused);
        balloon_destroy(b.balloon);
        leak_check(&held);
        if (!was_refused) {
            break;
        }
    }
    assert_true(n > 8);
    b.balloon = NULL;
    (void)close(null);
    (void)close(saved);
    end(&b);
}

static void test_start_that_fails_can_be_tried_again(void **state)
{
    const uint32_t number = 3;
    struct bench *b = begin(0);

    (void)state;
    for (unsigned n = 1; n <= 3; n++) {
        inject_fail_nth(n);
        driver_start(&b->driver, ALL, LINUX_QUEUES);
        assert_true(inject_disarm());
        assert_true(driver_needs_reset(&b->driver));
    }
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    assert_false(driver_needs_reset(&b->driver));
    tell(b, INFLATE, &number, 1);
    assert_true(holds(3 * PAGE, 4 * PAGE, 0));
    end(b);
}

/* Whatever comes: what is not RAM stays as it is. */
static void test_garbage_in_the_queues_harms_the_guest_alone(void **state)
{
    struct bench *b = begin(0);
    unsigned seed = 1;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        driver_start(&b->driver, ALL, LINUX_QUEUES);
        for (unsigned queue = 0; queue < 3; queue++) {
            driver_garbage(&b->driver, queue, &seed);
        }
        worker_call(b->worker, nothing, NULL);
    }
    driver_start(&b->driver, ALL, LINUX_QUEUES);
    settle(b);
    assert_true(holds(HOLE, HOLE_END, FULL));
    assert_true(balloon_count(b->balloon).given_back > 0);
    assert_true(balloon_count(b->balloon).ignored > 0);
    tell(b, INFLATE, NULL, 0);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflated_pages_go_back_to_the_host),
        cmocka_unit_test(test_deflated_pages_are_there_again),
        cmocka_unit_test(test_pages_that_are_no_ram_are_not_touched),
        cmocka_unit_test(test_list_in_pieces_is_one_list),
        cmocka_unit_test(test_endless_list_ends),
        cmocka_unit_test(test_empty_buffers_are_given_back),
        cmocka_unit_test(test_reported_pages_go_back_to_the_host),
        cmocka_unit_test(test_reports_are_found_at_their_number_in_the_standard_as_well),
        cmocka_unit_test(test_report_of_anything_but_ram_is_ignored),
        cmocka_unit_test(test_poisoned_pages_keep_their_poison),
        cmocka_unit_test(test_features_are_those_that_work),
        cmocka_unit_test(test_target_is_told_in_pages_and_never_more_than_ram),
        cmocka_unit_test(test_driver_writes_its_own_fields_alone),
        cmocka_unit_test(test_reset_ends_it_and_a_new_driver_begins),
        cmocka_unit_test(test_host_that_refuses_leaves_the_pages_as_they_are),
        cmocka_unit_test(test_creation_that_fails_leaves_nothing),
        cmocka_unit_test(test_start_that_fails_can_be_tried_again),
        cmocka_unit_test(test_garbage_in_the_queues_harms_the_guest_alone),
    };

    return cmocka_run_group_tests_name("virtio balloon", tests, NULL, NULL);
}
