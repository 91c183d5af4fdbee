/* I/O ports: who owns which, and what IN and OUT do with and without an owner. */
#include "support/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/io.h>

#include <sel4vm/arch/vmcall.h>
#include <sel4vm/arch/vmexit_reasons.h>

#include "support/guest_file.h"
#include "support/operation.h"

enum { PORT = 0x300, MAX_ACCESSES = 8 };

/* Answers ports as it is told and remembers what it was asked. */
struct ports {
    ioport_fault_result_t result;
    unsigned answers[MAX_ACCESSES]; /* to IN, one after the other */
    unsigned nr_accesses;
    struct {
        unsigned port;
        unsigned size;
        unsigned value; /* before the callback */
        bool is_in;
    } accesses[MAX_ACCESSES];
};

static ioport_fault_result_t access_port(struct ports *ports, unsigned port, bool is_in,
                                         unsigned size, unsigned *value)
{
    unsigned i = ports->nr_accesses++;

    assert_true(i < MAX_ACCESSES);
    ports->accesses[i].port = port;
    ports->accesses[i].size = size;
    ports->accesses[i].is_in = is_in;
    ports->accesses[i].value = *value;
    if (is_in) {
        *value = ports->answers[i];
    }
    return ports->result;
}

static ioport_fault_result_t port_in(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                     unsigned *result)
{
    assert_int_equal(vcpu->vcpu_id, 0);
    return access_port(cookie, port, true, size, result);
}

static ioport_fault_result_t port_out(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                      unsigned value)
{
    assert_int_equal(vcpu->vcpu_id, 0);
    return access_port(cookie, port, false, size, &value);
}

static ioport_fault_result_t unhandled_port(vm_vcpu_t *vcpu, unsigned port, bool is_in,
                                            unsigned *value, size_t size, void *cookie)
{
    assert_int_equal(vcpu->vcpu_id, 0);
    return access_port(cookie, port, is_in, (unsigned)size, value);
}

static int add(struct testvm *t, uint16_t start, uint16_t end)
{
    const vm_ioport_interface_t interface = {NULL, port_in, port_out, "chip"};

    return vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){start, end}, interface);
}

static void boot(struct testvm *t, const struct guest_code *code, struct ports *ports)
{
    const vm_ioport_interface_t interface = {ports, port_in, port_out, NULL};

    testvm_boot(t, code);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT + 7}, interface),
                     0);
}

/* --- the map --- */

static void test_handlers_are_sorted_by_their_first_port(void **state)
{
    static const uint16_t starts[] = {0x60, 0x3f8, 0, 0x64, 0xffff};
    static const uint16_t sorted[] = {0, 0x60, 0x64, 0x3f8, 0xffff};
    struct testvm *t = *state;

    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(add(t, starts[i], starts[i]), 0);
    }
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(t->vm.arch.ioport_list.ioports[i].range.start, sorted[i]);
        assert_string_equal(t->vm.arch.ioport_list.ioports[i].interface.desc, "chip");
    }
}

static void test_a_port_has_one_handler(void **state)
{
    static const vm_ioport_range_t taken[] = {
        {0x70, 0x77}, {0x60, 0x70}, {0x77, 0x90}, {0x73, 0x73}, {0, 0xffff}, {0x90, 0x90},
    };
    struct testvm *t = *state;

    assert_int_equal(add(t, 0x70, 0x77), 0);
    assert_int_equal(add(t, 0x90, 0x90), 0);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        assert_int_equal(add(t, taken[i].start, taken[i].end), -1);
    }
    assert_reason("cannot add a handler for ports 0x90 to 0x90: 0x90 to 0x90 belong to chip");
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 2);
    assert_int_equal(add(t, 0x78, 0x8f), 0);
    assert_int_equal(add(t, 0x60, 0x6f), 0);
}

static void test_a_range_that_ends_before_it_begins_is_refused(void **state)
{
    struct testvm *t = *state;
    const vm_ioport_interface_t interface = {NULL, port_in, port_out, NULL};

    assert_int_equal(add(t, 0x71, 0x70), -1);
    assert_reason("cannot add a handler for ports 0x71 to 0x70: the last is below the first");
    assert_int_equal(vm_io_port_add_handler(NULL, (vm_ioport_range_t){1, 1}, interface), -1);
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 0);
}

