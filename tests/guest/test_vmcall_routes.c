/* The ways by which hypercalls come: what handlers see, set and may do is the same by each. */
#include "support/vm.h"

#include <errno.h>
#include <string.h>

#include <hostvm/chipset.h>
#include <hostvm/vmcall.h>
#include <sel4vm/arch/vmcall.h>
#include <sel4vm/arch/vmexit_reasons.h>

#include "support/x86_64/hypercalls.h"
#include "support/inject.h"

/* 12, because that one can be had in every way; it wants a page in RBX and a number in RCX. */
enum { TOKEN = 12, OTHER = 13, NR_ROUTES = 3 };

/* The ways of a hypercall, with KVMs that have them. */
static const struct route {
    const char *name;
    enum hypercalls_kvm kvm;
    hostvm_vmcall_mode_t mode;
    bool is_port;
    bool takes_all; /* tokens, not TOKEN alone */
} routes[NR_ROUTES] = {
    {"port", HYPERCALLS_ANSWERED, HOSTVM_VMCALL_BY_PORT, true, true},
    {"interception", HYPERCALLS_XEN, HOSTVM_VMCALL_BY_INSTRUCTION, false, true},
    {"passed number", HYPERCALLS_PASSED, HOSTVM_VMCALL_BY_PORT, false, false},
};

/* A guest that makes its hypercall by the port, and the same one by the instruction. */
struct guest_pair {
    const struct guest_code *by_port;
    const struct guest_code *by_instruction;
};

#define BY_PORT "out %eax, %dx\n"
#define GUEST_PAIR(name, before, behind)                                                           \
    GUEST_CODE(name##_by_port, before BY_PORT behind);                                             \
    GUEST_CODE(name##_by_instruction, before GUEST_HYPERCALL behind);                              \
    static const struct guest_pair name = {&name##_by_port, &name##_by_instruction}

/* Handlers get no cookie: what they do and have seen is here. */
static struct scene {
    unsigned nr_calls;
    int result;              /* of every call */
    bool sets_rbx;           /* to 0x5555 */
    bool sets_all;           /* to new_context */
    seL4_Word rip;           /* to be set; 0: not */
    vm_vcpu_t *vcpu;         /* of the last call */
    seL4_VCPUContext seen;   /* its registers */
    seL4_Word exit_reason;   /* VMX's */
    seL4_Word qualification; /* VMX's */
} scene;

static const seL4_VCPUContext new_context = {
    .eax = 0xa1a1a1a1a1a1a1a1,
    .ebx = 0xa2a2a2a2a2a2a2a2,
    .ecx = 0xa3a3a3a3a3a3a3a3,
    .edx = 0xa4a4a4a4a4a4a4a4,
    .esi = 0xa5a5a5a5a5a5a5a5,
    .edi = 0xa6a6a6a6a6a6a6a6,
    .ebp = 0xa7a7a7a7a7a7a7a7,
    .r8 = 0xa8a8a8a8a8a8a8a8,
    .r9 = 0xa9a9a9a9a9a9a9a9,
    .r10 = 0xb0b0b0b0b0b0b0b0,
    .r11 = 0xb1b1b1b1b1b1b1b1,
    .r12 = 0xb2b2b2b2b2b2b2b2,
    .r13 = 0xb3b3b3b3b3b3b3b3,
    .r14 = 0xb4b4b4b4b4b4b4b4,
    .r15 = 0xb5b5b5b5b5b5b5b5,
};

static int record(vm_vcpu_t *vcpu)
{
    scene.nr_calls++;
    scene.vcpu = vcpu;
    assert_int_equal(vm_get_thread_context(vcpu, &scene.seen), 0);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_REASON, &scene.exit_reason), 0);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_QUALIFICATION, &scene.qualification), 0);
    if (scene.sets_all) {
        assert_int_equal(vm_set_thread_context(vcpu, new_context), 0);
    }
    if (scene.sets_rbx) {
        assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, 0x5555), 0);
    }
    if (scene.rip != 0) {
        assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, scene.rip), 0);
    }
    return scene.result;
}

