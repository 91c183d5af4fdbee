/* The host halves of guests that are the same on every architecture: see guests/NAME.c. */
#include "support/vm.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>

#include "lib/contract.h"
#include "support/device.h"
#include "support/guest_file.h"

enum { PAGE = 4096, WORDS = PAGE / 8, STRIDE = 64 };

static memory_fault_result_t answer_hole(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                         void *cookie)
{
    (void)vm;
    (void)size;
    (void)cookie;
    if (addr - GUEST_HOLE_IGNORED < PAGE) {
        return FAULT_IGNORE;
    }
    if (is_vcpu_read_fault(vcpu)) {
        assert_int_equal(set_vcpu_fault_data(vcpu, GUEST_HOLE_VALUE), 0);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void test_fault_hole(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "fault_hole");
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, answer_hole, NULL), 0);
    guest_file_run(t);
}

static vm_frame_t next_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

static vm_memory_reservation_t *deferred[2];

static memory_fault_result_t map_page(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                      void *cookie)
{
    const uint64_t value = GUEST_DEFERRED_VALUE;
    uintptr_t page = addr & ~(uintptr_t)(PAGE - 1);

    (void)vcpu;
    (void)size;
    assert_int_equal(
        vm_map_reservation(vm, deferred[(page - GUEST_DEFERRED_BASE) / PAGE], next_frame, cookie),
        0);
    memcpy(testvm_pointer(cookie, page, sizeof(value)), &value, sizeof(value));
    return FAULT_RESTART;
}

static void test_fault_restart(void **state)
{
    struct testvm *t = *state;
    const uint64_t *words;

    guest_file_boot(t, "fault_restart");
    for (int i = 0; i < 2; i++) {
        deferred[i] = vm_reserve_memory_at(&t->vm, GUEST_DEFERRED_BASE + (uintptr_t)i * PAGE, PAGE,
                                           map_page, t);
        assert_non_null(deferred[i]);
    }
    guest_file_run(t);
    words = testvm_pointer(t, GUEST_DEFERRED_BASE + PAGE, 16);
    assert_int_equal(words[0], 0x0102030405060708);
    assert_int_equal(words[1] & 0xff, 0x77);
}

static uint64_t *shared_page(struct testvm *t, unsigned page)
{
    return testvm_pointer(t, GUEST_SHARED_BASE + (uintptr_t)page * PAGE, PAGE);
}

static void compare_and_fill(vm_vcpu_t *vcpu, void *cookie)
{
    (void)vcpu;
    for (unsigned i = 0; i < WORDS; i++) {
        if (i % STRIDE == 0) {
            assert_int_equal(shared_page(cookie, 1)[i], GUEST_PATTERN(2, i));
        }
        shared_page(cookie, 2)[i] = GUEST_PATTERN(3, i);
    }
}

static void test_ram(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "ram");
    for (unsigned i = 0; i < WORDS; i++) {
        shared_page(t, 0)[i] = GUEST_PATTERN(1, i);
    }
    t->listener = compare_and_fill;
    t->listener_cookie = t;
    guest_file_run(t);
}

static void stop(vm_vcpu_t *vcpu, void *cookie)
{
    (void)cookie;
    assert_int_equal(hostvm_vm_stop(vcpu->vm), 0);
}

static void test_spin(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "spin");
    t->listener = stop;
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
}

/* Through the machine's power, or where it has none, its exit. */
static void test_hello(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "hello");
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(t->exit_value, 0);
    assert_memory_equal(guest_file_printed(), "hello from hostvm's test kernel\r\n", 33);
    assert_non_null(strstr(guest_file_printed(), "\r\nbooted by its entry point\r\ncpu: "));
}

/* --- a device --- */

static void test_mmio(void **state)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 1, 2, 4, 1, 8, 2, 2, 4, 4, 8, 8, 8};
    struct testvm *t = *state;
    const struct guest_file_device *device;

    guest_file_boot(t, "mmio");
    device = guest_file_add_device(t);
    guest_file_run(t);
    assert_int_equal(device->nr_accesses, sizeof(sizes));
    assert_memory_equal(device->sizes, sizes, sizeof(sizes));
}

