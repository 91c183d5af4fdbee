/* Hypercalls: who handles which, the port by which they come, and what is said of them. */
#include "support/vm.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <hostvm/vmcall.h>
#include <sel4vm/arch/vmcall.h>

#include "lib/contract.h"
#include "support/guest_file.h"

enum { TOKEN = 12, OTHER = 13 };

#define SET_UP                                                                                     \
    "mov $12, %eax\n"                                                                              \
    "mov $0x5e0, %edx\n"
#define BY_PORT "out %eax, %dx\n"

/* Handlers get no cookie. */
static unsigned nr_calls;
static int last_token;

static int record(vm_vcpu_t *vcpu)
{
    seL4_Word rax;

    nr_calls++;
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EAX, &rax), 0);
    last_token = (int)rax;
    return 0;
}

static int report_failure(vm_vcpu_t *vcpu)
{
    (void)vcpu;
    return -1;
}

static int never_called(vm_vcpu_t *vcpu)
{
    (void)vcpu;
    fail_msg("the handler of another hypercall was called");
    return -1;
}

/* --- registration --- */

static void test_a_token_has_one_handler(void **state)
{
    static const int sorted[] = {INT32_MIN, -1, 0, 7, INT32_MAX};
    static const int tokens[] = {7, -1, INT32_MAX, 0, INT32_MIN};
    struct testvm *t = *state;

    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, tokens[i]), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, tokens[i]), -1);
    }
    assert_reason("cannot register a handler for hypercall 0x80000000: it has one already");
    assert_int_equal(t->vm.arch.vmcall_num_handlers, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(t->vm.arch.vmcall_handlers[i].token, sorted[i]);
        assert_ptr_equal(t->vm.arch.vmcall_handlers[i].func, record);
    }
}

static void test_a_registration_without_vm_or_handler_is_refused(void **state)
{
    struct testvm *t = *state;
    static vm_t never_initialised;

    assert_int_equal(vm_reg_new_vmcall_handler(NULL, record, 1), -1);
    assert_int_equal(vm_reg_new_vmcall_handler(&never_initialised, record, 1), -1);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, NULL, 1), -1);
    assert_reason("vm_reg_new_vmcall_handler: no VM or no handler given");
    assert_int_equal(t->vm.arch.vmcall_num_handlers, 0);
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 0);
    assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_NONE);
    assert_int_equal(hostvm_vmcall_mode(NULL), HOSTVM_VMCALL_NONE);
    assert_int_equal(hostvm_vmcall_mode(&never_initialised), HOSTVM_VMCALL_NONE);
}

/* --- the port --- */

static ioport_fault_result_t count_out(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                       unsigned value)
{
    unsigned *nr = cookie;

    (void)vcpu;
    assert_int_equal(port, HOSTVM_VMCALL_PORT);
    assert_int_equal(size, 4);
    assert_int_equal(value, TOKEN);
    ++*nr;
    return IO_FAULT_HANDLED;
}

static int claim(struct testvm *t, unsigned *nr, const char *desc)
{
    const vm_ioport_interface_t interface = {nr, NULL, count_out, desc};
    const vm_ioport_range_t range = {HOSTVM_VMCALL_PORT - 2, HOSTVM_VMCALL_PORT + 2};

    return vm_io_port_add_handler(&t->vm, range, interface);
}

GUEST_CODE(call_once, SET_UP BY_PORT GUEST_EXIT);

static void test_the_port_is_anybodys_where_there_is_no_handler(void **state)
{
    struct testvm *t = *state;
    unsigned nr = 0;

    testvm_boot(t, &call_once);
    assert_int_equal(claim(t, &nr, "chip"), 0);
    testvm_run_to_exit(t);
    assert_int_equal(nr, 1);
}

static void test_a_registration_does_not_take_a_port_from_its_owner(void **state)
{
    static const struct {
        const char *desc;
        const char *reason;
    } owners[] = {
        {"chip", "cannot register a handler for hypercall 0xc: port 0x5e0, by which hypercalls "
                 "come, belongs to chip"},
        {NULL, "cannot register a handler for hypercall 0xc: port 0x5e0, by which hypercalls "
               "come, belongs to another"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        unsigned nr = 0;

        testvm_boot(t, &call_once);
        assert_int_equal(claim(t, &nr, owners[i].desc), 0);
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, TOKEN), -1);
        assert_reason(owners[i].reason);
        assert_int_equal(hostvm_vmcall_mode(&t->vm), HOSTVM_VMCALL_NONE);
        assert_int_equal(t->vm.arch.vmcall_num_handlers, 0);
        testvm_run_to_exit(t);
        assert_int_equal(nr, 1);
        testvm_destroy(t);
    }
}

