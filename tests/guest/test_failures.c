/*
 * Calls of the library in which every allocation, mapping, descriptor, thread and ioctl in turn
 * fails: the call fails with a reason, nothing is left of it, and the next one works.
 */
#include "support/vm.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/chipset.h>
#include <hostvm/events.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"
#include "support/inject.h"
#include "support/operation.h"

enum { PAGE = 4096, MIB = 1 << 20 };

/* --- vm_init --- */

static void test_vm_init_fails_whole(void **state)
{
    hostvm_env_t env = envs_create();
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct leak_state held;
        vm_t vm;
        int r;

        operation_forget_reason();
        leak_begin(&held);
        inject_fail_nth(n);
        r = vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "vm");
        has_failed = inject_disarm();
        if (r != 0) {
            assert_true(has_failed);
            assert_false(vm.vm_initialised);
            operation_check_reason(n);
            leak_check(&held);
        }
        assert_int_equal(hostvm_vm_destroy(&vm), 0);
        leak_check(&held);
    }
    hostvm_env_destroy(&env);
}

/* --- vcpus --- */

GUEST_CODE(store, GUEST_STORE(0x5000, 42) GUEST_LOAD_B(0x200000) GUEST_EXIT);

static int create_vcpu(struct scene *scene)
{
    scene->t->vcpu = vm_create_vcpu(&scene->t->vm, 0);
    return scene->t->vcpu == NULL ? -1 : 0;
}

static void check_no_vcpu(struct scene *scene)
{
    assert_int_equal(scene->t->vm.num_vcpus, 0);
    assert_null(scene->t->vm.vcpus[0]);
    testvm_check_vcpu_memory(scene->t);
}

static void check_vcpu(struct scene *scene)
{
    assert_int_equal(scene->t->vm.num_vcpus, 1);
    testvm_check_vcpu_memory(scene->t);
}

static void test_vm_create_vcpu_fails_whole(void **state)
{
    const struct operation op = {operation_needs_nothing, create_vcpu, check_no_vcpu, check_vcpu,
                                 NULL};

    (void)state;
    operation_fail_each(&op);
}

static void boot(struct scene *scene)
{
    testvm_boot(scene->t, &store);
    assert_int_equal(vm_ram_register_at(&scene->t->vm, DEVICE_GPA, PAGE, false), 0);
}

static void boot_with_registers(struct scene *scene)
{
    boot(scene);
    for (int i = 0; i < NR_KEPT_REGS; i++) {
        assert_int_equal(
            testvm_set_system_reg(scene->t->vcpu, kept_regs[i].reg, kept_regs[i].value), 0);
    }
    assert_int_equal(vm_create_default_irq_controller(&scene->t->vm), 0);
}

static int start_vcpu(struct scene *scene)
{
    return vcpu_start(scene->t->vcpu);
}

static void check_offline(struct scene *scene)
{
    assert_false(is_vcpu_online(scene->t->vcpu));
}

static void check_register(struct scene *scene, seL4_Word reg, seL4_Word expected)
{
    seL4_Word value = 0;

    assert_int_equal(testvm_get_system_reg(scene->t->vcpu, reg, &value), 0);
    assert_int_equal(value, expected);
}

static void check_registers(struct scene *scene)
{
    for (int i = 0; i < NR_KEPT_REGS; i++) {
        check_register(scene, kept_regs[i].reg, kept_regs[i].value);
    }
}

static void check_exit(struct scene *scene)
{
    testvm_run_to_exit(scene->t);
    assert_int_equal(*(uint32_t *)testvm_pointer(scene->t, DATA_GPA, 4), 42);
    check_registers(scene);
}

static void test_vcpu_start_fails_whole(void **state)
{
    const struct operation op = {boot_with_registers, start_vcpu, check_offline, check_exit, NULL};

    (void)state;
    operation_fail_each(&op);
}

/* --- running --- */

static void boot_and_start(struct scene *scene)
{
    boot_with_registers(scene);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static int run(struct scene *scene)
{
    int r;

    watchdog_begin(&scene->t->vm);
    r = vm_run(&scene->t->vm);
    watchdog_end();
    return r;
}

static void check_host_failed(struct scene *scene)
{
    assert_int_equal(hostvm_vm_end(&scene->t->vm), HOSTVM_END_HOST);
    assert_int_equal(scene->t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
}

static void check_has_exited(struct scene *scene)
{
    assert_int_equal(scene->t->nr_exits, 1);
    assert_int_equal(*(uint32_t *)testvm_pointer(scene->t, DATA_GPA, 4), 42);
    check_registers(scene);
}

static void test_a_run_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {boot_and_start, run, check_host_failed, check_has_exited, NULL};

    (void)state;
    operation_fail_each(&op);
}

static int never_called(vm_t *vm, int fd, void *cookie)
{
    (void)vm;
    (void)fd;
    (void)cookie;
    return -1;
}

static void add_own_event(struct scene *scene)
{
    scene->fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(hostvm_event_add(&scene->t->vm, scene->fd, never_called, NULL), 0);
}

static void boot_with_event(struct scene *scene)
{
    boot_and_start(scene);
    add_own_event(scene);
}

static void close_fd(struct scene *scene)
{
    assert_int_equal(hostvm_event_remove(&scene->t->vm, scene->fd), 0);
    assert_int_equal(close(scene->fd), 0);
}

static void test_a_run_with_events_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {boot_with_event, run, check_host_failed, check_has_exited,
                                 close_fd};

    (void)state;
    operation_fail_each(&op);
}

