/* Several threads at once: vcpus side by side, callbacks one at a time, changes from outside. */
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"

enum { PAGE = 4096, NR_VCPUS = 2, ROUNDS = 200 };

/* --- vcpus --- */

/* 0x5000 and 0x5004 say who is there; each waits for the other, then tells the host. */
GUEST_CODE(meet_first, GUEST_STORE(0x5000, 1) GUEST_AWAIT(0x5004) GUEST_AWAIT(0x5008) GUEST_EXIT);
GUEST_CODE(meet_second,
           GUEST_STORE(0x5004, 1) GUEST_AWAIT(0x5000) GUEST_STORE(0x5008, 1) GUEST_HALT);

static void test_two_vcpus_run_side_by_side(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second = testvm_boot_two(t, &meet_first, &meet_second);

    assert_int_equal(vcpu_start(second), 0);
    testvm_run_to_exit(t);
    assert_true(is_vcpu_online(t->vcpu));
    assert_true(is_vcpu_online(second));
}

static void start_second(vm_vcpu_t *vcpu, void *cookie)
{
    (void)cookie;
    assert_int_equal(vcpu_start(vcpu->vm->vcpus[1]), 0);
}

GUEST_CODE(start_and_meet, GUEST_KNOCK GUEST_STORE(0x5000, 1) GUEST_AWAIT(0x5008) GUEST_EXIT);

static void test_a_vcpu_may_be_started_by_a_callback(void **state)
{
    struct testvm *t = *state;

    (void)testvm_boot_two(t, &start_and_meet, &meet_second);
    testvm_listen(t, start_second, NULL);
    testvm_run_to_exit(t);
}

GUEST_CODE(spin, GUEST_FOR_EVER(""));
GUEST_CODE(die, GUEST_LOAD_B(0x400000));

static void test_a_crash_of_one_vcpu_ends_the_run_of_all(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second = testvm_boot_two(t, &spin, &die);

    assert_int_equal(vcpu_start(second), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x400000: nothing is there and nobody handled it");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_true(is_vcpu_online(t->vcpu));
    assert_false(is_vcpu_online(second));
}

GUEST_CODE(count_for_good, GUEST_FOR_EVER(GUEST_INC(0x5000)));

static int stop_at_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    pthread_t *runner = cookie;

    (void)badge;
    (void)tag;
    assert_true(pthread_equal(pthread_self(), *runner));
    assert_int_equal(hostvm_vm_stop(vm), 0);
    return 0;
}

/* Waits until the guest counts again, then signals the VM. */
static void *signal_when_it_counts(void *arg)
{
    struct testvm *t = arg;
    volatile uint32_t *counter = hostvm_vm_pointer(&t->vm, DATA_GPA, 4);
    uint32_t before = *counter;

    while (*counter - before < 100) {
        (void)sched_yield();
    }
    (void)hostvm_notify(&t->vm, 1);
    return NULL;
}

static void test_a_vm_of_several_vcpus_is_notified_stopped_and_goes_on(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second = testvm_boot_two(t, &count_for_good, &count_for_good);
    pthread_t runner = pthread_self();

    assert_int_equal(vcpu_start(second), 0);
    assert_int_equal(vm_register_notification_callback(&t->vm, stop_at_notification, &runner), 0);
    for (int round = 0; round < 20; round++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, signal_when_it_counts, t), 0);
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

/* --- callbacks --- */

/* Two vcpus write to a device again and again, the second of them through a port, too. */
GUEST_CODE(write_often, GUEST_REPEAT(200, GUEST_STORE_C(0x200000) GUEST_KNOCK) GUEST_INC(0x5000)
                            GUEST_AWAIT_VALUE(0x5000, 2) GUEST_EXIT);
GUEST_CODE(write_often_and_halt,
           GUEST_REPEAT(200, GUEST_STORE_C(0x200000) GUEST_KNOCK) GUEST_INC(0x5000) GUEST_HALT);

struct crossing {
    atomic_int nr_inside;
    int nr_calls;
    atomic_bool has_overlapped;
    pthread_t threads[NR_VCPUS]; /* of the vcpus */
    bool has_thread[NR_VCPUS];
    bool has_moved; /* a vcpu was seen on two threads */
};

