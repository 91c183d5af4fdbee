/* Virtio devices as PCI functions, without KVM: what a driver finds there and does with it, and a
 * guest that does what it likes. */
#include "virtio_driver.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/error.h>
#include <hostvm/pci.h>

#include "pci/bus.h"
#include "support/envs.h"
#include "support/fake_irqs.h"
#include "support/inject.h"

enum {
    ECAM = 0x3f000000,
    WINDOW = 0x10000000,
    WINDOW_SIZE = 0x1000000,
    NR_QUEUES = 3,
    QUEUE_SIZE = 16,
    MEMORY = 2,
    MASTER = 4,
    MSIX_ENABLE = 0x8000,
    NO_VECTOR = 0xffff,
};

/* Of the common configuration (virtio 1.2, 4.1.4.3). */
enum {
    DEVICE_FEATURES_SELECT = 0x00,
    DEVICE_FEATURES = 0x04,
    DRIVER_FEATURES_SELECT = 0x08,
    DRIVER_FEATURES = 0x0c,
    CONFIG_VECTOR = 0x10,
    STATUS = 0x14,
    GENERATION = 0x15,
    SELECT = 0x16,
    SIZE = 0x18,
    VECTOR = 0x1a,
    ENABLE = 0x1c,
    NOTIFY_OFFSET = 0x1e,
    DESCRIPTORS = 0x20,
    DRIVER_AREA = 0x28,
    DEVICE_AREA = 0x30,
};

static struct fake_irqs *kvm;
static hostvm_pci_bus_t *bus;
static hostvm_virtio_t *device;
static unsigned nr_starts, nr_stops, nr_config_writes;

static int start(void *cookie, uint64_t features)
{
    (void)cookie;
    (void)features;
    assert_int_equal(nr_starts, nr_stops);
    nr_starts++;
    return 0;
}

static void stop(void *cookie)
{
    (void)cookie;
    nr_stops++;
    assert_int_equal(nr_starts, nr_stops);
}

static void write_config(void *cookie, size_t offset, const void *bytes, size_t size)
{
    (void)cookie;
    assert_true(offset + size <= 12);
    nr_config_writes++;
    assert_int_equal(hostvm_virtio_set_config(device, offset, bytes, size), 0);
}

static const hostvm_virtio_ops_t ops = {start, stop, write_config};
static const uint16_t sizes[NR_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, 64};
static const uint8_t first_config[12] = "hello world";

static hostvm_virtio_t *make(uint16_t id)
{
    const hostvm_virtio_config_t config = {
        .id = id,
        .features = 0x21,
        .nr_queues = NR_QUEUES,
        .queue_sizes = sizes,
        .config = first_config,
        .config_size = sizeof(first_config),
        .ops = &ops,
    };
    hostvm_virtio_t *made = hostvm_virtio_create(&driver.vm, &config);

    assert_non_null(made);
    return made;
}

static unsigned first_gsi(void)
{
#if defined(__x86_64__)
    return 20;
#else
    return 35;
#endif
}

static int set_up(void **state)
{
    const hostvm_pci_bus_config_t config = {
        .ecam = ECAM,
        .memory = {WINDOW, WINDOW_SIZE},
        .gsi = {first_gsi(), first_gsi() + 1, first_gsi() + 2, first_gsi() + 3},
    };

    (void)driver_leak_begin(state);
    (void)driver_begin();
    kvm = driver.irqs;
    nr_starts = nr_stops = nr_config_writes = 0;
    bus = hostvm_pci_bus_create(&driver.vm, &config);
    assert_non_null(bus);
    device = make(42);
    assert_int_equal(hostvm_virtio_attach_pci(device, bus, 2), 0);
    driver.device = device;
    return 0;
}

static int tear_down(void **state)
{
    (void)inject_disarm();
    hostvm_virtio_destroy(device);
    assert_int_equal(nr_starts, nr_stops);
    assert_int_equal(kvm->nr_bells, 0);
    hostvm_pci_bus_destroy(bus);
    driver_end();
    return driver_leak_end(state);
}

