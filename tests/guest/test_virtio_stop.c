/* Here live the tests of a stop while the guest resets a virtio device: the run ends when the
 * device has, nothing is used that is gone, and the VM can go on. */
#include "support/threads.h"
#include "support/vm.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/virtio.h>
#include <sel4vm/guest_irq_controller.h>

enum { PAGE = 4096, ROUNDS = 20, RESETS_WORD = DATA_GPA + 8, SPINS_WORD = DATA_GPA + 16 };

/* Registers of virtio 1.2, 4.2.2, at DEVICE_GPA: up to DRIVER_OK, without a queue; then a reset. */
#define START                                                                                      \
    GUEST_STORE(0x200070, 3)                                                                       \
    GUEST_STORE(0x200024, 1)                                                                       \
    GUEST_STORE(0x200020, 1) GUEST_STORE(0x200070, 11) GUEST_STORE(0x200070, 15)
#define RESET GUEST_STORE(0x200070, 0)

GUEST_CODE(start_and_reset, GUEST_FOR_EVER(RESET START RESET GUEST_INC(0x5008)));
GUEST_CODE(start_only, RESET START GUEST_FOR_EVER(GUEST_INC(0x5008)));
GUEST_CODE(spin_and_count, GUEST_FOR_EVER(GUEST_INC(0x5010)));
GUEST_CODE(reset_too, GUEST_FOR_EVER(RESET GUEST_INC(0x5010)));

/* A device with a thread of its own, which a stop waits for. */
struct device {
    vm_t *vm;
    hostvm_virtio_t *virtio;
    pthread_t thread;
    sem_t wanted, obeyed;
    atomic_bool is_over;
    atomic_bool is_held;     /* the thread does not obey until it is let go */
    atomic_bool is_stopping; /* the guest is in a reset */
    bool stops_the_vm;       /* by itself, in a reset */
    unsigned nr_starts, nr_stops;
    bool is_out_of_order; /* a stop was not of the start before it */
};

static int begin(void *cookie, uint64_t features)
{
    struct device *d = cookie;

    (void)features;
    d->nr_starts++;
    return 0;
}

static void end(void *cookie)
{
    struct device *d = cookie;

    d->is_out_of_order |= d->nr_starts != ++d->nr_stops;
    if (d->stops_the_vm) {
        (void)hostvm_vm_stop(d->vm);
    }
    atomic_store(&d->is_stopping, true);
    (void)sem_post(&d->wanted);
    while (sem_wait(&d->obeyed) < 0) {
    }
    atomic_store(&d->is_stopping, false);
}

static void *obey(void *cookie)
{
    struct device *d = cookie;

    for (;;) {
        while (sem_wait(&d->wanted) < 0) {
        }
        if (atomic_load(&d->is_over)) {
            return NULL;
        }
        while (atomic_load(&d->is_held)) {
            (void)sched_yield();
        }
        (void)sem_post(&d->obeyed);
    }
}

static void device_init(struct device *d, vm_t *vm)
{
    static const hostvm_virtio_ops_t ops = {.start = begin, .stop = end};
    static const uint16_t size = 16;

    *d = (struct device){.vm = vm};
    (void)sem_init(&d->wanted, 0, 0);
    (void)sem_init(&d->obeyed, 0, 0);
    assert_int_equal(pthread_create(&d->thread, NULL, obey, d), 0);
    d->virtio = hostvm_virtio_create(
        vm, &(hostvm_virtio_config_t){
                .id = 63, .nr_queues = 1, .queue_sizes = &size, .ops = &ops, .cookie = d});
    assert_non_null(d->virtio);
    assert_int_equal(hostvm_virtio_attach_mmio(d->virtio, DEVICE_GPA, TEST_IRQ), 0);
}

static void device_fini(struct device *d)
{
    hostvm_virtio_destroy(d->virtio);
    assert_false(d->is_out_of_order);
    assert_int_equal(d->nr_starts, d->nr_stops);
    atomic_store(&d->is_over, true);
    (void)sem_post(&d->wanted);
    assert_int_equal(pthread_join(d->thread, NULL), 0);
    (void)sem_destroy(&d->wanted);
    (void)sem_destroy(&d->obeyed);
}