static int add_range(struct scene *scene)
{
    return vm_io_port_add_handler(&scene->t->vm, (vm_ioport_range_t){0x60, 0x64},
                                  (vm_ioport_interface_t){NULL, NULL, NULL, NULL});
}

static void check_no_range(struct scene *scene)
{
    assert_int_equal(scene->t->vm.arch.ioport_list.num_ioports, 0);
}

static void test_adding_a_handler_fails_whole(void **state)
{
    const struct operation op = {operation_needs_nothing, add_range, check_no_range, NULL, NULL};

    (void)state;
    operation_fail_each(&op);
}

static void test_a_refused_unhandled_callback_keeps_the_old_one(void **state)
{
    struct testvm *t = *state;
    struct ports ports;

    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, unhandled_port, &ports), 0);
    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, NULL, NULL), -1);
    assert_int_equal(vm_register_unhandled_ioport_callback(NULL, unhandled_port, NULL), -1);
    assert_ptr_equal(t->vm.arch.unhandled_ioport_callback, unhandled_port);
    assert_ptr_equal(t->vm.arch.unhandled_ioport_callback_cookie, &ports);
}

static void test_ports_of_the_host_are_not_given_away_unasked(void **state)
{
    struct testvm *t = *state;
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    errno = 0;
    assert_int_equal(vm_enable_passthrough_ioport(vcpu, 0x80, 0x80), -1);
    assert_int_equal(errno, EPERM);
    assert_reason("cannot give the guest the host's ports 0x80 to 0x80: the environment does not "
                  "allow it; set hostvm_env_config_t.allow_ioport_passthrough");
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 0);
    assert_int_equal(vm_enable_passthrough_ioport(NULL, 0x80, 0x80), -1);
}

static void test_ports_of_the_host_that_have_a_handler_are_not_given_away(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.allow_ioport_passthrough = true});
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    (void)state;
    assert_int_equal(add(t, 0x81, 0x81), 0);
    assert_int_equal(vm_enable_passthrough_ioport(vcpu, 0x80, 0x82), -1);
    assert_int_equal(vm_enable_passthrough_ioport(vcpu, 0x82, 0x80), -1);
    assert_int_equal(t->vm.arch.ioport_list.num_ioports, 1);
    testvm_destroy(t);
}

/* Port 0x80 takes what is written and does nothing with it: a PC shows it as a code of its
 * self-test. */
GUEST_CODE(out_80, "out %al, $0x80\n" GUEST_EXIT);

static void test_a_guest_may_be_given_ports_that_the_process_has(void **state)
{
    struct testvm *t = testvm_create_with((hostvm_env_config_t){.allow_ioport_passthrough = true});

    (void)state;
    if (ioperm(0x80, 1, 1) != 0) {
        testvm_destroy(t);
        print_message("no port of this machine may be used\n");
        skip();
    }
    testvm_boot(t, &out_80);
    assert_int_equal(vm_enable_passthrough_ioport(t->vcpu, 0x80, 0x80), 0);
    testvm_run_to_exit(t);
    assert_int_equal(ioperm(0x80, 1, 0), 0);
    testvm_destroy(t);
}

/* --- accesses --- */

GUEST_CODE(ins_and_outs, "mov $0x300, %dx\n"
                         "mov $0x11223344, %eax\n"
                         "out %al, %dx\n"
                         "inc %dx\n"
                         "out %ax, %dx\n"
                         "inc %dx\n"
                         "out %eax, %dx\n"
                         "mov $0xaaaaaaaabbbbbbbb, %rax\n"
                         "in %dx, %al\n"
                         "mov %rax, %rbx\n"
                         "mov $0xaaaaaaaabbbbbbbb, %rax\n"
                         "in %dx, %ax\n"
                         "mov %rax, %rcx\n"
                         "mov $0xaaaaaaaabbbbbbbb, %rax\n"
                         "in %dx, %eax\n"
                         "mov %rax, %rsi\n" GUEST_EXIT);

