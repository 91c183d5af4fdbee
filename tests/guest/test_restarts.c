/* Memory that comes, goes and has rights: accesses done again, deferred mappings, read-only and
 * inaccessible memory. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_ram.h>

#include "support/device.h"

enum { PAGE = 4096 };

GUEST_CODE(load, GUEST_LOAD_B(0x200004) GUEST_EXIT);
GUEST_CODE(store, GUEST_STORE(0x200004, 0x12345678) GUEST_SET_B(1) GUEST_EXIT);
GUEST_CODE(load_store_load, GUEST_LOAD_B(0x200004) GUEST_STORE(0x200004, 0x12345678)
                                GUEST_LOAD_C(0x200004) GUEST_EXIT);

/* Where the device was there is RAM, with a number in it. Cookie is the device's reservation. */
static void become_ram(struct device *device, vm_vcpu_t *vcpu)
{
    uint32_t number = 0xabcd;

    assert_int_equal(vm_free_reserved_memory(vcpu->vm, device->cookie), 0);
    assert_int_equal(vm_ram_register_at(vcpu->vm, DEVICE_GPA, PAGE, false), 0);
    assert_int_equal(
        vm_ram_touch(vcpu->vm, DEVICE_GPA + 4, 4, vm_guest_ram_write_callback, &number), 0);
}

static void boot(struct testvm *t, const struct guest_code *code, struct device *device)
{
    testvm_boot(t, code);
    device->cookie = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, device);
    assert_non_null(device->cookie);
}

static uint32_t memory(struct testvm *t)
{
    return *(uint32_t *)testvm_pointer(t, DEVICE_GPA + 4, 4);
}

static void restart(struct device *device, vm_vcpu_t *vcpu)
{
    become_ram(device, vcpu);
    restart_vcpu_fault(vcpu);
}

/* --- again --- */

/* Four ways to say that the access shall be done against the memory that is there now. */
static const struct {
    const char *how;
    struct device device;
} ways[] = {
    {"FAULT_RESTART", {.result = FAULT_RESTART, .act = become_ram}},
    {"FAULT_HANDLED, not advanced", {.is_lazy = true, .act = become_ram}},
    {"restart_vcpu_fault", {.is_lazy = true, .act = restart}},
    {"restart_vcpu_fault and FAULT_RESTART", {.result = FAULT_RESTART, .act = restart}},
};

static void test_a_load_done_again_returns_what_is_in_memory_now(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct testvm *t = testvm_create();
        struct device device = ways[i].device;

        boot(t, &load, &device);
        testvm_run_to_exit(t);
        assert_int_equal(device.nr_accesses, 1);
        assert_int_equal(testvm_reg(t, REG_B), 0xabcd);
        testvm_destroy(t);
    }
}

static void test_a_store_done_again_is_in_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct testvm *t = testvm_create();
        struct device device = ways[i].device;

        boot(t, &store, &device);
        testvm_run_to_exit(t);
        assert_int_equal(device.nr_accesses, 1);
        assert_int_equal(memory(t), 0x12345678);
        assert_int_equal(testvm_reg(t, REG_B), 1);
        testvm_destroy(t);
    }
}

static void test_memory_that_came_in_a_callback_faults_no_more(void **state)
{
    struct testvm *t = *state;
    struct device device = ways[0].device;

    boot(t, &load_store_load, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_B), 0xabcd);
    assert_int_equal(testvm_reg(t, REG_C), 0x12345678);
}

static void test_restarting_where_nothing_changes_ends_the_run(void **state)
{
    static const struct guest_code *const codes[] = {&load, &store};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct device device = {.result = FAULT_RESTART};

        boot(t, codes[i], &device);
        assert_int_equal(testvm_run(t), -1);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        assert_int_equal(device.nr_accesses, 2);
        testvm_destroy(t);
    }
}

/* The device gives way to another, which is cookie's. */
struct successor {
    vm_memory_reservation_t *reservation;
    struct device device;
};

static void give_way(struct device *device, vm_vcpu_t *vcpu)
{
    struct successor *successor = device->cookie;

    assert_int_equal(vm_free_reserved_memory(vcpu->vm, successor->reservation), 0);
    assert_non_null(
        vm_reserve_memory_at(vcpu->vm, DEVICE_GPA, PAGE, device_fault, &successor->device));
}

static void test_an_access_done_again_goes_to_who_is_there_now(void **state)
{
    struct testvm *t = *state;
    struct successor successor = {.device = {.value = 55}};
    struct device device = {.result = FAULT_RESTART, .act = give_way, .cookie = &successor};

    testvm_boot(t, &load);
    successor.reservation = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(successor.device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_B), 55);
}

static void fill_unhandled(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(vm_ram_register_at(vcpu->vm, DEVICE_GPA, PAGE, false), 0);
}

static void test_an_unhandled_access_may_be_done_again(void **state)
{
    struct testvm *t = *state;
    struct device last_resort = {.result = FAULT_RESTART, .act = fill_unhandled};

    testvm_boot(t, &load_store_load);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(last_resort.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_C), 0x12345678);
}

