/* Queues, split and packed: buffers come as the driver made them, and what a guest may write into
 * its rings leads nowhere. */
#include "support/virtio_vm.h"

#include <sel4vm/guest_memory.h>
#include <vka/object.h>

#define WITH_EVENTS   HOSTVM_VIRTIO_F_EVENT_IDX
#define WITH_INDIRECT HOSTVM_VIRTIO_F_INDIRECT_DESC
#define WITH_PACKED   HOSTVM_VIRTIO_F_RING_PACKED

enum { SIZE = 16, MAX_PIECES = 8 };

static const uint64_t kinds[] = {0, WITH_EVENTS, WITH_PACKED, WITH_PACKED | WITH_EVENTS};
enum { NR_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static hostvm_virtqueue_t *queue;
static struct iovec pieces[MAX_PIECES];
static hostvm_virtio_buffer_t buffer;

static void begin(uint64_t features)
{
    static const hostvm_virtio_ops_t ops = {.start = NULL};
    static const uint16_t sizes[] = {64};
    const hostvm_virtio_config_t config = {
        .id = 42, .nr_queues = 1, .queue_sizes = sizes, .ops = &ops};
    hostvm_virtio_t *device = hostvm_virtio_create(driver_begin(), &config);

    assert_non_null(device);
    driver_start(device, features | WITH_INDIRECT, SIZE);
    queue = hostvm_virtio_queue(device, 0);
    assert_true(hostvm_virtqueue_is_ready(queue));
    buffer = (hostvm_virtio_buffer_t){.iov = pieces, .iov_max = MAX_PIECES};
}

static void end(void)
{
    hostvm_virtio_destroy(driver.device);
    driver_end();
}

static bool is_broken(void)
{
    return (atomic_load(&driver.device->status) & VIRTIO_NEEDS_RESET) != 0 &&
           driver.nr_config_interrupts == 1 && hostvm_virtqueue_pop(queue, &buffer) == -1 &&
           !hostvm_virtqueue_rearm(queue);
}

/* --- what drivers do --- */

static void test_buffers_come_in_order_with_their_pieces(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 0);
        for (unsigned i = 0; i < 5 * SIZE; i++) { /* round the ring several times */
            const struct piece made[] = {{BUFFERS_GPA + i * 0x100, 16, false},
                                         {BUFFERS_GPA + 0x10000, 100, false},
                                         {BUFFERS_GPA + 0x20000, 4096, true}};
            uint32_t written = 0;

            driver_add(0, made, 3);
            assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
            assert_int_equal(buffer.nr_out, 2);
            assert_int_equal(buffer.nr_in, 1);
            assert_int_equal(buffer.out_size, 116);
            assert_int_equal(buffer.in_size, 4096);
            assert_ptr_equal(pieces[0].iov_base, driver_at(made[0].gpa, 16));
            assert_ptr_equal(pieces[2].iov_base, driver_at(made[2].gpa, 16));
            assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 0);
            hostvm_virtqueue_push(queue, &buffer, i);
            assert_int_equal(driver_take(0, 3, &written), -1);
            hostvm_virtqueue_publish(queue);
            assert_int_not_equal(driver_take(0, 3, &written), -1);
            assert_int_equal(written, i);
            assert_int_equal(driver_take(0, 3, &written), -1);
        }
        end();
    }
}

static void test_pieces_that_follow_each_other_are_one(void **state)
{
    const struct piece made[] = {{BUFFERS_GPA, 16, false},
                                 {BUFFERS_GPA + 16, 16, false},
                                 {BUFFERS_GPA + 32, 16, true},
                                 {BUFFERS_GPA + 48, 0, true},
                                 {BUFFERS_GPA + 48, 16, true}};

    (void)state;
    begin(0);
    driver_add(0, made, 5);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
    assert_int_equal(buffer.nr_out, 1);
    assert_int_equal(buffer.nr_in, 1);
    assert_int_equal(buffer.out_size, 32);
    assert_int_equal(buffer.in_size, 32);
    end();
}

/* Several at a time, given back in another order. */
static void test_buffers_may_be_given_back_in_any_order(void **state)
{
    const struct piece made[] = {{BUFFERS_GPA, 16, false}, {BUFFERS_GPA + 0x100, 16, true}};

    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        for (unsigned round = 0; round < 9; round++) {
            hostvm_virtio_buffer_t taken[3];
            uint32_t written;

            for (unsigned i = 0; i < 3; i++) {
                driver_add(0, made, 2);
            }
            for (unsigned i = 0; i < 3; i++) {
                taken[i] = buffer;
                assert_int_equal(hostvm_virtqueue_pop(queue, &taken[i]), 1);
            }
            for (unsigned i = 3; i-- > 0;) {
                hostvm_virtqueue_push(queue, &taken[i], i + 1);
            }
            assert_int_equal(driver_take(0, 2, &written), -1);
            hostvm_virtqueue_publish(queue);
            for (unsigned i = 3; i-- > 0;) {
                assert_int_equal(driver_take(0, 2, &written), taken[i].id);
                assert_int_equal(written, i + 1);
            }
            assert_int_equal(driver_take(0, 2, &written), -1);
        }
        end();
    }
}

