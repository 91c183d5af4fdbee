/* Reservations: which are granted, where anonymous ones go, how they are filled, and that they can
 * be given back. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm_util.h>

#include "support/inject.h"

enum { PAGE = 4096, LARGE = 1 << 21, MAX_FRAMES = 8 };

static vm_memory_reservation_t *reserve(struct testvm *t, uintptr_t addr, size_t size)
{
    return vm_reserve_memory_at(&t->vm, addr, size, default_error_fault_callback, NULL);
}

static vm_memory_reservation_t *reserve_anon(struct testvm *t, size_t size, size_t align,
                                             uintptr_t *addr)
{
    return vm_reserve_anon_memory(&t->vm, size, align, default_error_fault_callback, NULL, addr);
}

/* Where an anonymous reservation of this size goes. */
static uintptr_t place(struct testvm *t, size_t size, size_t align)
{
    uintptr_t addr = 0;

    assert_non_null(reserve_anon(t, size, align, &addr));
    return addr;
}

/* --- at an address --- */

static void test_reservation_without_callback_or_size_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_null(vm_reserve_memory_at(&t->vm, 0x1000, 0x1000, NULL, NULL));
    assert_reason("vm_reserve_memory_at: no VM or no fault callback given");
    assert_null(vm_reserve_memory_at(NULL, 0x1000, 0x1000, default_error_fault_callback, NULL));
    assert_null(reserve(t, 0x1000, 0));
    assert_reason("cannot reserve guest memory at 0x1000: its size is 0");
}

static void test_reservation_that_wraps_is_refused(void **state)
{
    static const struct {
        uintptr_t addr;
        size_t size;
    } wrapping[] = {
        {UINTPTR_MAX, 2},       {UINTPTR_MAX - PAGE + 1, PAGE + 1},
        {0x1000, SIZE_MAX},     {0, SIZE_MAX},
        {UINTPTR_MAX - 10, 11},
    };
    struct testvm *t = *state;

    for (size_t i = 0; i < sizeof(wrapping) / sizeof(wrapping[0]); i++) {
        assert_null(reserve(t, wrapping[i].addr, wrapping[i].size));
        assert_int_equal(vm_memory_make_anon(&t->vm, wrapping[i].addr, wrapping[i].size), -1);
    }
    assert_non_null(reserve(t, 0x1000, 0x1000));
}

static void test_neighbours_are_granted_and_overlaps_are_not(void **state)
{
    struct testvm *t = *state;

    assert_non_null(reserve(t, 0x1000, 0x1000));
    assert_non_null(reserve(t, 0x2000, 0x1000));
    assert_null(reserve(t, 0x1800, 0x100));
    assert_reason("cannot reserve [0x1800..0x1900): it shares pages with the reservation "
                  "[0x1000..0x2000); free that first");
    assert_null(reserve(t, 0, 0x10000));
    assert_non_null(reserve(t, 0, 0x1000));
}

static void test_reservations_of_one_page_conflict(void **state)
{
    struct testvm *t = *state;

    assert_non_null(reserve(t, 0x5000, 0x400));
    assert_null(reserve(t, 0x5800, 0x400));
    assert_reason("cannot reserve [0x5800..0x5c00): it shares pages with the reservation "
                  "[0x5000..0x5400); free that first");
}

static void test_a_region_is_reported_exactly_as_reserved(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *reservation = reserve(t, 0x5123, 0x1ab7);
    uintptr_t addr = 1;
    size_t size = 1;

    vm_get_reservation_memory_region(reservation, &addr, &size);
    assert_int_equal(addr, 0x5123);
    assert_int_equal(size, 0x1ab7);
    vm_get_reservation_memory_region(reservation, NULL, NULL);
    vm_get_reservation_memory_region(NULL, &addr, &size);
    assert_int_equal(addr, 0x5123);
    assert_int_equal(size, 0x1ab7);
}

static void test_a_refused_reservation_leaves_no_trace(void **state)
{
    struct testvm *t = *state;

    assert_non_null(reserve(t, 0x3000, 0x1000));
    assert_null(reserve(t, 0x2800, 0x1000));
    assert_non_null(reserve(t, 0x2000, 0x1000));
}