static void boot_second(struct scene *scene)
{
    vm_vcpu_t *second;

    boot_with_registers(scene);
    second = vm_create_vcpu(&scene->t->vm, 0);
    assert_non_null(second);
    testvm_boot_vcpu(scene->t, second, CODE_GPA, STACK_GPA - PAGE);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
    assert_int_equal(vcpu_start(second), 0);
}

static void check_memory(struct scene *scene)
{
    assert_true(scene->t->nr_exits >= 1);
    assert_int_equal(*(uint32_t *)testvm_pointer(scene->t, DATA_GPA, 4), 42);
}

static void test_a_run_of_two_vcpus_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {boot_second, run, check_host_failed, check_memory, NULL};

    (void)state;
    operation_fail_each(&op);
}

/* --- running by steps --- */

static int step_to_end(struct scene *scene)
{
    struct pollfd poll_fd = {.events = POLLIN};
    int r = -1;

    poll_fd.fd = hostvm_vm_fd(&scene->t->vm);
    watchdog_begin(&scene->t->vm);
    while (poll_fd.fd >= 0 && (r = hostvm_vm_step(&scene->t->vm)) == 1) {
        (void)poll(&poll_fd, 1, -1);
    }
    watchdog_end();
    return r;
}

static void check_not_running(struct scene *scene)
{
    hostvm_vm_end_t end = hostvm_vm_end(&scene->t->vm);

    assert_true(end == HOSTVM_END_HOST || end == HOSTVM_END_NONE); /* none: no descriptor */
    assert_int_equal(scene->t->nr_exits, 0);
}

static void test_steps_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation plain = {boot_and_start, step_to_end, check_not_running,
                                    check_has_exited, NULL};
    const struct operation event = {boot_with_event, step_to_end, check_not_running,
                                    check_has_exited, close_fd};

    (void)state;
    operation_fail_each(&plain);
    operation_fail_each(&event);
}

static void check_host_failed_at_last(struct scene *scene)
{
    hostvm_vm_end_t end = hostvm_vm_end(&scene->t->vm);

    assert_true(end == HOSTVM_END_HOST || end == HOSTVM_END_NONE);
}

static void test_steps_of_two_vcpus_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {boot_second, step_to_end, check_host_failed_at_last, check_memory,
                                 NULL};

    (void)state;
    operation_fail_each(&op);
}

/* --- reservations --- */

static int reserve(struct scene *scene)
{
    scene->reservation = vm_reserve_memory_at(&scene->t->vm, DEVICE_GPA, PAGE, device_fault, NULL);
    return scene->reservation == NULL ? -1 : 0;
}

static void test_vm_reserve_memory_at_fails_whole(void **state)
{
    const struct operation op = {operation_needs_nothing, reserve, NULL, NULL, NULL};

    (void)state;
    operation_fail_each(&op);
}

static int make_anon(struct scene *scene)
{
    return vm_memory_make_anon(&scene->t->vm, 0x40000000, MIB);
}

static int reserve_anon(struct scene *scene)
{
    uintptr_t addr = 0;

    scene->reservation =
        vm_reserve_anon_memory(&scene->t->vm, PAGE, PAGE, device_fault, NULL, &addr);
    if (scene->reservation == NULL) {
        assert_int_equal(addr, 0);
        return -1;
    }
    assert_int_equal(addr, 0x40000000);
    return 0;
}

static void have_anon(struct scene *scene)
{
    assert_int_equal(make_anon(scene), 0);
}

static void test_anonymous_calls_fail_whole(void **state)
{
    const struct operation make = {operation_needs_nothing, make_anon, NULL, NULL, NULL};
    const struct operation take = {have_anon, reserve_anon, NULL, NULL, NULL};

    (void)state;
    operation_fail_each(&make);
    operation_fail_each(&take);
}

/* Whoever frees has nobody to turn to when that fails. */
static void test_freeing_anonymous_reservations_takes_no_memory(void **state)
{
    enum { NR = 100 };
    struct testvm *t = *state;
    vm_memory_reservation_t *reservations[NR];
    uintptr_t addr;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x40000000, MIB), 0);
    for (int i = 0; i < NR; i++) {
        reservations[i] = vm_reserve_anon_memory(&t->vm, PAGE, PAGE, device_fault, NULL, &addr);
        assert_non_null(reservations[i]);
    }
    for (int i = 0; i < NR; i += 2) { /* no two of them touch */
        inject_fail_nth(1);
        assert_int_equal(vm_free_reserved_memory(&t->vm, reservations[i]), 0);
        assert_false(inject_disarm());
    }
    assert_non_null(vm_reserve_anon_memory(&t->vm, PAGE, PAGE, device_fault, NULL, &addr));
    assert_int_equal(addr, 0x40000000);
}