static void add_table(unsigned nr, uint32_t size, uint16_t flags)
{
    struct driver_queue *q = &driver.queues[0];
    const struct piece table = {TABLE_GPA, size, false};
    struct split_descriptor *split = driver_at(TABLE_GPA, nr * sizeof(*split));
    struct packed_descriptor *packed = driver_at(TABLE_GPA, nr * sizeof(*packed));

    for (unsigned i = 0; i < nr; i++) {
        uint16_t write = i + 1 == nr ? DESCRIPTOR_WRITE : 0;

        if (driver.is_packed) {
            packed[i] = (struct packed_descriptor){BUFFERS_GPA + i * 0x1000, 64, 0, write};
        } else {
            split[i] = (struct split_descriptor){
                BUFFERS_GPA + i * 0x1000, 64,
                (uint16_t)(write | (i + 1 < nr ? DESCRIPTOR_NEXT : 0)), (uint16_t)(i + 1)};
        }
    }
    if (driver.is_packed) {
        q->packed[q->next].flags = 0;
        driver_add(0, &table, 1);
        q->packed[0].flags |= flags;
    } else {
        driver_add(0, &table, 1);
        q->descriptors[0].flags = flags;
    }
}

static void test_tables_of_descriptors_are_followed(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        add_table(5, 5 * 16, DESCRIPTOR_INDIRECT);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        assert_int_equal(buffer.nr_out, 4);
        assert_int_equal(buffer.nr_in, 1);
        assert_int_equal(buffer.nr_descriptors, 1);
        end();
    }
}

/* --- interrupts and notifications --- */

static void exchange(void)
{
    const struct piece made = {BUFFERS_GPA, 16, true};
    uint32_t written;

    driver_add(0, &made, 1);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
    hostvm_virtqueue_push(queue, &buffer, 0);
    hostvm_virtqueue_publish(queue);
    assert_int_not_equal(driver_take(0, 1, &written), -1);
}

static void test_driver_is_interrupted_unless_it_asks_not_to_be(void **state)
{
    (void)state;
    begin(0);
    exchange();
    assert_int_equal(driver.nr_interrupts[0], 1);
    driver.queues[0].available->flags = SPLIT_NO_INTERRUPT;
    exchange();
    assert_int_equal(driver.nr_interrupts[0], 1);
    end();
    begin(WITH_PACKED);
    exchange();
    assert_int_equal(driver.nr_interrupts[0], 1);
    driver.queues[0].driver_events->flags = PACKED_EVENTS_DISABLE;
    exchange();
    assert_int_equal(driver.nr_interrupts[0], 1);
    end();
}

/* At each place of the ring, the buffer that the driver waits for interrupts, and no other. */
static void test_driver_is_interrupted_at_the_place_that_it_names(void **state)
{
    (void)state;
    for (unsigned wanted = 0; wanted < 3 * SIZE; wanted++) {
        begin(WITH_EVENTS);
        driver.queues[0].available->ring[SIZE] = (uint16_t)wanted;
        for (unsigned i = 0; i < 4 * SIZE; i++) {
            exchange();
            assert_int_equal(driver.nr_interrupts[0], i >= wanted);
        }
        end();
        begin(WITH_PACKED | WITH_EVENTS);
        driver.queues[0].driver_events->flags = PACKED_EVENTS_AT_PLACE;
        for (unsigned i = 0; i < wanted + 2; i++) {
            /* The wrap counter of the round that the place is in: 1, 0, 1. */
            driver.queues[0].driver_events->place =
                (uint16_t)(wanted % SIZE | (wanted / SIZE % 2 == 0 ? 1u << 15 : 0));
            exchange();
            if (i >= wanted) {
                assert_int_equal(driver.nr_interrupts[0], 1);
            }
            if (i + SIZE > wanted) { /* one round ahead is as far as a place can be named */
                assert_int_equal(driver.nr_interrupts[0], i >= wanted);
            } else {
                driver.nr_interrupts[0] = 0;
            }
        }
        end();
    }
}

