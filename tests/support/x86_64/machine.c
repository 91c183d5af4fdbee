/* What the machine of a test's VM consists of on x86: two ports. */
#include "support/vm.h"

#include <string.h>

#include <hostvm/vmcall.h>

static ioport_fault_result_t exit_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                       unsigned value)
{
    (void)vcpu;
    (void)port;
    (void)size;
    testvm_exited(cookie, value);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t knock_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                        unsigned value)
{
    struct testvm *t = cookie;

    (void)port;
    (void)size;
    (void)value;
    t->listener(vcpu, t->listener_cookie);
    return IO_FAULT_HANDLED;
}

void testvm_boot_machine(struct testvm *t)
{
    const vm_ioport_interface_t port = {t, NULL, exit_port, "exit"};

    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){EXIT_PORT, EXIT_PORT}, port), 0);
}

void testvm_boot_vcpu(struct testvm *t, vm_vcpu_t *vcpu, uintptr_t pc, uintptr_t sp)
{
    (void)t;
    assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, pc), 0);
    assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RSP, sp), 0);
}

void testvm_listen(struct testvm *t, listener_fn listener, void *cookie)
{
    const vm_ioport_interface_t port = {t, NULL, knock_port, "knock"};

    t->listener = listener;
    t->listener_cookie = cookie;
    assert_int_equal(
        vm_io_port_add_handler(&t->vm, (vm_ioport_range_t){KNOCK_PORT, KNOCK_PORT}, port), 0);
}

static void set_table(struct testvm *t, seL4_Word base_field, seL4_Word base, seL4_Word limit_field,
                      seL4_Word limit)
{
    assert_int_equal(vm_set_vmcs_field(t->vcpu, base_field, base), 0);
    assert_int_equal(vm_set_vmcs_field(t->vcpu, limit_field, limit), 0);
}

void testvm_set_vector(struct testvm *t, unsigned vector, uintptr_t gpa)
{
    /* Nothing, 64-bit code, data, as the vcpu's segments are (Intel SDM 3A, 3.4.5). */
    static const uint64_t segments[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    enum { GATE_SIZE = 16, NR_GATES = 256 };
    /* A present interrupt gate to segment 8; the offset is split in three (SDM 3A, 6.14.1). */
    const uint64_t gate[] = {
        (gpa & 0xffff) | 0x8e00ull << 32 | 0x8ull << 16 | (gpa >> 16 & 0xffff) << 48,
        gpa >> 32,
    };

    memcpy(testvm_pointer(t, GDT_GPA, sizeof(segments)), segments, sizeof(segments));
    memcpy(testvm_pointer(t, IDT_GPA + vector * GATE_SIZE, GATE_SIZE), gate, sizeof(gate));
    set_table(t, VMX_GUEST_GDTR_BASE, GDT_GPA, VMX_GUEST_GDTR_LIMIT, sizeof(segments) - 1);
    set_table(t, VMX_GUEST_IDTR_BASE, IDT_GPA, VMX_GUEST_IDTR_LIMIT, GATE_SIZE * NR_GATES - 1);
}

void testvm_map_device_at(struct testvm *t, uintptr_t gpa)
{
    enum { DIRECTORY_GPA = 0x10002000, PAGE = 4096, LARGE_BITS = 21 };
    uint64_t *directory = testvm_pointer(t, DIRECTORY_GPA, PAGE);

    directory[DEVICE_GPA >> LARGE_BITS] = gpa | 0x87; /* as vm_create_vcpu made the others */
}

static ioport_fault_result_t write_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                        unsigned value)
{
    struct testvm *t = cookie;

    (void)size;
    (void)t->port(vcpu, port, false, value, t->port_cookie);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t read_port(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                       unsigned *result)
{
    struct testvm *t = cookie;

    (void)size;
    *result = t->port(vcpu, port, true, 0, t->port_cookie);
    return IO_FAULT_HANDLED;
}

void testvm_take_ports(struct testvm *t, unsigned first, unsigned last, port_fn fn, void *cookie)
{
    const vm_ioport_range_t range = {(uint16_t)first, (uint16_t)last};
    const vm_ioport_interface_t interface = {t, read_port, write_port, "guest"};

    t->port = fn;
    t->port_cookie = cookie;
    assert_int_equal(vm_io_port_add_handler(&t->vm, range, interface), 0);
}

/* --- interrupts --- */

GUEST_CODE(count_irq, "inc %r15\n"
                      "push %rax\n"
                      "mov $0x20, %al\n"
                      "out %al, $0x20\n"
                      "pop %rax\n"
                      "iretq\n");

void testvm_take_irqs(struct testvm *t, unsigned irq)
{
    enum { HANDLER_GPA = 0x2800 };

    testvm_load(t, HANDLER_GPA, &count_irq);
    testvm_set_vector(t, IRQ_VECTOR + irq, HANDLER_GPA);
}

/* --- registers and calls --- */

seL4_Word testvm_context_reg(vm_vcpu_t *vcpu, testvm_reg_t reg)
{
    seL4_VCPUContext context;

    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    return ((const seL4_Word *)&context)[reg];
}

seL4_Word testvm_pc(vm_vcpu_t *vcpu)
{
    seL4_Word pc = 0;

    assert_int_equal(vm_get_vmcs_field(vcpu, VMX_GUEST_RIP, &pc), 0);
    return pc;
}

void testvm_set_pc(vm_vcpu_t *vcpu, uintptr_t pc)
{
    assert_int_equal(vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, pc), 0);
}