static int never_called(vm_vcpu_t *vcpu)
{
    (void)vcpu;
    fail_msg("the handler of another hypercall was called");
    return -1;
}

/* Begins with a VM whose KVM has the route, and a guest that uses it. */
static struct testvm *begin(const struct route *route, const struct guest_pair *guest)
{
    struct testvm *t;

    print_message("by %s\n", route->name);
    memset(&scene, 0, sizeof(scene));
    hypercalls_begin(route->kvm);
    t = testvm_create();
    testvm_boot(t, route->is_port ? guest->by_port : guest->by_instruction);
    return t;
}

static void end(struct testvm *t)
{
    testvm_destroy(t);
    hypercalls_end();
}

static void check_context(struct testvm *t, const seL4_VCPUContext *expected)
{
    seL4_VCPUContext context;

    assert_int_equal(vm_get_thread_context(t->vcpu, &context), 0);
    assert_memory_equal(&context, expected, sizeof(context));
}

/* --- what KVM offers --- */

static void test_the_mode_says_what_kvm_offers(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t;

        hypercalls_begin(routes[i].kvm);
        t = testvm_create();
        assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_NONE);
        assert_int_equal(hypercalls_nr_requests(), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        assert_int_equal(hostvm_vmcall_mode(&t->vm), routes[i].mode);
        assert_int_equal(hypercalls_nr_requests(), routes[i].is_port ? 0 : 1);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, 31), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, -1), 0);
        assert_int_equal(hostvm_vmcall_mode(&t->vm), routes[i].mode);
        assert_int_equal(hypercalls_nr_requests(), routes[i].is_port ? 0 : 1);
        end(t);
    }
}

static void test_where_kvm_refuses_to_intercept_the_port_is_used(void **state)
{
    static const int refusals[] = {EINVAL, ENOTTY, EOPNOTSUPP, EPERM};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct testvm *t;

        hypercalls_begin(HYPERCALLS_REFUSED);
        hypercalls_set_errno(refusals[i]);
        t = testvm_create();
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), 0);
        assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_BY_PORT);
        assert_int_equal(hypercalls_nr_requests(), 1);
        end(t);
    }
}

static void test_where_kvm_fails_to_intercept_nothing_is_registered(void **state)
{
    struct testvm *t;

    (void)state;
    hypercalls_begin(HYPERCALLS_REFUSED);
    hypercalls_set_errno(ENOMEM);
    t = testvm_create();
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), -1);
    assert_reason("cannot intercept hypercalls: Cannot allocate memory");
    assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_NONE);
    assert_int_equal(t->vm.arch.vmcall_num_handlers, 0);
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 0);
    end(t);
}

static void test_a_guest_that_sees_kvms_own_hypercalls_keeps_them(void **state)
{
    struct testvm *t;

    (void)state;
    hypercalls_begin(HYPERCALLS_XEN);
    t = testvm_create();
    assert_int_equal(hostvm_vm_set_cpu_model(&t->vm, HOSTVM_CPU_HOST), 0);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), 0);
    assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_BY_PORT);
    assert_int_equal(hypercalls_nr_requests(), 0);
    end(t);
}

#define SET_UP                                                                                     \
    "mov $12, %eax\n"                                                                              \
    "mov $0x5e0, %edx\n"                                                                           \
    "mov $0x7000, %ebx\n"                                                                          \
    "mov $1, %ecx\n"
GUEST_PAIR(call_once, SET_UP, "inc %r15\n" GUEST_EXIT);

/* --- what handlers see and set --- */