static void test_nothing_published_is_no_interrupt(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        hostvm_virtqueue_publish(queue);
        assert_int_equal(driver.nr_interrupts[0], 0);
        end();
    }
}

static void test_rearming_tells_of_what_is_there_and_asks_for_the_rest(void **state)
{
    const struct piece made = {BUFFERS_GPA, 16, true};

    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        hostvm_virtqueue_disarm(queue);
        assert_false(hostvm_virtqueue_rearm(queue));
        driver_add(0, &made, 1);
        assert_true(hostvm_virtqueue_rearm(queue));
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        assert_false(hostvm_virtqueue_rearm(queue));
        end();
    }
    begin(0);
    hostvm_virtqueue_disarm(queue);
    assert_int_equal(driver.queues[0].used->flags, SPLIT_NO_NOTIFY);
    (void)hostvm_virtqueue_rearm(queue);
    assert_int_equal(driver.queues[0].used->flags, 0);
    end();
    begin(WITH_EVENTS);
    exchange();
    (void)hostvm_virtqueue_rearm(queue);
    assert_int_equal(*queue->split.available_event, 1);
    end();
    begin(WITH_PACKED);
    hostvm_virtqueue_disarm(queue);
    assert_int_equal(driver.queues[0].device_events->flags, PACKED_EVENTS_DISABLE);
    (void)hostvm_virtqueue_rearm(queue);
    assert_int_equal(driver.queues[0].device_events->flags, PACKED_EVENTS_ENABLE);
    end();
    begin(WITH_PACKED | WITH_EVENTS);
    exchange();
    (void)hostvm_virtqueue_rearm(queue);
    assert_int_equal(driver.queues[0].device_events->flags, PACKED_EVENTS_AT_PLACE);
    assert_int_equal(driver.queues[0].device_events->place, 1 | 1u << 15);
    end();
}

/* --- what no driver should do --- */

static void test_buffers_outside_of_memory_break_the_queue(void **state)
{
    static const struct piece bad[] = {
        {DRIVER_RAM, 1, false},          {DRIVER_RAM - 1, 2, true}, {UINT64_MAX, 1, true},
        {UINT64_MAX - 15, 32, false},    {0, UINT32_MAX, true},     {1ull << 40, 4096, true},
        {0xfffffffffffff000, 0x1000, 0},
    };

    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            begin(kinds[kind]);
            driver_add(0, &bad[i], 1);
            assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
            assert_true(is_broken());
            end();
        }
    }
}

enum { READONLY_GPA = 0x10000000, PAGE = 4096 };

static memory_fault_result_t ignore_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                          void *cookie)
{
    (void)vm;
    (void)vcpu;
    (void)addr;
    (void)size;
    (void)cookie;
    return FAULT_IGNORE;
}

static vm_frame_t readonly_frame(uintptr_t addr, void *cookie)
{
    const vka_object_t *object = cookie;

    return (vm_frame_t){
        .cptr = object->cptr, .rights = seL4_CanRead, .vaddr = addr, .size_bits = 12};
}

static vm_memory_reservation_t *map_readonly(vka_object_t *object)
{
    vm_memory_reservation_t *reservation =
        vm_reserve_memory_at(&driver.vm, READONLY_GPA, PAGE, ignore_fault, NULL);

    assert_non_null(reservation);
    assert_int_equal(vka_alloc_frame(&driver_env.vka, 12, object), 0);
    assert_int_equal(vm_map_reservation(&driver.vm, reservation, readonly_frame, object), 0);
    return reservation;
}

/* It is not the device that a guest changes such memory with. */
static void test_what_the_guest_may_only_read_is_not_written_for_it(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        const struct piece read = {READONLY_GPA, 16, false};
        const struct piece written = {READONLY_GPA + PAGE - 1, 1, true};
        vm_memory_reservation_t *reservation;
        vka_object_t object;

        begin(kinds[kind]);
        reservation = map_readonly(&object);
        driver_add(0, &read, 1);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        assert_ptr_equal(pieces[0].iov_base, driver_at(READONLY_GPA, 16));
        driver_add(0, &written, 1);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        assert_string_equal(driver_said, "virtio device 42: queue 0 stands still: a buffer lies "
                                         "outside of memory");
        assert_true(is_broken());
        assert_null(hostvm_vm_writable_pointer(&driver.vm, READONLY_GPA, 1));
        assert_int_equal(vm_free_reserved_memory(&driver.vm, reservation), 0);
        assert_int_equal(vm_ram_register_at(&driver.vm, READONLY_GPA, PAGE, false), 0);
        assert_ptr_equal(hostvm_vm_writable_pointer(&driver.vm, READONLY_GPA, PAGE),
                         driver_at(READONLY_GPA, PAGE));
        vka_free_object(&driver_env.vka, &object);
        end();
    }
}

