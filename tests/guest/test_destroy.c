/* VMs that come and go: nothing of them stays, however many there were. */
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/events.h>
#include <hostvm/host.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>

#include "support/device.h"
#include "support/threads.h"

enum { PAGE = 4096, MIB = 1 << 20 };

GUEST_CODE(store_and_exit, GUEST_STORE(0x200000, 1) GUEST_LOAD_B(0x200000) GUEST_EXIT);

/* Boots a VM with a device, runs it to its exit. */
static void run_one(struct testvm *t, struct device *device)
{
    testvm_boot(t, &store_and_exit);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, device));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), device->value);
}

/* On a processor that QEMU's TCG emulates a VM takes up to half a second. */
static unsigned nr_vms(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    unsigned nr = 1000;
    char line[256];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strstr(line, "QEMU TCG") != NULL) {
            nr = 30;
        }
    }
    assert_int_equal(fclose(file), 0);
    return nr;
}

static void test_a_thousand_vms_one_after_the_other_leave_nothing(void **state)
{
    unsigned nr = nr_vms();
    struct leak_state held;

    (void)state;
    leak_begin(&held);
    for (unsigned i = 0; i < nr; i++) {
        struct testvm *t = testvm_create();
        struct device device = {.value = i};

        run_one(t, &device);
        testvm_destroy(t);
    }
    leak_check(&held);
}

static void test_vms_of_one_environment_leave_nothing_in_it(void **state)
{
    struct testvm *t = *state;
    struct leak_state held;

    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    for (int i = 0; i < 100; i++) {
        if (i == 10) {
            leak_begin(&held); /* by now the environment has grown to what one VM needs */
        }
        assert_int_equal(vm_init(&t->vm, &t->env.vka, &t->env.simple, t->env.vspace, &t->env.io_ops,
                                 t->env.endpoint, "one of many"),
                         0);
        testvm_boot(t, &store_and_exit);
        assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA, PAGE, false), 0);
        testvm_run_to_exit(t);
        assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    }
    leak_check(&held);
}

static void test_64_vms_live_side_by_side(void **state)
{
    enum { NR = 64 };
    struct testvm *t[NR];
    struct device devices[NR];

    (void)state;
    for (unsigned i = 0; i < NR; i++) {
        t[i] = testvm_create();
        devices[i] = (struct device){.value = 100 + i};
    }
    for (unsigned i = 0; i < NR; i++) {
        run_one(t[i], &devices[i]);
    }
    for (unsigned i = 0; i < NR; i++) {
        assert_int_equal(devices[i].nr_accesses, 2);
        assert_int_equal(testvm_reg(t[i], REG_B), 100 + i);
    }
    /* Not in the order of their creation. */
    for (unsigned i = 0; i < NR; i += 2) {
        testvm_destroy(t[i]);
    }
    for (unsigned i = 1; i < NR; i += 2) {
        testvm_destroy(t[i]);
    }
}

static void *run_one_on_thread(void *arg)
{
    struct testvm *t = arg;

    return vcpu_start(t->vcpu) == 0 && vm_run(&t->vm) == 0 ? t : NULL;
}

static void test_vms_run_on_threads_of_their_own(void **state)
{
    enum { NR = 4 };
    struct testvm *t[NR];
    struct device devices[NR];
    pthread_t threads[NR];

    (void)state;
    for (unsigned i = 0; i < NR; i++) {
        t[i] = testvm_create();
        devices[i] = (struct device){.value = 100 + i};
        testvm_boot(t[i], &store_and_exit);
        assert_non_null(
            vm_reserve_memory_at(&t[i]->vm, DEVICE_GPA, PAGE, device_fault, &devices[i]));
    }
    for (unsigned i = 0; i < NR; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_one_on_thread, t[i]), 0);
    }
    for (unsigned i = 0; i < NR; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, t[i]);
        assert_int_equal(testvm_reg(t[i], REG_B), 100 + i);
        testvm_destroy(t[i]);
    }
}

/* Threads that were joined may be listed for a moment more. */
static void await_single_thread(void)
{
    while (count_threads() > 1) {
        (void)sched_yield();
    }
}

static void look_for_threads(vm_vcpu_t *vcpu, void *cookie)
{
    unsigned *nr = cookie;

    (void)vcpu;
    *nr = count_threads();
}