/* --- a driver's ways --- */

static uint64_t mask_of(size_t size)
{
    return size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1;
}

static uint64_t config_of(unsigned slot, unsigned offset, size_t size)
{
    return hostvm_pci_read_config(bus, slot << 15 | offset, size) & mask_of(size);
}

static uint64_t config_read(unsigned offset, size_t size)
{
    return config_of(2, offset, size);
}

static void config_write(unsigned offset, size_t size, uint64_t value)
{
    hostvm_pci_write_config(bus, 2u << 15 | offset, size, value);
}

/* The n-th capability with this id, and, of a vendor's, of this type; 0: there is none. */
static unsigned find_capability(uint8_t id, unsigned type)
{
    for (unsigned at = (unsigned)config_read(0x34, 1); at != 0;
         at = (unsigned)config_read(at + 1, 1)) {
        if (config_read(at, 1) == id && (id != 9 || config_read(at + 3, 1) == type)) {
            return at;
        }
    }
    return 0;
}

static uint64_t bar_of(unsigned index)
{
    return config_read(0x10 + 4 * index, 4) & ~15ull;
}

/* Where a structure is. */
static uint64_t place_of(unsigned type)
{
    unsigned at = find_capability(9, type);

    assert_int_not_equal(at, 0);
    return bar_of((unsigned)config_read(at + 4, 1)) + config_read(at + 8, 4);
}

static uint64_t read_common(unsigned offset, size_t size)
{
    return pci_memory_read(bus, place_of(1) + offset, size);
}

static void write_common(unsigned offset, size_t size, uint64_t value)
{
    pci_memory_write(bus, place_of(1) + offset, size, value);
}

static void accept_features(uint64_t features)
{
    for (unsigned word = 0; word < 2; word++) {
        write_common(DRIVER_FEATURES_SELECT, 4, word);
        write_common(DRIVER_FEATURES, 4, (uint32_t)(features >> 32 * word));
    }
}

/* As 3.1.1 has it; the rings are where virtio_driver.h has them. */
static void start_device(void)
{
    config_write(4, 2, MEMORY | MASTER);
    write_common(STATUS, 1, 0);
    write_common(STATUS, 1, 1 | 2);
    accept_features(VIRTIO_F_VERSION_1);
    write_common(STATUS, 1, 1 | 2 | 8);
    assert_int_equal(read_common(STATUS, 1), 1 | 2 | 8);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        driver_set_up(i, QUEUE_SIZE); /* for its own books */
        virtqueue_reset(driver.queues[i].queue);
        write_common(SELECT, 2, i);
        write_common(SIZE, 2, QUEUE_SIZE);
        write_common(DESCRIPTORS, 4, driver_area_of(i, 0));
        write_common(DESCRIPTORS + 4, 4, 0);
        write_common(DRIVER_AREA, 8, driver_area_of(i, 1));
        write_common(DEVICE_AREA, 8, driver_area_of(i, 2));
        write_common(VECTOR, 2, NO_VECTOR);
        write_common(ENABLE, 2, 1);
    }
    write_common(STATUS, 1, 1 | 2 | 8 | 4);
    assert_int_equal(nr_starts, nr_stops + 1);
}

/* A buffer comes and goes. */
static void serve(unsigned index)
{
    const struct piece piece = {BUFFERS_GPA, 64, true};
    struct iovec pieces[4];
    hostvm_virtio_buffer_t buffer = {.iov = pieces, .iov_max = 4};
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(device, index);

    driver_add(index, &piece, 1);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
    hostvm_virtqueue_push(queue, &buffer, 64);
    hostvm_virtqueue_publish(queue);
}

/* KVM has it; on Arm only from the first start on. */
static int line(void)
{
    int level = bus->nr_raising[2] > 0;

#if defined(__x86_64__)
    assert_int_equal(kvm->level[first_gsi() + 2], level);
#endif
    return level;
}

/* --- what is found --- */

