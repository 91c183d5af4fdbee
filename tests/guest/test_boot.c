/* Creating VMs and vcpus: what is there afterwards, and what is refused. */
#include "support/vm.h"

#include <string.h>

#include <hostvm/host.h>
#include <sel4vm/guest_iospace.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vm_util.h>

static int init(vm_t *vm, hostvm_env_t *env, const char *name)
{
    return vm_init(vm, &env->vka, &env->simple, env->vspace, &env->io_ops, env->endpoint, name);
}

/* --- vm_init --- */

static void test_vm_init_leaves_an_empty_vm(void **state)
{
    struct testvm *t = *state;

    assert_true(t->vm.vm_initialised);
    assert_int_equal(t->vm.num_vcpus, 0);
    assert_int_equal(t->vm.mem.num_ram_regions, 0);
    assert_int_equal(t->vm.run.exit_reason, VM_GUEST_UNKNOWN_EXIT);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_NONE);
    assert_ptr_equal(t->vm.vka, &t->env.vka);
    assert_ptr_equal(t->vm.simple, &t->env.simple);
    assert_ptr_equal(t->vm.io_ops, &t->env.io_ops);
    assert_int_equal(t->vm.host_endpoint, t->env.endpoint);
    assert_int_not_equal(t->vm.mem.vm_vspace_root.cptr, seL4_CapNull);
}

static void test_vm_init_copies_the_name(void **state)
{
    hostvm_env_t env = envs_create();
    char name[] = "charlie";
    vm_t vm;

    (void)state;
    assert_int_equal(init(&vm, &env, name), 0);
    memset(name, 'x', sizeof(name) - 1);
    assert_string_equal(vm.vm_name, "charlie");
    assert_int_equal(hostvm_vm_destroy(&vm), 0);
    hostvm_env_destroy(&env);
}

static void test_vm_init_without_a_name_or_endpoint_is_fine(void **state)
{
    hostvm_env_t env = envs_create();
    vm_t vm;

    (void)state;
    assert_int_equal(
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, seL4_CapNull, NULL), 0);
    assert_string_equal(vm.vm_name, "vm");
    assert_int_equal(hostvm_notify(&vm, 1), -1);
    assert_reason("hostvm_notify: no VM, or one without an endpoint");
    assert_int_equal(hostvm_vm_destroy(&vm), 0);
    hostvm_env_destroy(&env);
}

static void test_vm_init_without_malloc_ops_fails(void **state)
{
    hostvm_env_t env = envs_create();
    struct leak_state held;
    vm_t vm;

    (void)state;
    leak_begin(&held);
    memset(&env.io_ops.malloc_ops, 0, sizeof(env.io_ops.malloc_ops));
    assert_int_equal(init(&vm, &env, "vm"), -1);
    assert_reason("vm_init: io_ops has no malloc_ops; see hostvm_env_create or "
                  "ps_new_stdlib_malloc_ops");
    assert_false(vm.vm_initialised);
    leak_check(&held);
    assert_int_equal(hostvm_vm_destroy(&vm), 0);
    hostvm_env_destroy(&env);
}

static void test_vm_init_without_an_argument_fails(void **state)
{
    hostvm_env_t env = envs_create();
    vm_t vm;

    (void)state;
    assert_int_equal(init(NULL, &env, "vm"), -1);
    assert_reason("vm_init: no VM given");
    assert_int_equal(vm_init(&vm, NULL, &env.simple, env.vspace, &env.io_ops, 0, "vm"), -1);
    assert_reason("vm_init: no vka given");
    assert_int_equal(vm_init(&vm, &env.vka, NULL, env.vspace, &env.io_ops, 0, "vm"), -1);
    assert_reason("vm_init: no simple given");
    assert_int_equal(vm_init(&vm, &env.vka, &env.simple, env.vspace, NULL, 0, "vm"), -1);
    assert_reason("vm_init: no io_ops given");
    assert_false(vm.vm_initialised);
    hostvm_env_destroy(&env);
}