const struct kept_reg kept_regs[] = {
    {VMX_GUEST_SYSENTER_CS, 8},
    {VMX_GUEST_SYSENTER_EIP, 0x4444},
    {VMX_GUEST_PAT, 0x0606060606060606},
    {VMX_GUEST_DR7, 0x402},
};

const seL4_Word system_regs[] = {
    VMX_GUEST_RIP,    VMX_GUEST_RSP,          VMX_GUEST_CR3,        VMX_GUEST_EFER,
    VMX_GUEST_DR7,    VMX_GUEST_FS_BASE,      VMX_GUEST_GDTR_LIMIT, VMX_GUEST_CS_ACCESS_RIGHTS,
    VMX_GUEST_PAT,    VMX_GUEST_SYSENTER_ESP, VMX_GUEST_ACTIVITY,   VMX_GUEST_INTERRUPTABILITY,
    VMX_GUEST_RFLAGS,
};

int testvm_get_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word *ret_value)
{
    return vm_get_vmcs_field(vcpu, reg, ret_value);
}

int testvm_set_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word value)
{
    return vm_set_vmcs_field(vcpu, reg, value);
}

static int refuse_call(vm_vcpu_t *vcpu)
{
    (void)vcpu;
    return -1;
}

void testvm_take_calls(struct testvm *t)
{
    assert_int_equal(vm_reg_new_vmcall_handler(&t->vm, refuse_call, 12), 0);
}

static ioport_fault_result_t never_accessed(vm_vcpu_t *vcpu, unsigned port, bool is_in,
                                            unsigned *value, size_t size, void *cookie)
{
    (void)vcpu, (void)port, (void)is_in, (void)value, (void)size, (void)cookie;
    fail();
    return IO_FAULT_ERROR;
}

const char *testvm_machine_call_name(unsigned i)
{
    static const char *const names[NR_MACHINE_CALLS] = {
        "vm_io_port_add_handler",
        "vm_register_unhandled_ioport_callback",
        "vm_reg_new_vmcall_handler",
    };

    return names[i];
}

int testvm_machine_call(vm_t *vm, unsigned i)
{
    const vm_ioport_interface_t interface = {NULL, NULL, NULL, NULL};

    switch (i) {
    case 0:
        return vm_io_port_add_handler(vm, (vm_ioport_range_t){1, 1}, interface);
    case 1:
        return vm_register_unhandled_ioport_callback(vm, never_accessed, NULL);
    default:
        return hostvm_vmcall_mode(vm) == HOSTVM_VMCALL_NONE
                   ? vm_reg_new_vmcall_handler(vm, refuse_call, 1)
                   : 0;
    }
}

/* Page tables (Intel SDM 3A, 4.5). */
void testvm_check_vcpu_memory(struct testvm *t)
{
    enum { TABLES_GPA = 0x10000000, PAGE = 4096 };
    const uint64_t *tables;

    if (t->vm.num_vcpus == 0) {
        assert_null(hostvm_vm_pointer(&t->vm, TABLES_GPA, 1));
        return;
    }
    tables = testvm_pointer(t, TABLES_GPA, 3 * PAGE);
    assert_int_equal(tables[0], 0x10001007);
    assert_int_equal(tables[512], 0x10002007);
    assert_int_equal(tables[1025], 0x200087);
}
