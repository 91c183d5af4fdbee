/*
 * Windows bound to a VM: the VM's memory appears in them, what is attached appears in the guest,
 * and both go again.
 */
#include "support/vm.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hostvm/guest_window.h>
#include <sel4vm/guest_ram.h>

#include "support/device.h"
#include "support/inject.h"
#include "support/readable.h"

enum { PAGE = 4096, MIB = 1 << 20, WINDOW = 16 * MIB, MAX_CALLS = 200 };

static hostvm_window_t *new_window(size_t size, unsigned flags)
{
    hostvm_window_t *w = NULL;

    assert_int_equal(hostvm_window_create(size, flags, &w), 0);
    return w;
}

static hostvm_window_t *bound_window(struct testvm *t, unsigned flags)
{
    hostvm_window_t *w = new_window(WINDOW, flags);

    assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    return w;
}

static int new_file(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void attach(hostvm_window_t *w, uintptr_t gpa, size_t size, seL4_CapRights_t rights)
{
    int fd = new_file(size);

    assert_int_equal(hostvm_window_attach(w, fd, 0, gpa, size, rights), 0);
    close(fd);
}

/* --- the VM's memory in the window --- */

GUEST_CODE(add_one, GUEST_LOAD_B(0x5000) GUEST_ADD_1_TO_B GUEST_STORE_B(0x5004) GUEST_EXIT);

static void check_sharing(struct testvm *t, unsigned flags)
{
    hostvm_window_t *w = bound_window(t, flags);
    char *base = hostvm_window_base(w);
    volatile uint32_t *words = (volatile uint32_t *)((uintptr_t)base + DATA_GPA);

    testvm_boot(t, &add_one);
    assert_ptr_equal(hostvm_window_ptr(w, DATA_GPA, 8), words);
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, DATA_GPA, 8), words);
    words[0] = 41;
    testvm_run_to_exit(t);
    assert_int_equal(words[1], 42);
    hostvm_window_destroy(w);
}

static void test_vmm_stores_through_the_window_are_seen_by_the_guest(void **state)
{
    check_sharing(*state, 0);
}

static void test_vmm_stores_through_an_identity_window_are_seen_by_the_guest(void **state)
{
    check_sharing(*state, HOSTVM_WINDOW_IDENTITY);
}

static void test_ram_across_what_the_window_leaves_out_is_all_there(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *w = bound_window(t, HOSTVM_WINDOW_IDENTITY);
    uintptr_t first = hostvm_window_first_gpa(w);
    uint8_t written[3 * PAGE];
    uint8_t read[sizeof(written)];
    uintptr_t borders[] = {first, WINDOW};

    assert_int_equal(vm_ram_register_at(&t->vm, 0, 2 * WINDOW, false), 0);
    for (size_t i = 0; i < sizeof(written); i++) {
        written[i] = (uint8_t)(i * 11 + i / 256);
    }
    for (size_t i = 0; i < 2; i++) {
        uintptr_t gpa = borders[i] - PAGE + 5;

        assert_null(hostvm_vm_pointer(&t->vm, gpa, sizeof(written)));
        assert_non_null(hostvm_vm_pointer(&t->vm, gpa, PAGE - 5));
        assert_non_null(hostvm_vm_pointer(&t->vm, borders[i], PAGE));
        assert_int_equal(
            vm_ram_touch(&t->vm, gpa, sizeof(written), vm_guest_ram_write_callback, written), 0);
        memset(read, 0, sizeof(read));
        assert_int_equal(vm_ram_touch(&t->vm, gpa, sizeof(read), vm_guest_ram_read_callback, read),
                         0);
        assert_memory_equal(read, written, sizeof(read));
        memset(written, 0x5a, 100);
    }
    assert_null(hostvm_window_ptr(w, WINDOW - 1, 2));
    assert_int_equal((uintptr_t)hostvm_window_ptr(w, first, WINDOW - first), first);
    hostvm_window_destroy(w);
}