static void test_reservations_may_lie_anywhere(void **state)
{
    struct testvm *t = *state;

    assert_non_null(reserve(t, 0, 1));
    assert_non_null(reserve(t, 1ull << 40, PAGE));
    assert_non_null(reserve(t, UINTPTR_MAX - 3 * (uintptr_t)PAGE + 1, PAGE));
}

/* --- anonymous --- */

static void test_anonymous_memory_needs_a_region(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 42;

    assert_null(reserve_anon(t, PAGE, PAGE, &addr));
    assert_int_equal(addr, 42);
    assert_reason("cannot reserve 0x1000 bytes of anonymous guest memory: no region of "
                  "vm_memory_make_anon has that much left");
}

static void test_anonymous_reservation_without_an_argument_is_refused(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 42;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x100000, 0x100000), 0);
    assert_null(vm_reserve_anon_memory(&t->vm, PAGE, PAGE, NULL, NULL, &addr));
    assert_null(reserve_anon(t, PAGE, PAGE, NULL));
    assert_null(reserve_anon(t, 0, PAGE, &addr));
    assert_null(reserve_anon(t, SIZE_MAX, PAGE, &addr));
    assert_null(reserve_anon(t, SIZE_MAX - PAGE, PAGE, &addr));
    assert_null(
        vm_reserve_anon_memory(NULL, PAGE, PAGE, default_error_fault_callback, NULL, &addr));
    assert_int_equal(addr, 42);
    assert_int_equal(place(t, PAGE, PAGE), 0x100000);
}

static void test_a_region_without_size_or_vm_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x100000, 0), -1);
    assert_int_equal(vm_memory_make_anon(NULL, 0x100000, PAGE), -1);
    assert_reason("vm_memory_make_anon: no VM given");
}

static void test_anonymous_memory_comes_from_the_lowest_region(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x20000000, 0x100000), 0);
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x2000), 0);
    assert_int_equal(place(t, PAGE, PAGE), 0x10000000);
    assert_int_equal(place(t, 0x2000, PAGE), 0x20000000);
    assert_int_equal(place(t, PAGE, PAGE), 0x10001000);
}

static void test_anonymous_reservations_follow_each_other_page_by_page(void **state)
{
    static const struct {
        size_t size;
        uintptr_t offset;
    } steps[] = {{1, 0}, {4096, 0x1000}, {4097, 0x2000}, {1, 0x4000}};
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x100000), 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uintptr_t addr = 0;
        uintptr_t reported = 0;
        size_t size = 0;
        vm_memory_reservation_t *reservation = reserve_anon(t, steps[i].size, PAGE, &addr);

        assert_int_equal(addr, 0x10000000 + steps[i].offset);
        vm_get_reservation_memory_region(reservation, &reported, &size);
        assert_int_equal(reported, addr);
        assert_int_equal(size, steps[i].size);
    }
}

static void test_anonymous_alignment_skips_to_the_next_boundary(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 42;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 2 * LARGE), 0);
    assert_int_equal(place(t, PAGE, PAGE), 0x10000000);
    assert_int_equal(place(t, PAGE, LARGE), 0x10000000 + LARGE);
    for (uintptr_t offset = LARGE + PAGE; offset < 2 * LARGE; offset += PAGE) {
        assert_int_equal(place(t, PAGE, PAGE), 0x10000000 + offset);
    }
    assert_null(reserve_anon(t, 1, 1, &addr)); /* what was skipped is not handed out */
    assert_int_equal(addr, 42);
}

static void test_an_anonymous_region_hands_out_the_whole_pages_in_it(void **state)
{
    static const struct {
        uintptr_t addr;
        size_t size;
        uintptr_t first;
        size_t nr_pages;
    } regions[] = {
        {0x10000800, 0x2800, 0x10001000, 2}, {0x20000000, 0x1fff, 0x20000000, 1},
        {0x30000001, 0x2000, 0x30001000, 1}, {0x40000100, 0x200, 0, 0},
        {0x50000fff, 0x1000, 0, 0},
    };
    struct testvm *t = *state;
    uintptr_t addr = 42;

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        assert_int_equal(vm_memory_make_anon(&t->vm, regions[i].addr, regions[i].size), 0);
        for (size_t page = 0; page < regions[i].nr_pages; page++) {
            assert_non_null(
                vm_reserve_anon_memory(&t->vm, PAGE, default_error_fault_callback, NULL, &addr));
            assert_int_equal(addr, regions[i].first + page * PAGE);
        }
        assert_null(reserve_anon(t, 1, 1, &addr));
        assert_null(reserve(t, regions[i].addr, 1));
    }
}

