/* Guest RAM: registering it, allocating from it, and touching it from the VMM. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_ram.h>

enum { PAGE = 4096 };

/* The list of RAM as it shall be: {start, size, allocated} up to an entry without a size. */
static void check_regions(const vm_t *vm, const struct vm_ram_region *expected, const char *file,
                          int line)
{
    int nr = 0;

    for (; expected[nr].size != 0 && nr < vm->mem.num_ram_regions; nr++) {
        const struct vm_ram_region *region = &vm->mem.ram_regions[nr];

        _assert_int_equal(region->start, expected[nr].start, file, line);
        _assert_int_equal(region->size, expected[nr].size, file, line);
        _assert_int_equal(region->allocated, expected[nr].allocated, file, line);
    }
    _assert_int_equal(expected[nr].size, 0, file, line);
    _assert_int_equal(vm->mem.num_ram_regions, nr, file, line);
}

#define assert_regions(vm, ...)                                                                    \
    check_regions((vm), (const struct vm_ram_region[]){__VA_ARGS__, {0, 0, 0}}, __FILE__, __LINE__)

static void add_ram(struct testvm *t, uintptr_t start, size_t size)
{
    assert_int_equal(vm_ram_register_at(&t->vm, start, size, false), 0);
}

/* --- registering --- */

static void test_ram_that_touches_is_one_entry(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x500, 0x7fb00);
    add_ram(t, 0x80000, 0x1fc00);
    assert_regions(&t->vm, {0x500, 0x9f700, 0});
}

static void test_entries_are_sorted_and_touching_ones_join(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x80000, 0x1000);
    add_ram(t, 0x10000, 0x1000);
    add_ram(t, 0x40000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x1000, 0}, {0x40000, 0x1000, 0}, {0x80000, 0x1000, 0});
    add_ram(t, 0x11000, 0x2f000);
    assert_regions(&t->vm, {0x10000, 0x31000, 0}, {0x80000, 0x1000, 0});
    add_ram(t, 0x7f000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x31000, 0}, {0x7f000, 0x2000, 0});
}

static void test_ram_that_overlaps_is_refused_and_changes_nothing(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x2000);
    assert_int_equal(vm_ram_register_at(&t->vm, 0x11000, 0x2000, false), -1);
    assert_reason("cannot reserve [0x11000..0x13000): it shares pages with the reservation "
                  "[0x10000..0x12000); free that first");
    assert_regions(&t->vm, {0x10000, 0x2000, 0});
    assert_null(hostvm_vm_pointer(&t->vm, 0x12000, 1));
    add_ram(t, 0x12000, 0x1000);
}

static void test_ram_without_vm_or_size_is_refused(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at(NULL, 0, PAGE, false), -1);
    assert_reason("vm_ram_register_at: no VM given");
    assert_int_equal(vm_ram_register_at(&t->vm, 0x1000, 0, false), -1);
    assert_reason("cannot reserve guest memory at 0x1000: its size is 0");
    assert_int_equal(vm_ram_register_at(&t->vm, UINTPTR_MAX - PAGE, 2 * PAGE, false), -1);
    assert_int_equal(vm_ram_register(NULL, PAGE), 0);
    assert_int_equal(vm_ram_register(&t->vm, 0), 0);
    assert_int_equal(vm_ram_register(&t->vm, SIZE_MAX), 0);
    assert_int_equal(t->vm.mem.num_ram_regions, 0);
}

static void test_untyped_makes_no_difference(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x10000, 0x1000, true), 0);
    assert_regions(&t->vm, {0x10000, 0x1000, 0});
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x10000, 0x1000));
}