static void test_what_was_mapped_before_stays_where_it_is(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *w;
    uint32_t *before;

    testvm_boot(t, &add_one);
    before = testvm_pointer(t, DATA_GPA, 8);
    before[0] = 41;
    w = bound_window(t, 0);
    assert_null(hostvm_window_ptr(w, DATA_GPA, 1));
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, DATA_GPA, 8), before);
    assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA, PAGE, false), 0);
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, DEVICE_GPA, PAGE),
                     hostvm_window_ptr(w, DEVICE_GPA, PAGE));
    testvm_run_to_exit(t);
    assert_int_equal(before[1], 42);
    hostvm_window_destroy(w);
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, DATA_GPA, 8), before);
}

static void test_freed_memory_leaves_the_window(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *w = bound_window(t, 0);
    vm_memory_reservation_t *r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, NULL);
    seL4_CPtr frame = envs_frame(&t->env, 12);
    void *p;

    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    p = hostvm_window_ptr(w, DEVICE_GPA, PAGE);
    assert_non_null(p);
    assert_int_equal(vspace_get_cap(&t->env.vspace, p), frame);
    assert_int_equal(hostvm_window_detach(w, DEVICE_GPA, PAGE), -ENOENT);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_null(hostvm_window_ptr(w, DEVICE_GPA, 1));
    assert_false(is_readable(p));
    hostvm_window_destroy(w);
}

/* --- attachments in the guest --- */

GUEST_CODE(load_twice, GUEST_LOAD_B(0x200010) GUEST_STORE(0x200014, 0x1234)
                           GUEST_EXIT GUEST_LOAD_C(0x200010) GUEST_EXIT);

static void check_attachment(struct testvm *t, bool is_reserved, bool is_bound_first)
{
    struct device device = {.result = FAULT_HANDLED, .value = 0x77};
    hostvm_window_t *w = new_window(WINDOW, 0);
    uint32_t *words;

    testvm_boot(t, &load_twice);
    if (is_bound_first) {
        assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    }
    if (is_reserved) {
        assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    } else {
        assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device),
                         0);
    }
    attach(w, DEVICE_GPA, PAGE, seL4_AllRights);
    if (!is_bound_first) {
        assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    }
    words = hostvm_window_ptr(w, DEVICE_GPA + 0x10, 8);
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, DEVICE_GPA + 0x10, 8), words);
    words[0] = 0xabcd;
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0xabcd);
    assert_int_equal(words[1], 0x1234);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(hostvm_window_detach(w, DEVICE_GPA, PAGE), 0);
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
    assert_false(is_readable(words));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_C), 0x77);
    assert_int_equal(device.nr_accesses, 1);
    assert_read(&device, 0, DEVICE_GPA + 0x10, 4);
    hostvm_window_destroy(w);
}

static void test_after_detach_the_guests_access_is_unhandled(void **state)
{
    check_attachment(*state, false, true);
}

static void test_after_detach_the_guests_access_reaches_the_reservation(void **state)
{
    check_attachment(*state, true, true);
}

static void test_what_was_attached_before_binding_is_the_guests_as_well(void **state)
{
    check_attachment(*state, false, false);
}

GUEST_CODE(load_and_store_three, GUEST_LOAD_B(0x200000) GUEST_STORE(0x200000, 1)
                                     GUEST_STORE(0x201000, 1) GUEST_LOAD_C(0x202000) GUEST_EXIT);

static void test_the_guest_has_the_rights_it_was_given(void **state)
{
    struct device device = {.result = FAULT_HANDLED, .value = 0x77};
    struct testvm *t = *state;
    hostvm_window_t *w = bound_window(t, 0);
    uint32_t *words;

    testvm_boot(t, &load_and_store_three);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device), 0);
    attach(w, DEVICE_GPA, PAGE, seL4_CanRead);
    attach(w, DEVICE_GPA + PAGE, PAGE, seL4_AllRights);
    attach(w, DEVICE_GPA + 2 * PAGE, PAGE, seL4_NoRights);
    words = hostvm_window_ptr(w, DEVICE_GPA, 3 * PAGE);
    words[0] = 5;
    words[2048] = 6;
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 5);
    assert_int_equal(testvm_reg(t, REG_C), 0x77);
    assert_int_equal(words[0], 5);
    assert_int_equal(words[1024], 1);
    assert_int_equal(device.nr_accesses, 2);
    assert_write(&device, 0, DEVICE_GPA, 4, 1);
    assert_read(&device, 1, DEVICE_GPA + 2 * PAGE, 4);
    assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 2 * PAGE));
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA + 2 * PAGE, 1));
    hostvm_window_destroy(w);
}