/* What the device writes of a ring, neither. */
static void test_rings_that_the_guest_may_only_read_break_the_queue(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        bool is_packed = (kinds[kind] & WITH_PACKED) != 0;

        for (unsigned part = 0; part < 3; part++) {
            bool is_written = part == 2 || (is_packed && part == 0);
            vm_memory_reservation_t *reservation;
            vka_object_t object;
            uint64_t *areas[3];

            begin(kinds[kind]);
            reservation = map_readonly(&object);
            virtio_set_status(driver.device, 0);
            driver_start(driver.device, kinds[kind], SIZE);
            areas[0] = &queue->descriptors;
            areas[1] = &queue->driver_area;
            areas[2] = &queue->device_area;
            *areas[part] = READONLY_GPA;
            assert_int_equal(virtqueue_start(queue) < 0, is_written);
            virtio_set_status(driver.device, 0);
            assert_int_equal(vm_free_reserved_memory(&driver.vm, reservation), 0);
            vka_free_object(&driver_env.vka, &object);
            end();
        }
    }
}

static void test_pieces_to_read_behind_those_to_write_break_the_queue(void **state)
{
    static const struct piece bad[] = {{BUFFERS_GPA, 16, true}, {BUFFERS_GPA, 16, false}};

    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        driver_add(0, bad, 2);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        assert_true(is_broken());
        end();
    }
}

static void test_more_pieces_than_there_is_room_for_break_the_queue(void **state)
{
    struct piece bad[MAX_PIECES + 1];

    (void)state;
    for (unsigned i = 0; i <= MAX_PIECES; i++) {
        bad[i] = (struct piece){BUFFERS_GPA + 0x100 * i, 16, false};
    }
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        driver_add(0, bad, MAX_PIECES);
        driver_add(0, bad, MAX_PIECES - 1);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
        assert_int_equal(buffer.nr_out, MAX_PIECES);
        end();
        begin(kinds[kind]);
        driver_add(0, bad, MAX_PIECES + 1);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        assert_true(is_broken());
        end();
    }
}

/* 4 GiB and more, of the same memory over and over. */
static void test_buffers_larger_than_any_memory_break_the_queue(void **state)
{
    enum { NR = 1024 };
    struct split_descriptor *table;

    (void)state;
    begin(0);
    table = driver_at(TABLE_GPA, NR * sizeof(*table));
    for (unsigned i = 0; i < NR; i++) {
        table[i] = (struct split_descriptor){0, DRIVER_RAM, DESCRIPTOR_NEXT, (uint16_t)(i + 1)};
    }
    buffer.iov_max = NR;
    buffer.iov = test_calloc(NR, sizeof(*buffer.iov));
    driver_add(0, &(struct piece){TABLE_GPA, NR * 16, false}, 1);
    driver.queues[0].descriptors[0].flags = DESCRIPTOR_INDIRECT;
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    test_free(buffer.iov);
    end();
}

static void test_loops_break_the_queue(void **state)
{
    (void)state;
    begin(0);
    driver_add(0, &(struct piece){BUFFERS_GPA, 16, false}, 1);
    driver.queues[0].descriptors[0].flags = DESCRIPTOR_NEXT;
    driver.queues[0].descriptors[0].next = 0;
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    end();
    begin(WITH_PACKED);
    for (unsigned i = 0; i < SIZE; i++) {
        driver.queues[0].packed[i] =
            (struct packed_descriptor){BUFFERS_GPA, 0, 0, DESCRIPTOR_NEXT | DESCRIPTOR_AVAILABLE};
    }
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    end();
}

static void test_indices_beyond_the_ring_break_the_queue(void **state)
{
    (void)state;
    begin(0);
    driver_add(0, &(struct piece){BUFFERS_GPA, 16, false}, 1);
    driver.queues[0].available->ring[0] = SIZE;
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    end();
    begin(0);
    driver_add(0, &(struct piece){BUFFERS_GPA, 16, false}, 1);
    driver.queues[0].descriptors[0].flags = DESCRIPTOR_NEXT;
    driver.queues[0].descriptors[0].next = UINT16_MAX;
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    end();
    begin(0);
    driver.queues[0].available->index = SIZE + 1;
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
    assert_true(is_broken());
    end();
}