static void test_ram_from_the_regions_is_zero_and_listed(void **state)
{
    static const uint8_t zeros[3 * PAGE];
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register(&t->vm, PAGE), 0);
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x100000, 0x100000), 0);
    assert_int_equal(vm_ram_register(&t->vm, 3 * PAGE), 0x100000);
    assert_regions(&t->vm, {0x100000, 3 * PAGE, 0});
    assert_memory_equal(testvm_pointer(t, 0x100000, 3 * PAGE), zeros, 3 * PAGE);
    assert_int_equal(vm_ram_register(&t->vm, 0x200000), 0);
    assert_int_equal(vm_ram_register(&t->vm, PAGE), 0x103000);
    assert_regions(&t->vm, {0x100000, 4 * PAGE, 0});
}

static void test_ram_past_the_environments_limit_is_refused(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.max_frame_memory = 16 * PAGE});

    (void)state;
    add_ram(t, 0, 15 * PAGE);
    assert_int_equal(vm_ram_register_at(&t->vm, 0x100000, 2 * PAGE, false), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_regions(&t->vm, {0, 15 * PAGE, 0});
    add_ram(t, 0x100000, PAGE);
    testvm_destroy(t);
}

static vm_frame_t ram_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

static vm_frame_t one_ram_frame(uintptr_t addr, void *cookie)
{
    return addr == 0x10000 ? ram_frame(addr, cookie) : (vm_frame_t){.cptr = seL4_CapNull};
}

static void test_ram_may_be_made_of_any_frames(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at_custom_iterator(&t->vm, 0x10000, 3 * PAGE, ram_frame, t),
                     0);
    assert_regions(&t->vm, {0x10000, 3 * PAGE, 0});
    assert_non_null(hostvm_vm_pointer(&t->vm, 0x10000, 3 * PAGE));
}

static void test_ram_without_its_frames_leaves_nothing_reserved(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(
        vm_ram_register_at_custom_iterator(&t->vm, 0x10000, 3 * PAGE, one_ram_frame, t), -1);
    assert_reason("cannot map [0x10000..0x13000): the iterator has no frame for 0x11000");
    assert_int_equal(t->vm.mem.num_ram_regions, 0);
    assert_null(hostvm_vm_pointer(&t->vm, 0x10000, 1));
    assert_int_equal(vm_ram_register_at_custom_iterator(&t->vm, 0x10000, PAGE, NULL, t), -1);
    assert_int_equal(vm_ram_register_at_custom_iterator(NULL, 0x10000, PAGE, ram_frame, t), -1);
    add_ram(t, 0x10000, 3 * PAGE);
}

/* --- allocating --- */

static void test_marking_splits_an_entry_in_three_and_joins_it_again(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x3000);
    vm_ram_mark_allocated(&t->vm, 0x11000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x1000, 0}, {0x11000, 0x1000, 1}, {0x12000, 0x1000, 0});
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x2000, 1}, {0x12000, 0x1000, 0});
    vm_ram_mark_allocated(&t->vm, 0x12000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x3000, 1});
}

static void test_what_is_not_one_free_piece_is_not_marked(void **state)
{
    static const struct {
        uintptr_t start;
        size_t size;
    } ranges[] = {
        {0xf000, 0x2000},      /* begins outside */
        {0x12000, 0x2000},     /* ends outside */
        {0x100000, 0x1000},    /* outside */
        {0x11000, 0x800},      /* allocated */
        {0x10800, 0x1000},     /* free, then allocated */
        {0x10000, 0x3000},     /* all three */
        {0x10000, 0},          /* nothing */
        {0x10800, SIZE_MAX},   /* wraps */
        {UINTPTR_MAX, 0x1000}, /* wraps */
    };
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x3000);
    vm_ram_mark_allocated(&t->vm, 0x11000, 0x1000);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        vm_ram_mark_allocated(&t->vm, ranges[i].start, ranges[i].size);
        assert_regions(&t->vm, {0x10000, 0x1000, 0}, {0x11000, 0x1000, 1}, {0x12000, 0x1000, 0});
    }
    vm_ram_mark_allocated(NULL, 0x10000, 0x1000);
}