static void test_anonymous_alignment_never_leads_outside_a_region(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 42;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10001000, 0x4000), 0);
    assert_null(reserve_anon(t, PAGE, LARGE, &addr));
    assert_null(reserve_anon(t, PAGE, SIZE_MAX, &addr));
    assert_null(reserve_anon(t, PAGE, (size_t)1 << 63, &addr));
    assert_int_equal(addr, 42);
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10200000, 0x1000), 0);
    assert_int_equal(place(t, PAGE, LARGE), 0x10200000);
    assert_int_equal(place(t, 0x4000, PAGE), 0x10001000);
    assert_null(reserve_anon(t, 1, 1, &addr));
}

static void test_anonymous_alignment_may_be_any_number(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x100000), 0);
    assert_int_equal(place(t, 1, 0), 0x10000000);
    assert_int_equal(place(t, 1, 1), 0x10001000);
    assert_int_equal(place(t, 1, 3 * PAGE) % (3 * PAGE), 0);
    assert_int_equal(place(t, 1, 100) % PAGE, 0);
}

static void test_five_and_six_arguments_compile_in_one_file(void **state)
{
    vm_memory_reservation_t *(*function)(vm_t *, size_t, size_t, memory_fault_callback_fn, void *,
                                         uintptr_t *) = &vm_reserve_anon_memory;
    struct testvm *t = *state;
    uintptr_t addr = 0;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x100000), 0);
    assert_non_null(vm_reserve_anon_memory(&t->vm, 1, default_error_fault_callback, NULL, &addr));
    assert_int_equal(addr, 0x10000000);
    assert_non_null(
        vm_reserve_anon_memory(&t->vm, 1, 4096, default_error_fault_callback, NULL, &addr));
    assert_int_equal(addr, 0x10001000);
    assert_non_null(function(&t->vm, 1, 4096, default_error_fault_callback, NULL, &addr));
    assert_int_equal(addr, 0x10002000);
}

static void test_regions_and_reservations_keep_apart(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x100000), 0);
    assert_null(reserve(t, 0x10080000, 1));
    assert_reason("cannot reserve [0x10080000..0x10080001): it overlaps the anonymous region "
                  "[0x10000000..0x10100000)");
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x100ff000, 0x2000), -1);
    assert_non_null(reserve(t, 0x20000800, 1));
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x20000000, 0x800), -1);
    assert_reason("cannot reserve [0x20000000..0x20000800): it shares pages with the reservation "
                  "[0x20000800..0x20000801); free that first");
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10100000, 0x1000), 0);
}

/* --- giving back --- */

static vm_frame_t new_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr & ~(uintptr_t)(PAGE - 1), 12};
}

static void test_a_freed_range_can_be_reserved_again(void **state)
{
    static const struct {
        uintptr_t addr;
        size_t size;
        bool is_mapped;
    } ranges[] = {
        {0x1000, 0x1000, false},    {0x1000, 0x3000, true},    {0x500, 0x1000, true},
        {0x400000, 4 << 20, false}, {0x400000, 4 << 20, true},
    };
    struct testvm *t = *state;

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (int again = 0; again < 2; again++) {
            vm_memory_reservation_t *r = reserve(t, ranges[i].addr, ranges[i].size);

            assert_non_null(r);
            if (ranges[i].is_mapped) {
                assert_int_equal(vm_map_reservation(&t->vm, r, new_frame, t), 0);
                assert_non_null(hostvm_vm_pointer(&t->vm, ranges[i].addr, ranges[i].size));
            }
            assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
            assert_null(hostvm_vm_pointer(&t->vm, ranges[i].addr, 1));
        }
    }
}

static vm_frame_t large_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 21), seL4_AllRights, addr, 21};
}

static void test_a_range_of_large_frames_can_be_freed_and_reserved_again(void **state)
{
    struct testvm *t = *state;

    for (int again = 0; again < 2; again++) {
        vm_memory_reservation_t *r = reserve(t, 0x400000, 2 * LARGE);

        assert_non_null(r);
        assert_int_equal(vm_map_reservation(&t->vm, r, again == 0 ? large_frame : new_frame, t), 0);
        memset(testvm_pointer(t, 0x400000, 2 * LARGE), 1, 2 * LARGE);
        assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
        assert_null(hostvm_vm_pointer(&t->vm, 0x400000, 1));
        assert_null(hostvm_vm_pointer(&t->vm, 0x400000 + 2 * LARGE - 1, 1));
    }
    assert_non_null(reserve(t, 0x400000, 1));
    assert_non_null(reserve(t, 0x400000 + 2 * LARGE - 1, 1));
}