GUEST_CODE(copy_from_low, GUEST_LOAD_B(0x10) GUEST_STORE_B(0x200000));

static void stop_vm(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(hostvm_vm_stop(vcpu->vm), 0);
}

static void test_the_guest_has_the_page_that_the_process_has_not(void **state)
{
    struct device device = {.result = FAULT_HANDLED, .act = stop_vm};
    struct testvm *t = *state;
    hostvm_window_t *w = bound_window(t, HOSTVM_WINDOW_IDENTITY);
    size_t size = (size_t)(copy_from_low.end - copy_from_low.begin);

    attach(w, 0, RAM_SIZE, seL4_AllRights);
    t->vcpu = vm_create_vcpu(&t->vm, 0);
    assert_non_null(t->vcpu);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device), 0);
    assert_int_equal(hostvm_window_write(w, 0x800, copy_from_low.begin, size), 0);
    assert_int_equal(hostvm_window_write32(w, 0x10, 0xcafe), 0);
    assert_int_equal(*(uint32_t *)testvm_pointer(t, 0x10, 4), 0xcafe);
    testvm_set_pc(t->vcpu, 0x800);
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(device.nr_accesses, 1);
    assert_write(&device, 0, DEVICE_GPA, 4, 0xcafe);
    hostvm_window_destroy(w);
}

/* --- what cannot be --- */

static void test_memory_is_attached_or_mapped_but_not_both(void **state)
{
    struct testvm *t = *state;
    hostvm_window_t *w = bound_window(t, 0);
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, DEVICE_GPA, 2 * PAGE, device_fault, NULL);
    seL4_CPtr frames[] = {envs_frame(&t->env, 12), envs_frame(&t->env, 12)};
    int fd = new_file(PAGE);

    attach(w, DEVICE_GPA + PAGE, PAGE, seL4_NoRights);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, frames, 2, 12), -1);
    assert_reason("cannot map [0x200000..0x202000): the bound window has [0x201000..0x202000) "
                  "attached; detach that first");
    assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA + PAGE, PAGE, false), -1);
    assert_int_equal(hostvm_window_detach(w, DEVICE_GPA + PAGE, PAGE), 0);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, frames, 2, 12), 0);
    assert_int_equal(hostvm_window_attach(w, fd, 0, DEVICE_GPA + PAGE, PAGE, seL4_AllRights),
                     -EEXIST);
    assert_reason("cannot attach [0x201000..0x202000): the VM has [0x200000..0x202000) mapped");
    close(fd);
    hostvm_window_destroy(w);
}

static void test_binding_what_cannot_be_bound_is_refused(void **state)
{
    struct testvm *t = *state;
    struct testvm *other = testvm_create();
    hostvm_window_t *w = new_window(WINDOW, 0);
    hostvm_window_t *second = new_window(WINDOW, 0);

    assert_int_equal(hostvm_window_bind(NULL, &t->vm), -EINVAL);
    assert_int_equal(hostvm_window_bind(w, NULL), -EINVAL);
    assert_reason("hostvm_window_bind: no window, no VM, or one without vm_init");
    assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    assert_int_equal(hostvm_window_bind(w, &t->vm), -EBUSY);
    assert_int_equal(hostvm_window_bind(w, &other->vm), -EBUSY);
    assert_reason("cannot bind a window to a VM: the window is bound already");
    assert_int_equal(hostvm_window_bind(second, &t->vm), -EBUSY);
    assert_reason("cannot bind a window to a VM: the VM is bound already");
    attach(second, DEVICE_GPA, 2 * PAGE, seL4_AllRights);
    assert_int_equal(vm_ram_register_at(&other->vm, DEVICE_GPA + PAGE, PAGE, false), 0);
    assert_int_equal(hostvm_window_bind(second, &other->vm), -EEXIST);
    assert_null(hostvm_vm_pointer(&other->vm, DEVICE_GPA, 1));
    assert_int_equal(hostvm_window_detach(second, DEVICE_GPA, 2 * PAGE), 0);
    assert_int_equal(hostvm_window_bind(second, &other->vm), 0);
    hostvm_window_destroy(w);
    hostvm_window_destroy(second);
    testvm_destroy(other);
}

