/* Calls at the wrong moment: on what is not there or no longer, and from inside callbacks. */
#include "support/vm.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/chipset.h>
#include <hostvm/events.h>
#include <hostvm/guest_window.h>
#include <sel4vm/guest_iospace.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"

enum { PAGE = 4096 };

/* --- a VM that is not there --- */

static int never_touched(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                         void *cookie)
{
    (void)vm, (void)addr, (void)pointer, (void)size, (void)offset, (void)cookie;
    fail();
    return 0;
}

static vm_frame_t never_asked(uintptr_t addr, void *cookie)
{
    (void)addr, (void)cookie;
    fail();
    return (vm_frame_t){.cptr = seL4_CapNull};
}

static int never_notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)vm, (void)badge, (void)tag, (void)cookie;
    fail();
    return 0;
}

static int never_ready(vm_t *vm, int fd, void *cookie)
{
    (void)vm, (void)fd, (void)cookie;
    fail();
    return 0;
}

static void check_who_refused(const char *name)
{
    size_t length = strlen(name);

    if (strncmp(hostvm_last_error(), name, length) != 0 || hostvm_last_error()[length] != ':') {
        fail_msg("%s says '%s'", name, hostvm_last_error());
    }
}

/* Every call leaves its own reason; the one before is another's. */
#define REFUSED(name, is_refused)                                                                  \
    do {                                                                                           \
        hostvm_window_t *none;                                                                     \
                                                                                                   \
        assert_int_equal(hostvm_window_create(0, 0, &none), -EINVAL);                              \
        assert_true(is_refused);                                                                   \
        check_who_refused(name);                                                                   \
    } while (false)

static void check_is_no_vm(vm_t *vm)
{
    int something;
    vm_memory_reservation_t *reservation = (vm_memory_reservation_t *)&something;
    hostvm_window_t *window = NULL;
    uintptr_t addr = 42;
    size_t size = 43;
    seL4_CPtr cap = 1;

    REFUSED("vm_create_vcpu", vm_create_vcpu(vm, 0) == NULL);
    REFUSED("vm_run", vm_run(vm) == -1);
    REFUSED("vm_register_unhandled_mem_fault_callback",
            vm_register_unhandled_mem_fault_callback(vm, device_fault, NULL) == -1);
    REFUSED("vm_register_notification_callback",
            vm_register_notification_callback(vm, never_notified, NULL) == -1);
    REFUSED("vm_memory_init", vm_memory_init(vm) == -1);
    REFUSED("vm_reserve_memory_at", vm_reserve_memory_at(vm, 0, PAGE, device_fault, NULL) == NULL);
    REFUSED("vm_reserve_anon_memory",
            vm_reserve_anon_memory(vm, PAGE, PAGE, device_fault, NULL, &addr) == NULL);
    REFUSED("vm_memory_make_anon", vm_memory_make_anon(vm, 0, PAGE) == -1);
    REFUSED("vm_free_reserved_memory", vm_free_reserved_memory(vm, reservation) == -1);
    REFUSED("vm_map_reservation", vm_map_reservation(vm, reservation, never_asked, NULL) == -1);
    REFUSED("vm_map_reservation_frames",
            vm_map_reservation_frames(vm, reservation, &cap, 1, 12) == -1);
    REFUSED("vm_ram_touch", vm_ram_touch(vm, 0, 1, never_touched, NULL) == -1);
    REFUSED("vm_ram_find_largest_free_region",
            vm_ram_find_largest_free_region(vm, &addr, &size) == -1);
    REFUSED("vm_ram_register", vm_ram_register(vm, PAGE) == 0);
    REFUSED("vm_ram_register_at", vm_ram_register_at(vm, 0, PAGE, false) == -1);
    REFUSED("vm_ram_register_at_custom_iterator",
            vm_ram_register_at_custom_iterator(vm, 0, PAGE, never_asked, NULL) == -1);
    REFUSED("vm_ram_mark_allocated", (vm_ram_mark_allocated(vm, 0, PAGE), true));
    REFUSED("vm_ram_allocate", vm_ram_allocate(vm, PAGE) == 0);
    REFUSED("vm_ram_free", (vm_ram_free(vm, 0, PAGE), true));
    REFUSED("vm_create_default_irq_controller", vm_create_default_irq_controller(vm) == -1);
    for (unsigned i = 0; i < NR_MACHINE_CALLS; i++) {
        REFUSED(testvm_machine_call_name(i), testvm_machine_call(vm, i) == -1);
    }
    REFUSED("hostvm_vm_stop", hostvm_vm_stop(vm) == -1);
    REFUSED("hostvm_notify", hostvm_notify(vm, 1) == -1);
    REFUSED("hostvm_event_add", hostvm_event_add(vm, 0, never_ready, NULL) == -1);
    REFUSED("hostvm_event_remove", hostvm_event_remove(vm, 0) == -1);
    REFUSED("hostvm_vm_fd", hostvm_vm_fd(vm) == -1);
    REFUSED("hostvm_vm_step", hostvm_vm_step(vm) == -1);
    REFUSED("hostvm_vm_set_cpu_model", hostvm_vm_set_cpu_model(vm, HOSTVM_CPU_HOST) == -1);
    REFUSED("hostvm_vm_create_pit", hostvm_vm_create_pit(vm) == -1);
    REFUSED("hostvm_irq_line", hostvm_irq_line(vm, 1, 1) == -1);
    assert_int_equal(hostvm_window_create(PAGE, 0, &window), 0);
    assert_int_equal(hostvm_window_bind(window, vm), -EINVAL);
    hostvm_window_destroy(window);
    assert_int_equal(vm_guest_add_iospace(vm, NULL, 1), -1);
    assert_int_equal(hostvm_vm_end(vm), HOSTVM_END_NONE);
    assert_null(hostvm_vm_pointer(vm, 0, 1));
    assert_int_equal(addr, 42);
    assert_int_equal(size, 43);
}