static void test_freeing_nothing_or_what_is_freed_is_refused(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);

    assert_int_equal(vm_free_reserved_memory(&t->vm, NULL), -1);
    assert_reason("vm_free_reserved_memory: no VM or no reservation given");
    assert_int_equal(vm_free_reserved_memory(NULL, r), -1);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), -1);
    assert_reason("cannot free a reservation that is not one of this VM (any more)");
}

static void test_a_reservation_that_was_freed_is_known_as_such(void **state)
{
    enum { NR_OTHERS = 63 };
    struct testvm *t = *state;
    vm_memory_reservation_t *stale = reserve(t, 0x1000, 0x1000);
    uintptr_t addr = 1;
    size_t size = 2;

    assert_int_equal(vm_free_reserved_memory(&t->vm, stale), 0);
    for (int i = 0; i <= NR_OTHERS; i++) {
        vm_get_reservation_memory_region(stale, &addr, &size);
        assert_reason("vm_get_reservation_memory_region: the reservation was freed");
        assert_int_equal(vm_free_reserved_memory(&t->vm, stale), -1);
        assert_int_equal(vm_map_reservation(&t->vm, stale, new_frame, t), -1);
        assert_reason("cannot map a reservation that is not one of this VM (any more)");
        assert_int_equal(vm_free_reserved_memory(&t->vm, reserve(t, 0x1000, 0x1000)), 0);
    }
    assert_int_equal(addr, 1);
    assert_int_equal(size, 2);
}

/* Those that come and go take no more room than those that are there at once, and a few. */
static void test_freed_reservations_are_used_again(void **state)
{
    struct testvm *t = *state;
    long held = 0;

    for (int i = 0; i < 1000; i++) {
        held = i == 100 ? inject_live_blocks() : held;
        assert_int_equal(vm_free_reserved_memory(&t->vm, reserve(t, 0x1000, 0x1000)), 0);
    }
    assert_int_equal(inject_live_blocks(), held);
}

static void test_a_reservation_belongs_to_its_vm(void **state)
{
    struct testvm *t = *state;
    struct testvm *other = testvm_create();
    vm_memory_reservation_t *r = reserve(other, 0x1000, 0x1000);

    assert_int_equal(vm_free_reserved_memory(&t->vm, r), -1);
    assert_int_equal(vm_map_reservation(&t->vm, r, new_frame, t), -1);
    assert_reason("cannot map a reservation that is not one of this VM (any more)");
    assert_int_equal(vm_free_reserved_memory(&other->vm, r), 0);
    testvm_destroy(other);
}

static void test_freed_anonymous_space_is_used_again(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *first;
    uintptr_t addr = 0;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x4000), 0);
    first = reserve_anon(t, 2 * PAGE, PAGE, &addr);
    assert_int_equal(place(t, 2 * PAGE, PAGE), 0x10002000);
    assert_null(reserve_anon(t, PAGE, PAGE, &addr));
    assert_int_equal(vm_map_reservation(&t->vm, first, new_frame, t), 0);
    assert_int_equal(vm_free_reserved_memory(&t->vm, first), 0);
    assert_null(hostvm_vm_pointer(&t->vm, 0x10000000, 1));
    assert_int_equal(place(t, PAGE, PAGE), 0x10000000);
    assert_int_equal(place(t, PAGE, PAGE), 0x10001000);
    assert_null(reserve_anon(t, PAGE, PAGE, &addr));
}

static void test_freed_anonymous_neighbours_become_one_piece(void **state)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};
    struct testvm *t = *state;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x10000000, 0x4000), 0);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        vm_memory_reservation_t *r[4];
        uintptr_t addr;

        for (int n = 0; n < 4; n++) {
            r[n] = reserve_anon(t, PAGE, PAGE, &addr);
            assert_non_null(r[n]);
        }
        for (int n = 0; n < 3; n++) {
            assert_int_equal(vm_free_reserved_memory(&t->vm, r[orders[i][n]]), 0);
        }
        r[0] = reserve_anon(t, 3 * PAGE, PAGE, &addr);
        assert_int_equal(addr, 0x10000000);
        assert_int_equal(vm_free_reserved_memory(&t->vm, r[0]), 0);
        assert_int_equal(vm_free_reserved_memory(&t->vm, r[3]), 0);
    }
}