static void test_the_function_says_what_it_is(void **state)
{
    static const struct {
        uint16_t id;
        uint32_t class_code;
    } kinds[] = {{1, 0x020000},  {2, 0x010000},  {3, 0x078000},  {4, 0xff0000},
                 {5, 0xff0000},  {8, 0x010000},  {16, 0x038000}, {18, 0x098000},
                 {19, 0x078000}, {26, 0x018000}, {42, 0xff0000}};

    (void)state;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        hostvm_virtio_t *other = make(kinds[i].id);

        assert_int_equal(hostvm_virtio_attach_pci(other, bus, -1), 0);
        assert_int_equal(config_of(0, 0, 4), (0x1040u + kinds[i].id) << 16 | 0x1af4);
        assert_int_equal(config_of(0, 8, 4), kinds[i].class_code << 8 | 1);
        assert_int_equal(config_of(0, 0x2c, 4), (0x40u + kinds[i].id) << 16 | 0x1af4);
        assert_int_equal(config_of(0, 0x3d, 1), 1);
        hostvm_virtio_destroy(other);
    }
    assert_int_equal(config_of(0, 0, 4), 0xffffffff);
}

static void test_structures_are_found_through_capabilities(void **state)
{
    static const struct {
        unsigned type, offset, size, length;
    } structures[] = {
        {1, 0, 0x3c, 16}, {2, 0x3000, 12, 20}, {3, 0x1000, 1, 16}, {4, 0x2000, 12, 16}};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        unsigned at = find_capability(9, structures[i].type);

        assert_int_not_equal(at, 0);
        assert_int_equal(config_read(at + 2, 1), structures[i].length);
        assert_int_equal(config_read(at + 4, 4), 0);
        assert_int_equal(config_read(at + 8, 4), structures[i].offset);
        assert_int_equal(config_read(at + 12, 4), structures[i].size);
    }
    assert_int_equal(config_read(find_capability(9, 2) + 16, 4), 4);
    assert_int_not_equal(find_capability(9, 5), 0);
    assert_int_equal(config_read(find_capability(0x11, 0) + 2, 2), NR_QUEUES);
}

static void test_a_device_without_configuration_has_no_structure_for_it(void **state)
{
    const hostvm_virtio_config_t config = {.id = 4, .ops = &ops};
    hostvm_virtio_t *other = hostvm_virtio_create(&driver.vm, &config);

    (void)state;
    hostvm_virtio_destroy(device);
    device = other;
    assert_int_equal(hostvm_virtio_attach_pci(device, bus, 2), 0);
    assert_int_equal(find_capability(9, 4), 0);
    assert_int_not_equal(find_capability(9, 5), 0);
    config_write(4, 2, MEMORY);
    assert_int_equal(pci_memory_read(bus, bar_of(0) + 0x2000, 4), 0);
}

/* --- the common configuration --- */

static void test_features_come_in_halves(void **state)
{
    (void)state;
    config_write(4, 2, MEMORY);
    assert_int_equal(read_common(DEVICE_FEATURES, 4) & 0xffffff, 0x21);
    write_common(DEVICE_FEATURES_SELECT, 4, 1);
    assert_int_equal(read_common(DEVICE_FEATURES_SELECT, 4), 1);
    assert_int_equal(read_common(DEVICE_FEATURES, 4) & 1, 1);
    write_common(DEVICE_FEATURES_SELECT, 4, 2);
    assert_int_equal(read_common(DEVICE_FEATURES, 4), 0);
    write_common(STATUS, 1, 3);
    accept_features(VIRTIO_F_VERSION_1 | 0x20);
    assert_int_equal(read_common(DRIVER_FEATURES_SELECT, 4), 1);
    assert_int_equal(read_common(DRIVER_FEATURES, 4), 1);
    write_common(DRIVER_FEATURES_SELECT, 4, 0);
    assert_int_equal(read_common(DRIVER_FEATURES, 4), 0x20);
}