static const seL4_VCPUContext numbered = {
    .eax = TOKEN,
    .ebx = 0x7000,
    .ecx = 1,
    .edx = 0x5e0,
    .esi = 0x0505050505050505,
    .edi = 0x0606060606060606,
    .ebp = 0x0707070707070707,
    .r8 = 0x0808080808080808,
    .r9 = 0x0909090909090909,
    .r10 = 0x1010101010101010,
    .r11 = 0x1111111111111111,
    .r12 = 0x1212121212121212,
    .r13 = 0x1313131313131313,
    .r14 = 0x1414141414141414,
    .r15 = 0x1515151515151515,
};

/* Counts in R15 how often it came behind the hypercall, and keeps in memory what it found there. */
GUEST_PAIR(call_numbered, "",
           "mov %rax, 0x5000\n"
           "inc %r15\n" GUEST_EXIT);

static struct testvm *begin_numbered(const struct route *route)
{
    struct testvm *t = begin(route, &call_numbered);

    assert_int_equal(vm_set_thread_context(t->vcpu, numbered), 0);
    return t;
}

static void test_a_handler_is_called_once_and_sees_the_registers(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);
        seL4_VCPUContext expected = numbered;

        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, OTHER), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 1);
        assert_ptr_equal(scene.vcpu, t->vcpu);
        assert_memory_equal(&scene.seen, &numbered, sizeof(numbered));
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

static void test_a_handler_is_told_of_the_exit_in_vmx_terms(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);

        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.exit_reason, EXIT_REASON_VMCALL);
        assert_int_equal(scene.qualification, 0);
        end(t);
    }
}

static void test_one_register_set_by_a_handler_leaves_the_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);
        seL4_VCPUContext expected = numbered;

        scene.sets_rbx = true;
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        expected.ebx = 0x5555;
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

static void test_a_handler_can_set_all_registers(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);
        seL4_VCPUContext expected = new_context;

        scene.sets_all = true;
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(*(uint64_t *)testvm_pointer(t, DATA_GPA, 8), new_context.eax);
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

GUEST_CODE(elsewhere, "movl $42, 0x5008\n" GUEST_EXIT);

static void test_the_guest_goes_on_where_a_handler_points(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);

        testvm_load(t, CODE_GPA + 0x100, &elsewhere);
        scene.rip = CODE_GPA + 0x100;
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(*(uint32_t *)testvm_pointer(t, DATA_GPA + 8, 4), 42);
        check_context(t, &numbered);
        end(t);
    }
}

static void test_the_token_is_the_low_half_of_rax(void **state)
{
    seL4_VCPUContext context = numbered;

    (void)state;
    context.eax = 0x12345678fffffffe;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t;
        seL4_VCPUContext expected = context;

        if (!routes[i].takes_all) {
            continue;
        }
        t = begin(&routes[i], &call_numbered);
        assert_int_equal(vm_set_thread_context(t->vcpu, context), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, -2), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 1);
        assert_memory_equal(&scene.seen, &context, sizeof(context));
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

static void test_an_unknown_token_changes_no_register(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t;
        seL4_VCPUContext expected = numbered;

        if (!routes[i].takes_all) {
            continue;
        }
        t = begin_numbered(&routes[i]);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, OTHER), 0);
        testvm_run_to_exit(t);
        assert_int_equal(*(uint64_t *)testvm_pointer(t, DATA_GPA, 8), TOKEN);
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

static void test_a_handlers_failure_ends_the_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);
        seL4_VCPUContext expected = numbered;

        scene.result = 3;
        scene.sets_rbx = true;
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        assert_int_equal(testvm_run(t), -1);
        assert_reason("the handler of hypercall 0xc reported failure (3)");
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
        assert_int_equal(t->nr_exits, 0);
        expected.ebx = 0x5555;
        check_context(t, &expected);
        testvm_run_to_exit(t); /* behind the hypercall */
        assert_int_equal(scene.nr_calls, 1);
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

