/* x86: the page tables that a VM's first vcpu begins with (Intel SDM 3A, 4.5). */
#include "support/vm.h"

#include <hostvm/guest_window.h>
#include <sel4vm/guest_ram.h>

static void test_first_vcpu_brings_an_identity_map_of_one_gib(void **state)
{
    enum { TABLES = 0x10000000, ENTRIES = 512 };
    struct testvm *t = *state;
    const uint64_t *tables;

    assert_non_null(vm_create_vcpu(&t->vm, 0));
    tables = testvm_pointer(t, TABLES, 3 * 4096);
    assert_int_equal(t->vm.arch.guest_pd, TABLES);
    assert_int_equal(tables[0], 0x10001007);
    assert_int_equal(tables[1], 0);
    assert_int_equal(tables[ENTRIES], 0x10002007);
    assert_int_equal(tables[ENTRIES + 1], 0);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(tables[2 * ENTRIES + i], i << 21 | 0x87);
    }
    assert_int_equal(t->vm.mem.num_ram_regions, 0);
    assert_null(hostvm_vm_pointer(&t->vm, TABLES, 3 * 4096 + 1));
}

static void test_page_tables_stay_away_from_a_range_that_is_taken(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x10002000, 0x1000, false), 0);
    assert_non_null(vm_create_vcpu(&t->vm, 0));
    assert_null(hostvm_vm_pointer(&t->vm, 0x10000000, 1));
    assert_int_equal(*(uint64_t *)testvm_pointer(t, 0x10002000, 8), 0);
}

static void test_page_tables_are_made_once(void **state)
{
    struct testvm *t = *state;

    assert_non_null(vm_create_vcpu(&t->vm, 0));
    *(uint64_t *)testvm_pointer(t, 0x10002000, 8) = 42;
    assert_non_null(vm_create_vcpu(&t->vm, 0));
    assert_int_equal(*(uint64_t *)testvm_pointer(t, 0x10002000, 8), 42);
}

GUEST_CODE(add_one, GUEST_LOAD_B(0x5000) GUEST_ADD_1_TO_B GUEST_STORE_B(0x5004) GUEST_EXIT);

static void test_a_window_may_end_amid_the_vcpus_page_tables(void **state)
{
    enum { TABLES_GPA = 0x10000000, PAGE = 4096 };
    struct testvm *t = *state;
    hostvm_window_t *w = NULL;
    volatile uint32_t *words;

    assert_int_equal(hostvm_window_create(TABLES_GPA + PAGE, 0, &w), 0);
    assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    testvm_boot(t, &add_one);
    assert_non_null(hostvm_window_ptr(w, TABLES_GPA, PAGE));
    assert_null(hostvm_vm_pointer(&t->vm, TABLES_GPA, 2 * PAGE));
    words = testvm_pointer(t, DATA_GPA, 8);
    words[0] = 41;
    testvm_run_to_exit(t);
    assert_int_equal(words[1], 42);
    hostvm_window_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_first_vcpu_brings_an_identity_map_of_one_gib),
        vm_test(test_page_tables_stay_away_from_a_range_that_is_taken),
        vm_test(test_page_tables_are_made_once),
        vm_test(test_a_window_may_end_amid_the_vcpus_page_tables),
    };

    return run_vm_tests(tests);
}