static void test_registers_tell_what_was_written(void **state)
{
    (void)state;
    start_device();
    assert_int_equal(read_common(0x12, 2), NR_QUEUES);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        write_common(SELECT, 2, i);
        assert_int_equal(read_common(SELECT, 2), i);
        assert_int_equal(read_common(SIZE, 2), QUEUE_SIZE);
        assert_int_equal(read_common(ENABLE, 2), 1);
        assert_int_equal(read_common(NOTIFY_OFFSET, 2), i);
        assert_int_equal(read_common(DESCRIPTORS, 8), driver_area_of(i, 0));
        assert_int_equal(read_common(DRIVER_AREA, 4), driver_area_of(i, 1));
        assert_int_equal(read_common(DEVICE_AREA + 4, 4), 0);
    }
    write_common(ENABLE, 2, 0); /* is no way to disable it */
    assert_int_equal(read_common(ENABLE, 2), 1);
    write_common(SELECT, 2, NR_QUEUES);
    for (unsigned offset = SIZE; offset < 0x38; offset += 2) {
        assert_int_equal(read_common(offset, 2), 0);
        write_common(offset, 2, 0xffff);
    }
}

static void test_accesses_of_other_widths_are_to_nothing(void **state)
{
    (void)state;
    start_device();
    assert_int_equal(read_common(STATUS, 2), 0);
    assert_int_equal(read_common(STATUS, 4), 0);
    assert_int_equal(read_common(SELECT, 1), 0);
    assert_int_equal(read_common(DESCRIPTORS + 4, 8), 0);
    assert_int_equal(read_common(DEVICE_FEATURES_SELECT, 8), 0);
    assert_int_equal(read_common(0x38, 8), 0);
    write_common(STATUS, 4, 0);
    assert_int_equal(read_common(STATUS, 1), 15);
    assert_int_equal(pci_memory_read(bus, place_of(2), 4), 0);
}

static void test_the_driver_resets_the_device(void **state)
{
    (void)state;
    start_device();
    write_common(CONFIG_VECTOR, 2, 0);
    write_common(SELECT, 2, 1);
    write_common(VECTOR, 2, 2);
    write_common(STATUS, 1, 0);
    assert_int_equal(nr_stops, 1);
    assert_int_equal(read_common(STATUS, 1), 0);
    assert_int_equal(read_common(SELECT, 2), 0);
    assert_int_equal(read_common(CONFIG_VECTOR, 2), NO_VECTOR);
    write_common(SELECT, 2, 1);
    assert_int_equal(read_common(VECTOR, 2), NO_VECTOR);
    assert_int_equal(read_common(ENABLE, 2), 0);
}

/* --- configuration of the device --- */

static void test_configuration_is_read_and_written_with_any_width(void **state)
{
    uint64_t at;

    (void)state;
    start_device();
    at = place_of(4);
    assert_int_equal(pci_memory_read(bus, at, 1), 'h');
    assert_int_equal(pci_memory_read(bus, at + 6, 4), 0x6c726f77);
    assert_int_equal(pci_memory_read(bus, at + 8, 8), 0x646c72);
    assert_int_equal(pci_memory_read(bus, at + 12, 4), 0);
    assert_int_equal(pci_memory_read(bus, at + 0xfff, 1), 0);
    pci_memory_write(bus, at + 4, 1, 'a');
    assert_int_equal(nr_config_writes, 1);
    assert_int_equal(pci_memory_read(bus, at + 4, 1), 'a');
    assert_int_equal(read_common(GENERATION, 1), 1);
    pci_memory_write(bus, at + 10, 4, 0); /* past its end */
    assert_int_equal(nr_config_writes, 1);
}

/* --- notifications --- */

static void test_each_queue_has_a_doorbell_of_its_own(void **state)
{
    uint64_t seen = 0;

    (void)state;
    assert_int_equal(kvm->nr_bells, 0);
    start_device();
    assert_int_equal(kvm->nr_bells, NR_QUEUES);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        assert_in_range(kvm->bells[i], place_of(2), place_of(2) + 8);
        seen |= 1u << (kvm->bells[i] - place_of(2));
    }
    assert_int_equal(seen, 0x111);
}