GUEST_CODE(nothing, GUEST_EXIT);

static void test_a_vm_that_is_not_there_is_refused_everywhere(void **state)
{
    struct testvm *t = *state;
    vm_t zeros = {.num_vcpus = 0};

    check_is_no_vm(NULL);
    check_is_no_vm(&zeros);
    assert_int_equal(vm_init(&zeros, NULL, NULL, t->env.vspace, NULL, 0, "failed"), -1);
    check_is_no_vm(&zeros);
    testvm_boot(t, &nothing);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    check_is_no_vm(&t->vm);
    assert_int_equal(vm_get_vcpu(&t->vm, 0), seL4_CapNull);
    assert_null(vm_vcpu_for_target_cpu(&t->vm, -1));
    assert_null(vm_find_free_unassigned_vcpu(&t->vm));
}

static void test_small_questions_about_nothing_have_answers(void **state)
{
    (void)state;
    assert_int_equal(vm_get_vcpu_tcb(NULL), seL4_CapNull);
    assert_int_equal(vm_get_vcpu(NULL, 0), seL4_CapNull);
    assert_null(vm_vcpu_for_target_cpu(NULL, 0));
    assert_null(vm_find_free_unassigned_vcpu(NULL));
    assert_false(is_vcpu_online(NULL));
    assert_null(vm_get_vspace(NULL));
    assert_null(vm_get_vmm_vspace(NULL));
    assert_int_equal(default_error_fault_callback(NULL, NULL, 0x1000, 4, NULL), FAULT_ERROR);
}