/* --- the end --- */

GUEST_CODE(load_device, GUEST_LOAD_B(0x200000) GUEST_EXIT GUEST_LOAD_C(0x200000) GUEST_EXIT);

static void test_a_destroyed_window_takes_its_memory_from_the_guest(void **state)
{
    struct device device = {.result = FAULT_HANDLED, .value = 0x77};
    struct testvm *t = *state;
    hostvm_window_t *w = new_window(WINDOW, 0);
    vm_memory_reservation_t *r;
    seL4_CPtr frame = envs_frame(&t->env, 12);
    void *p;

    testvm_boot(t, &load_device);
    assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
    attach(w, DEVICE_GPA + PAGE, PAGE, seL4_AllRights);
    r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    p = testvm_pointer(t, DEVICE_GPA, 2 * PAGE);
    *(uint32_t *)p = 0xabcd;
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0xabcd);
    hostvm_window_destroy(w);
    assert_false(is_readable(p));
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA + PAGE, 1));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_C), 0x77);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    assert_int_equal(vm_ram_register_at(&t->vm, DEVICE_GPA, 2 * PAGE, false), 0);
    w = bound_window(t, 0);
    assert_ptr_equal(hostvm_window_ptr(w, DEVICE_GPA, 1), NULL);
    hostvm_window_destroy(w);
    assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 2 * PAGE));
}

static void test_a_window_outlives_its_vm_with_what_was_attached(void **state)
{
    struct testvm *first = testvm_create();
    hostvm_window_t *w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
    struct testvm *second;
    uint32_t value = 0;

    (void)state;
    assert_int_equal(hostvm_window_bind(w, &first->vm), 0);
    assert_int_equal(vm_ram_register_at(&first->vm, 0, MIB, false), 0);
    attach(w, DEVICE_GPA, PAGE, seL4_AllRights);
    assert_int_equal(hostvm_window_write32(w, DEVICE_GPA, 9), 0);
    assert_int_equal(hostvm_window_write32(w, 0, 9), 0);
    assert_int_equal(hostvm_vm_destroy(&first->vm), 0);
    assert_null(hostvm_window_ptr(w, 0x10000, 1));
    assert_false(is_readable((const void *)0x10000));
    assert_int_equal(hostvm_window_read32(w, 0, &value), -EFAULT);
    assert_int_equal(hostvm_window_read32(w, DEVICE_GPA, &value), 0);
    assert_int_equal(value, 9);
    second = testvm_create();
    assert_int_equal(hostvm_window_bind(w, &second->vm), 0);
    assert_int_equal(*(uint32_t *)testvm_pointer(second, DEVICE_GPA, 4), 9);
    testvm_destroy(second);
    hostvm_window_destroy(w);
    testvm_destroy(first);
}

static void test_guest_memory_runs_a_guest(void **state)
{
    struct testvm *t = *state;
    hostvm_guest_memory_t *m;
    uintptr_t gpa = 0;

    testvm_boot(t, &load_device);
    assert_int_equal(hostvm_guest_memory_create(PAGE, WINDOW, &m), 0);
    assert_int_equal(hostvm_window_bind(hostvm_guest_memory_window(m), &t->vm), -EEXIST);
    hostvm_guest_memory_destroy(m);
    testvm_destroy(t);
    *state = t = testvm_create();
    t->vcpu = vm_create_vcpu(&t->vm, 0);
    assert_int_equal(hostvm_guest_memory_create(MIB, WINDOW, &m), 0);
    assert_int_equal(hostvm_window_bind(hostvm_guest_memory_window(m), &t->vm), 0);
    assert_int_equal(hostvm_guest_memory_alloc(m, 64, PAGE, &gpa), 0);
    assert_ptr_equal(hostvm_vm_pointer(&t->vm, gpa, 64), hostvm_guest_memory_local_base(m));
    hostvm_guest_memory_destroy(m);
    assert_null(hostvm_vm_pointer(&t->vm, gpa, 1));
}