/* One that is no doorbell's: through configuration space, or where KVM refused. */
static void test_a_notification_that_exits_is_passed_on(void **state)
{
    eventfd_t count = 0;

    (void)state;
    start_device();
    pci_memory_write(bus, place_of(2) + 4, 2, 1);
    assert_int_equal(eventfd_read(hostvm_virtqueue_fd(hostvm_virtio_queue(device, 1)), &count), 0);
    assert_int_equal(count, 1);
    pci_memory_write(bus, place_of(2) + 4 * NR_QUEUES, 2, 1);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        assert_int_equal(eventfd_read(hostvm_virtqueue_fd(hostvm_virtio_queue(device, i)), &count),
                         -1);
    }
}

/* --- interrupts --- */

static void test_without_messages_the_line_is_raised_until_it_is_looked_at(void **state)
{
    (void)state;
    start_device();
    assert_int_equal(line(), 0);
    serve(1);
    assert_int_equal(line(), 1);
    assert_int_equal(hostvm_virtio_set_config(device, 0, "x", 1), 0);
    assert_int_equal(pci_memory_read(bus, place_of(3), 1), 3);
    assert_int_equal(line(), 0);
    assert_int_equal(pci_memory_read(bus, place_of(3), 1), 0);
    assert_int_equal(pci_memory_read(bus, place_of(3) + 1, 1), 0);
    serve(0);
    write_common(STATUS, 1, 0); /* a device that was reset interrupts nobody */
    assert_int_equal(line(), 0);
}

static bool is_signalled(unsigned vector)
{
    eventfd_t count;

    return eventfd_read(bus->functions[2]->msix.vectors[vector].fd, &count) == 0;
}

static void test_with_messages_each_queue_sends_its_own(void **state)
{
    (void)state;
    start_device();
    config_write(find_capability(0x11, 0) + 2, 2, MSIX_ENABLE);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        write_common(SELECT, 2, i);
        write_common(VECTOR, 2, i == 2 ? 1 : 2 + i); /* two of them share one */
        assert_int_equal(read_common(VECTOR, 2), i == 2 ? 1 : 2 + i);
    }
    write_common(CONFIG_VECTOR, 2, 1);
    serve(0);
    assert_true(is_signalled(2) && !is_signalled(1) && !is_signalled(3) && !is_signalled(0));
    serve(1);
    assert_true(is_signalled(3) && !is_signalled(1) && !is_signalled(2));
    serve(2);
    assert_true(is_signalled(1));
    assert_int_equal(hostvm_virtio_set_config(device, 0, "x", 1), 0);
    assert_true(is_signalled(1));
    assert_int_equal(line(), 0);
    assert_int_equal(pci_memory_read(bus, place_of(3), 1), 0);
}

static void test_a_vector_that_is_none_is_refused(void **state)
{
    (void)state;
    start_device();
    config_write(find_capability(0x11, 0) + 2, 2, MSIX_ENABLE);
    write_common(CONFIG_VECTOR, 2, NR_QUEUES + 1);
    assert_int_equal(read_common(CONFIG_VECTOR, 2), NO_VECTOR);
    write_common(SELECT, 2, 0);
    write_common(VECTOR, 2, 0x1234);
    assert_int_equal(read_common(VECTOR, 2), NO_VECTOR);
    serve(0); /* interrupts nobody */
    for (unsigned i = 0; i <= NR_QUEUES; i++) {
        assert_false(is_signalled(i));
    }
    write_common(VECTOR, 2, NR_QUEUES);
    assert_int_equal(read_common(VECTOR, 2), NR_QUEUES);
}

/* --- the way through configuration space --- */

static void aim(unsigned bar, uint32_t offset, uint32_t size)
{
    unsigned at = find_capability(9, 5);

    config_write(at + 4, 1, bar);
    config_write(at + 8, 4, offset);
    config_write(at + 12, 4, size);
}

