/*
 * Calls of the library in which every allocation, mapping, descriptor, thread and ioctl in turn
 * fails: the call fails with a reason, nothing is left of it, and the next one works.
 */
#include "support/vm.h"

#include <poll.h>
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

enum { PAGE = 4096, MIB = 1 << 20, NR_FRAMES = 4, MAX_CALLS = 10000 };

/* What the operations work with, fresh for each failure. */
struct scene {
    struct testvm *t;
    vm_memory_reservation_t *reservation;
    seL4_CPtr frames[NR_FRAMES];
    int fd;
};

struct operation {
    void (*prepare)(struct scene *scene);
    int (*perform)(struct scene *scene); /* 0 or -1; what may fail */
    void (*undone)(struct scene *scene); /* checks after a failure; NULL: nothing to see */
    void (*done)(struct scene *scene);   /* checks after success; NULL: nothing to see */
    void (*clean)(struct scene *scene);  /* NULL: hostvm_vm_destroy does */
};

/* Leaves a reason that is none of the operation's. */
static void forget_reason(void)
{
    assert_int_equal(hostvm_vm_stop(NULL), -1);
}

static void check_reason(unsigned n)
{
    if (strcmp(hostvm_last_error(), "hostvm_vm_stop: no VM, or one without vm_init") == 0 ||
        hostvm_last_error()[0] == '\0') {
        fail_msg("no reason for the failure of call %u", n);
    }
}

static void call_if(void (*step)(struct scene *scene), struct scene *scene)
{
    if (step != NULL) {
        step(scene);
    }
}

/* Performs the operation while its n-th call fails. False: it does not make so many. */
static bool fail_nth(const struct operation *op, unsigned n)
{
    struct scene scene = {.t = testvm_create(), .fd = -1};
    bool has_failed;
    int r;

    op->prepare(&scene);
    forget_reason();
    inject_fail_nth(n);
    r = op->perform(&scene);
    has_failed = inject_disarm();
    if (r != 0) {
        if (!has_failed) {
            fail_msg("%s", hostvm_last_error());
        }
        check_reason(n);
        call_if(op->undone, &scene);
        if (op->perform(&scene) != 0) {
            fail_msg("after a failure of call %u: %s", n, hostvm_last_error());
        }
    }
    call_if(op->done, &scene);
    call_if(op->clean, &scene);
    testvm_destroy(scene.t);
    return has_failed;
}

static void fail_each(const struct operation *op)
{
    unsigned n = 1;

    while (fail_nth(op, n)) {
        n++;
        assert_true(n < MAX_CALLS);
    }
    assert_true(n > 1);
}

static void nothing(struct scene *scene)
{
    (void)scene;
}

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

        forget_reason();
        leak_begin(&held);
        inject_fail_nth(n);
        r = vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "vm");
        has_failed = inject_disarm();
        if (r != 0) {
            assert_true(has_failed);
            assert_false(vm.vm_initialised);
            check_reason(n);
            leak_check(&held);
        }
        assert_int_equal(hostvm_vm_destroy(&vm), 0);
        leak_check(&held);
    }
    hostvm_env_destroy(&env);
}

/* --- vcpus --- */

GUEST_CODE(store, "movl $42, 0x5000\n"
                  "mov 0x200000, %ebx\n" GUEST_EXIT);

static int create_vcpu(struct scene *scene)
{
    scene->t->vcpu = vm_create_vcpu(&scene->t->vm, 0);
    return scene->t->vcpu == NULL ? -1 : 0;
}

static void check_no_vcpu(struct scene *scene)
{
    assert_int_equal(scene->t->vm.num_vcpus, 0);
    assert_null(scene->t->vm.vcpus[0]);
    assert_null(hostvm_vm_pointer(&scene->t->vm, 0x10000000, 1));
}

static void check_page_tables(struct scene *scene)
{
    const uint64_t *tables = testvm_pointer(scene->t, 0x10000000, 3 * PAGE);

    assert_int_equal(scene->t->vm.num_vcpus, 1);
    assert_int_equal(tables[0], 0x10001007);
    assert_int_equal(tables[512], 0x10002007);
    assert_int_equal(tables[1025], 0x200087);
}

static void test_vm_create_vcpu_fails_whole(void **state)
{
    const struct operation op = {nothing, create_vcpu, check_no_vcpu, check_page_tables, NULL};

    (void)state;
    fail_each(&op);
}

static void boot(struct scene *scene)
{
    testvm_boot(scene->t, &store);
    assert_int_equal(vm_ram_register_at(&scene->t->vm, DEVICE_GPA, PAGE, false), 0);
}

