/* What the machine of a test's VM consists of on Arm: a page in the place of ports, and page tables
 * for guests that have nothing to do with them. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/guest_vcpu_fault.h>

enum {
    PAGE = 0x1000,
    TABLES_GPA = RAM_SIZE - 2 * PAGE, /* of level 1, then of level 2 */
    ENTRIES = 512,
    LARGE_BITS = 21,
    HUGE_BITS = 30,
};

/* Descriptors (Arm ARM, D8.3.1): a table; a block that was accessed, inner shareable, its memory
 * type by its place in MAIR. */
#define TABLE     0x3ull
#define BLOCK     0x701ull
#define TYPE(i)   ((uint64_t)(i) << 2)
#define MAIR      0x44ffull /* 0: write-back; 1: not cached, so that devices take any alignment */
#define TCR       0x200803519ull /* 39 bits by TTBR0, none by TTBR1, tables cached; 40 bits out */
#define SCTLR     0x30d01805ull  /* reset's, with translation and caches on (Arm ARM, D17.2.118) */
#define CPACR_FPU 0x300000ull

static memory_fault_result_t ports(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                   void *cookie)
{
    bool is_read = is_vcpu_read_fault(vcpu);
    unsigned port = (unsigned)(addr - PORTS_GPA);
    struct testvm *t = cookie;
    seL4_Word value;

    (void)vm;
    (void)size;
    if (!is_read && port == EXIT_PORT) {
        testvm_exited(t, (unsigned)get_vcpu_fault_data(vcpu));
    } else if (!is_read && port == KNOCK_PORT && t->listener != NULL) {
        t->listener(vcpu, t->listener_cookie);
    } else if (t->port != NULL) {
        value = t->port(vcpu, port, is_read, (unsigned)get_vcpu_fault_data(vcpu), t->port_cookie);
        if (is_read) {
            assert_int_equal(set_vcpu_fault_data(vcpu, value << (addr & 3) * 8), 0);
        }
    } else if (is_read) {
        return FAULT_ERROR;
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

void testvm_boot_machine(struct testvm *t)
{
    uint64_t *first = testvm_pointer(t, TABLES_GPA, PAGE);
    uint64_t *second = testvm_pointer(t, TABLES_GPA + PAGE, PAGE);

    assert_non_null(vm_reserve_memory_at(&t->vm, PORTS_GPA, PAGE, ports, t));
    for (uint64_t i = 0; i < ENTRIES; i++) {
        first[i] = i << HUGE_BITS | BLOCK | TYPE(1);
        second[i] = i << LARGE_BITS | BLOCK | TYPE(i == 0 ? 0 : 1);
    }
    first[0] = (TABLES_GPA + PAGE) | TABLE;
}

void testvm_boot_vcpu(struct testvm *t, vm_vcpu_t *vcpu, uintptr_t pc, uintptr_t sp)
{
    (void)t;
    assert_int_equal(vm_set_thread_context_reg(vcpu, CONTEXT_REG(pc), pc), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_SP_EL1, sp), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_MAIR, MAIR), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_TCR, TCR), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_TTBR0, TABLES_GPA), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_CPACR, CPACR_FPU), 0);
    assert_int_equal(vm_set_arm_vcpu_reg(vcpu, seL4_VCPUReg_SCTLR, SCTLR), 0);
}

void testvm_listen(struct testvm *t, listener_fn listener, void *cookie)
{
    t->listener = listener;
    t->listener_cookie = cookie;
}

void testvm_map_device_at(struct testvm *t, uintptr_t gpa)
{
    uint64_t *second = testvm_pointer(t, TABLES_GPA + PAGE, PAGE);

    second[DEVICE_GPA >> LARGE_BITS] = gpa | BLOCK | TYPE(0);
}

void testvm_take_ports(struct testvm *t, unsigned first, unsigned last, port_fn fn, void *cookie)
{
    (void)first;
    (void)last;
    t->port = fn;
    t->port_cookie = cookie;
}