/* --- mapping a reservation --- */

struct frame_source {
    struct testvm *t;
    seL4_CapRights_t rights;
    unsigned nr_asked;
    unsigned nr_missing; /* so many times there is no frame */
    seL4_CPtr last;
};

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    struct frame_source *source = cookie;

    source->nr_asked++;
    if (source->nr_missing > 0) {
        source->nr_missing--;
        return (vm_frame_t){.cptr = seL4_CapNull};
    }
    source->last = envs_frame(&source->t->env, 12);
    return (vm_frame_t){source->last, source->rights, addr, 12};
}

/* Boots with one page of memory at DEVICE_GPA, and the device behind it. */
static void boot_mapped(struct testvm *t, const struct guest_code *code, seL4_CapRights_t rights,
                        struct device *device)
{
    struct frame_source source = {.t = t, .rights = rights};

    boot(t, code, device);
    assert_int_equal(vm_map_reservation(&t->vm, device->cookie, next_frame, &source), 0);
}

static void map_itself(struct device *device, vm_vcpu_t *vcpu)
{
    struct successor *successor = device->cookie;
    struct frame_source *source = successor->device.cookie;

    assert_int_equal(vm_map_reservation(vcpu->vm, successor->reservation, next_frame, source), 0);
}

static void test_a_callback_may_map_its_own_reservation(void **state)
{
    struct testvm *t = *state;
    struct frame_source source = {.t = t, .rights = seL4_AllRights};
    struct successor self = {.device = {.cookie = &source}};
    struct device device = {.result = FAULT_RESTART, .act = map_itself, .cookie = &self};

    testvm_boot(t, &load_store_load);
    self.reservation = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_B), 0);
    assert_int_equal(testvm_reg(t, REG_C), 0x12345678);
}

static void test_mapped_memory_does_not_fault(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};

    boot_mapped(t, &load_store_load, seL4_AllRights, &device);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(testvm_reg(t, REG_C), 0x12345678);
    assert_int_equal(memory(t), 0x12345678);
}

static void test_read_only_memory_is_read_freely_and_its_stores_go_to_the_callback(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};

    boot_mapped(t, &load_store_load, seL4_CanRead, &device);
    *(uint32_t *)testvm_pointer(t, DEVICE_GPA + 4, 4) = 0xfeed;
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_write(&device, 0, DEVICE_GPA + 4, 4, 0x12345678);
    assert_int_equal(testvm_reg(t, REG_B), 0xfeed);
    assert_int_equal(testvm_reg(t, REG_C), 0xfeed);
    assert_int_equal(memory(t), 0xfeed);
}

static void test_an_ignored_store_to_read_only_memory_writes_nothing(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE};

    boot_mapped(t, &store, seL4_CanRead, &device);
    *(uint32_t *)testvm_pointer(t, DEVICE_GPA + 4, 4) = 0xfeed;
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(memory(t), 0xfeed);
    assert_int_equal(testvm_reg(t, REG_B), 1);
}

static void test_restarting_a_store_to_read_only_memory_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_RESTART};

    boot_mapped(t, &store, seL4_CanRead, &device);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(memory(t), 0);
}

static void test_memory_that_cannot_be_read_goes_to_the_callback(void **state)
{
    const seL4_CapRights_t rights[] = {seL4_NoRights, seL4_CanWrite, seL4_CanGrant};

    (void)state;
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        struct testvm *t = testvm_create();
        struct device device = {.value = 0x99};

        boot_mapped(t, &load_store_load, rights[i], &device);
        testvm_run_to_exit(t);
        assert_int_equal(device.nr_accesses, 3);
        assert_read(&device, 0, DEVICE_GPA + 4, 4);
        assert_write(&device, 1, DEVICE_GPA + 4, 4, 0x12345678);
        assert_int_equal(testvm_reg(t, REG_C), 0x99);
        testvm_destroy(t);
    }
}

static void test_a_capability_limits_what_a_mapping_may(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    seL4_CPtr frame = envs_frame(&t->env, 12);
    seL4_CPtr readable = envs_copy(&t->env, frame, seL4_CanRead);

    boot(t, &load_store_load, &device);
    assert_int_equal(vm_map_reservation_frames(&t->vm, device.cookie, &readable, 1, 12), 0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(memory(t), 0);
}

GUEST_CODE(load_twice, GUEST_LOAD_B(0x200004) GUEST_KNOCK GUEST_LOAD_C(0x200004) GUEST_EXIT);

static void free_mapped(vm_vcpu_t *vcpu, void *cookie)
{
    assert_int_equal(vm_free_reserved_memory(vcpu->vm, cookie), 0);
}

static void test_freed_memory_faults_again(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 1};
    struct device last_resort = {.value = 0x42};

    boot_mapped(t, &load_twice, seL4_AllRights, &device);
    *(uint32_t *)testvm_pointer(t, DEVICE_GPA + 4, 4) = 0xfeed;
    testvm_listen(t, free_mapped, device.cookie);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0xfeed);
    assert_int_equal(testvm_reg(t, REG_C), 0x42);
    assert_int_equal(device.nr_accesses, 0);
    assert_read(&last_resort, 0, DEVICE_GPA + 4, 4);
}

