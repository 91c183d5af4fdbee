/* A virtio device: what driver and device agree on, when it starts and stops, its configuration;
 * and its registers in memory. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "support/inject.h"
#include "support/readable.h"
#include "support/virtio_vm.h"

enum { GPA = 0x10000000, LINE = 40, ID = 42, CONFIG_SIZE = 12, NR_QUEUES = 2 };

/* A line that every architecture's controllers have. */
#if defined(__x86_64__)
enum { GSI = 16 };
#else
enum { GSI = LINE };
#endif

#define OWN_FEATURES ((1ull << 3) | (1ull << 55))

/* What the device was asked to do. */
static struct {
    unsigned nr_starts, nr_stops, nr_writes;
    int start_result;
    uint64_t features;
    size_t offset, size;
    uint8_t bytes[8];
} asked;

static int start(void *cookie, uint64_t features)
{
    assert_ptr_equal(cookie, &asked);
    asked.nr_starts++;
    asked.features = features;
    return asked.start_result;
}

static void stop(void *cookie)
{
    assert_ptr_equal(cookie, &asked);
    asked.nr_stops++;
}

static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    assert_ptr_equal(cookie, &asked);
    asked.nr_writes++;
    asked.offset = offset;
    asked.size = size;
    memcpy(asked.bytes, bytes, size);
}

static const hostvm_virtio_ops_t ops = {start, stop, write_config};
static const uint16_t sizes[NR_QUEUES] = {16, 64};
static const uint8_t config_bytes[CONFIG_SIZE] = "0123456789ab";

static hostvm_virtio_config_t config_of(void)
{
    return (hostvm_virtio_config_t){
        .id = ID,
        .features = OWN_FEATURES,
        .nr_queues = NR_QUEUES,
        .queue_sizes = sizes,
        .config = config_bytes,
        .config_size = CONFIG_SIZE,
        .ops = &ops,
        .cookie = &asked,
    };
}

static hostvm_virtio_t *device;

static void begin(void)
{
    const hostvm_virtio_config_t config = config_of();

    memset(&asked, 0, sizeof(asked));
    device = hostvm_virtio_create(driver_begin(), &config);
    assert_non_null(device);
}

static void end(void)
{
    hostvm_virtio_destroy(device);
    driver_end();
}

/* --- making one --- */

static void test_what_is_no_device_is_refused(void **state)
{
    static const uint16_t bad_sizes[] = {0, 3, 2048};
    hostvm_virtio_config_t config = config_of();
    vm_t *vm = driver_begin();

    (void)state;
    assert_null(hostvm_virtio_create(NULL, &config));
    assert_null(hostvm_virtio_create(vm, NULL));
    assert_string_equal(driver_said, "hostvm_virtio_create: no VM or no configuration given");
    config.ops = NULL;
    assert_null(hostvm_virtio_create(vm, &config));
    assert_string_equal(driver_said, "cannot make virtio device 42: no functions, no configuration "
                                     "or no sizes of queues given");
    config = config_of();
    config.config = NULL;
    assert_null(hostvm_virtio_create(vm, &config));
    config = config_of();
    config.queue_sizes = NULL;
    assert_null(hostvm_virtio_create(vm, &config));
    config = config_of();
    config.nr_queues = HOSTVM_VIRTIO_MAX_QUEUES + 1;
    assert_null(hostvm_virtio_create(vm, &config));
    assert_string_equal(driver_said, "cannot make virtio device 42 with 65 queues and 12 bytes of "
                                     "configuration: at most 64 and 256 are possible");
    config = config_of();
    config.config_size = 257;
    assert_null(hostvm_virtio_create(vm, &config));
    config = config_of();
    config.features = HOSTVM_VIRTIO_F_EVENT_IDX;
    assert_null(hostvm_virtio_create(vm, &config));
    assert_string_equal(driver_said, "cannot make virtio device 42 with features 0x20000000: a "
                                     "device's own are bits 0 to 23 and 50 to 63");
    for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++) {
        config = config_of();
        config.nr_queues = 1;
        config.queue_sizes = &bad_sizes[i];
        assert_null(hostvm_virtio_create(vm, &config));
    }
    assert_string_equal(driver_said, "cannot make virtio device 42 with a queue of 2048: sizes are "
                                     "powers of two, at most 1024");
    hostvm_virtio_destroy(NULL);
    driver_end();
}