/* --- filling --- */

/* An iterator's frames, and what it was asked for. */
struct frames {
    vm_frame_t frame[MAX_FRAMES];
    uintptr_t asked[MAX_FRAMES];
    size_t nr_asked;
};

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    struct frames *frames = cookie;

    assert_true(frames->nr_asked < MAX_FRAMES);
    frames->asked[frames->nr_asked] = addr;
    return frames->frame[frames->nr_asked++];
}

static struct frames make_frames(struct testvm *t, uintptr_t vaddr, size_t nr, unsigned bits)
{
    struct frames frames = {.nr_asked = 0};

    for (size_t i = 0; i < nr; i++) {
        frames.frame[i] =
            (vm_frame_t){envs_frame(&t->env, bits), seL4_AllRights, vaddr + (i << bits), bits};
    }
    return frames;
}

static void test_mapping_without_an_argument_is_refused(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    struct frames frames = make_frames(t, 0x1000, 1, 12);

    assert_int_equal(vm_map_reservation(NULL, r, next_frame, &frames), -1);
    assert_int_equal(vm_map_reservation(&t->vm, NULL, next_frame, &frames), -1);
    assert_int_equal(vm_map_reservation(&t->vm, r, NULL, &frames), -1);
    assert_reason("vm_map_reservation: no VM, reservation or iterator given");
    assert_int_equal(frames.nr_asked, 0);
}

static void test_the_iterator_is_asked_once_per_frame(void **state)
{
    static const struct {
        uintptr_t addr;
        size_t size;
        unsigned bits;
        size_t nr;
    } cases[] = {{0x1000, 0x3000, 12, 3}, {0x400000, 3 * LARGE, 21, 3}};
    struct testvm *t = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vm_memory_reservation_t *r = reserve(t, cases[i].addr, cases[i].size);
        struct frames frames = make_frames(t, cases[i].addr, cases[i].nr, cases[i].bits);

        assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
        assert_int_equal(frames.nr_asked, cases[i].nr);
        for (size_t n = 0; n < cases[i].nr; n++) {
            uintptr_t addr = cases[i].addr + (n << cases[i].bits);
            uintptr_t last = addr + ((uintptr_t)1 << cases[i].bits) - 1;

            assert_int_equal(frames.asked[n], addr);
            assert_int_equal(vspace_get_cap(vm_get_vspace(&t->vm), (void *)addr),
                             frames.frame[n].cptr);
            assert_int_equal(vspace_get_cap(vm_get_vspace(&t->vm), (void *)last),
                             frames.frame[n].cptr);
        }
        memset(testvm_pointer(t, cases[i].addr, cases[i].size), 1, cases[i].size);
    }
}

/* Frames in any order of their memory: where each lies is its vaddr's to say. */
static void test_a_frame_lies_at_its_own_address(void **state)
{
    static const size_t order[] = {2, 0, 3, 1};
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x10100, 3 * PAGE); /* touches four pages */
    struct frames made = make_frames(t, 0x10000, 4, 12);
    struct frames frames = made;

    for (size_t i = 0; i < 4; i++) {
        seL4_CPtr copy = envs_copy(&t->env, made.frame[order[i]].cptr, seL4_AllRights);
        uint8_t *page = vspace_map_pages(&t->env.vspace, &copy, NULL, seL4_AllRights, 1, 12, 1);

        page[5] = (uint8_t)(i + 1);
        vspace_unmap_pages(&t->env.vspace, page, 1, 12, VSPACE_PRESERVE);
        frames.frame[i].cptr = made.frame[order[i]].cptr;
    }
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(frames.asked[i], 0x10100 + i * PAGE);
        assert_int_equal(*(uint8_t *)testvm_pointer(t, 0x10005 + i * PAGE, 1), i + 1);
    }
}