static void test_the_port_of_hypercalls_has_one_owner(void **state)
{
    struct testvm *t = *state;
    unsigned nr = 0;

    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
    assert_int_equal(claim(t, &nr, NULL), -1);
    assert_reason("cannot add a handler for ports 0x5de to 0x5e2: 0x5e0 to 0x5e0 belong to "
                  "hypercalls");
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, OTHER), 0);
}

GUEST_CODE(narrow, "mov $0x5e0, %edx\n"
                   "mov $12, %eax\n"
                   "out %al, %dx\n"
                   "out %ax, %dx\n"
                   "in %dx, %eax\n"
                   "mov %rax, %rbx\n" GUEST_EXIT);

static void test_only_an_out_of_4_bytes_is_a_hypercall(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &narrow);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, TOKEN), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xffffffff);
}

/* --- many handlers, several vcpus --- */

enum { NR_TOKENS = 300, TOKEN_STEP = 7919, FIRST_TOKEN = -1000000 };

static int token_at(unsigned i)
{
    return FIRST_TOKEN + (int)i * TOKEN_STEP;
}

GUEST_CODE(call_token, "1: mov $0x5e0, %edx\n"
                       "mov 0x5000, %eax\n" BY_PORT GUEST_EXIT "jmp 1b\n");

static void test_each_of_many_tokens_reaches_its_handler(void **state)
{
    struct testvm *t = *state;
    int *token;

    nr_calls = 0;
    testvm_boot(t, &call_token);
    token = testvm_pointer(t, DATA_GPA, sizeof(*token));
    for (unsigned i = 0; i < NR_TOKENS; i++) { /* in disorder: 7 and NR_TOKENS have no divisor */
        assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, token_at(i * 7 % NR_TOKENS)), 0);
    }
    assert_int_equal(t->vm.arch.vmcall_num_handlers, NR_TOKENS);
    for (unsigned i = 0; i < NR_TOKENS; i++) {
        *token = token_at(i);
        testvm_run_to_exit(t);
        assert_int_equal(nr_calls, i + 1);
        assert_int_equal(last_token, *token);
        *token = token_at(i) + 1;
        testvm_run_to_exit(t);
        assert_int_equal(nr_calls, i + 1);
    }
}

enum { NR_CALLS_OF_TWO = 200 };

static atomic_bool is_inside;
static unsigned nr_calls_by_vcpu[2];

static int count_alone(vm_vcpu_t *vcpu)
{
    assert_false(atomic_exchange(&is_inside, true));
    nr_calls_by_vcpu[vcpu->vcpu_id]++;
    atomic_store(&is_inside, false);
    return nr_calls_by_vcpu[0] >= NR_CALLS_OF_TWO && nr_calls_by_vcpu[1] >= NR_CALLS_OF_TWO
               ? hostvm_vm_stop(vcpu->vm)
               : 0;
}

GUEST_CODE(call_for_good, SET_UP "1:\n" BY_PORT "jmp 1b\n");

static void test_handlers_of_two_vcpus_never_overlap(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *second;

    memset(nr_calls_by_vcpu, 0, sizeof(nr_calls_by_vcpu));
    testvm_boot(t, &call_for_good);
    second = vm_create_vcpu(&t->vm, 0);
    assert_non_null(second);
    assert_int_equal(vm_set_vmcs_field(second, VMX_GUEST_RIP, CODE_GPA), 0);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, count_alone, TOKEN), 0);
    assert_int_equal(vcpu_start(second), 0);
    assert_int_equal(testvm_run(t), 0);
    assert_true(nr_calls_by_vcpu[0] >= NR_CALLS_OF_TWO);
    assert_true(nr_calls_by_vcpu[1] >= NR_CALLS_OF_TWO);
}

/* --- what is said --- */

struct messages {
    unsigned nr;
    char text[16384];
};

static void keep_message(void *cookie, enum hostvm_log_level level, const char *message)
{
    struct messages *messages = cookie;
    size_t used = strlen(messages->text);

    (void)level;
    messages->nr++;
    (void)snprintf(messages->text + used, sizeof(messages->text) - used, "%s\n", message);
}