static void boot(struct testvm *t, struct device *d, const struct guest_code *first,
                 const struct guest_code *second)
{
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    assert_int_equal(vcpu_start(testvm_boot_two(t, first, second)), 0);
    device_init(d, &t->vm);
}

static uint32_t word(struct testvm *t, uintptr_t gpa)
{
    return __atomic_load_n((uint32_t *)hostvm_vm_pointer(&t->vm, gpa, 4), __ATOMIC_RELAXED);
}

static void await_change(struct testvm *t, uintptr_t gpa)
{
    uint32_t before = word(t, gpa);

    while (word(t, gpa) == before) {
        (void)sched_yield();
    }
}

/* --- a stop from another thread, in the middle of a reset --- */

struct stopper {
    struct testvm *t;
    struct device *d;
    bool is_second_busy; /* it counts, also while the first is in the reset and has the VM's lock */
};

static void *stop_in_a_reset(void *cookie)
{
    struct stopper *s = cookie;

    await_change(s->t, RESETS_WORD);
    await_change(s->t, SPINS_WORD);
    atomic_store(&s->d->is_held, true);
    while (!atomic_load(&s->d->is_stopping)) {
        (void)sched_yield();
    }
    if (s->is_second_busy) {
        await_change(s->t, SPINS_WORD);
    }
    (void)hostvm_vm_stop(&s->t->vm);
    atomic_store(&s->d->is_held, false);
    return NULL;
}

static void run_until_stopped(struct stopper *s)
{
    unsigned nr_threads = count_threads();
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_in_a_reset, s), 0);
    assert_int_equal(testvm_run(s->t), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(hostvm_vm_end(&s->t->vm), HOSTVM_END_STOPPED);
    assert_false(atomic_load(&s->d->is_stopping)); /* no vcpu is left in it */
    assert_threads(nr_threads);
}

static void test_a_stop_in_a_reset_ends_the_run_when_the_device_has_stopped(void **state)
{
    struct device d;
    struct stopper s = {*state, &d, true};

    boot(*state, &d, &start_and_reset, &spin_and_count);
    for (unsigned i = 0; i < ROUNDS; i++) {
        run_until_stopped(&s); /* and goes on where it was */
    }
    device_fini(&d);
}

static void test_a_stop_in_a_reset_that_another_vcpu_waits_for(void **state)
{
    struct device d;
    struct stopper s = {*state, &d, false};

    boot(*state, &d, &start_and_reset, &reset_too);
    for (unsigned i = 0; i < ROUNDS; i++) {
        run_until_stopped(&s);
    }
    device_fini(&d);
}

/* --- a stop by the reset itself --- */

static void test_a_device_may_stop_the_vm_in_its_reset(void **state)
{
    struct testvm *t = *state;
    struct device d;

    boot(t, &d, &start_and_reset, &spin_and_count);
    d.stops_the_vm = true;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
        assert_int_equal(d.nr_stops, i);
    }
    device_fini(&d);
}

/* --- the end of a device that no reset came to --- */

static void *stop_when_started(void *cookie)
{
    struct testvm *t = cookie;

    await_change(t, RESETS_WORD);
    (void)hostvm_vm_stop(&t->vm);
    return NULL;
}

static void test_a_device_at_work_is_stopped_by_its_end(void **state)
{
    struct testvm *t = *state;
    pthread_t thread;
    struct device d;

    boot(t, &d, &start_only, &spin_and_count);
    assert_int_equal(pthread_create(&thread, NULL, stop_when_started, t), 0);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(d.nr_starts, 1);
    assert_int_equal(d.nr_stops, 0);
    device_fini(&d);
    assert_int_equal(d.nr_stops, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_stop_in_a_reset_ends_the_run_when_the_device_has_stopped),
        vm_test(test_a_stop_in_a_reset_that_another_vcpu_waits_for),
        vm_test(test_a_device_may_stop_the_vm_in_its_reset),
        vm_test(test_a_device_at_work_is_stopped_by_its_end),
    };

    return run_vm_tests(tests);
}