static void change_b(struct device *device, vm_vcpu_t *vcpu)
{
    (void)device;
    assert_int_equal(vm_set_thread_context_reg(vcpu, REG_B, GUEST_CHANGED_VALUE), 0);
}

static void test_fault_registers(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = GUEST_HOLE_VALUE, .act = change_b};

    guest_file_boot(t, "fault_registers");
    assert_non_null(vm_reserve_memory_at(&t->vm, GUEST_DEVICE_BASE, PAGE, device_fault, &device));
    guest_file_run(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_read(&device, 0, GUEST_DEVICE_BASE, 4);
    assert_write(&device, 1, GUEST_DEVICE_BASE, 4, GUEST_HOLE_VALUE);
}

/* The last word keeps what is stored; the guest's last load is of two reservations. */
static void test_fault_past_end(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x44332211};

    guest_file_boot(t, "fault_past_end");
    assert_non_null(
        vm_reserve_memory_at(&t->vm, GUEST_SHORT_BASE, GUEST_SHORT_SIZE, device_fault, &device));
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, answer_hole, NULL), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_reason("read of 4 bytes at 0x2d00000e: it reaches past the end of the reservation "
                  "[0x2d000000..0x2d000010)");
    assert_int_equal(t->nr_exits, 0);
    assert_null(strstr(guest_file_printed(), "FAIL"));
    assert_non_null(strstr(guest_file_printed(), "ok 3 later in its page"));
    assert_write(&device, 0, GUEST_SHORT_BASE + GUEST_SHORT_SIZE - 4, 4, 0x44332211);
}

static vm_frame_t readonly_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_CanRead, addr, 12};
}

static void test_readonly(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0};
    vm_memory_reservation_t *page;
    uint64_t *words;

    guest_file_boot(t, "readonly");
    page = vm_reserve_memory_at(&t->vm, GUEST_READONLY_BASE, PAGE, device_fault, &device);
    assert_int_equal(vm_map_reservation(&t->vm, page, readonly_frame, t), 0);
    words = testvm_pointer(t, GUEST_READONLY_BASE, PAGE);
    for (unsigned i = 0; i < WORDS; i++) {
        words[i] = GUEST_PATTERN(GUEST_READONLY_SALT, i);
    }
    guest_file_run(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_write(&device, 0, GUEST_READONLY_BASE + 8, 8, 0x1122334455667788);
    assert_write(&device, 1, GUEST_READONLY_BASE + 0xfff, 1, 0x99);
}

/* --- interrupts --- */

/* By the distance from GUEST_IRQ_FIRST, as the guest has them. */
static unsigned nr_acks[GUEST_IRQ_ACKS_SIZE];

static void acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    unsigned nr = ++nr_acks[irq - GUEST_IRQ_FIRST];

    (void)cookie;
    if (irq == GUEST_IRQ_ACKED_LEVEL && nr == 2) {
        assert_int_equal(vm_set_irq_level(vcpu, irq, 0), 0);
    }
}

static unsigned irq_ports(vm_vcpu_t *vcpu, unsigned port, bool is_read, unsigned value,
                          void *cookie)
{
    int irq = (int)value + GUEST_IRQ_FIRST;

    (void)cookie;
    if (is_read) {
        return nr_acks[port - GUEST_IRQ_ACKS_BASE];
    }
    if (port == GUEST_IRQ_INJECT) {
        assert_int_equal(vm_inject_irq(vcpu, irq), 0);
    } else {
        assert_int_equal(vm_set_irq_level(vcpu, irq, port == GUEST_IRQ_RAISE), 0);
    }
    return 0;
}

static void have_irqs(struct testvm *t)
{
    static const int irqs[] = {GUEST_IRQ_INJECTED, GUEST_IRQ_ACKED_LEVEL, GUEST_IRQ_OTHER,
                               GUEST_IRQ_BETWEEN};

    memset(nr_acks, 0, sizeof(nr_acks));
    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    for (size_t i = 0; i < sizeof(irqs) / sizeof(irqs[0]); i++) {
        assert_int_equal(vm_register_irq(t->vcpu, irqs[i], acknowledged, NULL), 0);
    }
}