/* KVM's answer, where user space is not asked; the port is there all the same. */
GUEST_CODE(call_both, "mov $13, %eax\n"
                      "mov $0x5e0, %edx\n"
                      "mov $0x7123, %ebx\n"
                      "mov $1, %ecx\n" GUEST_HYPERCALL "mov %rax, %r14\n"
                      "mov $13, %eax\n" BY_PORT "mov $12, %eax\n" GUEST_HYPERCALL
                      "mov %rax, %r15\n" GUEST_EXIT);

static void test_where_hypercalls_are_not_intercepted_kvm_answers_the_instruction(void **state)
{
    static const struct {
        enum hypercalls_kvm kvm;
        unsigned nr_calls;
        seL4_Word other; /* what KVM makes of RAX */
        seL4_Word token; /* without a page in RBX */
    } kvms[] = {
        {HYPERCALLS_ANSWERED, 1, (seL4_Word)-1000, (seL4_Word)-1000},
        {HYPERCALLS_PASSED, 1, (seL4_Word)-1000, (seL4_Word)-22},
        {HYPERCALLS_XEN, 3, OTHER, TOKEN},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct testvm *t;

        memset(&scene, 0, sizeof(scene));
        hypercalls_begin(kvms[i].kvm);
        t = testvm_create();
        testvm_boot(t, &call_both);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, kvms[i].nr_calls);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R14), kvms[i].other);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), kvms[i].token);
        end(t);
    }
}

static void test_a_vm_without_handlers_leaves_the_instruction_to_kvm(void **state)
{
    (void)state;
    for (size_t i = 1; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);

        testvm_run_to_exit(t);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EAX), (seL4_Word)-1000);
        assert_int_equal(hypercalls_nr_requests(), 0);
        end(t);
    }
}

static void test_a_xen_exit_of_another_kind_is_reported(void **state)
{
    struct testvm *t;

    (void)state;
    hypercalls_begin(HYPERCALLS_STRANGE);
    t = testvm_create();
    testvm_boot(t, call_once.by_instruction);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, TOKEN), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CRASH);
    assert_reason("an exit that nobody knows, KVM's number 34");
    end(t);
}

/* --- what handlers may do --- */

static int register_another(vm_vcpu_t *vcpu)
{
    scene.nr_calls++;
    for (int token = TOKEN - 5; token < TOKEN; token++) {
        assert_int_equal(vm_reg_new_vmcall_handler(vcpu->vm, never_called, token), 0);
    }
    assert_int_equal(vm_reg_new_vmcall_handler(vcpu->vm, record, OTHER), 0);
    assert_int_equal(vm_reg_new_vmcall_handler(vcpu->vm, record, TOKEN), -1);
    return 0;
}

GUEST_PAIR(call_two, SET_UP "mov $2, %r8d\n1:\n",
           "inc %eax\n"
           "dec %r8d\n"
           "jnz 1b\n" GUEST_EXIT);

static void test_a_handler_may_register_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t;

        if (!routes[i].takes_all) {
            continue;
        }
        t = begin(&routes[i], &call_two);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, register_another, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 2);
        assert_int_equal(scene.seen.eax, OTHER);
        end(t);
    }
}

static ioport_fault_result_t register_first(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                            unsigned size, unsigned value)
{
    (void)cookie;
    (void)port;
    (void)size;
    (void)value;
    assert_int_equal(vm_reg_new_vmcall_handler(vcpu->vm, record, TOKEN), 0);
    return IO_FAULT_HANDLED;
}

GUEST_PAIR(ask_and_call, SET_UP "out %al, $0xe1\n", "inc %r15\n" GUEST_EXIT);

static void test_the_first_registration_may_come_from_a_callback(void **state)
{
    const vm_ioport_interface_t port = {NULL, NULL, register_first, "ask"};

    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin(&routes[i], &ask_and_call);

        assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){0xe1, 0xe1}, port), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 1);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EAX), TOKEN);
        assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R15), 1);
        end(t);
    }
}

