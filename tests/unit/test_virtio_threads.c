/* A queue whose driver and whose device are threads, each as fast as it can: no buffer is lost,
 * none comes twice, and nobody sleeps for good. Also for the thread sanitizer. */
#include "support/virtio_vm.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SIZE = 16,
    PACKED_SIZE = 13, /* what a buffer is made of also lies on both sides of the ring's end */
    SLOTS = 4,        /* buffers that are under way */
    DESCRIPTORS = 3,  /* of a buffer, at most */
    BUFFERS = 30000,
    PATIENCE_MS = 20000,
    ANSWER = 0x800,
};

/* --- the driver --- */

struct slot {
    uint64_t number;
    unsigned nr_descriptors;
    bool is_under_way;
};

struct side {
    bool is_packed, has_events;
    uint16_t size, next, next_used; /* split: the indices */
    bool wrap, used_wrap;
    struct split_descriptor *descriptors;
    struct packed_descriptor *packed;
    struct split_available *available;
    struct split_used *used;
    uint16_t *available_event; /* behind it */
    struct packed_events *driver_events, *device_events;
    struct slot slots[SLOTS];
    int irq_fd;
    hostvm_virtqueue_t *queue;
    unsigned nr_kicks, nr_sleeps;
};

static struct side side;
static atomic_uint nr_interrupts;

static void interrupt(struct hostvm_virtio *device, struct hostvm_virtqueue *queue)
{
    (void)device;
    (void)queue;
    (void)atomic_fetch_add(&nr_interrupts, 1);
    (void)eventfd_write(side.irq_fd, 1);
}

static void interrupt_config(struct hostvm_virtio *device)
{
    (void)device;
}

static const struct virtio_transport transport = {
    .interrupt_queue = interrupt,
    .interrupt_config = interrupt_config,
    .detach = driver_detached,
};

static uint8_t *bytes_of(unsigned slot)
{
    return driver_at(BUFFERS_GPA + slot * 0x1000ull, 0x1000);
}

/* The number in one piece or in two, then the place for the answer. */
static unsigned pieces_of(unsigned slot, uint64_t number, struct piece *ret)
{
    const uint64_t gpa = BUFFERS_GPA + slot * 0x1000ull;
    unsigned nr = 0;

    if (number % 3 == 0) {
        ret[nr++] = (struct piece){gpa, 3, false};
        ret[nr++] = (struct piece){gpa + 3, 5, false};
    } else {
        ret[nr++] = (struct piece){gpa, 8, false};
    }
    if (number % 5 != 0) {
        ret[nr++] = (struct piece){gpa + ANSWER, 8, true};
    }
    return nr;
}

static uint16_t flags_of(const struct piece *pieces, unsigned i, unsigned nr)
{
    return (uint16_t)((i + 1 < nr ? DESCRIPTOR_NEXT : 0) |
                      (pieces[i].is_writable ? DESCRIPTOR_WRITE : 0));
}

static void add_packed(unsigned slot, const struct piece *pieces, unsigned nr)
{
    struct packed_descriptor *first = &side.packed[side.next];
    uint16_t first_flags = 0;

    for (unsigned i = 0; i < nr; i++) {
        struct packed_descriptor *descriptor = &side.packed[side.next];
        uint16_t flags = flags_of(pieces, i, nr) | packed_flags(side.wrap);

        STORE(descriptor->address, pieces[i].gpa);
        STORE(descriptor->length, pieces[i].size);
        STORE(descriptor->id, (uint16_t)slot);
        if (i > 0) {
            STORE(descriptor->flags, flags);
        } else {
            first_flags = flags;
        }
        side.next++;
        if (side.next == side.size) {
            side.next = 0;
            side.wrap = !side.wrap;
        }
    }
    STORE_RELEASE(first->flags, first_flags);
}

static void add_split(unsigned slot, const struct piece *pieces, unsigned nr)
{
    uint16_t head = (uint16_t)(slot * DESCRIPTORS);

    for (unsigned i = 0; i < nr; i++) {
        struct split_descriptor *descriptor = &side.descriptors[head + i];

        STORE(descriptor->address, pieces[i].gpa);
        STORE(descriptor->length, pieces[i].size);
        STORE(descriptor->flags, flags_of(pieces, i, nr));
        STORE(descriptor->next, (uint16_t)(head + i + 1));
    }
    STORE(side.available->ring[side.next % side.size], head);
    side.next++;
    STORE_RELEASE(side.available->index, side.next);
}

/* As a fence, of which the thread sanitizer knows nothing. */
static void keep_order(void)
{
    static atomic_uint nobodys;

    (void)atomic_exchange(&nobodys, 0);
}