/* Capabilities of another environment, that is there or was. */
static void test_capabilities_of_another_environment_are_refused(void **state)
{
    struct testvm *t = *state;
    hostvm_env_t other = envs_create();
    seL4_CPtr frame = envs_frame(&other, 12);
    seL4_CPtr endpoint = other.endpoint;
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, default_error_fault_callback, NULL);
    vm_t vm;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), -1);
        assert_null(vspace_map_pages(&t->env.vspace, &frame, NULL, seL4_AllRights, 1, 12, 1));
        assert_int_equal(vm_init(&vm, &t->env.vka, &t->env.simple, t->env.vspace, &t->env.io_ops,
                                 endpoint, "vm"),
                         -1);
        assert_false(vm.vm_initialised);
        if (i == 0) {
            hostvm_env_destroy(&other);
        }
    }
    assert_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA, 1));
    frame = envs_frame(&t->env, 12);
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
}

/* The address space of a VM that was destroyed went with it. */
static void test_a_guests_address_space_ends_with_its_vm(void **state)
{
    struct testvm *t = *state;
    void *vaddr = NULL;

    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_null(vspace_reserve_range(vm_get_vspace(&t->vm), PAGE, seL4_AllRights, 1, &vaddr).res);
    assert_int_equal(vspace_get_cap(vm_get_vspace(&t->vm), NULL), seL4_CapNull);
    assert_int_equal(vspace_get_root(vm_get_vspace(&t->vm)), seL4_CapNull);
}

/* --- from a map iterator --- */

/* An iterator that does something at its second call. */
struct iteration {
    struct testvm *t;
    vm_memory_reservation_t *reservation;
    unsigned nr_asked;
    void (*act)(struct iteration *iteration);
};

static vm_frame_t act_in_second(uintptr_t addr, void *cookie)
{
    struct iteration *iteration = cookie;

    if (++iteration->nr_asked == 2) {
        iteration->act(iteration);
    }
    return (vm_frame_t){envs_frame(&iteration->t->env, 12), seL4_AllRights,
                        addr & ~(uintptr_t)(PAGE - 1), 12};
}

static void map_three(struct testvm *t, void (*act)(struct iteration *iteration))
{
    struct iteration iteration = {.t = t, .act = act};

    iteration.reservation =
        vm_reserve_memory_at(&t->vm, DEVICE_GPA, 3 * PAGE, default_error_fault_callback, NULL);
    assert_int_equal(vm_map_reservation(&t->vm, iteration.reservation, act_in_second, &iteration),
                     0);
    assert_int_equal(iteration.nr_asked, 3);
    memset(testvm_pointer(t, DEVICE_GPA, 3 * PAGE), 1, 3 * PAGE);
    assert_int_equal(vm_free_reserved_memory(&t->vm, iteration.reservation), 0);
}

static void free_what_is_mapped(struct iteration *iteration)
{
    assert_int_equal(vm_free_reserved_memory(&iteration->t->vm, iteration->reservation), -1);
    assert_reason("cannot free [0x200000..0x203000): its iterator is being asked for frames");
}

static void test_an_iterator_cannot_free_the_reservation_it_fills(void **state)
{
    map_three(*state, free_what_is_mapped);
}

static void map_what_is_mapped(struct iteration *iteration)
{
    seL4_CPtr caps[3];

    for (int i = 0; i < 3; i++) {
        caps[i] = envs_frame(&iteration->t->env, 12);
    }
    assert_int_equal(
        vm_map_reservation(&iteration->t->vm, iteration->reservation, act_in_second, iteration),
        -1);
    assert_reason("cannot map [0x200000..0x203000): its iterator is being asked for frames");
    assert_int_equal(
        vm_map_reservation_frames(&iteration->t->vm, iteration->reservation, caps, 3, 12), -1);
}

static void test_an_iterator_cannot_map_the_reservation_it_fills(void **state)
{
    map_three(*state, map_what_is_mapped);
}

static void try_to_begin_and_end(vm_t *vm)
{
    assert_int_equal(vm_run(vm), -1);
    assert_int_equal(hostvm_vm_step(vm), -1);
    assert_reason("hostvm_vm_step: not from an iterator or a touch callback");
    assert_int_equal(hostvm_vm_destroy(vm), -1);
    assert_reason("cannot destroy a VM from an iterator or a touch callback of its own");
}