static void test_allocations_follow_each_other_byte_by_byte(void **state)
{
    struct testvm *t = *state;
    uintptr_t first;

    add_ram(t, 0x10000, 0x1000);
    first = vm_ram_allocate(&t->vm, 17);
    assert_int_equal(first, 0x10000);
    assert_int_equal(vm_ram_allocate(&t->vm, 1), first + 17);
    assert_int_equal(vm_ram_allocate(&t->vm, 0x1000), 0);
    assert_reason("cannot allocate 0x1000 bytes of guest RAM: no free region is that large");
    assert_int_equal(vm_ram_allocate(&t->vm, 0x1000 - 18), first + 18);
    assert_regions(&t->vm, {0x10000, 0x1000, 1});
    assert_int_equal(vm_ram_allocate(&t->vm, 1), 0);
    assert_int_equal(vm_ram_allocate(NULL, 1), 0);
}

static void test_allocation_takes_the_lowest_entry_that_is_large_enough(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x1000);
    add_ram(t, 0x20000, 0x8000);
    add_ram(t, 0x30000, 0x2000);
    assert_int_equal(vm_ram_allocate(&t->vm, 0x2000), 0x20000);
    assert_int_equal(vm_ram_allocate(&t->vm, 0x800), 0x10000);
}

static void test_allocating_no_bytes_changes_nothing(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_allocate(&t->vm, 0), 0);
    add_ram(t, 0x10000, 0x1000);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x100);
    assert_int_equal(vm_ram_allocate(&t->vm, 0), 0x10100);
    assert_regions(&t->vm, {0x10000, 0x100, 1}, {0x10100, 0xf00, 0});
}

static void test_ram_at_zero_can_be_allocated(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0, 0x1000);
    assert_int_equal(vm_ram_allocate(&t->vm, 0x10), 0);
    assert_regions(&t->vm, {0, 0x10, 1}, {0x10, 0xff0, 0});
}

static void test_freed_ram_is_free_again(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x3000);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x3000);
    vm_ram_free(&t->vm, 0x11000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x1000, 1}, {0x11000, 0x1000, 0}, {0x12000, 0x1000, 1});
    assert_int_equal(vm_ram_allocate(&t->vm, 0x1000), 0x11000);
    vm_ram_free(&t->vm, 0x10000, 0x3000);
    assert_regions(&t->vm, {0x10000, 0x3000, 0});
}

static void test_freeing_what_is_not_one_allocated_piece_changes_nothing(void **state)
{
    static const struct {
        uintptr_t start;
        size_t size;
    } ranges[] = {
        {0x10000, 0x1000}, {0x10800, 0x1000}, {0x11800, 0x1000},
        {0x20000, 0x1000}, {0x11000, 0},      {0x11800, SIZE_MAX},
    };
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x3000);
    vm_ram_mark_allocated(&t->vm, 0x11000, 0x1000);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        vm_ram_free(&t->vm, ranges[i].start, ranges[i].size);
        assert_regions(&t->vm, {0x10000, 0x1000, 0}, {0x11000, 0x1000, 1}, {0x12000, 0x1000, 0});
    }
    vm_ram_free(NULL, 0x11000, 0x1000);
}

static void test_registering_beside_allocated_ram_keeps_them_apart(void **state)
{
    struct testvm *t = *state;

    add_ram(t, 0x10000, 0x1000);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x1000);
    add_ram(t, 0x11000, 0x1000);
    assert_regions(&t->vm, {0x10000, 0x1000, 1}, {0x11000, 0x1000, 0});
}

/* --- the largest free entry --- */

static void test_largest_free_region_is_the_lowest_of_equals(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 0;
    size_t size = 0;

    add_ram(t, 0x10000, 0x1000);
    add_ram(t, 0x30000, 0x4000);
    add_ram(t, 0x20000, 0x4000);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), 0);
    assert_int_equal(addr, 0x20000);
    assert_int_equal(size, 0x4000);
}

