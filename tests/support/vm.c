/* A VM for tests. */
#include "support/vm.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kvm.h>

#include <hostvm/host.h>
#include <sel4vm/guest_ram.h>

#include "support/inject.h"

/* --- guests that hang --- */

enum {
    GUEST_SECONDS = 30,   /* no guest of a test needs one, even where KVM itself is emulated */
    LIBRARY_SECONDS = 10, /* and another to come back */
};

static vm_t *watched_vm;
static volatile sig_atomic_t has_hung;

/* Whoever does not come back from a stop is ended by the next alarm. */
static void stop_guest(int signal)
{
    has_hung = 1;
    (void)hostvm_vm_stop(watched_vm);
    (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    alarm(LIBRARY_SECONDS);
}

void watchdog_begin(vm_t *vm)
{
    watched_vm = vm;
    has_hung = 0;
    assert_int_equal(sigaction(SIGALRM, &(struct sigaction){.sa_handler = stop_guest}, NULL), 0);
    alarm(GUEST_SECONDS);
}

void watchdog_end(void)
{
    alarm(0);
    if (has_hung) {
        fail_msg("guest hung");
    }
}

/* --- set-up --- */

static struct leak_state held_before;
static unsigned nr_testvms;

struct testvm *testvm_create_with(hostvm_env_config_t config)
{
    struct testvm *t;

    if (nr_testvms++ == 0) {
        leak_begin(&held_before);
    }
    t = calloc(1, sizeof(*t));
    assert_non_null(t);
    t->env = envs_create_with(config);
    if (vm_init(&t->vm, &t->env.vka, &t->env.simple, t->env.vspace, &t->env.io_ops, t->env.endpoint,
                "test") != 0) {
        fail_msg("%s", hostvm_last_error());
    }
    return t;
}

struct testvm *testvm_create(void)
{
    return testvm_create_with((hostvm_env_config_t){.max_frame_memory = 0});
}

void testvm_destroy(struct testvm *t)
{
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    hostvm_env_destroy(&t->env);
    free(t);
    if (--nr_testvms == 0) {
        leak_check(&held_before);
    }
}

int testvm_set_up(void **state)
{
    *state = testvm_create();
    return 0;
}

int testvm_tear_down(void **state)
{
    testvm_destroy(*state);
    return 0;
}

/* --- a guest --- */

void testvm_exited(struct testvm *t, unsigned value)
{
    t->nr_exits++;
    t->exit_value = value;
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
}

void testvm_boot(struct testvm *t, const struct guest_code *code)
{
    t->vcpu = vm_create_vcpu(&t->vm, 0);
    assert_non_null(t->vcpu);
    assert_int_equal(vm_ram_register_at(&t->vm, 0, RAM_SIZE, false), 0);
    testvm_boot_machine(t);
    testvm_load(t, CODE_GPA, code);
    testvm_boot_vcpu(t, t->vcpu, CODE_GPA, STACK_GPA);
}

vm_vcpu_t *testvm_boot_two(struct testvm *t, const struct guest_code *first,
                           const struct guest_code *second)
{
    enum { PAGE = 4096 };
    vm_vcpu_t *vcpu;

    testvm_boot(t, first);
    vcpu = vm_create_vcpu(&t->vm, 0);
    assert_non_null(vcpu);
    testvm_load(t, CODE_GPA + PAGE, second);
    testvm_boot_vcpu(t, vcpu, CODE_GPA + PAGE, STACK_GPA - PAGE);
    return vcpu;
}

void testvm_load(struct testvm *t, uintptr_t gpa, const struct guest_code *code)
{
    size_t size = (size_t)(code->end - code->begin);

    memcpy(testvm_pointer(t, gpa, size), code->begin, size);
}

int testvm_run(struct testvm *t)
{
    int r;

    if (hostvm_vm_end(&t->vm) == HOSTVM_END_NONE && t->vcpu != NULL) {
        assert_int_equal(vcpu_start(t->vcpu), 0);
    }
    watchdog_begin(&t->vm);
    r = vm_run(&t->vm);
    watchdog_end();
    return r;
}

void testvm_run_to_exit(struct testvm *t)
{
    unsigned before = t->nr_exits;

    if (testvm_run(t) != 0) {
        fail_msg("%s", hostvm_last_error());
    }
    assert_int_equal(t->nr_exits, before + 1);
}

seL4_Word testvm_reg(struct testvm *t, testvm_reg_t reg)
{
    seL4_Word value = 0;

    assert_int_equal(vm_get_thread_context_reg(t->vcpu, reg, &value), 0);
    return value;
}

void *testvm_pointer(struct testvm *t, uintptr_t gpa, size_t size)
{
    void *p = hostvm_vm_pointer(&t->vm, gpa, size);

    assert_non_null(p);
    return p;
}

void slot_changes_begin(void)
{
    inject_watch_ioctl(KVM_SET_USER_MEMORY_REGION);
}

unsigned slot_changes(void)
{
    return inject_watched_ioctls();
}

static atomic_uint nr_refusals; /* a VM may be created by a thread */

static bool refuse_creation(int fd, unsigned long request, void *arg, int *ret_result)
{
    (void)fd;
    (void)arg;
    if (request != KVM_CREATE_VM || atomic_load(&nr_refusals) == 0) {
        return false;
    }
    (void)atomic_fetch_sub(&nr_refusals, 1);
    errno = EBUSY;
    *ret_result = -1;
    return true;
}

unsigned vm_creations_refuse(unsigned nr)
{
    inject_answer_ioctls(nr > 0 ? refuse_creation : NULL);
    return atomic_exchange(&nr_refusals, nr);
}

static unsigned max_vcpus;

static bool give_few_vcpus(int fd, unsigned long request, void *arg, int *ret_result)
{
    (void)fd;
    if (request == KVM_CHECK_EXTENSION && (uintptr_t)arg == KVM_CAP_MAX_VCPUS) {
        *ret_result = (int)max_vcpus;
        return true;
    }
    if (request != KVM_CREATE_VCPU || (uintptr_t)arg < max_vcpus) {
        return false;
    }
    errno = EINVAL;
    *ret_result = -1;
    return true;
}

void vcpus_limit(unsigned nr)
{
    max_vcpus = nr;
    inject_answer_ioctls(nr > 0 ? give_few_vcpus : NULL);
}

/* --- where tests can run --- */

static void *meet(void *barrier)
{
    (void)pthread_barrier_wait(barrier);
    return NULL;
}

/* The C library keeps the stacks and heaps of threads that have ended: from now on they are there,
 * of each size that is asked for: by tests, for vcpus, for the library's other threads. */
static void have_threads(void)
{
    enum { NR_SIZES = 3, NR_THREADS = 4 * NR_SIZES };
    static const size_t sizes[NR_SIZES] = {8 << 20, 1 << 20, 256 << 10};
    pthread_t threads[NR_THREADS];
    pthread_barrier_t barrier;
    pthread_attr_t attr;

    (void)mallopt(M_ARENA_MAX, 1); /* a sanitizer's heap does not know it, nor need it */
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, NR_THREADS), 0);
    for (int i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_attr_setstacksize(&attr, sizes[i % NR_SIZES]), 0);
        assert_int_equal(pthread_create(&threads[i], &attr, meet, &barrier), 0);
    }
    for (int i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    assert_int_equal(pthread_attr_destroy(&attr), 0);
}

bool vm_tests_can_run(const char *file)
{
    hostvm_host_t host;

    if (hostvm_host_check(&host) == 0) {
        have_threads();
        return true;
    }
    printf("skipped - all of %s: %s; %s\n", file, host.reason, host.help);
    return false;
}