/* --- mappings: slots are live, and the neighbours on both sides are mapped --- */

static void have_frames(struct scene *scene)
{
    for (size_t i = 0; i < OPERATION_FRAMES; i++) {
        scene->frames[i] = envs_frame(&scene->t->env, 12);
    }
    scene->reservation = vm_reserve_memory_at(&scene->t->vm, DEVICE_GPA,
                                              OPERATION_FRAMES * (size_t)PAGE, device_fault, NULL);
    assert_non_null(scene->reservation);
}

static void have_neighbours(struct scene *scene)
{
    vm_t *vm = &scene->t->vm;

    boot_with_registers(scene);
    assert_int_equal(vm_ram_register_at(vm, DEVICE_GPA + 0x100000, MIB, false), 0);
    assert_int_equal(
        vm_ram_register_at(vm, DEVICE_GPA + 0x100000 + MIB + OPERATION_FRAMES * PAGE, MIB, false),
        0);
    for (size_t i = 0; i < OPERATION_FRAMES; i++) {
        scene->frames[i] = envs_frame(&scene->t->env, 12);
    }
    scene->reservation = vm_reserve_memory_at(vm, DEVICE_GPA + 0x100000 + MIB,
                                              OPERATION_FRAMES * (size_t)PAGE, device_fault, NULL);
    assert_non_null(scene->reservation);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static int map(struct scene *scene)
{
    return vm_map_reservation_frames(&scene->t->vm, scene->reservation, scene->frames,
                                     OPERATION_FRAMES, 12);
}

static void check_unmapped(struct scene *scene)
{
    uintptr_t addr = 0;
    size_t size = 0;

    vm_get_reservation_memory_region(scene->reservation, &addr, &size);
    for (size_t i = 0; i < OPERATION_FRAMES; i++) {
        assert_null(hostvm_vm_pointer(&scene->t->vm, addr + i * PAGE, 1));
    }
}

static void check_neighbours(struct scene *scene)
{
    uintptr_t addr = 0;
    size_t size = 0;

    vm_get_reservation_memory_region(scene->reservation, &addr, &size);
    memset(testvm_pointer(scene->t, addr - MIB, MIB), 1, MIB);
    memset(testvm_pointer(scene->t, addr + size, MIB), 1, MIB);
}

static void check_unmapped_and_neighbours(struct scene *scene)
{
    check_unmapped(scene);
    check_neighbours(scene);
}

static void check_mapped(struct scene *scene)
{
    uintptr_t addr = 0;
    size_t size = 0;

    vm_get_reservation_memory_region(scene->reservation, &addr, &size);
    memset(testvm_pointer(scene->t, addr, size), 1, size);
}

static void check_mapped_and_run(struct scene *scene)
{
    check_mapped(scene);
    check_neighbours(scene);
    check_exit(scene);
}

static void test_vm_map_reservation_fails_whole(void **state)
{
    const struct operation before_start = {have_frames, map, check_unmapped, check_mapped, NULL};
    const struct operation live = {have_neighbours, map, check_unmapped_and_neighbours,
                                   check_mapped_and_run, NULL};

    (void)state;
    operation_fail_each(&before_start);
    operation_fail_each(&live);
}

static void have_mapping(struct scene *scene)
{
    have_neighbours(scene);
    assert_int_equal(map(scene), 0);
}

static int free_mapping(struct scene *scene)
{
    return vm_free_reserved_memory(&scene->t->vm, scene->reservation);
}

static void check_freed(struct scene *scene)
{
    const uintptr_t addr = DEVICE_GPA + 0x100000 + MIB;

    assert_null(hostvm_vm_pointer(&scene->t->vm, addr, 1));
    assert_null(hostvm_vm_pointer(&scene->t->vm, addr + (OPERATION_FRAMES - 1) * PAGE, 1));
    memset(testvm_pointer(scene->t, addr - MIB, MIB), 1, MIB);
    memset(testvm_pointer(scene->t, addr + OPERATION_FRAMES * PAGE, MIB), 1, MIB);
    check_exit(scene);
}

static void test_a_reservation_that_could_not_be_freed_can_be_freed_again(void **state)
{
    const struct operation op = {have_mapping, free_mapping, check_neighbours, check_freed, NULL};

    (void)state;
    operation_fail_each(&op);
}

/* More frames than the list of them has room for at first, no two of them neighbours. */
enum { NR_MANY = 150 };

static seL4_CPtr many[NR_MANY];

static vm_frame_t next_of_many(uintptr_t addr, void *cookie)
{
    uintptr_t start = *(const uintptr_t *)cookie;

    return (vm_frame_t){many[(addr - start) / PAGE], seL4_AllRights, addr, 12};
}

static void have_many_frames(struct scene *scene)
{
    boot_with_registers(scene);
    for (size_t i = 0; i < NR_MANY; i++) {
        many[i * 7 % NR_MANY] = envs_frame(&scene->t->env, 12);
    }
    scene->reservation =
        vm_reserve_memory_at(&scene->t->vm, 0x400000, NR_MANY * (size_t)PAGE, device_fault, NULL);
    assert_non_null(scene->reservation);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static int map_many(struct scene *scene)
{
    uintptr_t start = 0x400000;

    return vm_map_reservation(&scene->t->vm, scene->reservation, next_of_many, &start);
}

static void check_many_unmapped(struct scene *scene)
{
    for (uintptr_t i = 0; i < NR_MANY; i++) {
        assert_null(hostvm_vm_pointer(&scene->t->vm, 0x400000 + i * PAGE, 1));
    }
}

static void test_mapping_many_frames_by_an_iterator_fails_whole(void **state)
{
    const struct operation op = {have_many_frames, map_many, check_many_unmapped, check_mapped,
                                 NULL};

    (void)state;
    operation_fail_each(&op);
}

/* --- holes in what is mapped: the slot of all of it is cut in two --- */

enum { HOLE_GPA = DEVICE_GPA + 8 * PAGE };

/* The page before the hole, the hole's, and the one behind it. */
GUEST_CODE(load_three,
           GUEST_LOAD_B(0x207ffc) GUEST_LOAD_C(0x208000) GUEST_LOAD_D(0x209000) GUEST_EXIT);

static struct device nowhere; /* answers for what is not mapped */

static vm_frame_t hole_frame(uintptr_t addr, void *cookie)
{
    struct scene *scene = cookie;
    seL4_CPtr frame = envs_frame(&scene->t->env, 12);

    if (addr == HOLE_GPA) {
        scene->frames[0] = frame;
    }
    return (vm_frame_t){frame, seL4_AllRights, addr, 12};
}

static void have_what_gets_a_hole(struct scene *scene)
{
    vm_t *vm = &scene->t->vm;

    nowhere = (struct device){.value = 0x77};
    testvm_boot(scene->t, &load_three);
    scene->reservation =
        vm_reserve_memory_at(vm, DEVICE_GPA, 16 * (size_t)PAGE, device_fault, &nowhere);
    assert_int_equal(vm_map_reservation(vm, scene->reservation, hole_frame, scene), 0);
    for (uint32_t i = 7; i < 10; i++) {
        ((uint32_t *)testvm_pointer(scene->t, DEVICE_GPA + i * PAGE, PAGE))[0] = i;
        ((uint32_t *)testvm_pointer(scene->t, DEVICE_GPA + i * PAGE, PAGE))[PAGE / 4 - 1] = i;
    }
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static int hole_is_there(struct scene *scene)
{
    return hostvm_vm_pointer(&scene->t->vm, HOLE_GPA, 1) == NULL ? 0 : -1;
}

static int unmap_hole(struct scene *scene)
{
    vspace_unmap_pages(vm_get_vspace(&scene->t->vm), (void *)(uintptr_t)HOLE_GPA, 1, 12,
                       VSPACE_PRESERVE);
    return hole_is_there(scene);
}

static int delete_hole(struct scene *scene)
{
    cspacepath_t path;

    vka_cspace_make_path(&scene->t->env.vka, scene->frames[0], &path);
    if (vka_cnode_delete(&path) != seL4_NoError) {
        assert_int_equal(hole_is_there(scene), -1);
        return -1;
    }
    return hole_is_there(scene);
}

static void check_no_hole(struct scene *scene)
{
    assert_non_null(hostvm_vm_pointer(&scene->t->vm, DEVICE_GPA, 16 * PAGE));
    assert_int_equal(vspace_get_cap(vm_get_vspace(&scene->t->vm), (void *)(uintptr_t)HOLE_GPA),
                     scene->frames[0]);
}

static void check_hole(struct scene *scene)
{
    assert_non_null(hostvm_vm_pointer(&scene->t->vm, DEVICE_GPA, 8 * PAGE));
    assert_non_null(hostvm_vm_pointer(&scene->t->vm, HOLE_GPA + PAGE, 7 * PAGE));
    testvm_run_to_exit(scene->t);
    assert_int_equal(testvm_reg(scene->t, REG_B), 7);
    assert_int_equal(testvm_reg(scene->t, REG_C), 0x77);
    assert_int_equal(testvm_reg(scene->t, REG_D), 9);
    assert_int_equal(nowhere.nr_accesses, 1);
}

static void test_a_hole_in_mapped_memory_is_made_whole_or_not_at_all(void **state)
{
    const struct operation unmapping = {have_what_gets_a_hole, unmap_hole, check_no_hole,
                                        check_hole, NULL};
    const struct operation deleting = {have_what_gets_a_hole, delete_hole, check_no_hole,
                                       check_hole, NULL};

    (void)state;
    operation_fail_each(&unmapping);
    operation_fail_each(&deleting);
}

/* Where making the hole failed, the guest has lost nothing. */
static void test_memory_that_could_not_be_unmapped_is_still_the_guests(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct scene scene = {.t = testvm_create()};
        int r;

        have_what_gets_a_hole(&scene);
        inject_fail_nth(n);
        r = unmap_hole(&scene);
        has_failed = inject_disarm();
        testvm_run_to_exit(scene.t);
        assert_int_equal(testvm_reg(scene.t, REG_B), 7);
        assert_int_equal(testvm_reg(scene.t, REG_C), r == 0 ? 0x77 : 8);
        assert_int_equal(testvm_reg(scene.t, REG_D), 9);
        assert_int_equal(nowhere.nr_accesses, r == 0 ? 1 : 0);
        testvm_destroy(scene.t);
        assert_true(n < OPERATION_MAX_CALLS);
    }
}

/* --- the guest's address space through its interface --- */

static int make_guest_pages(struct scene *scene)
{
    vspace_t *vspace = vm_get_vspace(&scene->t->vm);
    reservation_t res =
        vspace_reserve_range_at(vspace, (void *)0x400000, 3 * PAGE, seL4_AllRights, 1);
    int r;

    if (res.res == NULL) {
        return -1;
    }
    r = vspace_new_pages_at_vaddr(vspace, (void *)0x400000, 3, 12, res);
    vspace_free_reservation(vspace, res);
    return r;
}

static void check_no_guest_pages(struct scene *scene)
{
    assert_null(hostvm_vm_pointer(&scene->t->vm, 0x400000, 1));
    assert_null(hostvm_vm_pointer(&scene->t->vm, 0x402000, 1));
}

static void check_guest_pages(struct scene *scene)
{
    memset(testvm_pointer(scene->t, 0x400000, 3 * PAGE), 1, 3 * PAGE);
    vspace_unmap_pages(vm_get_vspace(&scene->t->vm), (void *)0x400000, 3, 12, VSPACE_FREE);
    check_no_guest_pages(scene);
}

static int share_with_vmm(struct scene *scene)
{
    char *pages = vspace_share_mem(vm_get_vspace(&scene->t->vm), &scene->t->env.vspace,
                                   (void *)0x1000, 3, 12, seL4_AllRights, 1);

    if (pages == NULL) {
        return -1;
    }
    pages[0] = 's';
    assert_int_equal(*(char *)testvm_pointer(scene->t, 0x1000, 1), 's');
    vspace_unmap_pages(&scene->t->env.vspace, pages, 3, 12, VSPACE_FREE);
    return 0;
}

static int look_at_page(void *access_addr, void *vaddr, void *cookie)
{
    (void)access_addr;
    (void)vaddr;
    ++*(unsigned *)cookie;
    return 0;
}

static int access_page(struct scene *scene)
{
    unsigned nr_calls = 0;
    int r = vspace_access_page_with_callback(vm_get_vspace(&scene->t->vm), &scene->t->env.vspace,
                                             (void *)0x1000, 12, seL4_AllRights, 1, look_at_page,
                                             &nr_calls);

    assert_int_equal(nr_calls, r == 0 ? 1 : 0);
    return r;
}

static void have_live_ram(struct scene *scene)
{
    assert_int_equal(vm_ram_register_at(&scene->t->vm, 0, MIB, false), 0);
    assert_int_equal(create_vcpu(scene), 0);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static void test_calls_on_the_guests_address_space_fail_whole(void **state)
{
    const struct operation make = {have_live_ram, make_guest_pages, check_no_guest_pages,
                                   check_guest_pages, NULL};
    const struct operation share = {have_live_ram, share_with_vmm, NULL, NULL, NULL};
    const struct operation access = {have_live_ram, access_page, NULL, NULL, NULL};

    (void)state;
    operation_fail_each(&make);
    operation_fail_each(&share);
    operation_fail_each(&access);
}

/* --- a mapping that the first fault makes --- */

static vm_frame_t any_of_many(uintptr_t addr, void *cookie)
{
    (void)cookie;
    return (vm_frame_t){many[(addr - DEVICE_GPA) / PAGE], seL4_AllRights, addr, 12};
}

/* A run in which any call fails that the deferred mapping makes. False: it makes fewer. */
static bool fail_deferred(unsigned n)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
    vm_memory_reservation_t *r;
    bool has_failed;
    int result;

    testvm_boot(t, &store);
    for (int i = 0; i < OPERATION_FRAMES; i++) {
        many[OPERATION_FRAMES - 1 - i] = envs_frame(&t->env, 12);
    }
    r = vm_reserve_memory_at(&t->vm, DEVICE_GPA, OPERATION_FRAMES * (size_t)PAGE, device_fault,
                             NULL);
    assert_int_equal(vm_map_reservation(&t->vm, r, any_of_many, NULL), 0);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    inject_fail_nth(n);
    watchdog_begin(&t->vm);
    result = vm_run(&t->vm);
    watchdog_end();
    has_failed = inject_disarm();
    if (result != 0) {
        assert_true(has_failed);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        assert_string_not_equal(hostvm_last_error(), "");
        assert_int_equal(t->nr_exits, 0);
    } else {
        assert_int_equal(t->nr_exits, 1);
        assert_int_equal(testvm_reg(t, REG_B), 0);
    }
    for (uintptr_t i = 1; i < OPERATION_FRAMES; i++) { /* all pages or none */
        assert_int_equal(hostvm_vm_pointer(&t->vm, DEVICE_GPA + i * PAGE, 1) == NULL,
                         hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1) == NULL);
    }
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    testvm_destroy(t);
    return has_failed;
}

static void test_a_deferred_mapping_fails_whole(void **state)
{
    unsigned n = 1;

    (void)state;
    while (fail_deferred(n)) {
        n++;
        assert_true(n < OPERATION_MAX_CALLS);
    }
    assert_true(n > 5);
}

/* --- RAM --- */

static int register_ram(struct scene *scene)
{
    return vm_ram_register_at(&scene->t->vm, 0x500, 0x9f700, false);
}

static int register_ram_anon(struct scene *scene)
{
    return vm_ram_register(&scene->t->vm, MIB) != 0 ? 0 : -1;
}

static void check_no_ram(struct scene *scene)
{
    assert_int_equal(scene->t->vm.mem.num_ram_regions, 0);
    assert_null(hostvm_vm_pointer(&scene->t->vm, 0x500, 1));
}

static void check_one_ram(struct scene *scene)
{
    const struct vm_ram_region *ram = scene->t->vm.mem.ram_regions;

    assert_int_equal(scene->t->vm.mem.num_ram_regions, 1);
    memset(testvm_pointer(scene->t, ram->start, ram->size), 1, ram->size);
}

static void start_vcpu_alone(struct scene *scene)
{
    assert_int_equal(create_vcpu(scene), 0);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static void test_registering_ram_fails_whole(void **state)
{
    const struct operation before_start = {operation_needs_nothing, register_ram, check_no_ram,
                                           check_one_ram, NULL};
    const struct operation live = {start_vcpu_alone, register_ram, check_no_ram, check_one_ram,
                                   NULL};
    const struct operation anonymous = {have_anon, register_ram_anon, check_no_ram, check_one_ram,
                                        NULL};

    (void)state;
    operation_fail_each(&before_start);
    operation_fail_each(&live);
    operation_fail_each(&anonymous);
}

static void have_many_for_ram(struct scene *scene)
{
    for (size_t i = 0; i < NR_MANY; i++) {
        many[i * 7 % NR_MANY] = envs_frame(&scene->t->env, 12);
    }
}

static int register_ram_of_frames(struct scene *scene)
{
    uintptr_t start = 0x400000;

    return vm_ram_register_at_custom_iterator(&scene->t->vm, start, NR_MANY * (size_t)PAGE,
                                              next_of_many, &start);
}

static void check_no_ram_of_frames(struct scene *scene)
{
    assert_int_equal(scene->t->vm.mem.num_ram_regions, 0);
    check_many_unmapped(scene);
}

static void test_registering_ram_made_of_frames_fails_whole(void **state)
{
    const struct operation op = {have_many_for_ram, register_ram_of_frames, check_no_ram_of_frames,
                                 check_one_ram, NULL};

    (void)state;
    operation_fail_each(&op);
}

static void have_ram(struct scene *scene)
{
    assert_int_equal(register_ram(scene), 0);
}

static int allocate(struct scene *scene)
{
    return vm_ram_allocate(&scene->t->vm, 0x100) != 0 ? 0 : -1;
}

static void check_nothing_allocated(struct scene *scene)
{
    check_one_ram(scene);
    assert_int_equal(scene->t->vm.mem.ram_regions[0].allocated, 0);
}

static void test_allocating_ram_fails_whole(void **state)
{
    const struct operation op = {have_ram, allocate, check_nothing_allocated, NULL, NULL};

    (void)state;
    operation_fail_each(&op);
}

static int mark(struct scene *scene)
{
    vm_ram_mark_allocated(&scene->t->vm, 0x1000, 0x1000);
    return scene->t->vm.mem.num_ram_regions == 3 ? 0 : -1;
}

static void have_allocated_ram(struct scene *scene)
{
    have_ram(scene);
    vm_ram_mark_allocated(&scene->t->vm, 0x500, 0x9f700);
    assert_int_equal(scene->t->vm.mem.ram_regions[0].allocated, 1);
}

static int free_part(struct scene *scene)
{
    vm_ram_free(&scene->t->vm, 0x1000, 0x1000);
    return scene->t->vm.mem.num_ram_regions == 3 ? 0 : -1;
}

static void check_all_allocated(struct scene *scene)
{
    check_one_ram(scene);
    assert_int_equal(scene->t->vm.mem.ram_regions[0].allocated, 1);
}

static void test_marking_and_freeing_ram_fail_whole(void **state)
{
    const struct operation marking = {have_ram, mark, check_nothing_allocated, NULL, NULL};
    const struct operation freeing = {have_allocated_ram, free_part, check_all_allocated, NULL,
                                      NULL};

    (void)state;
    operation_fail_each(&marking);
    operation_fail_each(&freeing);
}

/* --- interrupts --- */

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    (void)vcpu;
    (void)irq;
    (void)cookie;
}

static void have_registered_lines(struct scene *scene)
{
    boot(scene);
    assert_int_equal(vm_register_irq(scene->t->vcpu, TEST_IRQ, acknowledged, NULL), 0);
    assert_int_equal(vm_register_irq(scene->t->vcpu, OTHER_IRQ, acknowledged, NULL), 0);
}

static int create_controller(struct scene *scene)
{
    return vm_create_default_irq_controller(&scene->t->vm);
}

static void check_line(struct scene *scene)
{
    assert_int_equal(vm_inject_irq(scene->t->vcpu, TEST_IRQ), 0);
    testvm_run_to_exit(scene->t);
}

static void test_a_controller_that_could_not_be_created_can_be_created_again(void **state)
{
    const struct operation op = {have_registered_lines, create_controller, NULL, check_line, NULL};

    (void)state;
    operation_fail_each(&op);
}

/* A controller takes interrupts from the first start on. */
static void have_controller(struct scene *scene)
{
    boot(scene);
    assert_int_equal(create_controller(scene), 0);
    assert_int_equal(start_vcpu(scene), 0);
}

static int register_line(struct scene *scene)
{
    return vm_register_irq(scene->t->vcpu, TEST_IRQ, acknowledged, NULL);
}

static void have_line(struct scene *scene)
{
    have_controller(scene);
    assert_int_equal(register_line(scene), 0);
}

static int raise_last_line(struct scene *scene)
{
    return hostvm_irq_line(&scene->t->vm, LAST_LINE, 1);
}

static int inject_line(struct scene *scene)
{
    return vm_inject_irq(scene->t->vcpu, TEST_IRQ);
}

/* Clearing up must not put a reason of its own in the place of the failure's. */
static void check_reason_is_the_first(struct scene *scene)
{
    (void)scene;
    assert_null(strstr(hostvm_last_error(), "cannot end the watch"));
}

static void test_registering_a_line_fails_whole(void **state)
{
    const struct operation op = {have_controller, register_line, check_reason_is_the_first,
                                 check_line, NULL};

    (void)state;
    operation_fail_each(&op);
}

static void test_a_line_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation line = {have_line, inject_line, NULL, check_line, NULL};
    const struct operation level = {have_line, raise_last_line, NULL, check_line, NULL};

    (void)state;
    operation_fail_each(&line);
    operation_fail_each(&level);
}