/* --- threads --- */

/* Reads two pages for ever: one that stays, and one that comes and goes. */
GUEST_CODE(read_for_ever,
           GUEST_WHILE_VALUE(0x5000, 42, GUEST_LOAD_B(0x200000) GUEST_INC(0x5008)) GUEST_EXIT);

struct asker {
    struct testvm *t;
    hostvm_window_t *w;
    atomic_bool is_over;
    atomic_uint nr_wrong;
};

static void *ask(void *arg)
{
    struct asker *asker = arg;

    while (!atomic_load(&asker->is_over)) {
        const uint32_t *word = hostvm_vm_pointer(&asker->t->vm, DATA_GPA, 4);
        uint32_t value = 0;
        int r = hostvm_window_read32(asker->w, DEVICE_GPA, &value);

        if (word == NULL || *word != 42 || (r == 0 && value != 7 && value != 0) ||
            hostvm_vm_pointer(&asker->t->vm, 0x40000000, 1) != NULL) {
            atomic_fetch_add(&asker->nr_wrong, 1);
        }
    }
    return NULL;
}

static void *exchange(void *arg)
{
    struct asker *asker = arg;

    for (int i = 0; i < 300; i++) {
        attach(asker->w, DEVICE_GPA, PAGE, i % 2 == 0 ? seL4_AllRights : seL4_CanRead);
        assert_int_equal(hostvm_window_write32(asker->w, DEVICE_GPA, 7), 0);
        assert_int_equal(hostvm_window_detach(asker->w, DEVICE_GPA, PAGE), 0);
    }
    atomic_store(&asker->is_over, true);
    assert_int_equal(hostvm_vm_stop(&asker->t->vm), 0);
    return NULL;
}

static void test_memory_comes_and_goes_while_guest_and_threads_use_the_rest(void **state)
{
    struct device device = {.result = FAULT_HANDLED, .value = 0x77};
    struct testvm *t = *state;
    struct asker asker = {.t = t, .w = bound_window(t, 0)};
    uint32_t *words;
    pthread_t threads[2];

    testvm_boot(t, &read_for_ever);
    words = testvm_pointer(t, DATA_GPA, 16);
    words[0] = 42;
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device), 0);
    assert_int_equal(pthread_create(&threads[0], NULL, ask, &asker), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, exchange, &asker), 0);
    assert_int_equal(testvm_run(t), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(t->nr_exits, 0);
    assert_int_equal(atomic_load(&asker.nr_wrong), 0);
    assert_true(words[2] > 0);
    hostvm_window_destroy(asker.w);
}

/* --- failures --- */

/* Slots are live, so that each change is an ioctl as well. */
static void prepare(struct testvm *t)
{
    testvm_boot(t, &load_device);
    assert_int_equal(vcpu_start(t->vcpu), 0);
}

static void test_binding_fails_whole(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        hostvm_window_t *w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
        int r;

        prepare(t);
        attach(w, DEVICE_GPA, PAGE, seL4_AllRights);
        attach(w, DEVICE_GPA + 2 * PAGE, PAGE, seL4_CanRead);
        inject_fail_nth(n);
        r = hostvm_window_bind(w, &t->vm);
        has_failed = inject_disarm();
        assert_int_equal(r < 0, has_failed);
        if (has_failed) {
            assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
            assert_int_equal(hostvm_window_bind(w, &t->vm), 0);
        }
        assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
        testvm_run_to_exit(t);
        hostvm_window_destroy(w);
        testvm_destroy(t);
        assert_true(n < MAX_CALLS);
    }
}

