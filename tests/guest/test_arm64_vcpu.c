/* Arm vcpus: their registers, accesses that the processor does not describe, PSCI. */
#include "support/vm.h"

#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include <hostvm/chipset.h>
#include <hostvm/host.h>
#include <sel4vm/arch/guest_memory_arch.h>
#include <sel4vm/arch/processor.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm_util.h>

#include "support/device.h"
#include "support/inject.h"

enum { PAGE = 4096, SECOND_CODE_GPA = 0x2000, NR_WORDS = sizeof(seL4_UserContext) / 8 };

/* --- registers --- */

GUEST_CODE(add_all,
           "add x1, x1, x2\nadd x1, x1, x30\nmrs x3, sp_el0\nmrs x4, tpidr_el0\n" GUEST_EXIT);

static void test_registers_set_before_the_start_are_the_guests(void **state)
{
    struct testvm *t = *state;
    seL4_UserContext context;

    testvm_boot(t, &add_all);
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_int_equal(context.pc, CODE_GPA);
    assert_int_equal(context.spsr, 0x3c5);
    context.x1 = 1;
    context.x2 = 20;
    context.x30 = 300;
    context.sp = 0x1234;
    context.tpidr_el0 = 0x5678;
    assert_int_equal(vm_set_thread_context(t->vcpu, context), 0);
    testvm_run_to_exit(t);
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_int_equal(context.x1, 321);
    assert_int_equal(context.x2, 20);
    assert_int_equal(context.x3, 0x1234);
    assert_int_equal(context.x4, 0x5678);
    assert_int_equal(context.sp, 0x1234);
}

/* Each word comes back from KVM where it was put: none is taken for another. */
static void test_every_word_of_a_context_is_its_own_register(void **state)
{
    struct testvm *t = *state;
    seL4_UserContext context;
    seL4_Word *words = (seL4_Word *)&context;

    testvm_boot(t, &add_all);
    testvm_run_to_exit(t);
    for (unsigned i = 0; i < NR_WORDS; i++) {
        if (i != CONTEXT_REG(pc) && i != CONTEXT_REG(spsr)) {
            assert_int_equal(vm_set_thread_context_reg(t->vcpu, i, 0x1000 + i), 0);
        }
    }
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, CONTEXT_REG(pc), CODE_GPA), 0);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, CONTEXT_REG(x1), 0), 0);
    testvm_run_to_exit(t);
    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_int_equal(context.x1, 0x1000 + CONTEXT_REG(x2) + 0x1000 + CONTEXT_REG(x30));
    assert_int_equal(context.x3, 0x1000 + CONTEXT_REG(sp));
    assert_int_equal(context.x4, 0x1000 + CONTEXT_REG(tpidr_el0));
    for (unsigned i = CONTEXT_REG(x5); i < NR_WORDS; i++) {
        if (i != CONTEXT_REG(x15)) {
            assert_int_equal(words[i], 0x1000 + i);
        }
    }
}

GUEST_CODE(read_system, "mrs x1, tpidr_el1\nmrs x2, contextidr_el1\nmrs x3, mpidr_el1\n"
                        "mrs x4, vbar_el1\nmsr far_el1, x4\n" GUEST_EXIT);

static void test_system_registers_are_the_guests(void **state)
{
    struct testvm *t = *state;
    uintptr_t value = 7;

    testvm_boot(t, &read_system);
    assert_int_equal(vm_get_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_VBAR, &value), -1);
    assert_reason("vcpu 0 has no system registers yet: start it first");
    assert_int_equal(value, 7);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_TPIDR_EL1, 0x11), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_CIDR, 0x22), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_VMPIDR_EL2, 0x80000003), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_VBAR, 0x4000), 0);
    assert_int_equal(vm_get_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_VBAR, &value), 0);
    assert_int_equal(value, 0x4000);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x1)), 0x11);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x2)), 0x22);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x3)), 0x80000003);
    assert_int_equal(vm_get_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_FAR, &value), 0);
    assert_int_equal(value, 0x4000);
    for (seL4_Word reg = 0; reg < seL4_VCPUReg_Num; reg++) {
        assert_int_equal(vm_get_arm_vcpu_reg(t->vcpu, reg, &value),
                         reg == seL4_VCPUReg_CNTVOFF ? -1 : 0);
    }
}