/* A line that the host refuses to set is not a masked one, though both are -1. */
static void test_a_level_that_the_host_refuses_has_a_reason(void **state)
{
    struct scene scene = {.t = *state};
    char reason[64];

    (void)snprintf(reason, sizeof(reason), "cannot set interrupt line %d: Input/output error",
                   TEST_IRQ);
    have_line(&scene);
    operation_forget_reason();
    inject_fail_nth(1);
    assert_int_equal(vm_set_irq_level(scene.t->vcpu, TEST_IRQ, 0), -1);
    assert_true(inject_disarm());
    assert_reason(reason);
    assert_int_equal(vm_set_irq_level(scene.t->vcpu, TEST_IRQ, 0), 0);
}

/* --- vcpus that wait --- */

static void have_waiting_vcpu(struct scene *scene)
{
    vm_vcpu_t *second;

    boot_with_registers(scene);
    second = vm_create_vcpu(&scene->t->vm, 0);
    assert_non_null(second);
    assert_int_equal(hostvm_vcpu_wait_for_startup(second), 0);
    assert_int_equal(start_vcpu(scene), 0);
}

static int start_second(struct scene *scene)
{
    return vcpu_start(scene->t->vm.vcpus[1]);
}

static void check_second_offline(struct scene *scene)
{
    assert_false(is_vcpu_online(scene->t->vm.vcpus[1]));
}