static void begin_and_end(struct iteration *iteration)
{
    assert_int_equal(vm_run(&iteration->t->vm), -1);
    assert_reason("vm_run: not from an iterator or a touch callback");
    try_to_begin_and_end(&iteration->t->vm);
}

static void test_an_iterator_can_neither_run_nor_destroy_its_vm(void **state)
{
    map_three(*state, begin_and_end);
}

/* Where the map moves: many reservations around the one being filled come and go. */
static void reserve_around(struct iteration *iteration)
{
    vm_memory_reservation_t *r[100];
    vm_t *vm = &iteration->t->vm;

    for (uintptr_t i = 0; i < 100; i++) {
        uintptr_t addr = i % 2 == 0 ? 0x100000 + i * PAGE : 0x400000 + i * PAGE;

        r[i] = vm_reserve_memory_at(vm, addr, PAGE, default_error_fault_callback, NULL);
        assert_non_null(r[i]);
    }
    for (int i = 0; i < 99; i++) {
        assert_int_equal(vm_free_reserved_memory(vm, r[i]), 0);
    }
}

static void test_an_iterator_may_reserve_and_free_what_is_not_its_own(void **state)
{
    map_three(*state, reserve_around);
}

/* Entries of ram_regions that the iterator makes must not take the room of the RAM being made. */
static void change_ram(struct iteration *iteration)
{
    vm_t *vm = &iteration->t->vm;

    vm_ram_mark_allocated(vm, 0x1000, 0x1000);
    assert_int_equal(vm->mem.num_ram_regions, 3);
    assert_int_equal(vm_ram_allocate(vm, 0x800), 0);
    vm_ram_mark_allocated(vm, 0x3000, 0x1000);
    assert_int_equal(vm_ram_register_at(vm, 0x800000, PAGE, false), 0);
    vm_ram_mark_allocated(vm, 0x5000, 0x1000);
}

static void test_an_iterator_may_change_the_rest_of_ram(void **state)
{
    static const struct vm_ram_region expected[] = {
        {0, 0x800, 1},       {0x800, 0x800, 0},   {0x1000, 0x1000, 1},
        {0x2000, 0x1000, 0}, {0x3000, 0x1000, 1}, {0x4000, 0x1000, 0},
        {0x5000, 0x1000, 1}, {0x6000, 0xa000, 0}, {DEVICE_GPA, 3 * PAGE, 0},
        {0x800000, PAGE, 0},
    };
    struct testvm *t = *state;
    struct iteration iteration = {.t = t, .act = change_ram};

    assert_int_equal(vm_ram_register_at(&t->vm, 0, 0x10000, false), 0);
    assert_int_equal(
        vm_ram_register_at_custom_iterator(&t->vm, DEVICE_GPA, 3 * PAGE, act_in_second, &iteration),
        0);
    assert_int_equal(t->vm.mem.num_ram_regions, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(t->vm.mem.ram_regions[i].start, expected[i].start);
        assert_int_equal(t->vm.mem.ram_regions[i].size, expected[i].size);
        assert_int_equal(t->vm.mem.ram_regions[i].allocated, expected[i].allocated);
    }
}

/* --- from a touch callback --- */

struct touching {
    struct testvm *t;
    seL4_CPtr second; /* page's frame */
    unsigned nr_calls;
    uint8_t sum;
};

static int take_next_page_away(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                               void *cookie)
{
    struct touching *touching = cookie;

    (void)vm, (void)addr, (void)offset;
    touching->nr_calls++;
    touching->sum += ((uint8_t *)pointer)[size - 1];
    if (touching->nr_calls == 1) {
        envs_delete(&touching->t->env, touching->second);
    }
    return 0;
}