static void test_a_register_that_is_not_there_is_refused(void **state)
{
    struct testvm *t = *state;
    seL4_UserContext context;
    uintptr_t value;

    testvm_boot(t, &add_all);
    assert_int_equal(vm_set_thread_context_reg(t->vcpu, NR_WORDS, 1), -1);
    assert_reason("there is no register 36 in a thread's context: they are 0 to 35");
    assert_int_equal(vm_get_thread_context_reg(t->vcpu, NR_WORDS, &value), -1);
    assert_int_equal(vm_get_thread_context_reg(t->vcpu, 0, NULL), -1);
    assert_reason("vm_get_thread_context_reg: no result given");
    assert_int_equal(vm_get_thread_context_reg(NULL, 0, &value), -1);
    assert_reason("cannot access a register: no vcpu given");
    assert_int_equal(vm_set_thread_context(NULL, (seL4_UserContext){.pc = 0}), -1);
    assert_reason("vm_set_thread_context: no vcpu given");
    assert_int_equal(vm_get_thread_context(t->vcpu, NULL), -1);
    assert_reason("vm_get_thread_context: no vcpu or no result given");
    assert_int_equal(vm_get_thread_context(NULL, &context), -1);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_Num, 1), -1);
    assert_reason("there is no system register 24: they are 0 to 23");
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_CNTVOFF, 1), -1);
    assert_reason("KVM keeps system register 22 to itself");
    assert_int_equal(vm_get_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_ESR, NULL), -1);
    assert_reason("vm_get_arm_vcpu_reg: no result given");
    assert_int_equal(vm_set_arm_vcpu_reg(NULL, seL4_VCPUReg_ESR, 1), -1);
    assert_reason("cannot access a system register: no vcpu given");
    assert_int_equal(vm_arm_ipa_to_pa(&t->vm, 0, PAGE), 0);
}

/* --- in callbacks --- */

GUEST_CODE(load_then_store, GUEST_LOAD_B(0x200004) GUEST_STORE(0x200008, 5) GUEST_EXIT);

/* As libsel4vm's clients do it: all registers out, one changed, all of them back. */
static void change_x5(struct device *device, vm_vcpu_t *vcpu)
{
    seL4_UserContext context;

    (void)device;
    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    context.x5 += 0x50;
    assert_int_equal(vm_set_thread_context(vcpu, context), 0);
}

static void test_a_context_set_in_a_callback_loses_neither_access_nor_place(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x77, .act = change_x5};

    testvm_boot(t, &load_then_store);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    testvm_run_to_exit(t);
    assert_int_equal(device.nr_accesses, 2);
    assert_read(&device, 0, DEVICE_GPA + 4, 4);
    assert_write(&device, 1, DEVICE_GPA + 8, 4, 5);
    assert_int_equal(testvm_reg(t, REG_B), 0x77);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x5)), 0xa0);
}

GUEST_CODE(load_ignored,
           "ldr x1, =0x1111111122222222\n" GUEST_LOAD_B(0x200000) "mov x2, #9\n" GUEST_EXIT);

static void test_an_ignored_read_changes_no_register(void **state)
{
    struct testvm *t = *state;
    struct device device = {.result = FAULT_IGNORE, .value = 0x77, .is_lazy = true};

    testvm_boot(t, &load_ignored);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, REG_B), 0x1111111122222222);
    assert_int_equal(testvm_reg(t, REG_C), 9);
}

GUEST_CODE(load_lanes, "ldr x15, =0x200000\nldrb w1, [x15, #1]\nldrh w2, [x15, #2]\n"
                       "ldr x3, [x15, #8]\nldrb w4, [x15, #3]\n" GUEST_EXIT);