static void test_vm_init_refuses_a_foreign_vka(void **state)
{
    hostvm_env_t env = envs_create();
    vka_t vka = {.data = NULL};
    vm_t vm;

    (void)state;
    assert_int_equal(vm_init(&vm, &vka, &env.simple, env.vspace, &env.io_ops, 0, "vm"), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_false(vm.vm_initialised);
    hostvm_env_destroy(&env);
}

static void test_vm_init_refuses_an_endpoint_that_is_none(void **state)
{
    hostvm_env_t env = envs_create();
    seL4_CPtr frame = envs_frame(&env, 12);
    struct leak_state held;
    vm_t vm;

    (void)state;
    leak_begin(&held);
    assert_int_equal(vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, frame, "vm"), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_int_equal(vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, 123456, "vm"),
                     -1);
    assert_false(vm.vm_initialised);
    leak_check(&held);
    hostvm_env_destroy(&env);
}

static void test_a_destroyed_vm_can_be_initialised_again(void **state)
{
    struct testvm *t = *state;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
        assert_false(t->vm.vm_initialised);
        assert_int_equal(init(&t->vm, &t->env, "again"), 0);
        assert_non_null(vm_create_vcpu(&t->vm, 0));
    }
}

static void test_destroying_twice_is_fine_and_nothing_is_not(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_int_equal(hostvm_vm_destroy(&t->vm), 0);
    assert_int_equal(hostvm_vm_destroy(NULL), -1);
    assert_reason("hostvm_vm_destroy: no VM given");
}

static void test_an_uninitialised_vm_does_nothing(void **state)
{
    vm_t vm = {.num_vcpus = 0};

    (void)state;
    assert_int_equal(vm_run(&vm), -1);
    assert_reason("vm_run: no VM, or one without vm_init");
    assert_int_equal(vm_run(NULL), -1);
    assert_null(vm_create_vcpu(&vm, 0));
    assert_reason("vm_create_vcpu: no VM, or one without vm_init");
    assert_null(vm_create_vcpu(NULL, 0));
    assert_int_equal(hostvm_vm_stop(&vm), -1);
    assert_reason("hostvm_vm_stop: no VM, or one without vm_init");
    assert_int_equal(hostvm_vm_stop(NULL), -1);
    assert_int_equal(hostvm_notify(NULL, 1), -1);
    assert_int_equal(hostvm_vm_end(NULL), HOSTVM_END_NONE);
    assert_null(hostvm_vm_pointer(NULL, 0, 1));
    assert_int_equal(vm_memory_init(&vm), -1);
    assert_int_equal(vm_memory_init(NULL), -1);
}

static void test_memory_init_again_changes_nothing(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_ram_register_at(&t->vm, 0, 0x1000, false), 0);
    assert_int_equal(vm_memory_init(&t->vm), 0);
    assert_int_equal(vm_ram_register_at(&t->vm, 0, 0x1000, false), -1);
}

static void test_there_is_no_iospace(void **state)
{
    struct testvm *t = *state;

    assert_int_equal(vm_guest_add_iospace(&t->vm, &t->env.vspace, 1), -1);
    assert_int_equal(vm_guest_add_iospace(NULL, NULL, 0), -1);
}

static void test_a_usable_host_needs_no_help(void **state)
{
    hostvm_host_t host;

    (void)state;
    assert_int_equal(hostvm_host_check(&host), 0);
    assert_true(host.usable);
    assert_int_equal(host.api_version, 12);
    assert_true(host.max_vcpus >= 1);
    assert_true(host.max_memslots >= 32);
    assert_string_equal(host.reason, "");
    assert_string_equal(host.help, "");
}

/* --- vcpus --- */

static void test_vcpu_ids_count_from_zero_up_to_the_maximum(void **state)
{
    struct testvm *t = *state;

    for (unsigned i = 0; i < CONFIG_MAX_NUM_NODES; i++) {
        vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, (int)i + 100);

        assert_non_null(vcpu);
        assert_ptr_equal(t->vm.vcpus[i], vcpu);
        assert_ptr_equal(vcpu->vm, &t->vm);
        assert_int_equal(vcpu->vcpu_id, i);
        assert_int_equal(vcpu->target_cpu, -1);
        assert_int_equal(vcpu->tcb.priority, (int)i + 100);
        assert_false(vcpu->vcpu_online);
        assert_int_equal(t->vm.num_vcpus, i + 1);
    }
    assert_null(vm_create_vcpu(&t->vm, 0));
    assert_int_equal(t->vm.num_vcpus, CONFIG_MAX_NUM_NODES);
}