static vm_frame_t remembered_frame(uintptr_t addr, void *cookie)
{
    struct touching *touching = cookie;
    seL4_CPtr frame = envs_frame(&touching->t->env, 12);

    if (addr == 0x11000) {
        touching->second = frame;
    }
    return (vm_frame_t){frame, seL4_AllRights, addr, 12};
}

static void test_a_touch_ends_where_its_callback_took_memory_away(void **state)
{
    struct testvm *t = *state;
    struct touching touching = {.t = t};

    assert_int_equal(
        vm_ram_register_at_custom_iterator(&t->vm, 0x10000, 3 * PAGE, remembered_frame, &touching),
        0);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 3 * PAGE, take_next_page_away, &touching), -1);
    assert_reason("cannot touch [0x11000..0x13000): the guest has no right to this memory");
    assert_int_equal(touching.nr_calls, 1);
}

static int destroy_in_touch(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                            void *cookie)
{
    (void)addr, (void)size, (void)offset, (void)cookie;
    try_to_begin_and_end(vm);
    *(uint8_t *)pointer = 1;
    return 0;
}

GUEST_CODE(spin, GUEST_FOR_EVER(""));

static void test_a_touch_callback_can_neither_run_nor_destroy_its_vm(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &spin);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 2 * PAGE, destroy_in_touch, NULL), 0);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 1);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 2 * PAGE, destroy_in_touch, NULL), 0);
    assert_int_equal(hostvm_vm_step(&t->vm), 1); /* and is destroyed between two */
}

static int register_in_touch(vm_t *vm, uintptr_t addr, void *pointer, size_t size, size_t offset,
                             void *cookie)
{
    (void)cookie;
    *(uint8_t *)pointer = (uint8_t)(offset / PAGE + 1);
    vm_ram_mark_allocated(vm, addr, size / 2);
    return vm_ram_register_at(vm, addr + 0x100000, size, false);
}

static void test_a_touch_callback_may_change_ram(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at(&t->vm, 0x10000, 3 * PAGE, false), 0);
    assert_int_equal(vm_ram_touch(&t->vm, 0x10000, 3 * PAGE, register_in_touch, NULL), 0);
    assert_int_equal(t->vm.mem.num_ram_regions, 7);
    assert_int_equal(*(uint8_t *)testvm_pointer(t, 0x12000, 1), 3);
    memset(testvm_pointer(t, 0x110000, 3 * PAGE), 1, 3 * PAGE);
}

/* --- the VM's reservations through the interface of its address space --- */

static void test_a_vms_reservations_are_not_the_address_spaces_to_free(void **state)
{
    struct testvm *t = *state;
    vspace_t *vspace = vm_get_vspace(&t->vm);
    seL4_CPtr frame = envs_frame(&t->env, 12);
    vm_memory_reservation_t *r =
        vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, default_error_fault_callback, NULL);
    vm_memory_reservation_t *anon;
    uintptr_t addr;

    assert_int_equal(vm_memory_make_anon(&t->vm, 0x400000, 4 * PAGE), 0);
    vspace_free_reservation_by_vaddr(vspace, (void *)(uintptr_t)DEVICE_GPA);
    assert_reason("cannot free the reservation [0x200000..0x201000) of an address space: it is the "
                  "VM's own; see vm_free_reserved_memory");
    vspace_free_reservation_by_vaddr(vspace, (void *)0x402000);
    assert_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, 1, default_error_fault_callback, NULL));
    assert_int_equal(vm_map_reservation_frames(&t->vm, r, &frame, 1, 12), 0);
    assert_int_equal(vm_free_reserved_memory(&t->vm, r), 0);
    anon = vm_reserve_anon_memory(&t->vm, PAGE, PAGE, default_error_fault_callback, NULL, &addr);
    assert_int_equal(vm_map_reservation_frames(&t->vm, anon, &frame, 1, 12), 0);
    assert_int_equal(vm_free_reserved_memory(&t->vm, anon), 0);
}