/* libsel4vm's data is the aligned word of 32 bits around the access. */
static void test_a_read_takes_its_lane_of_the_word(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0x8899aabbccddeeff};

    testvm_boot(t, &load_lanes);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    testvm_run_to_exit(t);
    assert_int_equal(device.accesses[0].mask, 0xff00);
    assert_int_equal(testvm_reg(t, REG_B), 0xee);
    assert_int_equal(device.accesses[1].mask, 0xffff0000);
    assert_int_equal(testvm_reg(t, REG_C), 0xccdd);
    assert_int_equal(device.accesses[2].mask, UINT64_MAX);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x3)), 0x8899aabbccddeeff);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x4)), 0xcc);
}

/* --- accesses that the processor does not describe --- */

GUEST_CODE(store_pair, "ldr x15, =0x200010\nmov x1, #1\nmov x2, #2\nstp x1, x2, [x15]\n"
                       "ldp x3, x4, [x15]\n" GUEST_EXIT);

static void test_a_pair_stored_to_a_device_ends_with_a_report(void **state)
{
    struct testvm *t = *state;
    struct device device = {.value = 0};

    testvm_boot(t, &store_pair);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    assert_int_equal(testvm_run(t), -1);
    assert_reason("write at 0x200010 by an instruction that the processor does not describe (a "
                  "pair of registers, an atomic operation, a base register written back): there "
                  "is no memory");
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_false(is_vcpu_online(t->vcpu));
    assert_int_equal(device.nr_accesses, 0);
}

/* What the syndrome has no register for (Arm ARM, D17.2.37, ISV): x15 is the device. */
#define ODD(name, text)                                                                            \
    GUEST_CODE(name, "ldr x15, =0x200010\nmov x1, #1\nmov x2, #2\n" text GUEST_EXIT)

ODD(load_pair, "ldp x3, x4, [x15]\n");
ODD(load_pair_of_words, "ldpsw x3, x4, [x15]\n");
ODD(load_written_back_before, "ldr x3, [x15, #0]!\n");
ODD(load_written_back_behind, "ldrb w3, [x15], #1\n");
ODD(load_exclusive, "ldxr x3, [x15]\n");
ODD(load_vector, "ldr q0, [x15]\n");
ODD(load_double, "ldr d0, [x15]\n");
ODD(load_structure, "ld2 {v0.16b, v1.16b}, [x15]\n");
ODD(store_written_back_before, "str w1, [x15, #0]!\n");
ODD(store_written_back_behind, "str x1, [x15], #8\n");
ODD(store_vector_pair, "stp q0, q1, [x15]\n");
ODD(store_vector, "str s0, [x15]\n");
ODD(zero_block, "dc zva, x15\n");
ODD(add_as_one, ".arch_extension lse\nldadd x1, x3, [x15]\n");
ODD(swap_as_one, ".arch_extension lse\nswp w1, w3, [x15]\n");
ODD(compare_and_swap, ".arch_extension lse\ncas x1, x2, [x15]\n");

struct odd_access {
    const char *name;
    const struct guest_code *code;
    bool is_atomic;
};
#define ODD_ACCESS(name, is_atomic)                                                                \
    {                                                                                              \
#name, &(name), is_atomic                                                                  \
    }

static const struct odd_access odd_accesses[] = {
    ODD_ACCESS(load_pair, false),
    ODD_ACCESS(load_pair_of_words, false),
    ODD_ACCESS(load_written_back_before, false),
    ODD_ACCESS(load_written_back_behind, false),
    ODD_ACCESS(load_exclusive, false),
    ODD_ACCESS(load_vector, false),
    ODD_ACCESS(load_double, false),
    ODD_ACCESS(load_structure, false),
    ODD_ACCESS(store_written_back_before, false),
    ODD_ACCESS(store_written_back_behind, false),
    ODD_ACCESS(store_vector_pair, false),
    ODD_ACCESS(store_vector, false),
    ODD_ACCESS(zero_block, false),
    ODD_ACCESS(add_as_one, true),
    ODD_ACCESS(swap_as_one, true),
    ODD_ACCESS(compare_and_swap, true),
};