static void test_handlers_see_the_port_the_size_and_the_value(void **state)
{
    static const struct {
        unsigned port;
        unsigned size;
        unsigned value;
    } expected[] = {
        {PORT, 1, 0x44},  {PORT + 1, 2, 0x3344}, {PORT + 2, 4, 0x11223344},
        {PORT + 2, 1, 0}, {PORT + 2, 2, 0},      {PORT + 2, 4, 0},
    };
    struct testvm *t = *state;
    struct ports ports = {.nr_accesses = 0};

    boot(t, &ins_and_outs, &ports);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(ports.accesses[i].port, expected[i].port);
        assert_int_equal(ports.accesses[i].size, expected[i].size);
        assert_int_equal(ports.accesses[i].value, expected[i].value);
        assert_int_equal(ports.accesses[i].is_in, i >= 3);
    }
}

static void test_in_changes_as_much_of_eax_as_it_reads(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.answers = {0, 0, 0, 0xfffffff1, 0xfffff2f3, 0xf4f5f6f7}};

    boot(t, &ins_and_outs, &ports);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xaaaaaaaabbbbbbf1);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0xaaaaaaaabbbbf2f3);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ESI), 0xf4f5f6f7);
}

static void check_all_ones(struct testvm *t)
{
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xaaaaaaaabbbbbbff);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0xaaaaaaaabbbbffff);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ESI), 0xffffffff);
}

static void test_a_port_of_nobody_reads_as_all_ones(void **state)
{
    struct testvm *t = *state;

    testvm_boot(t, &ins_and_outs);
    testvm_run_to_exit(t);
    check_all_ones(t);
}

static void test_a_handler_that_does_not_handle_reads_as_all_ones(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.result = IO_FAULT_UNHANDLED};

    boot(t, &ins_and_outs, &ports);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 6);
    check_all_ones(t);
}

static void test_a_direction_without_function_reads_as_all_ones(void **state)
{
    struct testvm *t = *state;
    const vm_ioport_interface_t nothing = {NULL, NULL, NULL, NULL};

    testvm_boot(t, &ins_and_outs);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT + 7}, nothing),
                     0);
    testvm_run_to_exit(t);
    check_all_ones(t);
}

static void test_the_unhandled_callback_is_asked_for_ports_of_nobody(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.answers = {0, 0, 0, 1, 2, 3}};

    testvm_boot(t, &ins_and_outs);
    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, unhandled_port, &ports), 0);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 6);
    assert_int_equal(ports.accesses[1].port, PORT + 1);
    assert_int_equal(ports.accesses[1].size, 2);
    assert_int_equal(ports.accesses[1].value, 0x3344);
    assert_false(ports.accesses[1].is_in);
    assert_true(ports.accesses[4].is_in);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ESI), 3);
}

static void test_an_unhandled_callback_that_does_not_handle_reads_as_all_ones(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.result = IO_FAULT_UNHANDLED};

    testvm_boot(t, &ins_and_outs);
    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, unhandled_port, &ports), 0);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 6);
    check_all_ones(t);
}

GUEST_CODE(in_only, "mov $0x300, %dx\n"
                    "in %dx, %al\n" GUEST_EXIT);
GUEST_CODE(out_only, "mov $0x300, %dx\n"
                     "out %al, %dx\n" GUEST_EXIT);

static void test_a_handlers_error_ends_the_run(void **state)
{
    static const struct guest_code *const codes[] = {&in_only, &out_only};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct testvm *t = testvm_create();
        struct ports ports = {.result = IO_FAULT_ERROR};

        boot(t, codes[i], &ports);
        assert_int_equal(testvm_run(t), -1);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
        assert_int_equal(ports.nr_accesses, 1);
        testvm_destroy(t);
    }
    assert_reason("the handler of port 0x300 reported an error for a write of 1 bytes");
}

static void test_an_unhandled_callbacks_error_ends_the_run(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.result = IO_FAULT_ERROR};

    testvm_boot(t, &in_only);
    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, unhandled_port, &ports), 0);
    assert_int_equal(testvm_run(t), -1);
    assert_int_equal(ports.nr_accesses, 1);
}