static void test_tearing_down_the_address_space_leaves_the_vms_reservations(void **state)
{
    struct testvm *t = *state;
    vspace_t *vspace = vm_get_vspace(&t->vm);
    vm_memory_reservation_t *r[3];
    seL4_CPtr frame = envs_frame(&t->env, 12);
    void *vaddr = NULL;

    for (uintptr_t i = 0; i < 3; i++) {
        r[i] = vm_reserve_memory_at(&t->vm, i * PAGE, PAGE, default_error_fault_callback, NULL);
    }
    assert_int_equal(vm_map_reservation_frames(&t->vm, r[1], &frame, 1, 12), 0);
    assert_non_null(vspace_reserve_range(vspace, PAGE, seL4_AllRights, 1, &vaddr).res);
    vspace_tear_down(vspace, VSPACE_PRESERVE);
    assert_null(hostvm_vm_pointer(&t->vm, PAGE, 1));
    assert_non_null(vspace_reserve_range_at(vspace, vaddr, PAGE, seL4_AllRights, 1).res);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(vm_free_reserved_memory(&t->vm, r[i]), 0);
    }
    assert_int_equal(vm_ram_register_at(&t->vm, 0, 3 * PAGE, false), 0);
}

/* --- from callbacks of a run --- */

/* Whatever callback it is, its VM neither runs again, nor steps, nor goes. */
static void try_to_run_and_destroy(vm_t *vm)
{
    assert_int_equal(vm_run(vm), -1);
    assert_reason("vm_run: the VM runs already");
    assert_int_equal(hostvm_vm_step(vm), -1);
    assert_reason("hostvm_vm_step: the VM is in vm_run");
    assert_int_equal(hostvm_vm_destroy(vm), -1);
    assert_reason("cannot destroy a VM that is in vm_run: stop it first");
}

static void try_in_fault(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    try_to_run_and_destroy(vcpu->vm);
}

static unsigned nr_calls;

static void try_in_knock(vm_vcpu_t *vcpu, void *cookie)
{
    (void)cookie;
    nr_calls++;
    try_to_run_and_destroy(vcpu->vm);
}

GUEST_CODE(call_all, GUEST_LOAD_B(0x200000) GUEST_LOAD_B(0x201000)
                         GUEST_KNOCK GUEST_LOAD_B(0x202000) GUEST_EXIT);

static int try_in_event(vm_t *vm, int fd, void *cookie)
{
    uint64_t count;

    (void)cookie;
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    nr_calls++;
    try_to_run_and_destroy(vm);
    return 0;
}

static int try_in_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)badge, (void)tag, (void)cookie;
    nr_calls++;
    try_to_run_and_destroy(vm);
    return 0;
}

static vm_frame_t try_in_iterator(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    try_to_run_and_destroy(&t->vm);
    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

static void test_no_callback_can_run_or_destroy_its_vm(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
    struct device device = {.act = try_in_fault, .value = 7};
    struct device last_resort = {.act = try_in_fault, .value = 8};
    vm_memory_reservation_t *deferred;
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    nr_calls = 0;
    assert_int_equal(hostvm_event_add(&t->vm, fd, try_in_event, NULL), 0);
    assert_int_equal(vm_register_notification_callback(&t->vm, try_in_notification, NULL), 0);
    assert_int_equal(hostvm_notify(&t->vm, 1), 0);
    testvm_boot(t, &call_all);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    deferred = vm_reserve_memory_at(&t->vm, DEVICE_GPA + 2 * PAGE, PAGE, device_fault, &device);
    assert_int_equal(vm_map_reservation(&t->vm, deferred, try_in_iterator, t), 0);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &last_resort),
                     0);
    testvm_listen(t, try_in_knock, NULL);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(last_resort.nr_accesses, 1);
    assert_int_equal(nr_calls, 3);
    assert_non_null(hostvm_vm_pointer(&t->vm, DEVICE_GPA + 2 * PAGE, PAGE));
    assert_int_equal(hostvm_event_remove(&t->vm, fd), 0);
    assert_int_equal(close(fd), 0);
    testvm_destroy(t);
}