static void delete_frame(vm_vcpu_t *vcpu, void *cookie)
{
    struct frame_source *source = cookie;

    (void)vcpu;
    envs_delete(&source->t->env, source->last);
}

static void test_memory_whose_frame_was_deleted_goes_to_the_callback(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x43};
    struct frame_source source = {.t = t, .rights = seL4_AllRights};

    boot(t, &load_twice, &device);
    assert_int_equal(vm_map_reservation(&t->vm, device.cookie, next_frame, &source), 0);
    *(uint32_t *)testvm_pointer(t, DEVICE_GPA + 4, 4) = 0xfeed;
    testvm_listen(t, delete_frame, &source);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0xfeed);
    assert_int_equal(testvm_reg(t, REG_C), 0x43);
    assert_int_equal(device.nr_accesses, 1);
}

/* --- deferred --- */

static struct testvm *create_deferring(void)
{
    return testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
}

static void test_a_deferred_mapping_completes_the_access_that_caused_it(void **state)
{
    static const struct guest_code *const codes[] = {&load_store_load, &store};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = create_deferring();
        struct frame_source source = {.t = t, .rights = seL4_AllRights};
        struct device device = {.value = 1};

        boot(t, codes[i], &device);
        assert_int_equal(vm_map_reservation(&t->vm, device.cookie, next_frame, &source), 0);
        assert_int_equal(source.nr_asked, 0);
        testvm_run_to_exit(t);
        assert_int_equal(source.nr_asked, 1);
        assert_int_equal(device.nr_accesses, 0);
        assert_int_equal(memory(t), 0x12345678);
        testvm_destroy(t);
    }
}

static void test_a_deferred_mapping_keeps_its_rights(void **state)
{
    struct testvm *t = create_deferring();
    struct frame_source source = {.t = t, .rights = seL4_CanRead};
    struct device device = {.value = 1};

    (void)state;
    boot(t, &load_store_load, &device);
    assert_int_equal(vm_map_reservation(&t->vm, device.cookie, next_frame, &source), 0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_write(&device, 0, DEVICE_GPA + 4, 4, 0x12345678);
    testvm_destroy(t);
}

static void test_a_deferred_mapping_caused_by_a_store_it_does_not_allow_asks_the_callback(
    void **state)
{
    struct testvm *t = create_deferring();
    struct frame_source source = {.t = t, .rights = seL4_CanRead};
    struct device device = {.value = 1};

    (void)state;
    boot(t, &store, &device);
    assert_int_equal(vm_map_reservation(&t->vm, device.cookie, next_frame, &source), 0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(memory(t), 0);
    testvm_destroy(t);
}

static void test_a_deferred_mapping_that_fails_ends_the_run(void **state)
{
    struct testvm *t = create_deferring();
    struct frame_source source = {.t = t, .rights = seL4_AllRights, .nr_missing = 1};
    struct device device = {.value = 1};

    (void)state;
    boot(t, &load, &device);
    assert_int_equal(vm_map_reservation(&t->vm, device.cookie, next_frame, &source), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x200004: cannot map [0x200000..0x201000): the iterator has "
                  "no frame for 0x200000");
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
    assert_int_equal(source.nr_asked, 1);
    assert_int_equal(device.nr_accesses, 0);
    testvm_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_done_again_returns_what_is_in_memory_now),
        cmocka_unit_test(test_a_store_done_again_is_in_memory),
        vm_test(test_memory_that_came_in_a_callback_faults_no_more),
        cmocka_unit_test(test_restarting_where_nothing_changes_ends_the_run),
        vm_test(test_an_access_done_again_goes_to_who_is_there_now),
        vm_test(test_an_unhandled_access_may_be_done_again),
        vm_test(test_a_callback_may_map_its_own_reservation),
        vm_test(test_mapped_memory_does_not_fault),
        vm_test(test_read_only_memory_is_read_freely_and_its_stores_go_to_the_callback),
        vm_test(test_an_ignored_store_to_read_only_memory_writes_nothing),
        vm_test(test_restarting_a_store_to_read_only_memory_ends_the_run),
        cmocka_unit_test(test_memory_that_cannot_be_read_goes_to_the_callback),
        vm_test(test_a_capability_limits_what_a_mapping_may),
        vm_test(test_freed_memory_faults_again),
        vm_test(test_memory_whose_frame_was_deleted_goes_to_the_callback),
        cmocka_unit_test(test_a_deferred_mapping_completes_the_access_that_caused_it),
        cmocka_unit_test(test_a_deferred_mapping_keeps_its_rights),
        cmocka_unit_test(
            test_a_deferred_mapping_caused_by_a_store_it_does_not_allow_asks_the_callback),
        cmocka_unit_test(test_a_deferred_mapping_that_fails_ends_the_run),
    };

    return run_vm_tests(tests);
}