static void test_allocated_ram_is_no_free_region(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 1;
    size_t size = 2;

    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), -1);
    add_ram(t, 0x10000, 0x1000);
    add_ram(t, 0x20000, 0x4000);
    vm_ram_mark_allocated(&t->vm, 0x20000, 0x4000);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), 0);
    assert_int_equal(addr, 0x10000);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x1000);
    addr = 1;
    size = 2;
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), -1);
    assert_reason("there is no free guest RAM");
    assert_int_equal(addr, 1);
    assert_int_equal(size, 2);
}

static void test_ram_above_4_gib_is_a_place_for_boot_images_where_they_can_lie_there(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr = 0;
    size_t size = 0;

    add_ram(t, 0x10000, 0x1000);
    add_ram(t, 0x100000000, 0x100000);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), 0);
    assert_int_equal(addr, BOOTS_FROM_LOW_RAM ? 0x10000 : 0x100000000);
    add_ram(t, 0xfff00000, 0x80000);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), 0);
    assert_int_equal(addr, BOOTS_FROM_LOW_RAM ? 0xfff00000 : 0x100000000);
    assert_int_equal(size, BOOTS_FROM_LOW_RAM ? 0x80000 : 0x100000);
}

/* What begins below 4 GiB may end above; the last byte of 4 GiB is too much already. */
static void test_ram_that_ends_above_4_gib_is_no_place_for_boot_images(void **state)
{
    static const struct {
        size_t size;
        uintptr_t largest;
    } cases[] = {
        {0x1000000fe, 0x10000},
        {0x10000000, 0x10000},
        {0xfffffff, 0x10000},
        {0xffffffe, 0xf0000000},
    };

    (void)state;
    if (!BOOTS_FROM_LOW_RAM) {
        skip();
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct testvm *t = testvm_create();
        uintptr_t addr = 0;
        size_t size = 0;

        add_ram(t, 0x10000, 0x1000);
        add_ram(t, 0xf0000000, cases[i].size);
        assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, &size), 0);
        assert_int_equal(addr, cases[i].largest);
        testvm_destroy(t);
    }
}

static void test_finding_a_region_without_an_argument_is_refused(void **state)
{
    struct testvm *t = *state;
    uintptr_t addr;
    size_t size;

    add_ram(t, 0x10000, 0x1000);
    assert_int_equal(vm_ram_find_largest_free_region(NULL, &addr, &size), -1);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, NULL, &size), -1);
    assert_int_equal(vm_ram_find_largest_free_region(&t->vm, &addr, NULL), -1);
}

/* --- touching --- */

struct touches {
    unsigned nr;
    unsigned stop_at; /* this call returns 7 */
    struct {
        uintptr_t addr;
        uint8_t *pointer;
        size_t size;
        size_t offset;
    } calls[4];
};

static int record_touch(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                        void *cookie)
{
    struct touches *touches = cookie;

    (void)vm;
    assert_true(touches->nr < 4);
    touches->calls[touches->nr].addr = addr;
    touches->calls[touches->nr].pointer = pointer;
    touches->calls[touches->nr].size = size;
    touches->calls[touches->nr].offset = offset;
    touches->nr++;
    return touches->nr == touches->stop_at ? 7 : 0;
}

static void test_touch_visits_page_by_page(void **state)
{
    static const size_t sizes[] = {4080, 4096, 1824};
    static const size_t offsets[] = {0, 4080, 8176};
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x10000, 0x10000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x12010, 10000, record_touch, &touches), 0);
    assert_int_equal(touches.nr, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(touches.calls[i].size, sizes[i]);
        assert_int_equal(touches.calls[i].offset, offsets[i]);
        assert_int_equal(touches.calls[i].addr, 0x12010 + offsets[i]);
        assert_int_equal((uintptr_t)touches.calls[i].pointer % PAGE, touches.calls[i].addr % PAGE);
        assert_ptr_equal(touches.calls[i].pointer,
                         hostvm_vm_pointer(&t->vm, touches.calls[i].addr, sizes[i]));
    }
}