static void test_starting_a_vcpu_that_waits_fails_whole(void **state)
{
    const struct operation op = {have_waiting_vcpu, start_second, check_second_offline, check_exit,
                                 NULL};

    (void)state;
    operation_fail_each(&op);
}

/* --- registers, of a vcpu that KVM has --- */

/* Every call that a getter makes fails in turn; the result stays, and the next one is right. */
static void fail_getting(struct testvm *t, seL4_Word reg)
{
    seL4_Word expected = 0;
    bool has_failed = true;

    for (unsigned n = 1; has_failed; n++) {
        seL4_Word value = 0xdead;
        int r;

        testvm_run_to_exit(t); /* what was read before is stale */
        operation_forget_reason();
        inject_fail_nth(n);
        r = testvm_get_system_reg(t->vcpu, reg, &value);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -1 : 0);
        if (r != 0) {
            operation_check_reason(n);
            assert_int_equal(value, 0xdead);
        }
        assert_int_equal(testvm_get_system_reg(t->vcpu, reg, &value), 0);
        if (reg != (seL4_Word)MOVING_REG) {
            expected = n == 1 ? value : expected;
            assert_int_equal(value, expected);
        }
    }
}

GUEST_CODE(exit_for_good, GUEST_FOR_EVER(GUEST_EXIT));