/* 2.7.10.1 and 2.8.10.1; before: where the next one was when the device was last told. */
static bool wants_kick(uint16_t before)
{
    uint16_t flags, place, event;

    keep_order();
    if (!side.is_packed) {
        event = LOAD(*side.available_event);
        return side.has_events ? event_is_due(event, side.next, before)
                               : (LOAD(side.used->flags) & SPLIT_NO_NOTIFY) == 0;
    }
    flags = LOAD_ACQUIRE(side.device_events->flags);
    if (flags != PACKED_EVENTS_AT_PLACE) {
        return flags != PACKED_EVENTS_DISABLE;
    }
    place = LOAD(side.device_events->place);
    event = place & 0x7fff;
    if (place >> 15 != side.wrap) {
        event = (uint16_t)(event - side.size);
    }
    return event_is_due(event, side.next, before);
}

static void add(unsigned slot, uint64_t number)
{
    struct piece pieces[DESCRIPTORS];
    unsigned nr = pieces_of(slot, number, pieces);
    const uint64_t none = 0;

    memcpy(bytes_of(slot), &number, sizeof(number));
    memcpy(bytes_of(slot) + ANSWER, &none, sizeof(none));
    side.slots[slot] = (struct slot){.number = number, .nr_descriptors = nr, .is_under_way = true};
    if (side.is_packed) {
        add_packed(slot, pieces, nr);
    } else {
        add_split(slot, pieces, nr);
    }
}

static bool has_used(void)
{
    uint16_t flags;

    if (!side.is_packed) {
        return LOAD_ACQUIRE(side.used->index) != side.next_used;
    }
    flags = LOAD_ACQUIRE(side.packed[side.next_used].flags);
    return ((flags & DESCRIPTOR_AVAILABLE) != 0) == side.used_wrap &&
           ((flags & DESCRIPTOR_USED) != 0) == side.used_wrap;
}

static void step_used(unsigned nr)
{
    side.next_used = (uint16_t)(side.next_used + nr);
    if (side.is_packed && side.next_used >= side.size) {
        side.next_used = (uint16_t)(side.next_used - side.size);
        side.used_wrap = !side.used_wrap;
    }
}

/* Whose answer is right. */
static void take(void)
{
    unsigned slot, written;
    uint64_t number, answer;

    if (side.is_packed) {
        slot = LOAD(side.packed[side.next_used].id);
        written = LOAD(side.packed[side.next_used].length);
    } else {
        slot = LOAD(side.used->ring[side.next_used % side.size].id) / DESCRIPTORS;
        written = LOAD(side.used->ring[side.next_used % side.size].length);
    }
    assert_in_range(slot, 0, SLOTS - 1);
    assert_true(side.slots[slot].is_under_way);
    side.slots[slot].is_under_way = false;
    number = side.slots[slot].number;
    memcpy(&answer, bytes_of(slot) + ANSWER, sizeof(answer));
    assert_int_equal(answer, number % 5 != 0 ? ~number : 0);
    assert_int_equal(written, number % 5 != 0 ? 8 : 0);
    step_used(side.is_packed ? side.slots[slot].nr_descriptors : 1);
}

static void ask_for_interrupts(bool wanted)
{
    uint16_t place = (uint16_t)(side.next_used | (side.used_wrap ? 0x8000 : 0));

    if (!side.is_packed && side.has_events) {
        STORE(side.available->ring[side.size], (uint16_t)(side.next_used - !wanted));
    } else if (!side.is_packed) {
        STORE(side.available->flags, (uint16_t)(wanted ? 0 : SPLIT_NO_INTERRUPT));
    } else if (!wanted) {
        STORE(side.driver_events->flags, (uint16_t)PACKED_EVENTS_DISABLE);
    } else if (side.has_events) {
        STORE(side.driver_events->place, place);
        STORE_RELEASE(side.driver_events->flags, (uint16_t)PACKED_EVENTS_AT_PLACE);
    } else {
        STORE(side.driver_events->flags, (uint16_t)PACKED_EVENTS_ENABLE);
    }
    keep_order();
}

static void sleep_until_interrupt(void)
{
    struct pollfd fd = {.fd = side.irq_fd, .events = POLLIN};
    eventfd_t count;

    ask_for_interrupts(true);
    if (!has_used()) {
        side.nr_sleeps++;
        if (poll(&fd, 1, PATIENCE_MS) != 1) {
            fail_msg("the driver sleeps for good");
        }
    }
    (void)eventfd_read(side.irq_fd, &count);
    ask_for_interrupts(false);
}

/* In batches of 1 to SLOTS, of which the device is told once. */
static void drive(unsigned nr_buffers)
{
    uint64_t number = 0;
    unsigned nr_taken = 0;

    ask_for_interrupts(false);
    while (nr_taken < nr_buffers) {
        uint16_t before = side.next;
        unsigned nr_added = 0;

        for (unsigned slot = 0; slot < SLOTS && number < nr_buffers; slot++) {
            if (!side.slots[slot].is_under_way && nr_added <= number % SLOTS) {
                add(slot, number++);
                nr_added++;
            }
        }
        if (side.is_packed && side.next < before) {
            before = (uint16_t)(before - side.size);
        }
        if (nr_added > 0 && wants_kick(before)) {
            side.nr_kicks++;
            virtio_kick(side.queue);
        }
        if (!has_used()) {
            sleep_until_interrupt();
        }
        for (; has_used(); nr_taken++) {
            take();
        }
    }
}