static void test_structures_are_reached_through_configuration_space(void **state)
{
    unsigned at = find_capability(9, 5);

    (void)state;
    aim(0, STATUS, 1); /* memory is not even decoded */
    config_write(at + 16, 4, 3);
    assert_int_equal(config_read(at + 16, 4), 3);
    aim(0, 0x12, 2);
    assert_int_equal(config_read(at + 16, 4), NR_QUEUES);
    aim(0, 0x2000, 4);
    assert_int_equal(config_read(at + 16, 4), 0x6c6c6568);
    aim(0, DRIVER_FEATURES_SELECT, 4);
    config_write(at + 16, 4, 0x12345678);
    config_write(4, 2, MEMORY);
    assert_int_equal(read_common(DRIVER_FEATURES_SELECT, 4), 0x12345678);
}

static void test_an_aim_at_nothing_does_nothing(void **state)
{
    static const struct {
        unsigned bar, offset, size;
    } aims[] = {{1, STATUS, 1},     {2, STATUS, 1}, {0xff, STATUS, 1},     {0, STATUS, 0},
                {0, STATUS, 3},     {0, STATUS, 8}, {0, STATUS, 1u << 31}, {0, 0x4000, 1},
                {0, 0xfffffffc, 4}, {0, 0x11, 2},   {0, 0x3ffe, 4}};
    unsigned at = find_capability(9, 5);

    (void)state;
    config_write(at + 16, 4, 0xa5a5a5a5);
    for (unsigned i = 0; i < sizeof(aims) / sizeof(aims[0]); i++) {
        aim(aims[i].bar, aims[i].offset, aims[i].size);
        config_write(at + 16, 4, 0x5a5a5a01);
        assert_int_equal(config_read(at + 16, 4), 0x5a5a5a01);
    }
    config_write(4, 2, MEMORY);
    assert_int_equal(read_common(STATUS, 1), 0);
}

/* --- misuse and failures --- */

static void test_an_attachment_that_cannot_be_is_refused(void **state)
{
    hostvm_virtio_t *other = make(1);
    hostvm_virtio_t *odd = make(0xf000);

    (void)state;
    assert_int_equal(hostvm_virtio_attach_pci(NULL, bus, 0), -1);
    assert_reason("hostvm_virtio_attach_pci: no device or no bus given");
    assert_int_equal(hostvm_virtio_attach_pci(other, NULL, 0), -1);
    assert_int_equal(hostvm_virtio_attach_pci(device, bus, 0), -1);
    assert_reason("cannot attach virtio device 42: it is attached already");
    assert_int_equal(hostvm_virtio_attach_pci(other, bus, 2), -1);
    assert_reason("cannot add a PCI function: slot 2 is taken");
    assert_int_equal(hostvm_virtio_attach_pci(odd, bus, 0), -1);
    assert_reason("cannot attach virtio device 61440 to PCI: there is no such number there");
    assert_int_equal(hostvm_virtio_attach_mmio(device, 0x20000000, 40), -1);
    assert_int_equal(hostvm_virtio_attach_pci(other, bus, 0), 0);
    hostvm_virtio_destroy(other);
    hostvm_virtio_destroy(odd);
}

static void test_every_failure_of_an_attachment_is_undone(void **state)
{
    hostvm_virtio_t *other = make(1);
    unsigned n = 0;
    int r = -1;

    (void)state;
    while (r != 0) {
        struct leak_state before;

        leak_begin(&before);
        inject_fail_nth(++n);
        r = hostvm_virtio_attach_pci(other, bus, 0);
        assert_int_equal(inject_disarm(), r != 0);
        if (r != 0) {
            assert_int_equal(config_of(0, 0, 4), 0xffffffff);
            leak_check(&before);
        }
    }
    assert_in_range(n, NR_QUEUES + 4, 50);
    hostvm_virtio_destroy(other);
}

/* --- a guest that does what it likes --- */