static void test_getting_a_register_fails_whole(void **state)
{
    struct testvm *t = *state;
    testvm_context_t context;
    testvm_context_t untouched;

    testvm_boot(t, &exit_for_good);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_run_to_exit(t);
    memset(&untouched, 0x5a, sizeof(untouched));
    context = untouched;
    inject_fail_nth(1);
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), -1);
    assert_true(inject_disarm());
    assert_memory_equal(&context, &untouched, sizeof(context));
    for (size_t i = 0; i < NR_SYSTEM_REGS; i++) {
        fail_getting(t, system_regs[i]);
    }
}

/* Sets a register to what it is while the n-th call fails, then runs; what fails can be done again.
 */
static bool fail_setting(seL4_Word reg, unsigned n)
{
    struct scene scene = {.t = testvm_create()};
    struct testvm *t = scene.t;
    seL4_Word value = 0;
    bool has_failed;
    int r;

    testvm_boot(t, &exit_for_good);
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_get_system_reg(t->vcpu, reg, &value), 0);
    testvm_run_to_exit(t);
    inject_fail_nth(n);
    r = testvm_set_system_reg(t->vcpu, reg, value);
    if (r == 0) {
        r = run(&scene);
    }
    has_failed = inject_disarm();
    if (r != 0) {
        assert_true(has_failed);
        assert_int_equal(testvm_set_system_reg(t->vcpu, reg, value), 0);
        testvm_run_to_exit(t);
    }
    check_register(&scene, reg, value);
    testvm_destroy(t);
    return has_failed;
}