/* The last port of a range takes a wide access whole, whatever lies behind it. */
GUEST_CODE(out_over_the_end, "mov $0x307, %dx\n"
                             "mov $0x11223344, %eax\n"
                             "out %eax, %dx\n" GUEST_EXIT);

static void test_an_access_belongs_to_the_owner_of_its_first_port(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.nr_accesses = 0};
    struct ports next = {.nr_accesses = 0};
    const vm_ioport_interface_t interface = {&next, port_in, port_out, NULL};

    boot(t, &out_over_the_end, &ports);
    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT + 8, PORT + 15}, interface), 0);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 1);
    assert_int_equal(ports.accesses[0].value, 0x11223344);
    assert_int_equal(next.nr_accesses, 0);
}

GUEST_CODE(strings, "cld\n"
                    "mov $0x300, %dx\n"
                    "mov $0x5000, %esi\n"
                    "mov $3, %ecx\n"
                    "rep outsb\n"
                    "mov $0x5010, %edi\n"
                    "mov $3, %ecx\n"
                    "rep insb\n" GUEST_EXIT);

static void test_string_instructions_call_once_per_element_in_order(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.answers = {0, 0, 0, 'x', 'y', 'z'}};

    boot(t, &strings, &ports);
    memcpy(testvm_pointer(t, DATA_GPA, 3), "abc", 3);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 6);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ports.accesses[i].value, 'a' + i);
        assert_int_equal(ports.accesses[i].size, 1);
        assert_false(ports.accesses[i].is_in);
        assert_true(ports.accesses[3 + i].is_in);
    }
    assert_memory_equal(testvm_pointer(t, DATA_GPA + 0x10, 3), "xyz", 3);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ECX), 0);
}

/* --- what a handler may do --- */

static ioport_fault_result_t look_around(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                         unsigned size, unsigned *result)
{
    seL4_Word value = 0;

    (void)cookie;
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, &value), 0);
    assert_int_equal(value, CODE_GPA + 4);
    assert_int_equal(vm_get_thread_context_reg(vcpu, VCPU_CONTEXT_EDX, &value), 0);
    assert_int_equal(value, port);
    assert_int_equal(vm_set_thread_context_reg(vcpu, VCPU_CONTEXT_EBX, 0x99), 0);
    *result = 0x55 * size;
    return IO_FAULT_HANDLED;
}

static void test_a_handler_reads_and_sets_registers(void **state)
{
    struct testvm *t = *state;
    const vm_ioport_interface_t interface = {NULL, look_around, NULL, NULL};

    testvm_boot(t, &in_only);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT}, interface), 0);
    testvm_run_to_exit(t);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0x99);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EAX), 0x55);
}

static ioport_fault_result_t add_another(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                         unsigned size, unsigned value)
{
    const vm_ioport_interface_t interface = {cookie, port_in, port_out, NULL};

    (void)size;
    (void)value;
    assert_int_equal(
        vm_io_port_add_handler(
            vcpu->vm, (vm_ioport_range_t){(uint16_t)(port + 1), (uint16_t)(port + 7)}, interface),
        0);
    return IO_FAULT_HANDLED;
}

static void test_a_handler_may_add_handlers(void **state)
{
    struct testvm *t = *state;
    struct ports ports = {.answers = {0, 0, 7, 8, 9}};
    const vm_ioport_interface_t interface = {&ports, NULL, add_another, NULL};

    testvm_boot(t, &ins_and_outs);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT}, interface), 0);
    testvm_run_to_exit(t);
    assert_int_equal(ports.nr_accesses, 5);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_ESI), 9);
}

static ioport_fault_result_t look_at_exit(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                          unsigned size, unsigned value)
{
    seL4_Word *fields = cookie;

    (void)port;
    (void)size;
    (void)value;
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_REASON, &fields[0]), 0);
    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_DATA_EXIT_QUALIFICATION, &fields[1]), 0);
    return IO_FAULT_HANDLED;
}

/* Qualification of an I/O exit: size less one in bits 2:0, 3 for IN, the port from 16 on (SDM 3C,
 * 27-5). */