/* --- interrupts --- */

/* By the processor's registers, or where it has none, by a GICv2's. From 1020 on there is none any
 * more. */
GUEST_CODE(count_irq, "mrs x22, id_aa64pfr0_el1\n"
                      "tst x22, #0xf000000\n"
                      "b.eq 2f\n"
                      "mrs x22, S3_0_C12_C12_0\n"
                      "cmp x22, #1020\n"
                      "b.hs 1f\n"
                      "add x20, x20, #1\n"
                      "msr S3_0_C12_C12_1, x22\n"
                      "isb\n"
                      "1: eret\n"
                      "2: ldr x21, =0x8010000\n"
                      "ldr w22, [x21, #0xc]\n"
                      "cmp w22, #1020\n"
                      "b.hs 1b\n"
                      "add x20, x20, #1\n"
                      "str w22, [x21, #0x10]\n"
                      "eret\n");

void testvm_take_irqs(struct testvm *t, unsigned irq)
{
    enum { VECTORS_GPA = 0x6000, IRQ_VECTOR = 0x280 };

    (void)irq;
    testvm_load(t, VECTORS_GPA + IRQ_VECTOR, &count_irq);
    assert_int_equal(vm_set_arm_vcpu_reg(t->vcpu, seL4_VCPUReg_VBAR, VECTORS_GPA), 0);
}

/* --- registers and calls --- */

seL4_Word testvm_context_reg(vm_vcpu_t *vcpu, testvm_reg_t reg)
{
    seL4_UserContext context;

    assert_int_equal(vm_get_thread_context(vcpu, &context), 0);
    return ((const seL4_Word *)&context)[reg];
}

seL4_Word testvm_pc(vm_vcpu_t *vcpu)
{
    seL4_Word pc = 0;

    assert_int_equal(vm_get_thread_context_reg(vcpu, CONTEXT_REG(pc), &pc), 0);
    return pc;
}

void testvm_set_pc(vm_vcpu_t *vcpu, uintptr_t pc)
{
    assert_int_equal(vm_set_thread_context_reg(vcpu, CONTEXT_REG(pc), pc), 0);
}

const struct kept_reg kept_regs[] = {
    {seL4_VCPUReg_TPIDR_EL1, 0x1111},
    {seL4_VCPUReg_CIDR, 0x22},
    {seL4_VCPUReg_ELR_EL1, 0x4444},
    {seL4_VCPUReg_FAR, 0x55550000},
};

const seL4_Word system_regs[] = {
    seL4_VCPUReg_SP_EL1, seL4_VCPUReg_ELR_EL1, seL4_VCPUReg_SPSR_EL1, seL4_VCPUReg_TTBR0,
    seL4_VCPUReg_VBAR,   seL4_VCPUReg_MAIR,    seL4_VCPUReg_CNTV_CTL, seL4_VCPUReg_SCTLR,
};

int testvm_get_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word *ret_value)
{
    return vm_get_arm_vcpu_reg(vcpu, reg, ret_value);
}

int testvm_set_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word value)
{
    return vm_set_arm_vcpu_reg(vcpu, reg, value);
}

static int refuse_call(vm_vcpu_t *vcpu, seL4_UserContext *regs)
{
    (void)vcpu;
    (void)regs;
    return -1;
}

void testvm_take_calls(struct testvm *t)
{
    assert_int_equal(vm_register_smc_handler_callback(&t->vm, refuse_call), 0);
}

const char *testvm_machine_call_name(unsigned i)
{
    (void)i;
    return "vm_register_smc_handler_callback";
}

int testvm_machine_call(vm_t *vm, unsigned i)
{
    (void)i;
    return vm_register_smc_handler_callback(vm, refuse_call);
}

void testvm_check_vcpu_memory(struct testvm *t)
{
    assert_null(hostvm_vm_pointer(&t->vm, 0x10000000, 1));
}