static void test_bad_tables_break_the_queue(void **state)
{
    static const struct {
        uint32_t size;
        uint16_t flags;
    } bad[] = {
        {0, DESCRIPTOR_INDIRECT},
        {15, DESCRIPTOR_INDIRECT},
        {17, DESCRIPTOR_INDIRECT},
        {16 * (HOSTVM_VIRTIO_MAX_QUEUE_SIZE + 1), DESCRIPTOR_INDIRECT},
        {UINT32_MAX & ~15u, DESCRIPTOR_INDIRECT},
        {16, DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT},
    };

    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            begin(kinds[kind]);
            add_table(1, bad[i].size, bad[i].flags);
            assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
            assert_true(is_broken());
            end();
        }
    }
}

static void test_tables_inside_of_tables_break_the_queue(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < NR_KINDS; kind++) {
        begin(kinds[kind]);
        add_table(1, 16, DESCRIPTOR_INDIRECT);
        if (driver.is_packed) {
            struct packed_descriptor *table = driver_at(TABLE_GPA, 16);

            table->flags = DESCRIPTOR_INDIRECT;
        } else {
            struct split_descriptor *table = driver_at(TABLE_GPA, 16);

            table->flags = DESCRIPTOR_INDIRECT;
        }
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        assert_true(is_broken());
        end();
    }
}

static void test_tables_that_were_not_agreed_on_break_the_queue(void **state)
{
    static const uint64_t features[] = {0, WITH_PACKED};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(features[i]);
        queue->has_indirect = false;
        add_table(1, 16, DESCRIPTOR_INDIRECT);
        assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), -1);
        assert_true(is_broken());
        end();
    }
}

/* --- copies --- */

static void test_copies_cross_pieces_and_end_with_the_buffer(void **state)
{
    const struct piece made[] = {{BUFFERS_GPA, 3, false},
                                 {BUFFERS_GPA + 0x1000, 5, false},
                                 {BUFFERS_GPA + 0x2000, 2, true},
                                 {BUFFERS_GPA + 0x3000, 4, true}};
    char text[16] = "";

    (void)state;
    begin(0);
    memcpy(driver_at(BUFFERS_GPA, 3), "abc", 3);
    memcpy(driver_at(BUFFERS_GPA + 0x1000, 5), "defgh", 5);
    driver_add(0, made, 4);
    assert_int_equal(hostvm_virtqueue_pop(queue, &buffer), 1);
    assert_int_equal(hostvm_virtio_read(&buffer, 2, text, 4), 4);
    assert_memory_equal(text, "cdef", 4);
    assert_int_equal(hostvm_virtio_read(&buffer, 6, text, 4), 2);
    assert_memory_equal(text, "ghef", 4);
    assert_int_equal(hostvm_virtio_read(&buffer, 8, text, 4), 0);
    assert_int_equal(hostvm_virtio_read(&buffer, SIZE_MAX, text, 4), 0);
    assert_int_equal(hostvm_virtio_write(&buffer, 1, "12345678", 8), 5);
    assert_memory_equal(driver_at(BUFFERS_GPA + 0x2000, 2), "\0001", 2);
    assert_memory_equal(driver_at(BUFFERS_GPA + 0x3000, 5), "2345\0", 5);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driver_test(test_buffers_come_in_order_with_their_pieces),
        driver_test(test_pieces_that_follow_each_other_are_one),
        driver_test(test_buffers_may_be_given_back_in_any_order),
        driver_test(test_tables_of_descriptors_are_followed),
        driver_test(test_driver_is_interrupted_unless_it_asks_not_to_be),
        driver_test(test_driver_is_interrupted_at_the_place_that_it_names),
        driver_test(test_nothing_published_is_no_interrupt),
        driver_test(test_rearming_tells_of_what_is_there_and_asks_for_the_rest),
        driver_test(test_buffers_outside_of_memory_break_the_queue),
        driver_test(test_what_the_guest_may_only_read_is_not_written_for_it),
        driver_test(test_rings_that_the_guest_may_only_read_break_the_queue),
        driver_test(test_pieces_to_read_behind_those_to_write_break_the_queue),
        driver_test(test_more_pieces_than_there_is_room_for_break_the_queue),
        driver_test(test_buffers_larger_than_any_memory_break_the_queue),
        driver_test(test_loops_break_the_queue),
        driver_test(test_indices_beyond_the_ring_break_the_queue),
        driver_test(test_bad_tables_break_the_queue),
        driver_test(test_tables_inside_of_tables_break_the_queue),
        driver_test(test_tables_that_were_not_agreed_on_break_the_queue),
        driver_test(test_copies_cross_pieces_and_end_with_the_buffer),
    };

    return cmocka_run_group_tests_name("virtio_queue", tests, NULL, NULL);
}