static int stop(vm_vcpu_t *vcpu)
{
    scene.nr_calls++;
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EAX, 0x77), 0);
    return hostvm_vm_stop(vcpu->vm);
}

static void test_a_stop_by_a_handler_leaves_the_guest_behind_the_hypercall(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        struct testvm *t = begin_numbered(&routes[i]);
        seL4_VCPUContext expected = numbered;

        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, stop, TOKEN), 0);
        assert_int_equal(testvm_run(t), 0);
        assert_int_equal(t->nr_exits, 0);
        expected.eax = 0x77;
        check_context(t, &expected);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 1);
        expected.r15++;
        check_context(t, &expected);
        end(t);
    }
}

/* --- several VMs --- */

static vm_t *last_vm;

static int record_vm(vm_vcpu_t *vcpu)
{
    last_vm = vcpu->vm;
    return 0;
}

static void test_handlers_belong_to_one_vm(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) { /* by the port, by interception */
        struct testvm *first = begin_numbered(&routes[i]);
        struct testvm *second = testvm_create();
        struct testvm *third = testvm_create();

        testvm_boot(second, call_numbered.by_port);
        assert_int_equal(vm_set_thread_context(second->vcpu, numbered), 0);
        testvm_boot(third, call_numbered.by_instruction);
        assert_int_equal(vm_set_thread_context(third->vcpu, numbered), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&first->vm, record, TOKEN), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&second->vm, record_vm, TOKEN), 0);
        testvm_run_to_exit(second);
        assert_ptr_equal(last_vm, &second->vm);
        assert_int_equal(scene.nr_calls, 0);
        testvm_run_to_exit(first);
        assert_ptr_equal(scene.vcpu, first->vcpu);
        testvm_run_to_exit(third); /* has none: KVM answers */
        assert_int_equal(testvm_reg(third, VCPU_CONTEXT_EAX), (seL4_Word)-1000);
        assert_int_equal(scene.nr_calls, 1);
        testvm_destroy(third);
        testvm_destroy(second);
        end(first);
    }
}

/* --- where the host fails --- */

static void forget_reason(void)
{
    assert_int_equal(hostvm_vm_stop(NULL), -1);
}

static void check_reason(unsigned n)
{
    if (strcmp(hostvm_last_error(), "hostvm_vm_stop: no VM, or one without vm_init") == 0) {
        fail_msg("no reason for the failure of call %u", n);
    }
}

/* Registers while the n-th call fails; then for good. False: it makes fewer calls. */
static bool fail_registration(const struct route *route, bool has_one, unsigned n)
{
    struct testvm *t = begin_numbered(route);
    bool has_failed;
    int r;

    if (has_one) {
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, OTHER), 0);
    }
    forget_reason();
    inject_fail_nth(n);
    r = vm_reg_new_vmcall_handler(&t->vm, record, TOKEN);
    has_failed = inject_disarm();
    if (r != 0) {
        assert_true(has_failed);
        check_reason(n);
        assert_int_equal(t->vm.arch.vmcall_num_handlers, has_one ? 1 : 0);
        assert_int_equal(t->vm.arch.ioport_list.num_ioports, has_one ? 2 : 1); /* one is the exit */
        assert_int_equal(hostvm_vmcall_mode(&t->vm), has_one ? route->mode : HOSTVM_VMCALL_NONE);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
        testvm_run_to_exit(t);
        assert_int_equal(scene.nr_calls, 1);
    }
    end(t);
    return has_failed;
}

static void test_a_registration_fails_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        for (int has_one = 0; has_one < 2; has_one++) {
            unsigned n = 1;

            while (fail_registration(&routes[i], has_one != 0, n)) {
                n++;
            }
            assert_true(n > 1);
        }
    }
}