static void test_touch_outside_ram_calls_nobody(void **state)
{
    static const struct {
        uintptr_t addr;
        size_t size;
    } ranges[] = {
        {0xfffff, 1}, {0x10000, 0x1001},   {0xffff, 2},      {0x11000, 1},
        {0x11000, 0}, {0x10800, SIZE_MAX}, {UINTPTR_MAX, 1}, {0x12000, 0x1000},
    };
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x10000, 0x1000);
    assert_non_null(vm_create_vcpu(&t->vm, 0));
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        assert_int_equal(
            vm_ram_touch(&t->vm, ranges[i].addr, ranges[i].size, record_touch, &touches), -1);
    }
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000000, 8, record_touch, &touches), -1);
    assert_reason("cannot touch 0x8 bytes at 0x10000000: they are not all guest RAM");
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 8, NULL, &touches), -1);
    assert_int_equal(vm_ram_touch(NULL, 0x10000, 8, record_touch, &touches), -1);
    assert_reason("vm_ram_touch: no VM or no callback given");
    assert_int_equal(touches.nr, 0);
}

static void test_touch_of_no_bytes_calls_nobody(void **state)
{
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x10000, 0x1000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10800, 0, record_touch, &touches), 0);
    assert_int_equal(touches.nr, 0);
}

static void test_touch_crosses_from_allocated_to_free_ram(void **state)
{
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x10000, 0x2000);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x1800);
    assert_int_equal(vm_ram_touch(&t->vm, 0x11000, 0x1000, record_touch, &touches), 0);
    assert_int_equal(touches.nr, 1);
    assert_int_equal(touches.calls[0].size, 0x1000);
}

static void test_touch_crosses_from_one_registration_to_the_next(void **state)
{
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x11000, 0x1000);
    add_ram(t, 0x10000, 0x1000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10ff0, 0x20, record_touch, &touches), 0);
    assert_int_equal(touches.nr, 2);
    assert_ptr_equal(touches.calls[1].pointer, touches.calls[0].pointer + 0x10);
}

static void test_touch_ends_with_the_callbacks_first_result(void **state)
{
    struct testvm *t = *state;
    struct touches touches = {.stop_at = 2};

    add_ram(t, 0x10000, 0x4000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 0x4000, record_touch, &touches), 7);
    assert_int_equal(touches.nr, 2);
}

static void test_bytes_written_over_pages_are_read_back(void **state)
{
    struct testvm *t = *state;
    uint8_t written[2 * PAGE + 100];
    uint8_t read[sizeof(written)] = {0};

    for (size_t i = 0; i < sizeof(written); i++) {
        written[i] = (uint8_t)(i * 7 + i / 256);
    }
    add_ram(t, 0x10000, 0x4000);
    assert_int_equal(
        vm_ram_touch(&t->vm, 0x10fff, sizeof(written), vm_guest_ram_write_callback, written), 0);
    assert_memory_equal(testvm_pointer(t, 0x10fff, sizeof(written)), written, sizeof(written));
    assert_int_equal(vm_ram_touch(&t->vm, 0x10fff, sizeof(read), vm_guest_ram_read_callback, read),
                     0);
    assert_memory_equal(read, written, sizeof(written));
}

static void test_copying_without_a_buffer_is_refused(void **state)
{
    struct testvm *t = *state;
    uint8_t byte = 0;

    assert_int_equal(vm_guest_ram_read_callback(&t->vm, 0, &byte, 1, 0, NULL), -1);
    assert_int_equal(vm_guest_ram_read_callback(&t->vm, 0, NULL, 1, 0, &byte), -1);
    assert_int_equal(vm_guest_ram_write_callback(&t->vm, 0, &byte, 1, 0, NULL), -1);
    assert_int_equal(vm_guest_ram_write_callback(&t->vm, 0, NULL, 1, 0, &byte), -1);
    assert_reason("cannot copy guest RAM: no address or no buffer given");
}