static void test_attaching_to_a_bound_window_fails_whole(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        hostvm_window_t *w = bound_window(t, 0);
        int fd = new_file(PAGE);
        int r;

        prepare(t);
        attach(w, DEVICE_GPA + PAGE, PAGE, seL4_AllRights);
        inject_fail_nth(n);
        r = hostvm_window_attach(w, fd, 0, DEVICE_GPA, PAGE, seL4_AllRights);
        has_failed = inject_disarm();
        assert_int_equal(r < 0, has_failed);
        if (has_failed) {
            assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
            assert_null(hostvm_window_ptr(w, DEVICE_GPA, 1));
            assert_int_equal(hostvm_window_attach(w, fd, 0, DEVICE_GPA, PAGE, seL4_AllRights), 0);
        }
        close(fd);
        assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 2 * PAGE));
        testvm_run_to_exit(t);
        hostvm_window_destroy(w);
        testvm_destroy(t);
        assert_true(n < MAX_CALLS);
    }
}

static void test_what_could_not_be_detached_from_a_guest_is_still_its(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        hostvm_window_t *w = bound_window(t, 0);
        int r;

        prepare(t);
        attach(w, DEVICE_GPA, PAGE, seL4_AllRights);
        attach(w, DEVICE_GPA + PAGE, PAGE, seL4_AllRights);
        inject_fail_nth(n);
        r = hostvm_window_detach(w, DEVICE_GPA + PAGE, PAGE);
        has_failed = inject_disarm();
        assert_int_equal(r < 0, has_failed);
        if (has_failed) {
            assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 2 * PAGE));
            assert_int_equal(hostvm_window_detach(w, DEVICE_GPA + PAGE, PAGE), 0);
        }
        assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA + PAGE, 1));
        testvm_run_to_exit(t);
        hostvm_window_destroy(w);
        testvm_destroy(t);
        assert_true(n < MAX_CALLS);
    }
}

static void test_memory_that_kvm_keeps_stays_until_the_vm_goes(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        hostvm_window_t *w = bound_window(t, HOSTVM_WINDOW_IDENTITY);

        prepare(t);
        attach(w, DEVICE_GPA, PAGE, seL4_AllRights);
        inject_fail_nth(n);
        hostvm_window_destroy(w);
        has_failed = inject_disarm();
        assert_int_equal(vm_ram_register_at(&t->vm, 64 * MIB, PAGE, false), 0);
        assert_non_null(hostvm_vm_pointer(&t->vm, 64 * MIB, PAGE));
        testvm_destroy(t);
        w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
        hostvm_window_destroy(w);
        assert_true(n < MAX_CALLS);
    }
}

static void test_mapping_across_the_windows_border_fails_whole(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct testvm *t = testvm_create();
        hostvm_window_t *w = bound_window(t, HOSTVM_WINDOW_IDENTITY);
        int r;

        assert_int_equal(vcpu_start(vm_create_vcpu(&t->vm, 0)), 0);
        inject_fail_nth(n);
        r = vm_ram_register_at(&t->vm, 0, 2 * WINDOW, false);
        has_failed = inject_disarm();
        if (r != 0) {
            assert_true(has_failed);
            assert_null(hostvm_vm_pointer(&t->vm, 0, 1));
            assert_null(hostvm_window_ptr(w, 0x10000, 1));
            assert_null(hostvm_vm_pointer(&t->vm, WINDOW, 1));
            assert_false(is_readable((const void *)0x10000));
            assert_int_equal(vm_ram_register_at(&t->vm, 0, 2 * WINDOW, false), 0);
        }
        assert_non_null(hostvm_vm_pointer(&t->vm, 0, 1));
        assert_non_null(hostvm_window_ptr(w, 0x10000, WINDOW - 0x10000));
        assert_non_null(hostvm_vm_pointer(&t->vm, WINDOW, WINDOW));
        hostvm_window_destroy(w);
        testvm_destroy(t);
        assert_true(n < MAX_CALLS);
    }
}