static void cross(struct crossing *crossing, const vm_vcpu_t *vcpu)
{
    unsigned id = vcpu->vcpu_id;

    if (atomic_fetch_add(&crossing->nr_inside, 1) != 0) {
        atomic_store(&crossing->has_overlapped, true);
    }
    for (int i = 0; i < 5; i++) {
        (void)sched_yield();
    }
    if (crossing->has_thread[id] && !pthread_equal(crossing->threads[id], pthread_self())) {
        crossing->has_moved = true;
    }
    crossing->threads[id] = pthread_self();
    crossing->has_thread[id] = true;
    crossing->nr_calls++;
    (void)atomic_fetch_sub(&crossing->nr_inside, 1);
}

static memory_fault_result_t crossing_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                            void *cookie)
{
    (void)vm;
    (void)addr;
    (void)size;
    cross(cookie, vcpu);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void crossing_port(vm_vcpu_t *vcpu, void *cookie)
{
    cross(cookie, vcpu);
}

static void test_callbacks_of_two_vcpus_never_overlap(void **state)
{
    struct testvm *t = *state;
    struct crossing crossing = {.nr_calls = 0};
    vm_vcpu_t *second = testvm_boot_two(t, &write_often, &write_often_and_halt);

    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, crossing_fault, &crossing));
    testvm_listen(t, crossing_port, &crossing);
    assert_int_equal(vcpu_start(second), 0);
    testvm_run_to_exit(t);
    assert_false(crossing.has_overlapped);
    assert_int_equal(crossing.nr_calls, 2 * 2 * ROUNDS);
    assert_false(crossing.has_moved);
    assert_false(pthread_equal(crossing.threads[0], crossing.threads[1]));
}

static void test_callbacks_of_the_only_vcpu_run_on_the_thread_of_vm_run(void **state)
{
    struct testvm *t = *state;
    struct crossing crossing = {.nr_calls = 0};

    testvm_boot(t, &write_often);
    *(uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, crossing_fault, &crossing));
    testvm_run_to_exit(t);
    assert_int_equal(crossing.nr_calls, ROUNDS);
    assert_true(pthread_equal(crossing.threads[0], pthread_self()));
    assert_false(crossing.has_moved);
}

/* --- memory that comes and goes while vcpus run --- */

/* Counts in memory that always is there; a lost or misdirected access shows. */
GUEST_CODE(count_in_ram, GUEST_SET_B(0) GUEST_UNTIL(0x5000, GUEST_COUNT_AT(0x202000))
                             GUEST_RETURN(1) GUEST_OTHERWISE GUEST_RETURN(0));

static vm_frame_t fresh_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;
    vka_object_t object;

    if (vka_alloc_frame(&t->env.vka, 12, &object) != 0) {
        return (vm_frame_t){.cptr = seL4_CapNull};
    }
    return (vm_frame_t){object.cptr, seL4_AllRights, addr, 12};
}

struct mapper {
    struct testvm *t;
    unsigned nr_failed;
};

/* Maps and unmaps neighbours on both sides, which joins and splits the slot in between. */
static void *map_and_unmap(void *arg)
{
    static const uintptr_t pages[] = {0x201000, 0x203000};
    struct mapper *mapper = arg;
    vm_t *vm = &mapper->t->vm;

    for (int i = 0; i < ROUNDS; i++) {
        vm_memory_reservation_t *r =
            vm_reserve_memory_at(vm, pages[i % 2], PAGE, device_fault, NULL);

        if (r == NULL || vm_map_reservation(vm, r, fresh_frame, mapper->t) != 0 ||
            vm_free_reserved_memory(vm, r) != 0) {
            mapper->nr_failed++;
        }
    }
    *(volatile uint32_t *)hostvm_vm_pointer(vm, DATA_GPA, 4) = 1;
    return NULL;
}