static int touch_again(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                       void *cookie)
{
    (void)pointer;
    (void)offset;
    return vm_ram_touch(vm, addr, size, record_touch, cookie);
}

static void test_a_touch_inside_a_touch_works(void **state)
{
    struct testvm *t = *state;
    struct touches touches = {.nr = 0};

    add_ram(t, 0x10000, 0x2000);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 0x2000, touch_again, &touches), 0);
    assert_int_equal(touches.nr, 2);
    assert_int_equal(touches.calls[1].addr, 0x11000);
}

/* --- seen by a guest --- */

GUEST_CODE(add_and_store, GUEST_LOAD_B(0x5000) GUEST_ADD_1_TO_B GUEST_STORE_B(0x5004) GUEST_EXIT);

static void test_guest_and_vmm_see_each_others_bytes(void **state)
{
    struct testvm *t = *state;
    uint32_t words[2] = {41, 0};

    testvm_boot(t, &add_and_store);
    assert_int_equal(vm_ram_touch(&t->vm, DATA_GPA, 4, vm_guest_ram_write_callback, words), 0);
    testvm_run_to_exit(t);
    assert_int_equal(vm_ram_touch(&t->vm, DATA_GPA, 8, vm_guest_ram_read_callback, words), 0);
    assert_int_equal(words[1], 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_ram_that_touches_is_one_entry),
        vm_test(test_entries_are_sorted_and_touching_ones_join),
        vm_test(test_ram_that_overlaps_is_refused_and_changes_nothing),
        vm_test(test_ram_without_vm_or_size_is_refused),
        vm_test(test_untyped_makes_no_difference),
        vm_test(test_ram_from_the_regions_is_zero_and_listed),
        cmocka_unit_test(test_ram_past_the_environments_limit_is_refused),
        vm_test(test_ram_may_be_made_of_any_frames),
        vm_test(test_ram_without_its_frames_leaves_nothing_reserved),
        vm_test(test_marking_splits_an_entry_in_three_and_joins_it_again),
        vm_test(test_what_is_not_one_free_piece_is_not_marked),
        vm_test(test_allocations_follow_each_other_byte_by_byte),
        vm_test(test_allocation_takes_the_lowest_entry_that_is_large_enough),
        vm_test(test_allocating_no_bytes_changes_nothing),
        vm_test(test_ram_at_zero_can_be_allocated),
        vm_test(test_freed_ram_is_free_again),
        vm_test(test_freeing_what_is_not_one_allocated_piece_changes_nothing),
        vm_test(test_registering_beside_allocated_ram_keeps_them_apart),
        vm_test(test_largest_free_region_is_the_lowest_of_equals),
        vm_test(test_allocated_ram_is_no_free_region),
        vm_test(test_ram_above_4_gib_is_a_place_for_boot_images_where_they_can_lie_there),
        cmocka_unit_test(test_ram_that_ends_above_4_gib_is_no_place_for_boot_images),
        vm_test(test_finding_a_region_without_an_argument_is_refused),
        vm_test(test_touch_visits_page_by_page),
        vm_test(test_touch_outside_ram_calls_nobody),
        vm_test(test_touch_of_no_bytes_calls_nobody),
        vm_test(test_touch_crosses_from_allocated_to_free_ram),
        vm_test(test_touch_crosses_from_one_registration_to_the_next),
        vm_test(test_touch_ends_with_the_callbacks_first_result),
        vm_test(test_bytes_written_over_pages_are_read_back),
        vm_test(test_copying_without_a_buffer_is_refused),
        vm_test(test_a_touch_inside_a_touch_works),
        vm_test(test_guest_and_vmm_see_each_others_bytes),
    };

    return run_vm_tests(tests);
}