static bool has_odd_report(void)
{
    static const char behind[] =
        " by an instruction that the processor does not describe (a pair of registers, an atomic "
        "operation, a base register written back): there is no memory";
    const char *reason = hostvm_last_error();
    const char *end = strstr(reason, behind);

    return end != NULL && end[sizeof(behind) - 1] == '\0' &&
           (strncmp(reason, "read at 0x2000", 14) == 0 ||
            strncmp(reason, "write at 0x2000", 15) == 0);
}

/* A processor may describe the one or the other; then it is an access like any. */
static void check_odd_access(const struct odd_access *odd)
{
    struct testvm *t = testvm_create();
    struct device device = {.value = 0};
    int r;

    testvm_boot(t, odd->code);
    assert_non_null(vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, &device));
    r = testvm_run(t);
    if (r == 0) {
        print_message("%s: the processor describes it\n", odd->name);
        assert_int_equal(t->nr_exits, 1);
        assert_in_range(device.nr_accesses, 1, MAX_ACCESSES);
    } else if (!has_odd_report()) {
        fail_msg("%s: %s", odd->name, hostvm_last_error());
    } else {
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
        assert_int_equal(t->nr_exits, 0);
        assert_int_equal(device.nr_accesses, 0);
    }
    testvm_destroy(t);
}

static void test_every_undescribed_access_to_a_device_ends_with_a_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_accesses) / sizeof(odd_accesses[0]); i++) {
        if (!odd_accesses[i].is_atomic) {
            check_odd_access(&odd_accesses[i]);
        }
    }
}

static void test_every_atomic_access_to_a_device_ends_with_a_report(void **state)
{
    (void)state;
    if ((getauxval(AT_HWCAP) & HWCAP_ATOMICS) == 0) {
        print_message("skipped - this host's processor has no atomic operations\n");
        return;
    }
    for (size_t i = 0; i < sizeof(odd_accesses) / sizeof(odd_accesses[0]); i++) {
        if (odd_accesses[i].is_atomic) {
            check_odd_access(&odd_accesses[i]);
        }
    }
}

struct asked {
    unsigned nr;
    uint32_t hsr;
    seL4_Word addr;
    seL4_Word ip;
    bool is_read;
    int result;
};

static int vcpu_fault(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie)
{
    struct asked *asked = cookie;

    if (asked->nr++ == 0) {
        asked->hsr = hsr;
        asked->addr = get_vcpu_fault_address(vcpu);
        asked->ip = get_vcpu_fault_ip(vcpu);
        asked->is_read = is_vcpu_read_fault(vcpu);
    }
    advance_vcpu_fault(vcpu);
    return asked->result;
}

static void test_the_vcpu_fault_callback_may_go_on_behind_such_an_access(void **state)
{
    struct testvm *t = *state;
    struct asked asked = {.nr = 0};

    testvm_boot(t, &store_pair);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, vcpu_fault, &asked), 0);
    testvm_run_to_exit(t);
    assert_int_equal(asked.nr, 2);
    assert_int_equal(HSR_EXCEPTION_CLASS(asked.hsr), HSR_DABT_LOW_EXCEPTION);
    assert_int_equal(HSR_IL(asked.hsr), 1);
    assert_string_equal(hsr_reasons[HSR_EXCEPTION_CLASS(asked.hsr)],
                        "data abort from a lower level");
    assert_int_equal(asked.addr, 0x200010);
    assert_int_equal(asked.ip, CODE_GPA + 12);
    assert_false(asked.is_read);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x3)), 0);
}