static void test_setting_a_register_can_be_tried_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_SYSTEM_REGS; i++) {
        unsigned n = 1;

        if (system_regs[i] == (seL4_Word)MOVING_REG) { /* moves by itself */
            continue;
        }
        while (fail_setting(system_regs[i], n)) {
            n++;
            assert_true(n < OPERATION_MAX_CALLS);
        }
        assert_true(n > 1);
    }
}

/* --- the end: whatever the host refuses, nothing stays --- */

static void have_everything(struct scene *scene)
{
    vm_t *vm = &scene->t->vm;

    boot_with_registers(scene);
    testvm_take_calls(scene->t);
    add_own_event(scene);
    have_anon(scene);
    assert_int_not_equal(vm_ram_register(vm, MIB / 2), 0);
    assert_int_equal(vm_register_irq(scene->t->vcpu, TEST_IRQ, acknowledged, NULL), 0);
    testvm_run_to_exit(scene->t);
}

static void test_a_vm_is_destroyed_whatever_fails(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        struct scene scene = {.t = testvm_create(), .fd = -1};

        have_everything(&scene);
        inject_fail_nth(n);
        assert_int_equal(hostvm_vm_destroy(&scene.t->vm), 0);
        has_failed = inject_disarm();
        assert_int_equal(close(scene.fd), 0);
        testvm_destroy(scene.t); /* looks for what stays */
        assert_true(n < OPERATION_MAX_CALLS);
    }
}