static void test_mapping_beside_memory_in_use_never_loses_an_access(void **state)
{
    struct testvm *t = *state;
    struct mapper mapper = {.t = t};
    struct device last_resort = {.result = FAULT_ERROR};
    pthread_t thread;

    testvm_boot(t, &count_in_ram);
    assert_int_equal(vm_ram_register_at(&t->vm, 0x202000, PAGE, false), 0);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &mapper), 0);
    testvm_run_to_exit(t);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mapper.nr_failed, 0);
    assert_int_equal(t->exit_value, 1);
    assert_int_equal(last_resort.nr_accesses, 0);
}

GUEST_CODE(count_beside,
           GUEST_SET_B(0) GUEST_FOR_EVER(GUEST_COUNT_AT(0x202800)) GUEST_OTHERWISE GUEST_RETURN(0));

static void test_mapping_beside_memory_of_two_vcpus_never_loses_an_access(void **state)
{
    struct testvm *t = *state;
    struct mapper mapper = {.t = t};
    struct device last_resort = {.result = FAULT_ERROR};
    vm_vcpu_t *second = testvm_boot_two(t, &count_in_ram, &count_beside);
    pthread_t thread;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x202000, PAGE, false), 0);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    assert_int_equal(vcpu_start(second), 0);
    assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &mapper), 0);
    testvm_run_to_exit(t);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mapper.nr_failed, 0);
    assert_int_equal(t->exit_value, 1);
    assert_int_equal(last_resort.nr_accesses, 0);
}

/* --- from everywhere at once --- */

static void *signal_often(void *arg)
{
    struct testvm *t = arg;

    for (int i = 0; i < ROUNDS; i++) {
        (void)hostvm_notify(&t->vm, 1);
        (void)sched_yield();
    }
    return NULL;
}

static int count_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    struct crossing *crossing = cookie;

    (void)badge;
    (void)tag;
    cross(crossing, vm->vcpus[BOOT_VCPU]);
    return 0;
}

static void test_signals_from_several_threads_never_overlap_other_callbacks(void **state)
{
    struct testvm *t = *state;
    struct crossing faults = {.nr_calls = 0};
    pthread_t threads[2];

    testvm_boot(t, &write_often);
    *(uint32_t *)testvm_pointer(t, DATA_GPA, 4) = 1;
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, crossing_fault, &faults));
    testvm_listen(t, crossing_port, &faults);
    assert_int_equal(vm_register_notification_callback(&t->vm, count_notification, &faults), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, signal_often, t), 0);
    }
    testvm_run_to_exit(t);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(faults.has_overlapped);
    assert_true(faults.nr_calls >= 2 * ROUNDS);
}

/* --- vcpus that are made while others signal --- */

struct signaller {
    struct testvm *t;
    atomic_bool is_over;
};

static void *keep_signalling(void *arg)
{
    struct signaller *signaller = arg;

    while (!atomic_load(&signaller->is_over)) {
        (void)hostvm_notify(&signaller->t->vm, 1);
        (void)hostvm_vm_stop(&signaller->t->vm);
    }
    return NULL;
}

static void test_vcpus_may_be_made_while_other_threads_signal(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct signaller signaller = {.t = testvm_create()};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, keep_signalling, &signaller), 0);
        for (int i = 0; i < CONFIG_MAX_NUM_NODES; i++) {
            assert_non_null(vm_create_vcpu(&signaller.t->vm, 0));
        }
        atomic_store(&signaller.is_over, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        testvm_destroy(signaller.t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_two_vcpus_run_side_by_side),
        vm_test(test_a_vcpu_may_be_started_by_a_callback),
        vm_test(test_a_crash_of_one_vcpu_ends_the_run_of_all),
        vm_test(test_a_vm_of_several_vcpus_is_notified_stopped_and_goes_on),
        vm_test(test_callbacks_of_two_vcpus_never_overlap),
        vm_test(test_callbacks_of_the_only_vcpu_run_on_the_thread_of_vm_run),
        vm_test(test_mapping_beside_memory_in_use_never_loses_an_access),
        vm_test(test_mapping_beside_memory_of_two_vcpus_never_loses_an_access),
        vm_test(test_signals_from_several_threads_never_overlap_other_callbacks),
        cmocka_unit_test(test_vcpus_may_be_made_while_other_threads_signal),
    };

    return run_vm_tests(tests);
}