static void test_a_vcpu_fault_that_its_callback_refuses_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct asked asked = {.result = 1};

    testvm_boot(t, &store_pair);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, vcpu_fault, &asked), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(asked.nr, 1);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
}

static vm_frame_t fresh_frame(uintptr_t addr, void *cookie)
{
    struct testvm *t = cookie;

    return (vm_frame_t){envs_frame(&t->env, 12), seL4_AllRights, addr, 12};
}

/* The callback of the first access maps memory; the instruction then works on that. */
static int map_page(vm_vcpu_t *vcpu, uint32_t hsr, void *cookie)
{
    (void)hsr;
    assert_int_equal(vm_ram_register_at(vcpu->vm, DEVICE_GPA, PAGE, false), 0);
    return *(int *)cookie;
}

static void test_such_an_access_works_on_memory_that_its_callback_maps(void **state)
{
    struct testvm *t = *state;
    int handled = 0;

    testvm_boot(t, &store_pair);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, map_page, &handled), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x3)), 1);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x4)), 2);
}

static void test_such_an_access_makes_a_deferred_mapping(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.defer_memory_map = true});
    vm_memory_reservation_t *reservation;

    (void)state;
    testvm_boot(t, &store_pair);
    reservation = vm_reserve_memory_at(&t->vm, DEVICE_GPA, PAGE, device_fault, NULL);
    assert_non_null(reservation);
    assert_int_equal(vm_map_reservation(&t->vm, reservation, fresh_frame, t), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x4)), 2);
    testvm_destroy(t);
}

static void test_callbacks_without_what_they_need_are_refused(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &store_pair);
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(t->vcpu, NULL, NULL), -1);
    assert_reason("vm_register_unhandled_vcpu_fault_callback: no vcpu or no callback given");
    assert_int_equal(vm_register_unhandled_vcpu_fault_callback(NULL, vcpu_fault, NULL), -1);
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, NULL), -1);
    assert_reason("vm_register_smc_handler_callback: no VM or no callback given");
    assert_int_equal(hostvm_vm_create_pit(&t->vm), -1);
    assert_reason("cannot create the timer chip: only a PC has it; an Arm processor has timers of "
                  "its own");
}

/* --- PSCI (Arm DEN 0022): 0x84000008 SYSTEM_OFF, 0x84000009 SYSTEM_RESET, 0xc4000003 CPU_ON --- */

GUEST_CODE(power_off, "ldr w0, =0x84000008\nhvc #0\n1: b 1b\n");
GUEST_CODE(reset, "ldr w0, =0x84000009\nhvc #0\n1: b 1b\n");

static void test_power_off_and_reset_end_the_run_cleanly(void **state)
{
    static const struct guest_code *const codes[] = {&power_off, &reset};
    static const hostvm_vm_end_t ends[] = {HOSTVM_END_POWEROFF, HOSTVM_END_RESET};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();

        testvm_boot(t, codes[i]);
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(hostvm_vm_end(&t->vm), ends[i]);
        testvm_destroy(t);
    }
}

GUEST_CODE(start_other, "ldr x0, =0xc4000003\nmov x1, #1\nldr x2, =0x2000\nmov x3, #0x77\nhvc #0\n"
                        "mov x6, x0\n" GUEST_AWAIT(0x5000) GUEST_EXIT);
/* With the argument that it was started with; its own translation is off. */
GUEST_CODE(tell_argument, "ldr x15, =0x5000\nstr w0, [x15]\n1: wfi\nb 1b\n");

static void test_the_guest_starts_a_vcpu_that_waits_for_it(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second;

    assert_int_equal(vm_create_default_irq_controller(&t->vm), 0);
    testvm_boot(t, &start_other);
    second = vm_create_vcpu(&t->vm, 0);
    assert_non_null(second);
    testvm_load(t, SECOND_CODE_GPA, &tell_argument);
    assert_int_equal(hostvm_vcpu_wait_for_startup(second), 0);
    assert_int_equal(vcpu_start(second), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, CONTEXT_REG(x6)), 0);
    assert_int_equal(*(uint32_t *)testvm_pointer(t, 0x5000, 4), 0x77);
}