GUEST_CODE(look_and_exit, GUEST_KNOCK GUEST_EXIT);

static void test_a_vm_of_one_vcpu_starts_no_thread(void **state)
{
    struct testvm *t = *state;
    unsigned nr = 0;

    await_single_thread();
    testvm_boot(t, &look_and_exit);
    testvm_listen(t, look_for_threads, &nr);
    testvm_run_to_exit(t);
    assert_int_equal(nr, 1);
}

static int never_ready(vm_t *vm, int fd, void *cookie)
{
    (void)vm;
    (void)fd;
    (void)cookie;
    return 0;
}

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu;
    (void)irq;
    (void)cookie;
}

static vm_frame_t small_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

/* An Arm host with a GICv2 allows fewer than a VM of ours can have. */
static unsigned max_vcpus(void)
{
    hostvm_host_t host;

    assert_int_equal(hostvm_host_check(&host), 0);
    return host.max_vcpus < CONFIG_MAX_NUM_NODES ? host.max_vcpus : CONFIG_MAX_NUM_NODES;
}

/* Everything that a VM can have, left to hostvm_vm_destroy; the fixture looks for what stays. */
static void test_destroying_gives_back_all_that_a_vm_has(void **state)
{
    struct testvm *t = *state;
    vm_memory_reservation_t *r;
    uintptr_t addr;
    int fd = eventfd(0, EFD_CLOEXEC);

    assert_true(fd >= 0);
    testvm_boot(t, &store_and_exit);
    for (unsigned i = 1; i < max_vcpus(); i++) {
        assert_non_null(vm_create_vcpu(&t->vm, 0));
    }
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    for (int irq = 0; irq < 16; irq++) {
        assert_int_equal(vm_register_irq(t->vcpu, irq, acknowledged, NULL), 0);
    }
    assert_int_equal(hostvm_event_add(&t->vm, fd, never_ready, NULL), 0);
    assert_int_equal(vm_memory_make_anon(&t->vm, 0x40000000, MIB), 0);
    assert_int_not_equal(vm_ram_register(&t->vm, MIB / 2), 0);
    assert_non_null(vm_reserve_anon_memory(&t->vm, PAGE, PAGE, device_fault, NULL, &addr));
    r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, 10 * PAGE, device_fault, NULL);
    assert_int_equal(vm_map_reservation(&t->vm, r, small_frame, t), 0);
    vm_ram_mark_allocated(&t->vm, 0x10000, 0x1000);
    testvm_run_to_exit(t);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_int_equal(close(fd), 0);
}

/* Frames are the client's: they stay good when the VM that had them is gone. */
static void test_frames_survive_the_vm_they_were_mapped_in(void **state)
{
    struct testvm *t = *state;
    seL4_CPtr frame = envs_frame(&t->env, 12);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, NULL);
    uint32_t *ours;

    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    *(uint32_t *)testvm_pointer(t, DEVICE_GPA, 4) = 42;
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    ours = vspace_map_pages(&t->env.vspace, &frame, NULL, seL4_AllRights, 1, 12, 1);
    assert_non_null(ours);
    assert_int_equal(*ours, 42);
    vspace_unmap_pages(&t->env.vspace, ours, 1, 12, VSPACE_PRESERVE);
}

/* An environment may go before the frames in a guest do. */
static void test_a_vm_may_outlive_the_capabilities_of_its_memory(void **state)
{
    struct testvm *t = *state;
    seL4_CPtr frame = envs_frame(&t->env, 12);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, NULL);

    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    envs_delete(&t->env, frame);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_vms_one_after_the_other_leave_nothing),
        vm_test(test_vms_of_one_environment_leave_nothing_in_it),
        cmocka_unit_test(test_64_vms_live_side_by_side),
        cmocka_unit_test(test_vms_run_on_threads_of_their_own),
        vm_test(test_a_vm_of_one_vcpu_starts_no_thread),
        vm_test(test_destroying_gives_back_all_that_a_vm_has),
        vm_test(test_frames_survive_the_vm_they_were_mapped_in),
        vm_test(test_a_vm_may_outlive_the_capabilities_of_its_memory),
    };

    return run_vm_tests(tests);
}