static hostvm_virtio_t *attached_device(vm_t *vm, const hostvm_virtio_config_t *config)
{
    hostvm_virtio_t *made = hostvm_virtio_create(vm, config);

    if (made != NULL && hostvm_virtio_attach_mmio(made, GPA, GSI) != 0) {
        hostvm_virtio_destroy(made);
        return NULL;
    }
    return made;
}

static void test_a_device_is_made_whole_or_not_at_all(void **state)
{
    const hostvm_virtio_config_t config = config_of();
    vm_t *vm = driver_begin();
    bool has_failed = true;

    (void)state;

    for (unsigned n = 1; has_failed; n++) {
        hostvm_virtio_t *made;

        inject_fail_nth(n);
        made = attached_device(vm, &config);
        has_failed = inject_disarm();
        assert_true((made == NULL) == has_failed);
        hostvm_virtio_destroy(made);
        assert_int_equal(driver_irqs->nr_irqfds, 0);
        assert_int_equal(driver_irqs->nr_bells, 0);
        assert_true(n < 100);
    }
    driver_end();
}

/* --- features and status --- */

static uint64_t offered(void)
{
    return virtio_offered(device, 0) | (uint64_t)virtio_offered(device, 1) << 32;
}

static void test_features_of_queues_are_offered_beside_its_own(void **state)
{
    hostvm_virtio_config_t config = config_of();

    (void)state;
    begin();
    assert_int_equal(offered(), OWN_FEATURES | VIRTIO_F_VERSION_1 | VIRTIO_F_OF_QUEUES);
    assert_int_equal(virtio_offered(device, 2), 0);
    assert_int_equal(virtio_offered(device, UINT32_MAX), 0);
    end();
    config.without = HOSTVM_VIRTIO_F_RING_PACKED;
    device = hostvm_virtio_create(driver_begin(), &config);
    assert_non_null(device);
    assert_int_equal(offered() & VIRTIO_F_OF_QUEUES,
                     HOSTVM_VIRTIO_F_EVENT_IDX | HOSTVM_VIRTIO_F_INDIRECT_DESC);
    end();
}

static unsigned status(void)
{
    return atomic_load(&device->status);
}