/* --- the device, by the functions that devices use --- */

static atomic_bool is_over;

static void answer(const hostvm_virtio_buffer_t *buffer)
{
    uint64_t number = 0;

    (void)hostvm_virtio_read(buffer, 0, &number, sizeof(number));
    number = ~number;
    hostvm_virtqueue_push(side.queue, buffer,
                          hostvm_virtio_write(buffer, 0, &number, sizeof(number)));
}

/* Up to three at a time, the last one first. */
static bool serve_some(unsigned nr)
{
    struct iovec iov[3][DESCRIPTORS];
    hostvm_virtio_buffer_t buffers[3];
    unsigned n = 0;

    while (n < nr) {
        buffers[n] = (hostvm_virtio_buffer_t){.iov = iov[n], .iov_max = DESCRIPTORS};
        if (hostvm_virtqueue_pop(side.queue, &buffers[n]) <= 0) {
            break;
        }
        n++;
    }
    for (unsigned i = n; i > 0; i--) {
        answer(&buffers[i - 1]);
    }
    hostvm_virtqueue_publish(side.queue);
    return n > 0;
}

static void *serve(void *cookie)
{
    struct pollfd fd = {.fd = hostvm_virtqueue_fd(side.queue), .events = POLLIN};
    eventfd_t count;

    (void)cookie;
    while (!atomic_load(&is_over)) {
        hostvm_virtqueue_disarm(side.queue);
        for (unsigned i = 0; serve_some(1 + i % 3); i++) {
        }
        if (!hostvm_virtqueue_rearm(side.queue)) {
            (void)poll(&fd, 1, -1);
            (void)eventfd_read(fd.fd, &count);
        }
    }
    return NULL;
}

/* --- both --- */

static void begin(uint64_t features)
{
    static const hostvm_virtio_ops_t ops = {.start = NULL};
    static const uint16_t sizes[] = {64};
    const hostvm_virtio_config_t config = {
        .id = 42, .nr_queues = 1, .queue_sizes = sizes, .ops = &ops};
    hostvm_virtio_t *device = hostvm_virtio_create(driver_begin(), &config);
    const struct driver_queue *q = &driver.queues[0];

    assert_non_null(device);
    side = (struct side){.is_packed = (features & HOSTVM_VIRTIO_F_RING_PACKED) != 0,
                         .has_events = (features & HOSTVM_VIRTIO_F_EVENT_IDX) != 0,
                         .wrap = true,
                         .used_wrap = true};
    side.size = side.is_packed ? PACKED_SIZE : SIZE;
    driver_start(device, features, side.size);
    device->transport = &transport;
    side.descriptors = q->descriptors;
    side.packed = q->packed;
    side.available = q->available;
    side.used = q->used;
    side.available_event = (void *)&q->used->ring[side.size];
    side.driver_events = q->driver_events;
    side.device_events = q->device_events;
    side.queue = hostvm_virtio_queue(device, 0);
    side.irq_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(side.irq_fd >= 0);
    atomic_store(&is_over, false);
    atomic_store(&nr_interrupts, 0);
}

static void run(uint64_t features)
{
    pthread_t thread;

    begin(features);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    drive(BUFFERS);
    atomic_store(&is_over, true);
    virtio_kick(side.queue);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(driver_needs_reset());
    /* Both have slept, or been spared it. */
    assert_in_range(side.nr_kicks, 1, BUFFERS);
    assert_in_range(atomic_load(&nr_interrupts), side.nr_sleeps > 0, BUFFERS);
    (void)close(side.irq_fd);
    hostvm_virtio_destroy(driver.device);
    driver_end();
}

static void test_split_queue(void **state)
{
    (void)state;
    run(0);
}

static void test_split_queue_with_events(void **state)
{
    (void)state;
    run(HOSTVM_VIRTIO_F_EVENT_IDX);
}

static void test_packed_queue(void **state)
{
    (void)state;
    run(HOSTVM_VIRTIO_F_RING_PACKED);
}

static void test_packed_queue_with_events(void **state)
{
    (void)state;
    run(HOSTVM_VIRTIO_F_RING_PACKED | HOSTVM_VIRTIO_F_EVENT_IDX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_queue),
        cmocka_unit_test(test_split_queue_with_events),
        cmocka_unit_test(test_packed_queue),
        cmocka_unit_test(test_packed_queue_with_events),
    };

    return cmocka_run_group_tests_name("virtio_threads", tests, NULL, NULL);
}