/* --- events --- */

static void have_fd(struct scene *scene)
{
    scene->fd = eventfd(0, EFD_CLOEXEC);
    assert_true(scene->fd >= 0);
}

static int add_event(struct scene *scene)
{
    return hostvm_event_add(&scene->t->vm, scene->fd, never_called, NULL);
}

static void check_no_event(struct scene *scene)
{
    assert_int_equal(hostvm_event_remove(&scene->t->vm, scene->fd), -1);
}

static void test_adding_an_event_fails_whole(void **state)
{
    const struct operation op = {have_fd, add_event, check_no_event, NULL, close_fd};

    (void)state;
    operation_fail_each(&op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vm_init_fails_whole),
        cmocka_unit_test(test_vm_create_vcpu_fails_whole),
        cmocka_unit_test(test_vcpu_start_fails_whole),
        cmocka_unit_test(test_a_run_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_a_run_with_events_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_a_run_of_two_vcpus_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_steps_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_steps_of_two_vcpus_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_vm_reserve_memory_at_fails_whole),
        cmocka_unit_test(test_anonymous_calls_fail_whole),
        vm_test(test_freeing_anonymous_reservations_takes_no_memory),
        cmocka_unit_test(test_vm_map_reservation_fails_whole),
        cmocka_unit_test(test_a_reservation_that_could_not_be_freed_can_be_freed_again),
        cmocka_unit_test(test_mapping_many_frames_by_an_iterator_fails_whole),
        cmocka_unit_test(test_a_hole_in_mapped_memory_is_made_whole_or_not_at_all),
        cmocka_unit_test(test_memory_that_could_not_be_unmapped_is_still_the_guests),
        cmocka_unit_test(test_calls_on_the_guests_address_space_fail_whole),
        cmocka_unit_test(test_a_deferred_mapping_fails_whole),
        cmocka_unit_test(test_registering_ram_fails_whole),
        cmocka_unit_test(test_registering_ram_made_of_frames_fails_whole),
        cmocka_unit_test(test_allocating_ram_fails_whole),
        cmocka_unit_test(test_marking_and_freeing_ram_fail_whole),
        cmocka_unit_test(test_a_controller_that_could_not_be_created_can_be_created_again),
        cmocka_unit_test(test_registering_a_line_fails_whole),
        cmocka_unit_test(test_a_line_that_the_host_refuses_can_be_tried_again),
        vm_test(test_a_level_that_the_host_refuses_has_a_reason),
        cmocka_unit_test(test_starting_a_vcpu_that_waits_fails_whole),
        vm_test(test_getting_a_register_fails_whole),
        cmocka_unit_test(test_setting_a_register_can_be_tried_again),
        cmocka_unit_test(test_a_vm_is_destroyed_whatever_fails),
        cmocka_unit_test(test_adding_an_event_fails_whole),
    };

    return run_vm_tests(tests);
}