static void accept_features(uint64_t features)
{
    virtio_set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    virtio_accept(device, 0, (uint32_t)features);
    virtio_accept(device, 1, (uint32_t)(features >> 32));
    virtio_accept(device, 2, UINT32_MAX);
    virtio_set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

static void test_features_are_agreed_on_or_not(void **state)
{
    static const struct {
        uint64_t features;
        bool is_good;
    } cases[] = {
        {VIRTIO_F_VERSION_1, true},
        {VIRTIO_F_VERSION_1 | OWN_FEATURES | VIRTIO_F_OF_QUEUES, true},
        {0, false},                                 /* a legacy driver */
        {OWN_FEATURES | VIRTIO_F_OF_QUEUES, false}, /* likewise */
        {VIRTIO_F_VERSION_1 | 1, false},            /* not offered */
        {VIRTIO_F_VERSION_1 | 1ull << 33, false},   /* behind an IOMMU: not offered */
        {UINT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        accept_features(cases[i].features);
        assert_int_equal((status() & VIRTIO_FEATURES_OK) != 0, cases[i].is_good);
        virtio_set_status(device, (uint8_t)(status() | VIRTIO_DRIVER_OK));
        assert_int_equal(asked.nr_starts, cases[i].is_good);
        if (cases[i].is_good) { /* too late */
            virtio_accept(device, 0, 0);
            assert_int_equal(virtio_accepted(device, 0), (uint32_t)cases[i].features);
            assert_int_equal(asked.features, cases[i].features & OWN_FEATURES);
        }
        end();
    }
}

static void test_start_and_stop_come_in_pairs(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 1; i <= 3; i++) {
        driver_start(device, 0, 16);
        assert_int_equal(asked.nr_starts, i);
        assert_true(hostvm_virtqueue_is_ready(hostvm_virtio_queue(device, 1)));
        virtio_set_status(device, (uint8_t)(status() | VIRTIO_DRIVER_OK));
        assert_int_equal(asked.nr_starts, i);
        virtio_set_status(device, 0);
        assert_int_equal(asked.nr_stops, i);
        assert_int_equal(status(), 0);
        assert_false(hostvm_virtqueue_is_ready(hostvm_virtio_queue(device, 1)));
        virtio_set_status(device, 0);
        assert_int_equal(asked.nr_stops, i);
    }
    driver_start(device, 0, 16);
    hostvm_virtio_destroy(device);
    assert_int_equal(asked.nr_stops, 4);
    driver_end();
}

static void test_a_start_that_fails_needs_a_reset_and_no_stop(void **state)
{
    (void)state;
    begin();
    asked.start_result = -1;
    driver_start(device, 0, 16);
    assert_true((status() & VIRTIO_NEEDS_RESET) != 0);
    virtio_set_status(device, 0);
    assert_int_equal(asked.nr_stops, 0);
    asked.start_result = 0;
    driver_start(device, 0, 16);
    assert_int_equal(status() & VIRTIO_NEEDS_RESET, 0);
    end();
}

/* The driver cannot set or clear what is the device's, nor clear what it has set. */
static void test_status_bits_only_come(void **state)
{
    (void)state;
    begin();
    virtio_set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_NEEDS_RESET);
    assert_int_equal(status(), VIRTIO_ACKNOWLEDGE);
    virtio_set_status(device, VIRTIO_DRIVER);
    assert_int_equal(status(), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    hostvm_virtio_fail(device, "of a test");
    assert_string_equal(driver_said, "virtio device 42 is in need of a reset: of a test");
    assert_true((status() & VIRTIO_NEEDS_RESET) != 0);
    accept_features(VIRTIO_F_VERSION_1);
    virtio_set_status(device, (uint8_t)(status() | VIRTIO_DRIVER_OK));
    assert_int_equal(asked.nr_starts, 0);
    end();
}

static void test_queues_outside_of_memory_keep_the_device_from_starting(void **state)
{
    (void)state;
    for (unsigned area = 0; area < 3; area++) {
        for (unsigned kind = 0; kind < 2; kind++) {
            struct hostvm_virtqueue *queue;
            uint64_t *address;

            begin();
            driver_start(device, kind == 0 ? 0 : HOSTVM_VIRTIO_F_RING_PACKED, 16);
            queue = hostvm_virtio_queue(device, 0);
            address = area == 0   ? &queue->descriptors
                      : area == 1 ? &queue->driver_area
                                  : &queue->device_area;
            for (unsigned bad = 0; bad < 3; bad++) {
                static const uint64_t gpas[] = {DRIVER_RAM, UINT64_MAX - 15, 0x1001};
                uint64_t features =
                    VIRTIO_F_VERSION_1 | (kind == 0 ? 0 : HOSTVM_VIRTIO_F_RING_PACKED);

                virtio_set_status(device, 0);
                accept_features(features);
                driver_set_up(0, 16);
                virtio_queue_enable(queue, false);
                *address = gpas[bad];
                virtio_queue_enable(queue, true);
                asked.nr_starts = 0;
                virtio_set_status(device, (uint8_t)(status() | VIRTIO_DRIVER_OK));
                assert_int_equal(asked.nr_starts, 0);
                assert_true((status() & VIRTIO_NEEDS_RESET) != 0);
                assert_false(hostvm_virtqueue_is_ready(queue));
            }
            asked.nr_stops = 0;
            end();
            assert_int_equal(asked.nr_stops, 0);
        }
    }
}

static void test_queues_are_set_up_before_the_start_alone(void **state)
{
    struct hostvm_virtqueue *queue;

    (void)state;
    begin();
    driver_start(device, 0, 16);
    queue = hostvm_virtio_queue(device, 0);
    virtio_queue_set_size(queue, 8);
    virtio_queue_set_address(queue, &queue->descriptors, 1, 1);
    virtio_queue_enable(queue, false);
    assert_true(queue->is_enabled);
    assert_int_equal(queue->size, 16);
    assert_int_equal(queue->descriptors, RINGS_GPA);
    assert_null(hostvm_virtio_queue(device, NR_QUEUES));
    assert_null(hostvm_virtio_queue(device, UINT32_MAX));
    assert_null(hostvm_virtio_queue(NULL, 0));
    end();
}

static void test_sizes_of_queues_are_what_rings_can_have(void **state)
{
    static const uint32_t bad[] = {0, 3, 32, 65535, 65536, UINT32_MAX};
    struct hostvm_virtqueue *queue;

    (void)state;
    begin();
    queue = hostvm_virtio_queue(device, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        virtio_queue_set_size(queue, bad[i]);
        assert_int_equal(queue->size, 16);
    }
    virtio_queue_set_size(queue, 8);
    assert_int_equal(queue->size, 8);
    accept_features(VIRTIO_F_VERSION_1 | HOSTVM_VIRTIO_F_RING_PACKED);
    virtio_queue_set_size(queue, 5);
    assert_int_equal(queue->size, 5);
    end();
}

/* --- configuration space --- */

static void test_configuration_is_read_within_its_bounds(void **state)
{
    uint8_t bytes[8];

    (void)state;
    begin();
    virtio_read_config(device, 1, bytes, 4);
    assert_memory_equal(bytes, "1234", 4);
    virtio_read_config(device, CONFIG_SIZE - 2, bytes, 8);
    assert_memory_equal(bytes, "ab\0\0\0\0\0\0", 8);
    virtio_read_config(device, CONFIG_SIZE, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    virtio_read_config(device, SIZE_MAX, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    end();
}

static void test_configuration_is_written_by_the_device_alone(void **state)
{
    uint8_t bytes[4];

    (void)state;
    begin();
    virtio_write_config(device, 2, "xy", 2);
    assert_int_equal(asked.nr_writes, 1);
    assert_int_equal(asked.offset, 2);
    assert_memory_equal(asked.bytes, "xy", 2);
    virtio_write_config(device, CONFIG_SIZE - 1, "xy", 2);
    virtio_write_config(device, SIZE_MAX, "xy", 2);
    assert_int_equal(asked.nr_writes, 1);
    virtio_read_config(device, 2, bytes, 2);
    assert_memory_equal(bytes, "23", 2);
    end();
}

static void test_changes_of_the_configuration_are_told(void **state)
{
    unsigned generation;
    uint8_t bytes[4];

    (void)state;
    begin();
    assert_int_equal(hostvm_virtio_set_config(device, 0, "AB", 2), 0);
    assert_int_equal(driver.nr_config_interrupts, 0);
    driver_start(device, 0, 16);
    generation = atomic_load(&device->generation);
    assert_int_equal(hostvm_virtio_set_config(device, CONFIG_SIZE - 2, "YZ", 2), 0);
    assert_int_equal(driver.nr_config_interrupts, 1);
    assert_int_not_equal(atomic_load(&device->generation), generation);
    virtio_read_config(device, 0, bytes, 3);
    assert_memory_equal(bytes, "AB2", 3);
    assert_int_equal(hostvm_virtio_set_config(device, CONFIG_SIZE - 1, "YZ", 2), -1);
    assert_string_equal(driver_said, "virtio device 42 has 12 bytes of configuration, not 13");
    assert_int_equal(driver.nr_config_interrupts, 1);
    end();
}

/* --- registers in memory (virtio 1.2, 4.2.2) --- */

static void begin_mmio(void)
{
    begin();
    driver.device = device;
    assert_int_equal(hostvm_virtio_attach_mmio(device, GPA, GSI), 0);
}

static uint32_t in(unsigned offset)
{
    return (uint32_t)virtio_mmio_read(device, offset, 4);
}

static void out(unsigned offset, uint32_t value)
{
    virtio_mmio_write(device, offset, 4, value);
}

static void test_a_driver_finds_and_starts_it_by_registers(void **state)
{
    struct hostvm_virtqueue *queue;

    (void)state;
    begin_mmio();
    assert_int_equal(in(0x00), 0x74726976);
    assert_int_equal(in(0x04), 2);
    assert_int_equal(in(0x08), ID);
    assert_int_equal(in(0x10), (uint32_t)(OWN_FEATURES | VIRTIO_F_OF_QUEUES));
    out(0x14, 1);
    assert_int_equal(in(0x10),
                     (uint32_t)((OWN_FEATURES | VIRTIO_F_OF_QUEUES | VIRTIO_F_VERSION_1) >> 32));
    out(0x70, 3);
    out(0x24, 1);
    out(0x20, 1);
    out(0x70, 11);
    assert_int_equal(in(0x70), 11);
    out(0x30, 1);
    assert_int_equal(in(0x34), 64);
    out(0x38, 16);
    out(0x80, RINGS_GPA);
    out(0x90, RINGS_GPA + 0x1000);
    out(0xa0, RINGS_GPA + 0x2000);
    out(0x84, 0);
    out(0x94, 0);
    out(0xa4, 0);
    out(0x44, 1);
    assert_int_equal(in(0x44), 1);
    out(0x30, NR_QUEUES);
    assert_int_equal(in(0x34), 0);
    assert_int_equal(in(0x44), 0);
    out(0x70, 15);
    assert_int_equal(asked.nr_starts, 1);
    queue = hostvm_virtio_queue(device, 1);
    assert_true(hostvm_virtqueue_is_ready(queue));
    assert_int_equal(queue->size, 16);
    assert_false(hostvm_virtqueue_is_ready(hostvm_virtio_queue(device, 0)));
    assert_int_equal(virtio_mmio_read(device, 0x100 + 3, 1), '3');
    virtio_mmio_write(device, 0x100 + 4, 8, 0x4847464544434241);
    assert_int_equal(asked.size, 8);
    assert_memory_equal(asked.bytes, "ABCDEFGH", 8);
    end();
}

/* A length of -1 is none (4.2.2); of 0 there would be one, which Linux's virtiofs takes ill. */
static void test_there_is_no_shared_memory_of_any_number(void **state)
{
    (void)state;
    begin_mmio();
    for (uint32_t number = 0; number < 3; number++) {
        out(0xac, number);
        for (unsigned offset = 0xb0; offset <= 0xbc; offset += 4) {
            assert_int_equal(in(offset), UINT32_MAX);
        }
    }
    end();
}

static void test_interrupts_tell_why_until_they_are_acknowledged(void **state)
{
    (void)state;
    begin_mmio();
    accept_features(VIRTIO_F_VERSION_1);
    driver_set_up(0, 16);
    out(0x70, 15);
    assert_int_equal(in(0x60), 0);
    driver_add(0, &(struct piece){BUFFERS_GPA, 16, true}, 1);
    {
        struct iovec piece;
        hostvm_virtio_buffer_t buffer = {.iov = &piece, .iov_max = 1};
        hostvm_virtqueue_t *queue = hostvm_virtio_queue(device, 0);

        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        hostvm_virtqueue_push(queue, &buffer, 0);
        hostvm_virtqueue_publish(queue);
    }
    assert_int_equal(in(0x60), 1);
    assert_int_equal(hostvm_virtio_set_config(device, 0, "A", 1), 0);
    assert_int_equal(in(0x60), 3);
    out(0x64, 1);
    assert_int_equal(in(0x60), 2);
    out(0x64, 2);
    assert_int_equal(in(0x60), 0);
    end();
}

static void test_notifications_that_exit_reach_the_queue(void **state)
{
    (void)state;
    begin_mmio();
    assert_false(is_readable_fd(hostvm_virtqueue_fd(hostvm_virtio_queue(device, 1))));
    out(0x50, NR_QUEUES);
    out(0x50, UINT32_MAX);
    out(0x50, 1);
    assert_true(is_readable_fd(hostvm_virtqueue_fd(hostvm_virtio_queue(device, 1))));
    assert_false(is_readable_fd(hostvm_virtqueue_fd(hostvm_virtio_queue(device, 0))));
    end();
}

/* Whatever a guest writes, wherever, as widely as it likes. */
static void test_any_access_anywhere_is_harmless(void **state)
{
    enum { ROUNDS = 200000 };

    (void)state;
    begin_mmio();
    srand(1);
    for (int i = 0; i < ROUNDS; i++) {
        static const size_t widths[] = {1, 2, 4, 4, 4, 4, 8};
        static const uint32_t values[] = {0, 1, 2, 3, 7, 11, 15, 64, 128, 0x1000, 0x2000, 0x3000};
        unsigned offset = (unsigned)rand() % (i % 4 == 0 ? HOSTVM_VIRTIO_MMIO_SIZE : 0x110);
        size_t width = widths[(size_t)rand() % (sizeof(widths) / sizeof(widths[0]))];
        uint64_t value = rand() % 8 == 0 ? (uint64_t)rand() << 33 ^ (uint64_t)rand()
                                         : values[(size_t)rand() % (sizeof(values) / 4)];

        if (rand() % 4 != 0) {
            offset &= ~3u;
        }
        if (i % 100 == 0) { /* or chance would hardly ever start it */
            virtio_set_status(device, 0);
            accept_features(VIRTIO_F_VERSION_1 | (uint64_t)(rand() % 2) << 34);
            driver_set_up(0, 16);
            out(0x70, 15);
        }
        if (rand() % 3 == 0) {
            (void)virtio_mmio_read(device, offset, width);
        } else {
            virtio_mmio_write(device, offset, width, value);
        }
    }
    assert_true(asked.nr_starts > 0);
    out(0x70, 0);
    assert_true(asked.nr_starts == asked.nr_stops);
    end();
}

static void test_a_device_is_attached_once_and_where_there_is_room(void **state)
{
    hostvm_virtio_t *other;
    const hostvm_virtio_config_t config = config_of();

    (void)state;
    begin_mmio();
    assert_int_equal(hostvm_virtio_attach_mmio(NULL, GPA, GSI), -1);
    assert_int_equal(hostvm_virtio_attach_mmio(device, GPA + 0x1000, GSI), -1);
    assert_string_equal(driver_said, "cannot attach virtio device 42: it is attached already");
    other = hostvm_virtio_create(&driver.vm, &config);
    assert_non_null(other);
    assert_int_equal(hostvm_virtio_attach_mmio(other, GPA + 0x800, GSI), -1);
    assert_string_equal(driver_said,
                        "cannot attach virtio device 42 at 0x10000800: that is no multiple of "
                        "0x1000");
    assert_int_equal(hostvm_virtio_attach_mmio(other, GPA, GSI), -1);
    assert_int_equal(hostvm_virtio_attach_mmio(other, GPA + 0x1000, 5000), -1);
    assert_int_equal(hostvm_virtio_attach_mmio(other, GPA + 0x1000, GSI + 1), 0);
    hostvm_virtio_destroy(other);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driver_test(test_what_is_no_device_is_refused),
        driver_test(test_a_device_is_made_whole_or_not_at_all),
        driver_test(test_features_of_queues_are_offered_beside_its_own),
        driver_test(test_features_are_agreed_on_or_not),
        driver_test(test_start_and_stop_come_in_pairs),
        driver_test(test_a_start_that_fails_needs_a_reset_and_no_stop),
        driver_test(test_status_bits_only_come),
        driver_test(test_queues_outside_of_memory_keep_the_device_from_starting),
        driver_test(test_queues_are_set_up_before_the_start_alone),
        driver_test(test_sizes_of_queues_are_what_rings_can_have),
        driver_test(test_configuration_is_read_within_its_bounds),
        driver_test(test_configuration_is_written_by_the_device_alone),
        driver_test(test_changes_of_the_configuration_are_told),
        driver_test(test_a_driver_finds_and_starts_it_by_registers),
        driver_test(test_there_is_no_shared_memory_of_any_number),
        driver_test(test_interrupts_tell_why_until_they_are_acknowledged),
        driver_test(test_notifications_that_exit_reach_the_queue),
        driver_test(test_any_access_anywhere_is_harmless),
        driver_test(test_a_device_is_attached_once_and_where_there_is_room),
    };

    return cmocka_run_group_tests_name("virtio_device", tests, NULL, NULL);
}