static void test_sizes_of_frames_may_be_mixed(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, LARGE - PAGE, LARGE + 2 * PAGE);
    struct frames frames = make_frames(t, LARGE - PAGE, 3, 12);

    frames.frame[1] = (vm_frame_t){envs_frame(&t->env, 21), seL4_AllRights, LARGE, 21};
    frames.frame[2].vaddr = 2 * LARGE;
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    assert_int_equal(frames.nr_asked, 3);
    assert_int_equal(frames.asked[2], 2 * LARGE);
    assert_non_null(hostvm_vm_pointer(&t->vm, LARGE - PAGE, LARGE + 2 * PAGE));
}

/* Each spoils the third of five good frames. */
static void spoil_null(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->cptr = seL4_CapNull;
}

static void spoil_dead(struct testvm *t, vm_frame_t *frame)
{
    envs_delete(&t->env, frame->cptr);
}

static void spoil_kind(struct testvm *t, vm_frame_t *frame)
{
    frame->cptr = t->env.endpoint;
}

static void spoil_handle(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->cptr = 0x7ffffff1;
}

static void spoil_size(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->size_bits = 13;
}

static void spoil_claimed_size(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->size_bits = 21;
}

static void spoil_huge_size(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->size_bits = SIZE_MAX;
}

static void spoil_true_size(struct testvm *t, vm_frame_t *frame)
{
    frame->cptr = envs_frame(&t->env, 21);
}

static void spoil_outside(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->vaddr += 0x100000;
}

static void spoil_alignment(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->vaddr += 0x10;
}

static void spoil_order(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->vaddr -= PAGE;
}

static void spoil_gap(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->vaddr += PAGE;
}

static void spoil_repeated(struct testvm *t, vm_frame_t *frame)
{
    (void)t;
    frame->cptr = frame[-1].cptr;
}

static void test_a_bad_frame_maps_nothing(void **state)
{
    static const struct {
        const char *what;
        void (*spoil)(struct testvm *t, vm_frame_t *frame);
    } cases[] = {
        {"none", spoil_null},
        {"deleted", spoil_dead},
        {"not a frame", spoil_kind},
        {"not a capability", spoil_handle},
        {"no frame's size", spoil_size},
        {"larger than it is", spoil_claimed_size},
        {"larger than all", spoil_huge_size},
        {"smaller than it is", spoil_true_size},
        {"outside", spoil_outside},
        {"unaligned", spoil_alignment},
        {"a step back", spoil_order},
        {"a gap", spoil_gap},
        {"the same capability twice", spoil_repeated},
    };
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x10000, 5 * PAGE);
    struct frames good = make_frames(t, 0x10000, 5, 12);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct frames frames = make_frames(t, 0x10000, 5, 12);

        cases[i].spoil(t, &frames.frame[2]);
        if (vm_map_reservation(&t->vm, r, next_frame, &frames) != -1) {
            fail_msg("mapped a frame that is %s", cases[i].what);
        }
        for (uintptr_t gpa = 0x10000; gpa < 0x15000; gpa += PAGE) {
            assert_null(hostvm_vm_pointer(&t->vm, gpa, 1));
        }
    }
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &good), 0);
}

static void test_a_missing_frame_is_named(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x10000, 5 * PAGE);
    struct frames frames = make_frames(t, 0x10000, 2, 12);

    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), -1);
    assert_int_equal(frames.nr_asked, 3);
    assert_reason("cannot map [0x10000..0x15000): the iterator has no frame for 0x12000");
}

static void test_a_mapped_reservation_is_not_mapped_again(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    struct frames frames = make_frames(t, 0x1000, 2, 12);

    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    *(int *)testvm_pointer(t, 0x1000, 4) = 42;
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), -1);
    assert_reason("cannot map [0x1000..0x2000): it is mapped already");
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frames.frame[1].cptr, 1, 12), -1);
    assert_int_equal(frames.nr_asked, 1);
    assert_int_equal(*(int *)testvm_pointer(t, 0x1000, 4), 42);
}

static void test_mapping_a_list_takes_as_many_frames_as_it_needs(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x3000);
    seL4_CPtr caps[4];

    for (size_t i = 0; i < 4; i++) {
        caps[i] = envs_frame(&t->env, 12);
    }
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, caps, 2, 12), -1);
    assert_null(hostvm_vm_pointer(&t->vm, 0x1000, 1));
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, caps, 4, 12), 0);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x1000, 0x3000));
    assert_null(hostvm_vm_pointer(&t->vm, 0x4000, 1));
    assert_int_equal(vspace_get_cap(vm_get_vspace(&t->vm), (void *)0x3000), caps[2]);
}