static void test_more_vcpus_than_the_host_gives_are_refused_when_they_start(void **state)
{
    struct testvm *t;

    (void)state;
    vcpus_limit(2);
    t = testvm_create();
    for (int i = 0; i < 3; i++) {
        assert_non_null(vm_create_vcpu(&t->vm, 0));
    }
    assert_int_equal(vcpu_start(t->vm.vcpus[0]), 0);
    assert_int_equal(vcpu_start(t->vm.vcpus[1]), 0);
    assert_int_equal(vcpu_start(t->vm.vcpus[2]), -1);
    assert_reason("cannot create vcpu 2 (this host allows 2): Invalid argument");
    assert_false(is_vcpu_online(t->vm.vcpus[2]));
    vcpus_limit(0);
    testvm_destroy(t);
}

static void test_first_vcpu_of_each_vm_has_id_zero(void **state)
{
    struct testvm *t = *state;
    vm_t second;

    assert_int_equal(vm_init(&second, &t->env.vka, &t->env.simple, t->env.vspace, &t->env.io_ops,
                             seL4_CapNull, "second"),
                     0);
    assert_int_equal(vm_create_vcpu(&t->vm, 0)->vcpu_id, 0);
    assert_int_equal(vm_create_vcpu(&second, 0)->vcpu_id, 0);
    assert_int_equal(hostvm_vm_destroy(&second), 0);
}

static void test_an_endpoint_serves_one_vm(void **state)
{
    struct testvm *t = *state;
    vm_t second;

    assert_int_equal(init(&second, &t->env, "second"), -1);
    assert_string_not_equal(hostvm_last_error(), "");
    assert_false(second.vm_initialised);
}

static void test_a_target_cpu_belongs_to_one_vcpu(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *a = vm_create_vcpu(&t->vm, 0);
    vm_vcpu_t *b = vm_create_vcpu(&t->vm, 0);

    assert_int_equal(vm_assign_vcpu_target(NULL, 0), -1);
    assert_reason("vm_assign_vcpu_target: no vcpu given");
    assert_int_equal(vm_assign_vcpu_target(a, 0), 0);
    assert_int_equal(vm_assign_vcpu_target(b, 0), -1);
    assert_reason("cannot assign CPU 0 to vcpu 1: vcpu 0 has it");
    assert_int_equal(vm_assign_vcpu_target(a, 0), -1);
    assert_int_equal(b->target_cpu, -1);
    assert_int_equal(vm_assign_vcpu_target(a, -1), 0);
    assert_int_equal(vm_assign_vcpu_target(b, 0), 0);
}

static void test_vcpus_are_found_by_target_and_index(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *a = vm_create_vcpu(&t->vm, 0);
    vm_vcpu_t *b = vm_create_vcpu(&t->vm, 0);
    int nobody = (int)t->vm.num_vcpus + 97;

    assert_ptr_equal(vm_find_free_unassigned_vcpu(&t->vm), a);
    assert_int_equal(vm_assign_vcpu_target(a, 5), 0);
    assert_ptr_equal(vm_vcpu_for_target_cpu(&t->vm, 5), a);
    assert_null(vm_vcpu_for_target_cpu(&t->vm, 6));
    assert_ptr_equal(vm_find_free_unassigned_vcpu(&t->vm), b);
    assert_int_equal(vm_assign_vcpu_target(b, 6), 0);
    assert_null(vm_find_free_unassigned_vcpu(&t->vm));
    assert_int_equal(vm_get_vcpu(&t->vm, 1), b->vcpu.cptr);
    assert_int_not_equal(vm_get_vcpu(&t->vm, 1), seL4_CapNull);
    assert_int_equal(vm_get_vcpu(&t->vm, nobody), seL4_CapNull);
    assert_int_equal(vm_get_vcpu(&t->vm, -1), seL4_CapNull);
    assert_int_equal(vm_get_vcpu_tcb(a), 0);
    assert_ptr_equal(vm_get_vspace(&t->vm), &t->vm.mem.vm_vspace);
    assert_ptr_equal(vm_get_vmm_vspace(&t->vm), &t->vm.mem.vmm_vspace);
}