static uint64_t dice(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t some_value(uint64_t *seed)
{
    static const uint64_t values[] = {0, 1, 2, 3, 15, 0xffff, UINT64_MAX, BUFFERS_GPA, RINGS_GPA};

    return dice(seed) % 3 == 0 ? dice(seed) : values[dice(seed) % 9];
}

static void use_queues(uint64_t *seed)
{
    struct iovec pieces[4];
    hostvm_virtio_buffer_t buffer = {.iov = pieces, .iov_max = 4};
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(device, (unsigned)dice(seed) % NR_QUEUES);

    if (hostvm_virtqueue_is_ready(queue) && hostvm_virtqueue_pop(queue, &buffer) > 0) {
        if (buffer.nr_in > 0) {
            memset(pieces[buffer.nr_out].iov_base, 0x55, pieces[buffer.nr_out].iov_len);
        }
        hostvm_virtqueue_push(queue, &buffer, buffer.in_size);
        hostvm_virtqueue_publish(queue);
    }
}

static uint64_t first_place, second_place;

/* It has lost its memory by now. */
static void find_memory_again(void)
{
    config_write(4, 2, 0);
    config_write(0x10, 8, first_place);
    config_write(0x18, 4, second_place);
    config_write(4, 2, MEMORY | MASTER);
}

static void play(uint64_t *seed)
{
    size_t size = 1 + dice(seed) % 8;
    uint64_t at = bar_of(dice(seed) % 4 == 0 ? 2 : 0) +
                  (dice(seed) % 2 == 0 ? dice(seed) % 0x40 : dice(seed) % 0x4100);

    if (dice(seed) % 2 == 0) {
        size = (size_t)1 << dice(seed) % 4;
        at &= ~(uint64_t)(size - 1);
    }
    switch (dice(seed) % 8) {
    case 0:
        config_write((unsigned)dice(seed) % 0x110, size, some_value(seed));
        break;
    case 1:
        (void)config_read((unsigned)dice(seed) % 0x110, size);
        break;
    case 2:
        (void)pci_memory_read(bus, at, size);
        break;
    case 3:
        use_queues(seed);
        break;
    case 4:
        memset(driver_at(RINGS_GPA + dice(seed) % 0x9000, 8), (int)dice(seed), 8);
        break;
    case 5:
        if (dice(seed) % 16 == 0) {
            find_memory_again();
            start_device();
        }
        break;
    default:
        pci_memory_write(bus, at, size, some_value(seed));
        break;
    }
}

static void test_a_guest_that_plays_breaks_nothing(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;

    (void)state;
    first_place = config_read(0x10, 8);
    second_place = config_read(0x18, 4);
    for (unsigned i = 0; i < 200000; i++) {
        if (i % 64 == 0) {
            find_memory_again();
        }
        play(&seed);
        assert_in_range(kvm->nr_bells, 0, NR_QUEUES);
    }
    find_memory_again();
    start_device();
    serve(0);
    assert_int_equal(config_read(0, 4), 0x106a1af4);
    assert_true(nr_starts > 100);
}

#define pci_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pci_test(test_the_function_says_what_it_is),
        pci_test(test_structures_are_found_through_capabilities),
        pci_test(test_a_device_without_configuration_has_no_structure_for_it),
        pci_test(test_features_come_in_halves),
        pci_test(test_registers_tell_what_was_written),
        pci_test(test_accesses_of_other_widths_are_to_nothing),
        pci_test(test_the_driver_resets_the_device),
        pci_test(test_configuration_is_read_and_written_with_any_width),
        pci_test(test_each_queue_has_a_doorbell_of_its_own),
        pci_test(test_a_notification_that_exits_is_passed_on),
        pci_test(test_without_messages_the_line_is_raised_until_it_is_looked_at),
        pci_test(test_with_messages_each_queue_sends_its_own),
        pci_test(test_a_vector_that_is_none_is_refused),
        pci_test(test_structures_are_reached_through_configuration_space),
        pci_test(test_an_aim_at_nothing_does_nothing),
        pci_test(test_an_attachment_that_cannot_be_is_refused),
        pci_test(test_every_failure_of_an_attachment_is_undone),
        pci_test(test_a_guest_that_plays_breaks_nothing),
    };

    return cmocka_run_group_tests_name("virtio_pci", tests, NULL, NULL);
}