static void test_a_handler_is_told_of_the_exit_in_vmx_terms(void **state)
{
    struct testvm *t = *state;
    seL4_Word fields[2] = {0, 0};
    const vm_ioport_interface_t interface = {fields, NULL, look_at_exit, NULL};

    testvm_boot(t, &out_only);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT}, interface), 0);
    testvm_run_to_exit(t);
    assert_int_equal(fields[0], EXIT_REASON_IO_INSTRUCTION);
    assert_int_equal(fields[1], PORT << 16);
}

/* --- the guest of guests/ --- */

/* What its ports keep. */
static uint8_t file[GUEST_PORT_FILE_SIZE];
static uint8_t fifo[8];
static unsigned nr_put;
static unsigned nr_got;

static ioport_fault_result_t write_kept(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                        unsigned value)
{
    (void)vcpu;
    (void)cookie;
    if (port == GUEST_PORT_FIFO) {
        assert_in_range(nr_put, 0, sizeof(fifo) - 1);
        fifo[nr_put++] = (uint8_t)value;
    } else {
        memcpy(file + (port - GUEST_PORT_FILE_BASE), &value, size);
    }
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t read_kept(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                       unsigned *result)
{
    (void)vcpu;
    (void)cookie;
    *result = 0;
    if (port == GUEST_PORT_FIFO) {
        assert_in_range(nr_got, 0, nr_put - 1);
        *result = fifo[nr_got++];
    } else if (port == GUEST_PORT_WIDE) {
        *result = GUEST_PORT_WIDE_VALUE;
    } else {
        memcpy(result, file + (port - GUEST_PORT_FILE_BASE), size);
    }
    return IO_FAULT_HANDLED;
}

static void test_ports(void **state)
{
    static const vm_ioport_range_t ranges[] = {
        {GUEST_PORT_FILE_BASE, GUEST_PORT_FILE_BASE + GUEST_PORT_FILE_SIZE - 1},
        {GUEST_PORT_FIFO, GUEST_PORT_FIFO},
        {GUEST_PORT_WIDE, GUEST_PORT_WIDE + 3},
    };
    const vm_ioport_interface_t interface = {NULL, read_kept, write_kept, NULL};
    struct testvm *t = *state;

    memset(file, 0, sizeof(file));
    nr_put = nr_got = 0;
    guest_file_boot(t, "ports");
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        assert_int_equal(vm_io_port_add_handler(&t->vm, ranges[i], interface), 0);
    }
    guest_file_run(t);
}

/* --- what a callback may not --- */

static unsigned nr_tries;

static void try_to_run_and_destroy(vm_t *vm)
{
    nr_tries++;
    assert_int_equal(vm_run(vm), -1);
    assert_reason("vm_run: the VM runs already");
    assert_int_equal(hostvm_vm_destroy(vm), -1);
    assert_reason("cannot destroy a VM that is in vm_run: stop it first");
}

static ioport_fault_result_t try_in_port(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                         unsigned size, unsigned value)
{
    (void)cookie, (void)port, (void)size, (void)value;
    try_to_run_and_destroy(vcpu->vm);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t try_in_unhandled_port(vm_vcpu_t *vcpu, unsigned port, bool is_in,
                                                   unsigned *value, size_t size, void *cookie)
{
    (void)port, (void)is_in, (void)value, (void)size, (void)cookie;
    try_to_run_and_destroy(vcpu->vm);
    return IO_FAULT_HANDLED;
}

static int try_in_hypercall(vm_vcpu_t *vcpu)
{
    try_to_run_and_destroy(vcpu->vm);
    return 0;
}

GUEST_CODE(call_all, "out %al, $0x80\n"
                     "out %al, $0x81\n"
                     "mov $0x5e0, %edx\n"
                     "mov $12, %eax\n"
                     "out %eax, %dx\n" GUEST_EXIT);

static void test_no_callback_of_a_port_can_run_or_destroy_its_vm(void **state)
{
    struct testvm *t = *state;
    const vm_ioport_interface_t interface = {NULL, NULL, try_in_port, "port"};

    nr_tries = 0;
    testvm_boot(t, &call_all);
    assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){0x80, 0x80}, interface), 0);
    assert_int_equal(vm_register_unhandled_ioport_callback(&t->vm, try_in_unhandled_port, NULL), 0);
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, try_in_hypercall, 12), 0);
    testvm_run_to_exit(t);
    assert_int_equal(nr_tries, 3);
}