/* One frame on both sides of the window's end: two slots. */
GUEST_CODE(load_across, GUEST_LOAD_B(0xfff000) GUEST_LOAD_C(0x1000000) GUEST_EXIT);

static void test_memory_across_the_windows_border_is_freed_whole_or_not_at_all(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct device device = {.result = FAULT_HANDLED, .value = 0x77};
        struct testvm *t = testvm_create();
        hostvm_window_t *w = bound_window(t, 0);
        seL4_CPtr frames[2] = {envs_frame(&t->env, 12), envs_frame(&t->env, 12)};
        vm_memory_reservation_t *r;
        int result;

        testvm_boot(t, &load_across);
        r = vm_reserve_memory_at(&t->vm, WINDOW - PAGE, 2 * PAGE, device_fault, &device);
        assert_int_equal(vm_map_reservation_frames(&t->vm, r, frames, 2, 12), 0);
        assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &device),
                         0);
        *(uint32_t *)testvm_pointer(t, WINDOW - PAGE, 4) = 0x11;
        *(uint32_t *)testvm_pointer(t, WINDOW, 4) = 0x22;
        assert_int_equal(vcpu_start(t->vcpu), 0);
        inject_fail_nth(n);
        result = vm_free_reserved_memory(&t->vm, r);
        has_failed = inject_disarm();
        testvm_run_to_exit(t);
        assert_int_equal(device.nr_accesses, result == 0 ? 2 : 0);
        assert_int_equal(testvm_reg(t, REG_B), result == 0 ? 0x77 : 0x11);
        assert_int_equal(testvm_reg(t, REG_C), result == 0 ? 0x77 : 0x22);
        if (result != 0) {
            assert_true(has_failed);
            assert_non_null(hostvm_vm_pointer(&t->vm, WINDOW - PAGE, PAGE));
            assert_non_null(hostvm_vm_pointer(&t->vm, WINDOW, PAGE));
            assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
        }
        assert_null(hostvm_vm_pointer(&t->vm, WINDOW - PAGE, 1));
        assert_null(hostvm_vm_pointer(&t->vm, WINDOW, 1));
        hostvm_window_destroy(w);
        testvm_destroy(t);
        assert_true(n < MAX_CALLS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_vmm_stores_through_the_window_are_seen_by_the_guest),
        vm_test(test_vmm_stores_through_an_identity_window_are_seen_by_the_guest),
        vm_test(test_ram_across_what_the_window_leaves_out_is_all_there),
        vm_test(test_what_was_mapped_before_stays_where_it_is),
        vm_test(test_freed_memory_leaves_the_window),
        vm_test(test_after_detach_the_guests_access_is_unhandled),
        vm_test(test_after_detach_the_guests_access_reaches_the_reservation),
        vm_test(test_what_was_attached_before_binding_is_the_guests_as_well),
        vm_test(test_the_guest_has_the_rights_it_was_given),
        vm_test(test_the_guest_has_the_page_that_the_process_has_not),
        vm_test(test_memory_is_attached_or_mapped_but_not_both),
        vm_test(test_binding_what_cannot_be_bound_is_refused),
        vm_test(test_a_destroyed_window_takes_its_memory_from_the_guest),
        cmocka_unit_test(test_a_window_outlives_its_vm_with_what_was_attached),
        vm_test(test_guest_memory_runs_a_guest),
        vm_test(test_memory_comes_and_goes_while_guest_and_threads_use_the_rest),
        cmocka_unit_test(test_binding_fails_whole),
        cmocka_unit_test(test_attaching_to_a_bound_window_fails_whole),
        cmocka_unit_test(test_what_could_not_be_detached_from_a_guest_is_still_its),
        cmocka_unit_test(test_memory_that_kvm_keeps_stays_until_the_vm_goes),
        cmocka_unit_test(test_mapping_across_the_windows_border_fails_whole),
        cmocka_unit_test(test_memory_across_the_windows_border_is_freed_whole_or_not_at_all),
    };

    return run_vm_tests(tests);
}