static void test_irq(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "irq");
    have_irqs(t);
    guest_file_take_ports(t, GUEST_IRQ_INJECT, GUEST_IRQ_LOWER, irq_ports, NULL);
    guest_file_take_ports(t, GUEST_IRQ_ACKS_BASE, GUEST_IRQ_ACKS_BASE + GUEST_IRQ_ACKS_SIZE - 1,
                          irq_ports, NULL);
    guest_file_run(t);
}

/* Another thread, which signals as often as the guest has told of a step. */
struct waker {
    struct testvm *t;
    pthread_t thread;
    sem_t is_told;
    unsigned nr_steps;
};

static void *signal_twice(void *arg)
{
    struct waker *waker = arg;

    for (int i = 0; i < 2; i++) {
        while (sem_wait(&waker->is_told) != 0) {
        }
        if (hostvm_notify(&waker->t->vm, 1) != 0) {
            break; /* it is over, without us */
        }
    }
    return NULL;
}

static void tell_waker(vm_vcpu_t *vcpu, void *cookie)
{
    struct waker *waker = cookie;

    (void)vcpu;
    waker->nr_steps++;
    assert_int_equal(sem_post(&waker->is_told), 0);
}

static int wake(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    const struct waker *waker = cookie;

    (void)badge;
    (void)tag;
    if (waker->nr_steps == 1) {
        *(volatile uint32_t *)testvm_pointer(waker->t, GUEST_SHARED_BASE, 4) = 1;
        return 0;
    }
    return vm_inject_irq(vm->vcpus[BOOT_VCPU], GUEST_IRQ_INJECTED);
}

static void test_wake(void **state)
{
    struct testvm *t = *state;
    struct waker waker = {.t = t};

    guest_file_boot(t, "wake");
    have_irqs(t);
    t->listener = tell_waker;
    t->listener_cookie = &waker;
    assert_int_equal(vm_register_notification_callback(&t->vm, wake, &waker), 0);
    assert_int_equal(sem_init(&waker.is_told, 0, 0), 0);
    assert_int_equal(pthread_create(&waker.thread, NULL, signal_twice, &waker), 0);
    guest_file_run(t);
    assert_int_equal(pthread_join(waker.thread, NULL), 0);
    assert_int_equal(sem_destroy(&waker.is_told), 0);
    assert_int_equal(waker.nr_steps, 2);
}

static void test_hlt_cli(void **state)
{
    struct testvm *t = *state;

    guest_file_boot(t, "hlt_cli");
    t->listener = stop;
    assert_int_equal(testvm_run(t), 0);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_STOPPED);
    assert_true(is_vcpu_online(t->vcpu));
}

/* --- guests that die --- */

static void check_crash(struct testvm *t, const char *reason)
{
    assert_int_equal(testvm_run(t), -1);
    assert_reason(reason);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_int_equal(t->nr_exits, 0);
    assert_false(is_vcpu_online(t->vcpu));
}

static void test_triple(void **state)
{
    guest_file_boot(*state, "triple");
    check_crash(*state, DIE_REASON);
}

static void test_unemulatable(void **state)
{
    struct testvm *t = *state;
    const struct guest_file_device *device;

    guest_file_boot(t, "unemulatable");
    device = guest_file_add_device(t);
    check_crash(t, ODD_STORE_REASON);
    assert_int_equal(device->nr_accesses, 0);
}

static void test_jump_hole(void **state)
{
    struct testvm *t = *state;
    struct device nobody = {.value = 0};

    guest_file_boot(t, "jump_hole");
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, device_fault, &nobody), 0);
    if (FETCHES_FAULT_IN_GUEST) {
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(t->exit_value, GUEST_EXIT_EXCEPTION);
        assert_non_null(strstr(guest_file_printed(), "pc 0x2f000000"));
    } else {
        assert_int_equal(testvm_run(t), -1);
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    }
    assert_int_equal(nobody.nr_accesses, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_fault_hole),
        vm_test(test_fault_restart),
        vm_test(test_ram),
        vm_test(test_spin),
        vm_test(test_hello),
        vm_test(test_mmio),
        vm_test(test_fault_registers),
        vm_test(test_fault_past_end),
        vm_test(test_readonly),
        vm_test(test_irq),
        vm_test(test_wake),
        vm_test(test_hlt_cli),
        vm_test(test_triple),
        vm_test(test_unemulatable),
        vm_test(test_jump_hole),
    };

    return run_vm_tests(tests);
}