GUEST_CODE(tell_number, "mrs x1, mpidr_el1\n" GUEST_EXIT);

static void expect_no_vcpu(struct testvm *t, int target, unsigned max_vcpus)
{
    char reason[100];

    (void)snprintf(reason, sizeof(reason),
                   "cannot create vcpu %d (this host allows %u): Invalid argument", target,
                   max_vcpus);
    assert_int_equal(vcpu_start(t->vcpu), -1);
    assert_reason(reason);
}

static void test_the_target_cpu_is_the_guests_affinity(void **state)
{
    static const struct {
        int target;
        seL4_Word mpidr;
    } numbers[] = {{-1, 0x80000000}, {3, 0x80000003}, {0x12, 0x80000102}};
    hostvm_host_t host;

    (void)state;
    assert_int_equal(hostvm_host_check(&host), 0);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct testvm *t = testvm_create();

        testvm_boot(t, &tell_number);
        assert_int_equal(vm_assign_vcpu_target(t->vcpu, numbers[i].target), 0);
        if (numbers[i].target >= (int)host.max_vcpus) { /* with a GICv2 there are 8 */
            expect_no_vcpu(t, numbers[i].target, host.max_vcpus);
            testvm_destroy(t);
            continue;
        }
        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, REG_B), numbers[i].mpidr);
        testvm_destroy(t);
    }
}

/* --- caches --- */

static void test_a_frames_bytes_can_be_written_back(void **state)
{
    struct testvm *t = *state;
    seL4_CPtr frame = envs_frame(&t->env, 12);

    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(frame, 0, PAGE), seL4_NoError);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(frame, 100, 101), seL4_NoError);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(frame, 8, 8), seL4_RangeError);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(frame, 0, PAGE + 1), seL4_RangeError);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(t->env.endpoint, 0, PAGE),
                     seL4_InvalidCapability);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(1, 0, PAGE), seL4_InvalidCapability);
    inject_fail_nth(1);
    assert_int_equal(seL4_ARM_Page_CleanInvalidate_Data(frame, 0, PAGE), seL4_NotEnoughMemory);
    assert_true(inject_disarm());
    assert_reason("cannot map a frame to write its cached bytes back: Cannot allocate memory");
    envs_delete(&t->env, frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_registers_set_before_the_start_are_the_guests),
        vm_test(test_every_word_of_a_context_is_its_own_register),
        vm_test(test_system_registers_are_the_guests),
        vm_test(test_a_register_that_is_not_there_is_refused),
        vm_test(test_a_context_set_in_a_callback_loses_neither_access_nor_place),
        vm_test(test_an_ignored_read_changes_no_register),
        vm_test(test_a_read_takes_its_lane_of_the_word),
        vm_test(test_a_pair_stored_to_a_device_ends_with_a_report),
        cmocka_unit_test(test_every_undescribed_access_to_a_device_ends_with_a_report),
        cmocka_unit_test(test_every_atomic_access_to_a_device_ends_with_a_report),
        vm_test(test_the_vcpu_fault_callback_may_go_on_behind_such_an_access),
        vm_test(test_a_vcpu_fault_that_its_callback_refuses_ends_the_run),
        vm_test(test_such_an_access_works_on_memory_that_its_callback_maps),
        cmocka_unit_test(test_such_an_access_makes_a_deferred_mapping),
        vm_test(test_callbacks_without_what_they_need_are_refused),
        cmocka_unit_test(test_power_off_and_reset_end_the_run_cleanly),
        vm_test(test_the_guest_starts_a_vcpu_that_waits_for_it),
        cmocka_unit_test(test_the_target_cpu_is_the_guests_affinity),
        vm_test(test_a_frames_bytes_can_be_written_back),
    };

    return run_vm_tests(tests);
}