/* --- verdicts that there are not --- */

static ioport_fault_result_t nonsense_in(vm_vcpu_t *vcpu, void *cookie, unsigned port,
                                         unsigned size, unsigned *result)
{
    (void)vcpu, (void)port, (void)size;
    *result = 1;
    return *(ioport_fault_result_t *)cookie;
}

static ioport_fault_result_t nonsense_unhandled(vm_vcpu_t *vcpu, unsigned port, bool is_in,
                                                unsigned *value, size_t size, void *cookie)
{
    (void)is_in;
    return nonsense_in(vcpu, cookie, port, (unsigned)size, value);
}

GUEST_CODE(read_port, "mov $0x300, %edx\nin %dx, %al\n" GUEST_EXIT);

static void test_a_port_verdict_that_there_is_not_is_an_error(void **state)
{
    static const int results[] = {3, 99, -1, INT32_MIN, INT32_MAX};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(results) / sizeof(results[0]); i++) {
        struct testvm *t = testvm_create();
        ioport_fault_result_t result = (ioport_fault_result_t)results[i / 2];
        const vm_ioport_interface_t port = {&result, nonsense_in, NULL, "nonsense"};

        testvm_boot(t, &read_port);
        if (i % 2 == 0) {
            assert_int_equal(vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){PORT, PORT}, port),
                             0);
        } else {
            assert_int_equal(
                vm_register_unhandled_ioport_callback(&t->vm, nonsense_unhandled, &result), 0);
        }
        assert_int_equal(testvm_run(t), -1);
        assert_reason("the handler of port 0x300 reported an error for a read of 1 bytes");
        assert_int_equal(hostvm_vm_end(&t->vm), HOSTVM_END_CALLBACK);
        assert_int_equal(t->vm.run.exit_reason, VM_GUEST_ERROR_EXIT);
        testvm_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_handlers_are_sorted_by_their_first_port),
        vm_test(test_a_port_has_one_handler),
        vm_test(test_a_range_that_ends_before_it_begins_is_refused),
        cmocka_unit_test(test_adding_a_handler_fails_whole),
        vm_test(test_a_refused_unhandled_callback_keeps_the_old_one),
        vm_test(test_ports_of_the_host_are_not_given_away_unasked),
        cmocka_unit_test(test_ports_of_the_host_that_have_a_handler_are_not_given_away),
        cmocka_unit_test(test_a_guest_may_be_given_ports_that_the_process_has),
        vm_test(test_handlers_see_the_port_the_size_and_the_value),
        vm_test(test_in_changes_as_much_of_eax_as_it_reads),
        vm_test(test_a_port_of_nobody_reads_as_all_ones),
        vm_test(test_a_handler_that_does_not_handle_reads_as_all_ones),
        vm_test(test_a_direction_without_function_reads_as_all_ones),
        vm_test(test_the_unhandled_callback_is_asked_for_ports_of_nobody),
        vm_test(test_an_unhandled_callback_that_does_not_handle_reads_as_all_ones),
        cmocka_unit_test(test_a_handlers_error_ends_the_run),
        vm_test(test_an_unhandled_callbacks_error_ends_the_run),
        vm_test(test_an_access_belongs_to_the_owner_of_its_first_port),
        vm_test(test_string_instructions_call_once_per_element_in_order),
        vm_test(test_a_handler_reads_and_sets_registers),
        vm_test(test_a_handler_may_add_handlers),
        vm_test(test_a_handler_is_told_of_the_exit_in_vmx_terms),
        vm_test(test_ports),
        vm_test(test_no_callback_of_a_port_can_run_or_destroy_its_vm),
        cmocka_unit_test(test_a_port_verdict_that_there_is_not_is_an_error),
    };

    return run_vm_tests(tests);
}
