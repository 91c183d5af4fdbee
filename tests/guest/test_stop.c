/* Here live the tests of a stop: whatever each vcpu is doing, the run ends, no thread stays, and
 * the VM can go on. */
#include "support/threads.h"
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <hostvm/chipset.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vcpu_fault.h>

enum { PAGE = 4096, ROUNDS = 10 };

/* What vcpus do. The fourth is one of several: of a fifth thread's stack the C library would keep
 * more than it had before. */
enum { SPINS, STORES, HALTS, FOURTH };

enum { HALTS_WORD = DATA_GPA + 8, COUNTS_WORD = DATA_GPA + 16 };

GUEST_CODE(spin, GUEST_FOR_EVER(""));
GUEST_CODE(store_often, GUEST_FOR_EVER(GUEST_STORE_C(0x200000)));
GUEST_CODE(halt, GUEST_STORE(0x5008, 1) GUEST_HALT);
GUEST_CODE(count, GUEST_FOR_EVER(GUEST_INC(0x5010)));
GUEST_CODE(leave, GUEST_EXIT);

struct scene {
    struct testvm *t;
    unsigned nr_threads; /* before the run */
    bool counts;         /* the fourth does */
    atomic_bool is_wanted;
    atomic_bool is_inside;  /* of the callback */
    atomic_bool is_stopped; /* the callback goes on */
};

/* --- threads: the kernel may have given the process one of its own, with a name of its own --- */

/* --- the scene --- */

static memory_fault_result_t stay(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                  void *cookie)
{
    struct scene *scene = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    if (atomic_load(&scene->is_wanted)) {
        atomic_store(&scene->is_inside, true);
        while (!atomic_load(&scene->is_stopped)) {
            (void)sched_yield();
        }
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void add_vcpu(struct scene *scene, unsigned kind, const struct guest_code *code)
{
    uintptr_t gpa = 0x10000 * (uintptr_t)kind;
    vm_vcpu_t *vcpu = vm_create_vcpu(&scene->t->vm, 0);

    assert_non_null(vcpu);
    testvm_load(scene->t, gpa, code);
    testvm_boot_vcpu(scene->t, vcpu, gpa, gpa + PAGE);
}

/* The boot vcpu is testvm_run's to start. */
static void start_others(struct scene *scene)
{
    for (unsigned i = 1; i < scene->t->vm.num_vcpus; i++) {
        assert_int_equal(vcpu_start(scene->t->vm.vcpus[i]), 0);
    }
}

static void boot(struct scene *scene, struct testvm *t, const struct guest_code *fourth)
{
    *scene = (struct scene){.t = t};
    testvm_boot(t, &spin);
    add_vcpu(scene, STORES, &store_often);
    add_vcpu(scene, HALTS, &halt);
    add_vcpu(scene, FOURTH, fourth);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, stay, scene));
    scene->nr_threads = count_threads();
}

static void await_change(struct testvm *t, uintptr_t gpa)
{
    volatile uint32_t *word = hostvm_vm_pointer(&t->vm, gpa, 4);
    uint32_t before = *word;

    while (*word == before) {
        (void)sched_yield();
    }
}

/* When one has halted, or is about to, and one is in a callback. */
static void *stop(void *arg)
{
    struct scene *scene = arg;
    volatile uint32_t *has_halted = hostvm_vm_pointer(&scene->t->vm, HALTS_WORD, 4);

    while (*has_halted == 0) {
        (void)sched_yield();
    }
    if (scene->counts) {
        await_change(scene->t, COUNTS_WORD);
    }
    atomic_store(&scene->is_wanted, true);
    while (!atomic_load(&scene->is_inside)) {
        (void)sched_yield();
    }
    (void)hostvm_vm_stop(&scene->t->vm);
    atomic_store(&scene->is_stopped, true);
    return NULL;
}

static void run_until_stopped(struct scene *scene)
{
    pthread_t thread;

    atomic_store(&scene->is_wanted, false);
    atomic_store(&scene->is_inside, false);
    atomic_store(&scene->is_stopped, false);
    assert_int_equal(pthread_create(&thread, NULL, stop, scene), 0);
    assert_int_equal(testvm_run(scene->t), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(hostvm_vm_end(&scene->t->vm), HOSTVM_END_STOPPED);
    assert_threads(scene->nr_threads);
}

static void test_a_stop_ends_vcpus_that_spin_store_halt_and_count(void **state)
{
    struct scene scene;

    boot(&scene, *state, &count);
    scene.counts = true;
    start_others(&scene);
    for (int round = 0; round < ROUNDS; round++) {
        run_until_stopped(&scene);
    }
}

static void test_a_stop_ends_vcpus_that_kvm_halts_or_that_wait_for_their_start(void **state)
{
    struct scene scene;

    assert_int_equal(vm_create_default_irq_controller(&((struct testvm *)*state)->vm), 0);
    boot(&scene, *state, &leave);
    assert_int_equal(hostvm_vcpu_wait_for_startup(scene.t->vm.vcpus[FOURTH]), 0);
    start_others(&scene);
    for (int round = 0; round < ROUNDS; round++) {
        run_until_stopped(&scene);
    }
    assert_int_equal(scene.t->nr_exits, 0); /* who waits has run nothing */
}

static void test_a_stop_by_another_than_the_boot_vcpu_ends_all(void **state)
{
    struct scene scene;

    boot(&scene, *state, &leave);
    start_others(&scene);
    testvm_run_to_exit(scene.t);
    assert_threads(scene.nr_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_stop_ends_vcpus_that_spin_store_halt_and_count),
        vm_test(test_a_stop_ends_vcpus_that_kvm_halts_or_that_wait_for_their_start),
        vm_test(test_a_stop_by_another_than_the_boot_vcpu_ends_all),
    };

    return run_vm_tests(tests);
}