static void test_mapping_a_bad_list_is_refused(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    seL4_CPtr cap = envs_frame(&t->env, 12);

    assert_int_equal(vm_map_reservation_frames(NULL, r, &cap, 1, 12), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, NULL, &cap, 1, 12), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, NULL, 1, 12), -1);
    assert_reason("vm_map_reservation_frames: no VM, reservation or frames given");
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &cap, 0, 12), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &cap, 1, 13), -1);
    assert_reason("vm_map_reservation_frames: frames have 12, 21 or 30 size bits, not 13");
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &cap, 1, SIZE_MAX), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &cap, 1, 21), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &cap, 1, 12), 0);
}

static void test_every_page_of_an_unaligned_reservation_is_mapped(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x500, 0x1000);
    struct frames frames = make_frames(t, 0, 2, 12);

    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    assert_int_equal(frames.nr_asked, 2);
    assert_int_equal(frames.asked[0], 0x500);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0, 2 * PAGE));
}

static void test_every_page_of_an_unaligned_reservation_takes_a_listed_frame(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x500, 0x1000);
    seL4_CPtr caps[] = {envs_frame(&t->env, 12), envs_frame(&t->env, 12)};

    assert_int_equal(vm_map_reservation_frames(&t->vm, r, caps, 1, 12), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, caps, 2, 12), 0);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0, 2 * PAGE));
}

static void test_a_frame_in_guest_and_vmm_is_one_memory(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    seL4_CPtr frame = envs_frame(&t->env, 12);
    seL4_CPtr copy = envs_copy(&t->env, frame, seL4_AllRights);
    volatile int *ours = vspace_map_pages(&t->env.vspace, &copy, NULL, seL4_AllRights, 1, 12, 1);
    volatile int *guests;

    assert_non_null(ours);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    guests = testvm_pointer(t, 0x1000, PAGE);
    ours[7] = 42;
    assert_int_equal(guests[7], 42);
    guests[8] = 43;
    assert_int_equal(ours[8], 43);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_int_equal(ours[8], 43);
    vspace_unmap_pages(&t->env.vspace, (void *)(uintptr_t)ours, 1, 12, VSPACE_PRESERVE);
}

static void test_one_frame_may_be_in_two_guests(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *low = reserve(t, 0x1000, 0x1000);
    vm_memory_reservation_t *high = reserve(t, 0x9000, 0x1000);
    seL4_CPtr frame = envs_frame(&t->env, 12);
    seL4_CPtr copy = envs_copy(&t->env, frame, seL4_AllRights);

    assert_int_equal(vm_map_reservation_frames(&t->vm, low, &frame, 1, 12), 0);
    assert_int_equal(vm_map_reservation_frames(&t->vm, high, &frame, 1, 12), -1);
    assert_int_equal(vm_map_reservation_frames(&t->vm, high, &copy, 1, 12), 0);
    *(int *)testvm_pointer(t, 0x1000, 4) = 42;
    assert_int_equal(*(int *)testvm_pointer(t, 0x9000, 4), 42);
}

static void test_deleting_a_frame_takes_it_out_of_the_guest(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x3000);
    seL4_CPtr caps[3];

    for (size_t i = 0; i < 3; i++) {
        caps[i] = envs_frame(&t->env, 12);
    }
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, caps, 3, 12), 0);
    envs_delete(&t->env, caps[1]);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x1000, PAGE));
    assert_null(hostvm_vm_pointer(&t->vm, 0x2000, 1));
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x3000, PAGE));
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
}

static void test_memory_without_rights_has_no_pointer(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x3000);
    struct frames frames = make_frames(t, 0x1000, 3, 12);

    frames.frame[0].rights = seL4_CanRead;
    frames.frame[1].rights = seL4_NoRights;
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    memset(testvm_pointer(t, 0x1000, PAGE), 1, PAGE);
    assert_null(hostvm_vm_pointer(&t->vm, 0x2000, 1));
    assert_null(hostvm_vm_pointer(&t->vm, 0x1000, PAGE + 1));
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x3000, PAGE));
    assert_null(hostvm_vm_pointer(&t->vm, 0x3000, PAGE + 1));
    assert_null(hostvm_vm_pointer(&t->vm, 0x3000, SIZE_MAX));
}