static struct testvm *create_listening(struct messages *messages)
{
    return testvm_create_with(
        (hostvm_env_config_t){.log_fn = keep_message, .log_cookie = messages});
}

GUEST_CODE(call_unknown, "mov $100, %ecx\n"
                         "mov $0x5e0, %edx\n"
                         "mov $0x4711, %eax\n"
                         "1:\n" BY_PORT "loop 1b\n" GUEST_EXIT);

static void test_unknown_tokens_do_not_flood_the_log(void **state)
{
    struct messages messages = {.nr = 0};
    struct testvm *t = create_listening(&messages);

    (void)state;
    testvm_boot(t, &call_unknown);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, never_called, TOKEN), 0);
    testvm_run_to_exit(t);
    assert_non_null(
        strstr(messages.text, "vcpu 0 made hypercall 0x4711, which nobody has registered\n"));
    assert_in_range(messages.nr, 1, 10);
    testvm_destroy(t);
    assert_non_null(
        strstr(messages.text, "\n92 more not shown: what the guest gave reason to warn of\n"));
}

GUEST_CODE(call_and_crash, SET_UP BY_PORT "mov 0x200000, %eax\n");

static void test_a_crash_report_names_hypercalls(void **state)
{
    struct messages messages = {.nr = 0};
    struct testvm *t = create_listening(&messages);

    (void)state;
    testvm_boot(t, &call_and_crash);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, record, TOKEN), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_non_null(strstr(messages.text, "\n  exit -1: hypercall 0xc\n"));
    testvm_destroy(t);
}

static void test_a_handlers_failure_is_said_once(void **state)
{
    struct messages messages = {.nr = 0};
    struct testvm *t = create_listening(&messages);

    (void)state;
    testvm_boot(t, &call_once);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, report_failure, TOKEN), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_string_equal(messages.text, "the handler of hypercall 0xc reported failure (-1)\n");
    testvm_destroy(t);
}

/* --- the guest of guests/ --- */

static int add_to_rbx(vm_vcpu_t *vcpu)
{
    seL4_Word rbx;

    nr_calls++;
    if (vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, &rbx) != 0) {
        return -1;
    }
    return vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, rbx + GUEST_VMCALL_ADDEND);
}

static void run_guest(bool is_by_instruction)
{
    struct testvm *t = testvm_create();
    uint32_t *port;

    nr_calls = 0;
    guest_file_boot(t, "vmcall");
    port = testvm_pointer(t, GUEST_VMCALL_PORT_AT, sizeof(*port));
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, add_to_rbx, GUEST_VMCALL_TOKEN), 0);
    if (is_by_instruction && hostvm_vmcall_mode(&t->vm) != HOSTVM_VMCALL_BY_INSTRUCTION) {
        testvm_destroy(t);
        print_message("this host's KVM does not hand hypercalls to user space\n");
        skip();
    }
    *port = is_by_instruction ? 0 : HOSTVM_VMCALL_PORT;
    guest_file_run(t);
    assert_int_equal(nr_calls, 1);
    testvm_destroy(t);
}

static void test_the_guest_calls_by_the_port(void **state)
{
    (void)state;
    run_guest(false);
}

static void test_the_guest_calls_by_the_instruction(void **state)
{
    (void)state;
    run_guest(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_a_token_has_one_handler),
        vm_test(test_a_registration_without_vm_or_handler_is_refused),
        vm_test(test_the_port_is_anybodys_where_there_is_no_handler),
        cmocka_unit_test(test_a_registration_does_not_take_a_port_from_its_owner),
        vm_test(test_the_port_of_hypercalls_has_one_owner),
        vm_test(test_only_an_out_of_4_bytes_is_a_hypercall),
        vm_test(test_each_of_many_tokens_reaches_its_handler),
        vm_test(test_handlers_of_two_vcpus_never_overlap),
        cmocka_unit_test(test_unknown_tokens_do_not_flood_the_log),
        cmocka_unit_test(test_a_crash_report_names_hypercalls),
        cmocka_unit_test(test_a_handlers_failure_is_said_once),
        cmocka_unit_test(test_the_guest_calls_by_the_port),
        cmocka_unit_test(test_the_guest_calls_by_the_instruction),
    };

    return run_vm_tests(tests);
}
