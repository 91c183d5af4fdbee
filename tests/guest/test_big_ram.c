/* Large memory: what is registered costs nothing until it is used, and neighbours are one memory
 * slot. */
#include "support/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sel4vm/guest_ram.h>

#include "support/device.h"
#include "support/inject.h"

#define GIB (1ul << 30)

enum { PAGE = 4096, MIB = 1 << 20 };

/* Memory of this process that is in use, in bytes (proc(5), statm). */
static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total;
    unsigned long pages;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &pages), 2);
    assert_int_equal(fclose(file), 0);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* KVM learns of memory slots when the first vcpu starts. */
static void start_vcpu(struct testvm *t)
{
    assert_int_equal(vcpu_start(vm_create_vcpu(&t->vm, 0)), 0);
}

static void test_64_gib_of_ram_touch_no_host_memory(void **state)
{
    struct testvm *t = *state;
    size_t before;
    uint8_t *first;
    uint8_t *last;

    start_vcpu(t);
    before = resident();
    slot_changes_begin();
    assert_int_equal(vm_ram_register_at(&t->vm, 4 * GIB, 64 * GIB, false), 0);
    assert_int_equal(slot_changes(), 1);
    assert_true(resident() < before + MIB);
    first = testvm_pointer(t, 4 * GIB, 64 * GIB);
    last = first + 64 * GIB - 1;
    assert_int_equal(*first, 0);
    *last = 42;
    assert_ptr_equal(testvm_pointer(t, 68 * GIB - 1, 1), last);
    assert_true(resident() < before + 2 * MIB);
}

static void test_ram_registered_before_the_start_is_one_slot_of_its_own(void **state)
{
    struct testvm *t = *state;

    slot_changes_begin();
    assert_int_equal(vm_ram_register_at(&t->vm, 4 * GIB, 64 * GIB, false), 0);
    for (uintptr_t page = 0; page < 100 * PAGE; page += PAGE) {
        assert_int_equal(vm_ram_register_at(&t->vm, page, PAGE, false), 0);
    }
    start_vcpu(t);
    assert_int_equal(slot_changes(), 2 + NR_VCPU_SLOTS);
}

static int count_touch(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                       void *cookie)
{
    size_t *total = cookie;

    (void)vm;
    (void)addr;
    (void)pointer;
    (void)offset;
    *total += size;
    return 0;
}

static void test_gibs_of_ram_are_visited_without_being_touched(void **state)
{
    struct testvm *t = *state;
    size_t before = resident();
    size_t total = 0;

    assert_int_equal(vm_ram_register_at(&t->vm, 0, 2 * GIB, false), 0);
    assert_int_equal(vm_ram_touch(&t->vm, 0, 2 * GIB, count_touch, &total), 0);
    assert_int_equal(total, 2 * GIB);
    assert_true(resident() < before + MIB);
}

/* Frames that were made before. */
struct frames {
    uintptr_t base;
    seL4_CPtr caps[10000];
};

static struct frames *make_frames(struct testvm *t, uintptr_t base, size_t nr)
{
    struct frames *frames = calloc(1, sizeof(*frames));

    assert_non_null(frames);
    frames->base = base;
    for (size_t i = 0; i < nr; i++) {
        frames->caps[i] = envs_frame(&t->env, 12);
    }
    return frames;
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    const struct frames *frames = cookie;

    return (vm_frame_t){frames->caps[(addr - frames->base) / PAGE], seL4_AllRights, addr, 12};
}

static void test_ten_thousand_neighbouring_frames_are_one_slot(void **state)
{
    enum { NR = 10000 };
    struct testvm *t = *state;
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, 16 * MIB, NR * PAGE, device_fault, NULL);
    struct frames *frames = make_frames(t, 16 * MIB, NR);

    /* The first mapping of a VM costs more. */
    assert_int_equal(vm_ram_register_at(&t->vm, 0, PAGE, false), 0);
    start_vcpu(t);
    slot_changes_begin();
    inject_count_system_calls();
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, frames), 0);
    assert_in_range(inject_system_calls(), 1, 2);
    assert_int_equal(slot_changes(), 1);
    memset(testvm_pointer(t, 16 * MIB, NR * PAGE), 1, NR * PAGE);
    inject_count_system_calls();
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_in_range(inject_system_calls(), 1, 2);
    assert_int_equal(slot_changes(), 2);
    free(frames);
}