static void test_a_deferred_mapping_asks_for_nothing_yet(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    struct frames frames = make_frames(t, 0x1000, 1, 12);

    (void)state;
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, &frames), 0);
    assert_int_equal(frames.nr_asked, 0);
    assert_null(hostvm_vm_pointer(&t->vm, 0x1000, 1));
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    testvm_destroy(t);
}

static void test_a_list_and_ram_are_mapped_at_once_all_the_same(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
    vm_memory_reservation_t *r = reserve(t, 0x1000, 0x1000);
    struct frames frames = make_frames(t, 0x1000, 2, 12);

    (void)state;
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frames.frame[0].cptr, 1, 12), 0);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x1000, PAGE));
    assert_int_equal(vm_ram_register_at(&t->vm, 0x2000, 0x1000, false), 0);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x2000, PAGE));
    frames.frame[1].vaddr = 0x3000;
    frames.frame[0] = frames.frame[1];
    assert_int_equal(
        vm_ram_register_at_custom_iterator(&t->vm, 0x3000, 0x1000, next_frame, &frames), 0);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x3000, PAGE));
    testvm_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_reservation_without_callback_or_size_is_refused),
        vm_test(test_reservation_that_wraps_is_refused),
        vm_test(test_neighbours_are_granted_and_overlaps_are_not),
        vm_test(test_reservations_of_one_page_conflict),
        vm_test(test_a_region_is_reported_exactly_as_reserved),
        vm_test(test_a_refused_reservation_leaves_no_trace),
        vm_test(test_reservations_may_lie_anywhere),
        vm_test(test_anonymous_memory_needs_a_region),
        vm_test(test_anonymous_reservation_without_an_argument_is_refused),
        vm_test(test_a_region_without_size_or_vm_is_refused),
        vm_test(test_anonymous_memory_comes_from_the_lowest_region),
        vm_test(test_anonymous_reservations_follow_each_other_page_by_page),
        vm_test(test_anonymous_alignment_skips_to_the_next_boundary),
        vm_test(test_an_anonymous_region_hands_out_the_whole_pages_in_it),
        vm_test(test_anonymous_alignment_never_leads_outside_a_region),
        vm_test(test_anonymous_alignment_may_be_any_number),
        vm_test(test_five_and_six_arguments_compile_in_one_file),
        vm_test(test_regions_and_reservations_keep_apart),
        vm_test(test_a_freed_range_can_be_reserved_again),
        vm_test(test_a_range_of_large_frames_can_be_freed_and_reserved_again),
        vm_test(test_freeing_nothing_or_what_is_freed_is_refused),
        vm_test(test_a_reservation_that_was_freed_is_known_as_such),
        vm_test(test_freed_reservations_are_used_again),
        vm_test(test_a_reservation_belongs_to_its_vm),
        vm_test(test_freed_anonymous_space_is_used_again),
        vm_test(test_freed_anonymous_neighbours_become_one_piece),
        vm_test(test_mapping_without_an_argument_is_refused),
        vm_test(test_the_iterator_is_asked_once_per_frame),
        vm_test(test_a_frame_lies_at_its_own_address),
        vm_test(test_sizes_of_frames_may_be_mixed),
        vm_test(test_a_bad_frame_maps_nothing),
        vm_test(test_a_missing_frame_is_named),
        vm_test(test_a_mapped_reservation_is_not_mapped_again),
        vm_test(test_mapping_a_list_takes_as_many_frames_as_it_needs),
        vm_test(test_mapping_a_bad_list_is_refused),
        vm_test(test_every_page_of_an_unaligned_reservation_is_mapped),
        vm_test(test_every_page_of_an_unaligned_reservation_takes_a_listed_frame),
        vm_test(test_a_frame_in_guest_and_vmm_is_one_memory),
        vm_test(test_one_frame_may_be_in_two_guests),
        vm_test(test_deleting_a_frame_takes_it_out_of_the_guest),
        vm_test(test_memory_without_rights_has_no_pointer),
        cmocka_unit_test(test_a_deferred_mapping_asks_for_nothing_yet),
        cmocka_unit_test(test_a_list_and_ram_are_mapped_at_once_all_the_same),
    };

    return run_vm_tests(tests);
}