static void boot_with_fields(struct scene *scene)
{
    boot(scene);
    assert_int_equal(vm_set_vmcs_field(scene->t->vcpu, VMX_GUEST_SYSENTER_CS, 8), 0);
    assert_int_equal(vm_set_vmcs_field(scene->t->vcpu, VMX_GUEST_SYSENTER_EIP, 0x4444), 0);
    assert_int_equal(vm_set_vmcs_field(scene->t->vcpu, VMX_GUEST_PAT, 0x0606060606060606), 0);
    assert_int_equal(vm_set_vmcs_field(scene->t->vcpu, VMX_GUEST_DR7, 0x402), 0);
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

static void check_field(struct scene *scene, seL4_Word field, seL4_Word expected)
{
    seL4_Word value = 0;

    assert_int_equal(vm_get_vmcs_field(scene->t->vcpu, field, &value), 0);
    assert_int_equal(value, expected);
}

static void check_exit(struct scene *scene)
{
    testvm_run_to_exit(scene->t);
    assert_int_equal(*(uint32_t *)testvm_pointer(scene->t, DATA_GPA, 4), 42);
    check_field(scene, VMX_GUEST_SYSENTER_CS, 8);
    check_field(scene, VMX_GUEST_SYSENTER_EIP, 0x4444);
    check_field(scene, VMX_GUEST_PAT, 0x0606060606060606);
    check_field(scene, VMX_GUEST_DR7, 0x402);
}

static void test_vcpu_start_fails_whole(void **state)
{
    const struct operation op = {boot_with_fields, start_vcpu, check_offline, check_exit, NULL};

    (void)state;
    fail_each(&op);
}

/* --- running --- */

static void boot_and_start(struct scene *scene)
{
    boot_with_fields(scene);
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
    check_field(scene, VMX_GUEST_SYSENTER_CS, 8);
    check_field(scene, VMX_GUEST_SYSENTER_EIP, 0x4444);
    check_field(scene, VMX_GUEST_PAT, 0x0606060606060606);
    check_field(scene, VMX_GUEST_DR7, 0x402);
}

static void test_a_run_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation op = {boot_and_start, run, check_host_failed, check_has_exited, NULL};

    (void)state;
    fail_each(&op);
}

static int never_called(vm_t *vm, int fd, void *cookie)
{
    (void)vm;
    (void)fd;
    (void)cookie;
    return -1;
}

static void boot_with_event(struct scene *scene)
{
    boot_and_start(scene);
    scene->fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(hostvm_event_add(&scene->t->vm, scene->fd, never_called, NULL), 0);
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
    fail_each(&op);
}

static void boot_second(struct scene *scene)
{
    vm_vcpu_t *second;

    boot_and_start(scene);
    second = vm_create_vcpu(&scene->t->vm, 0);
    assert_non_null(second);
    assert_int_equal(vm_set_vmcs_field(second, VMX_GUEST_RIP, CODE_GPA), 0);
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
    fail_each(&op);
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
    fail_each(&plain);
    fail_each(&event);
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
    fail_each(&op);
}

/* --- reservations --- */

static int reserve(struct scene *scene)
{
    scene->reservation = vm_reserve_memory_at(&scene->t->vm, DEVICE_GPA, PAGE, device_fault, NULL);
    return scene->reservation == NULL ? -1 : 0;
}

static void test_vm_reserve_memory_at_fails_whole(void **state)
{
    const struct operation op = {nothing, reserve, NULL, NULL, NULL};

    (void)state;
    fail_each(&op);
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
    const struct operation make = {nothing, make_anon, NULL, NULL, NULL};
    const struct operation take = {have_anon, reserve_anon, NULL, NULL, NULL};

    (void)state;
    fail_each(&make);
    fail_each(&take);
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
    for (size_t i = 0; i < NR_FRAMES; i++) {
        scene->frames[i] = envs_frame(&scene->t->env, 12);
    }
    scene->reservation = vm_reserve_memory_at(&scene->t->vm, DEVICE_GPA, NR_FRAMES * (size_t)PAGE,
                                              device_fault, NULL);
    assert_non_null(scene->reservation);
}

static void have_neighbours(struct scene *scene)
{
    vm_t *vm = &scene->t->vm;

    boot_with_fields(scene);
    assert_int_equal(vm_ram_register_at(vm, DEVICE_GPA + 0x100000, MIB, false), 0);
    assert_int_equal(
        vm_ram_register_at(vm, DEVICE_GPA + 0x100000 + MIB + NR_FRAMES * PAGE, MIB, false), 0);
    for (size_t i = 0; i < NR_FRAMES; i++) {
        scene->frames[i] = envs_frame(&scene->t->env, 12);
    }
    scene->reservation = vm_reserve_memory_at(vm, DEVICE_GPA + 0x100000 + MIB,
                                              NR_FRAMES * (size_t)PAGE, device_fault, NULL);
    assert_non_null(scene->reservation);
    assert_int_equal(vcpu_start(scene->t->vcpu), 0);
}