/* --- after the guest's end --- */

GUEST_CODE(load_and_go_on, GUEST_LOAD_B(0x200004) GUEST_SET_C(7) GUEST_LOAD_D(0x200004) GUEST_EXIT);

static void test_after_a_crash_every_call_works_and_the_vcpu_may_be_started_again(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 9};
    uint32_t word = 5;

    testvm_boot(t, &load_and_go_on);
    assert_int_equal(testvm_run(t), -1);
    assert_false(is_vcpu_online(t->vcpu));
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_int_equal(testvm_reg(t, REG_C), 0);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    assert_int_equal(vm_ram_register_at(&t->vm, 0x400000, PAGE, false), 0);
    assert_int_equal(vm_ram_touch(&t->vm, 0x400000, 4, vm_guest_ram_write_callback, &word), 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, REG_B, 0x55), 0);
    assert_int_equal(hostvm_vm_stop(&t->vm), 0);
    assert_int_equal(testvm_run(t), 0); /* no vcpu is online: it has served the stop */
    assert_int_equal(t->nr_exits, 0);
    assert_int_equal(device.nr_accesses, 0);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 1);
    assert_int_equal(testvm_reg(t, REG_B), 0x55);
    assert_int_equal(testvm_reg(t, REG_C), 7);
    assert_int_equal(testvm_reg(t, REG_D), 9);
}

/* --- verdicts that there are not --- */

GUEST_CODE(load, GUEST_LOAD_B(0x200004) GUEST_EXIT);
GUEST_CODE(store, GUEST_STORE(0x200004, 1) GUEST_EXIT);

static void test_a_fault_verdict_that_there_is_not_is_an_error(void **state)
{
    static const int results[] = {5, 99, -1, INT32_MIN, INT32_MAX};
    static const struct guest_code *const codes[] = {&load, &store};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(results) / sizeof(results[0]); i++) {
        struct testvm *t = testvm_create();
        struct device device = {.result = (memory_fault_result_t)results[i / 2]};

        testvm_boot(t, codes[i % 2]);
        assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
        assert_int_equal(testvm_run(t), -1);
        assert_reason(i % 2 == 0
                          ? "read of 4 bytes at 0x200004: its fault callback reported an error"
                          : "write of 4 bytes at 0x200004: its fault callback reported an error");
        assert_int_equal(device.nr_accesses, 1);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        testvm_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_vm_that_is_not_there_is_refused_everywhere),
        cmocka_unit_test(test_small_questions_about_nothing_have_answers),
        vm_test(test_capabilities_of_another_environment_are_refused),
        vm_test(test_a_guests_address_space_ends_with_its_vm),
        vm_test(test_an_iterator_cannot_free_the_reservation_it_fills),
        vm_test(test_an_iterator_cannot_map_the_reservation_it_fills),
        vm_test(test_an_iterator_can_neither_run_nor_destroy_its_vm),
        vm_test(test_an_iterator_may_reserve_and_free_what_is_not_its_own),
        vm_test(test_an_iterator_may_change_the_rest_of_ram),
        vm_test(test_a_touch_ends_where_its_callback_took_memory_away),
        vm_test(test_a_touch_callback_can_neither_run_nor_destroy_its_vm),
        vm_test(test_a_touch_callback_may_change_ram),
        vm_test(test_a_vms_reservations_are_not_the_address_spaces_to_free),
        vm_test(test_tearing_down_the_address_space_leaves_the_vms_reservations),
        cmocka_unit_test(test_no_callback_can_run_or_destroy_its_vm),
        vm_test(test_after_a_crash_every_call_works_and_the_vcpu_may_be_started_again),
        cmocka_unit_test(test_a_fault_verdict_that_there_is_not_is_an_error),
    };

    return run_vm_tests(tests);
}