static memory_fault_result_t first_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t len,
                                         void *cookie)
{
    (void)vm;
    (void)vcpu;
    (void)addr;
    (void)len;
    (void)cookie;
    return FAULT_ERROR;
}

static memory_fault_result_t second_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t len,
                                          void *cookie)
{
    (void)first_fault(vm, vcpu, addr, len, cookie);
    return FAULT_IGNORE;
}

static int first_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)vm;
    (void)badge;
    (void)tag;
    (void)cookie;
    return 0;
}

static int second_notification(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    return first_notification(vm, badge, tag, cookie) - 1;
}

static void test_a_refused_callback_keeps_the_old_one(void **state)
{
    struct testvm *t = *state;
    int cookie;

    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, first_fault, &cookie), 0);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, NULL, NULL), -1);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(NULL, second_fault, NULL), -1);
    assert_ptr_equal(t->vm.mem.unhandled_mem_fault_handler, first_fault);
    assert_ptr_equal(t->vm.mem.unhandled_mem_fault_cookie, &cookie);
    assert_int_equal(vm_register_unhandled_mem_fault_callback(&t->vm, second_fault, NULL), 0);
    assert_ptr_equal(t->vm.mem.unhandled_mem_fault_handler, second_fault);
    assert_null(t->vm.mem.unhandled_mem_fault_cookie);

    assert_int_equal(vm_register_notification_callback(&t->vm, first_notification, &cookie), 0);
    assert_int_equal(vm_register_notification_callback(&t->vm, NULL, NULL), -1);
    assert_int_equal(vm_register_notification_callback(NULL, second_notification, NULL), -1);
    assert_ptr_equal(t->vm.run.notification_callback, first_notification);
    assert_ptr_equal(t->vm.run.notification_callback_cookie, &cookie);
    assert_int_equal(vm_register_notification_callback(&t->vm, second_notification, NULL), 0);
    assert_ptr_equal(t->vm.run.notification_callback, second_notification);
    assert_null(t->vm.run.notification_callback_cookie);
}

static void test_starting_brings_a_vcpu_online(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    assert_false(is_vcpu_online(vcpu));
    assert_int_equal(vcpu_start(vcpu), 0);
    assert_true(is_vcpu_online(vcpu));
    assert_int_equal(vcpu_start(vcpu), 0);
    assert_int_equal(vcpu_start(NULL), -1);
    assert_reason("vcpu_start: no vcpu given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_vm_init_leaves_an_empty_vm),
        cmocka_unit_test(test_vm_init_copies_the_name),
        cmocka_unit_test(test_vm_init_without_a_name_or_endpoint_is_fine),
        cmocka_unit_test(test_vm_init_without_malloc_ops_fails),
        cmocka_unit_test(test_vm_init_without_an_argument_fails),
        cmocka_unit_test(test_vm_init_refuses_a_foreign_vka),
        cmocka_unit_test(test_vm_init_refuses_an_endpoint_that_is_none),
        vm_test(test_a_destroyed_vm_can_be_initialised_again),
        vm_test(test_destroying_twice_is_fine_and_nothing_is_not),
        cmocka_unit_test(test_an_uninitialised_vm_does_nothing),
        vm_test(test_memory_init_again_changes_nothing),
        vm_test(test_there_is_no_iospace),
        cmocka_unit_test(test_a_usable_host_needs_no_help),
        vm_test(test_vcpu_ids_count_from_zero_up_to_the_maximum),
        cmocka_unit_test(test_more_vcpus_than_the_host_gives_are_refused_when_they_start),
        vm_test(test_first_vcpu_of_each_vm_has_id_zero),
        vm_test(test_an_endpoint_serves_one_vm),
        vm_test(test_a_target_cpu_belongs_to_one_vcpu),
        vm_test(test_vcpus_are_found_by_target_and_index),
        vm_test(test_a_refused_callback_keeps_the_old_one),
        vm_test(test_starting_brings_a_vcpu_online),
    };

    return run_vm_tests(tests);
}