/* Each frame is a run of its own: in the memory file they go down where the addresses go up. */
static void test_frames_that_are_no_neighbours_are_one_slot(void **state)
{
    enum { NR = 1000 };
    struct testvm *t = *state;
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, 16 * MIB, NR * PAGE, device_fault, NULL);
    struct frames *frames = make_frames(t, 16 * MIB, NR);

    for (size_t i = 0; i < NR / 2; i++) {
        seL4_CPtr cap = frames->caps[i];

        frames->caps[i] = frames->caps[NR - 1 - i];
        frames->caps[NR - 1 - i] = cap;
    }
    start_vcpu(t);
    slot_changes_begin();
    inject_count_system_calls();
    assert_int_equal(vm_map_reservation(&t->vm, r, next_frame, frames), 0);
    assert_in_range(inject_system_calls(), NR, 2 * NR);
    assert_int_equal(slot_changes(), 1);
    memset(testvm_pointer(t, 16 * MIB, NR * PAGE), 1, NR * PAGE);
    free(frames);
}

static vm_frame_t striped_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;
    vm_frame_t frame = {envs_frame(&t->env, 12), seL4_AllRights, addr, 12};

    frame.rights = (addr / (10 * PAGE)) % 2 == 0 ? seL4_AllRights : seL4_CanRead;
    return frame;
}

static void test_neighbours_with_other_rights_are_other_slots(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r = vm_reserve_memory_at(&t->vm, 0, 100 * PAGE, device_fault, NULL);

    start_vcpu(t);
    slot_changes_begin();
    assert_int_equal(vm_map_reservation(&t->vm, r, striped_frame, t), 0);
    assert_int_equal(slot_changes(), 10);
}

/* KVM allows some 500 slots at least; reservations that follow each other need one together. */
static void test_many_small_registrations_need_few_slots(void **state)
{
    enum { NR = 2000 };
    struct testvm *t = *state;

    start_vcpu(t);
    for (int i = 0; i < NR; i++) {
        uintptr_t page = (uintptr_t)(i % 2 == 0 ? i : NR - i) * PAGE;

        assert_int_equal(vm_ram_register_at(&t->vm, page, PAGE, false), 0);
    }
    assert_int_equal(t->vm.mem.num_ram_regions, 1);
    assert_non_null(hostvm_vm_pointer(&t->vm, 0, NR * PAGE));
}

GUEST_CODE(store_high, GUEST_STORE(0x200010, 0x12345678) GUEST_LOAD_B(0x200010) GUEST_EXIT);

static void test_a_guest_uses_ram_above_4_gib(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &store_high);
    assert_int_equal(vm_ram_register_at(&t->vm, 4 * GIB, 16 * GIB, false), 0);
    testvm_map_device_at(t, 16 * GIB);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x12345678);
    assert_int_equal(*(uint32_t *)testvm_pointer(t, 16 * GIB + 0x10, 4), 0x12345678);
}

static void test_ram_beyond_the_window_is_refused(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.window_size = GIB});

    (void)state;
    assert_int_equal(vm_ram_register_at(&t->vm, GIB - PAGE, PAGE, false), 0);
    assert_int_equal(vm_ram_register_at(&t->vm, 2 * GIB, PAGE, false), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_int_equal(t->vm.mem.num_ram_regions, 1);
    testvm_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_64_gib_of_ram_touch_no_host_memory),
        vm_test(test_ram_registered_before_the_start_is_one_slot_of_its_own),
        vm_test(test_gibs_of_ram_are_visited_without_being_touched),
        vm_test(test_ten_thousand_neighbouring_frames_are_one_slot),
        vm_test(test_frames_that_are_no_neighbours_are_one_slot),
        vm_test(test_neighbours_with_other_rights_are_other_slots),
        vm_test(test_many_small_registrations_need_few_slots),
        vm_test(test_a_guest_uses_ram_above_4_gib),
        cmocka_unit_test(test_ram_beyond_the_window_is_refused),
    };

    return run_vm_tests(tests);
}