static int map(struct scene *scene)
{
    return vm_map_reservation_frames(&scene->t->vm, scene->reservation, scene->frames, NR_FRAMES,
                                     12);
}

static void check_unmapped(struct scene *scene)
{
    uintptr_t addr = 0;
    size_t size = 0;

    vm_get_reservation_memory_region(scene->reservation, &addr, &size);
    for (size_t i = 0; i < NR_FRAMES; i++) {
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
    fail_each(&before_start);
    fail_each(&live);
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
    assert_null(hostvm_vm_pointer(&scene->t->vm, addr + (NR_FRAMES - 1) * PAGE, 1));
    memset(testvm_pointer(scene->t, addr - MIB, MIB), 1, MIB);
    memset(testvm_pointer(scene->t, addr + NR_FRAMES * PAGE, MIB), 1, MIB);
    check_exit(scene);
}

static void test_a_reservation_that_could_not_be_freed_can_be_freed_again(void **state)
{
    const struct operation op = {have_mapping, free_mapping, check_neighbours, check_freed, NULL};

    (void)state;
    fail_each(&op);
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
    const struct operation before_start = {nothing, register_ram, check_no_ram, check_one_ram,
                                           NULL};
    const struct operation live = {start_vcpu_alone, register_ram, check_no_ram, check_one_ram,
                                   NULL};
    const struct operation anonymous = {have_anon, register_ram_anon, check_no_ram, check_one_ram,
                                        NULL};

    (void)state;
    fail_each(&before_start);
    fail_each(&live);
    fail_each(&anonymous);
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
    fail_each(&op);
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
    assert_int_equal(vm_register_irq(scene->t->vcpu, 4, acknowledged, NULL), 0);
    assert_int_equal(vm_register_irq(scene->t->vcpu, 10, acknowledged, NULL), 0);
}

static int create_controller(struct scene *scene)
{
    return vm_create_default_irq_controller(&scene->t->vm);
}

static void check_line(struct scene *scene)
{
    assert_int_equal(vm_inject_irq(scene->t->vcpu, 4), 0);
    testvm_run_to_exit(scene->t);
}

static void test_a_controller_that_could_not_be_created_can_be_created_again(void **state)
{
    const struct operation op = {have_registered_lines, create_controller, NULL, check_line, NULL};

    (void)state;
    fail_each(&op);
}

static void have_controller(struct scene *scene)
{
    boot(scene);
    assert_int_equal(create_controller(scene), 0);
}

static int register_line(struct scene *scene)
{
    return vm_register_irq(scene->t->vcpu, 4, acknowledged, NULL);
}

static int create_pit(struct scene *scene)
{
    return hostvm_vm_create_pit(&scene->t->vm);
}

static int inject_line(struct scene *scene)
{
    return vm_inject_irq(scene->t->vcpu, 4);
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
    fail_each(&op);
}

static void test_a_timer_or_line_that_the_host_refuses_can_be_tried_again(void **state)
{
    const struct operation pit = {have_controller, create_pit, NULL, check_line, NULL};
    const struct operation line = {have_controller, inject_line, NULL, check_line, NULL};

    (void)state;
    fail_each(&pit);
    fail_each(&line);
}

/* --- ports and events --- */

static int add_port(struct scene *scene)
{
    return vm_io_port_add_handler(&scene->t->vm, (vm_ioport_range_t){0x60, 0x64},
                                  (vm_ioport_interface_t){NULL, NULL, NULL, NULL});
}

static void check_no_port(struct scene *scene)
{
    assert_int_equal(scene->t->vm.arch.ioport_list.num_ioports, 0);
}

static void test_adding_a_port_handler_fails_whole(void **state)
{
    const struct operation op = {nothing, add_port, check_no_port, NULL, NULL};

    (void)state;
    fail_each(&op);
}

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
    fail_each(&op);
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
        cmocka_unit_test(test_registering_ram_fails_whole),
        cmocka_unit_test(test_allocating_ram_fails_whole),
        cmocka_unit_test(test_a_controller_that_could_not_be_created_can_be_created_again),
        cmocka_unit_test(test_registering_a_line_fails_whole),
        cmocka_unit_test(test_a_timer_or_line_that_the_host_refuses_can_be_tried_again),
        cmocka_unit_test(test_adding_a_port_handler_fails_whole),
        cmocka_unit_test(test_adding_an_event_fails_whole),
    };

    return run_vm_tests(tests);
}