static void test_the_reasons_of_failed_registrations(void **state)
{
    struct testvm *t;

    (void)state;
    hypercalls_begin(HYPERCALLS_PASSED);
    t = testvm_create();
    inject_fail_nth(1);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), -1);
    assert_true(inject_disarm());
    assert_reason("cannot register a handler for hypercall 0xc: out of memory");
    inject_fail_nth(2);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), -1);
    assert_true(inject_disarm());
    assert_reason("cannot add a handler for ports 0x5e0 to 0x5e0: out of memory");
    inject_fail_nth(5); /* behind the questions for two capabilities */
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), -1);
    assert_true(inject_disarm());
    assert_reason("cannot enable KVM capability 201: Input/output error");
    end(t);
}

static int set_rbx(vm_vcpu_t *vcpu)
{
    scene.nr_calls++;
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, 0x5555), 0);
    return 0;
}

/* Runs while the n-th call fails, and on from there. False: the run makes fewer calls. */
static bool fail_run(const struct route *route, unsigned n)
{
    struct testvm *t = begin_numbered(route);
    seL4_VCPUContext expected = numbered;
    bool has_failed;
    int r;

    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, set_rbx, TOKEN), 0);
    assert_int_equal(vcpu_start(t->vcpu), 0);
    forget_reason();
    inject_fail_nth(n);
    watchdog_begin(&t->vm);
    r = vm_run(&t->vm);
    watchdog_end();
    has_failed = inject_disarm();
    if (r != 0) {
        assert_true(has_failed);
        check_reason(n);
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_HOST);
        expected.ebx = scene.nr_calls == 0 ? numbered.ebx : 0x5555;
        check_context(t, &expected);
        testvm_run_to_exit(t);
    }
    assert_int_equal(scene.nr_calls, 1);
    expected.ebx = 0x5555;
    expected.r15++;
    check_context(t, &expected);
    end(t);
    return has_failed;
}

static void test_a_run_that_the_host_refuses_loses_no_hypercall(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR_ROUTES; i++) {
        unsigned n = 1;

        while (fail_run(&routes[i], n)) {
            n++;
        }
        assert_true(n > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_mode_says_what_kvm_offers),
        cmocka_unit_test(test_where_kvm_refuses_to_intercept_the_port_is_used),
        cmocka_unit_test(test_where_kvm_fails_to_intercept_nothing_is_registered),
        cmocka_unit_test(test_a_guest_that_sees_kvms_own_hypercalls_keeps_them),
        cmocka_unit_test(test_a_handler_is_called_once_and_sees_the_registers),
        cmocka_unit_test(test_a_handler_is_told_of_the_exit_in_vmx_terms),
        cmocka_unit_test(test_one_register_set_by_a_handler_leaves_the_others),
        cmocka_unit_test(test_a_handler_can_set_all_registers),
        cmocka_unit_test(test_the_guest_goes_on_where_a_handler_points),
        cmocka_unit_test(test_the_token_is_the_low_half_of_rax),
        cmocka_unit_test(test_an_unknown_token_changes_no_register),
        cmocka_unit_test(test_a_handlers_failure_ends_the_run),
        cmocka_unit_test(test_where_hypercalls_are_not_intercepted_kvm_answers_the_instruction),
        cmocka_unit_test(test_a_vm_without_handlers_leaves_the_instruction_to_kvm),
        cmocka_unit_test(test_a_xen_exit_of_another_kind_is_reported),
        cmocka_unit_test(test_a_handler_may_register_others),
        cmocka_unit_test(test_the_first_registration_may_come_from_a_callback),
        cmocka_unit_test(test_a_stop_by_a_handler_leaves_the_guest_behind_the_hypercall),
        cmocka_unit_test(test_handlers_belong_to_one_vm),
        cmocka_unit_test(test_a_registration_fails_whole),
        cmocka_unit_test(test_the_reasons_of_failed_registrations),
        cmocka_unit_test(test_a_run_that_the_host_refuses_loses_no_hypercall),
    };

    return run_vm_tests(tests);
}
