/* A VM for tests: environment, VM, vcpu, memory and code in three lines, and a limit for guests
 * that hang. */
#ifndef SUPPORT_VM_H
#define SUPPORT_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>

#include "support/envs.h"
#include "support/leak.h"

/*
 * Where testvm_boot puts things. Memory is mapped one to one up to 1 GiB. A guest ends with a byte
 * written to EXIT_PORT (GUEST_EXIT).
 */
enum {
    RAM_SIZE = 0x100000, /* from 0 on */
    CODE_GPA = 0x1000,   /* the first instruction */
    IDT_GPA = 0x3000,
    GDT_GPA = 0x4000,
    DATA_GPA = 0x5000,     /* for the test */
    STACK_GPA = 0x8000,    /* grows downwards from here */
    DEVICE_GPA = 0x200000, /* nothing is there */
};

/* A guest's code: GUEST_CODE(name, text), as machine.h has it for each architecture. */
struct guest_code {
    const uint8_t *begin;
    const uint8_t *end;
};

#define GUEST_CODE_DECLARE(name)                                                                   \
    extern const uint8_t name##_begin[] __attribute__((visibility("hidden")));                     \
    extern const uint8_t name##_end[] __attribute__((visibility("hidden")));                       \
    static const struct guest_code name = {name##_begin, name##_end}

#include "machine.h"

/* In a guest's code: where it is, for guest_mark. */
#define GUEST_MARK(name)         ".globl " #name "\n.hidden " #name "\n" #name ":\n"
#define GUEST_MARK_DECLARE(name) extern const uint8_t name[] __attribute__((visibility("hidden")))

/* Bytes from the beginning of the code to the mark. */
#define guest_mark(code, name) ((uintptr_t)((name) - (code).begin))

typedef void (*listener_fn)(vm_vcpu_t *vcpu, void *cookie);

/* Returns what a read gives. */
typedef unsigned (*port_fn)(vm_vcpu_t *vcpu, unsigned port, bool is_read, unsigned value,
                            void *cookie);

struct testvm {
    hostvm_env_t env;
    vm_t vm;
    vm_vcpu_t *vcpu;     /* the boot vcpu, from testvm_boot on */
    unsigned nr_exits;   /* bytes written to EXIT_PORT */
    unsigned exit_value; /* the last one */
    listener_fn listener;
    void *listener_cookie;
    port_fn port;
    void *port_cookie;
};

/* An environment and an empty VM. Fails the test if there is none to be had. */
struct testvm *testvm_create(void);
struct testvm *testvm_create_with(hostvm_env_config_t config);

/* Takes both down. When they were the last, fails the test if anything is left of all of them. */
void testvm_destroy(struct testvm *t);

/* The same as fixtures of a test: *state is the struct testvm. */
int testvm_set_up(void **state);
int testvm_tear_down(void **state);
#define vm_test(f) cmocka_unit_test_setup_teardown(f, testvm_set_up, testvm_tear_down)

/* A vcpu that will begin with the code, RAM for it, a stack, and the port that ends it. */
void testvm_boot(struct testvm *t, const struct guest_code *code);

/* Copies code to guest memory. */
void testvm_load(struct testvm *t, uintptr_t gpa, const struct guest_code *code);

/* A vcpu that the test has created begins at pc, in the state of the boot vcpu. */
void testvm_boot_vcpu(struct testvm *t, vm_vcpu_t *vcpu, uintptr_t pc, uintptr_t sp);

/* As testvm_boot, with a second vcpu, which is returned: it begins with code of its own, a page
 * behind the first's, on a stack a page below. */
vm_vcpu_t *testvm_boot_two(struct testvm *t, const struct guest_code *first,
                           const struct guest_code *second);

/* At each GUEST_KNOCK of the guest, on its thread. Once, after testvm_boot. */
void testvm_listen(struct testvm *t, listener_fn listener, void *cookie);

/* Bytes that the guest exchanges by these ports, or what is in their place, go through the
 * function. Arm: those of all ports do that were not taken otherwise. */
void testvm_take_ports(struct testvm *t, unsigned first, unsigned last, port_fn fn, void *cookie);

/* What the guest has at DEVICE_GPA is guest-physical gpa from now on, for 2 MiB; before it runs. */
void testvm_map_device_at(struct testvm *t, uintptr_t gpa);

/* Has the boot vcpu take an interrupt of the VM's controllers, which GUEST_IRQ_SET_UP makes ready,
 * by a handler that counts in REG_NR_IRQS and tells the controllers of its end. */
void testvm_take_irqs(struct testvm *t, unsigned irq);

/* x86: gives the guest a segment table and has an interrupt vector lead to an address. */
void testvm_set_vector(struct testvm *t, unsigned vector, uintptr_t gpa);

/* A general register, read as one of all of them together. */
seL4_Word testvm_context_reg(vm_vcpu_t *vcpu, testvm_reg_t reg);

/* Where a vcpu is, and where it goes on. */
seL4_Word testvm_pc(vm_vcpu_t *vcpu);
void testvm_set_pc(vm_vcpu_t *vcpu, uintptr_t pc);

/* Registers of the system's, by the numbers of machine.h. */
extern const struct kept_reg kept_regs[NR_KEPT_REGS];
extern const seL4_Word system_regs[NR_SYSTEM_REGS];
int testvm_get_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word *ret_value);
int testvm_set_system_reg(vm_vcpu_t *vcpu, seL4_Word reg, seL4_Word value);

/* Registers a handler of whatever calls this architecture's guests have, before the start. */
void testvm_take_calls(struct testvm *t);

/* Calls that this architecture alone has and that take a VM: asks for something impossible by this
 * VM, which is none. Returns what the call does. */
const char *testvm_machine_call_name(unsigned i);
int testvm_machine_call(vm_t *vm, unsigned i);

/* Fails the test unless the memory that the first vcpu brings along is there as it should be; or,
 * without a vcpu, none of it. */
void testvm_check_vcpu_memory(struct testvm *t);

/* Of the architecture, for vm.c: what else a machine has; and what it tells of the guest's end. */
void testvm_boot_machine(struct testvm *t);
void testvm_exited(struct testvm *t, unsigned value);

/* Starts the vcpu, the first time, and runs the VM. Fails the test when the guest hangs. */
int testvm_run(struct testvm *t);

/* Runs the VM to the end that the guest chooses. */
void testvm_run_to_exit(struct testvm *t);

/* A general register. */
seL4_Word testvm_reg(struct testvm *t, testvm_reg_t reg);

/* Guest memory, all of it there. */
void *testvm_pointer(struct testvm *t, uintptr_t gpa, size_t size);

/* Runs the tests; where there is no KVM, says so instead. */
#define run_vm_tests(tests)                                                                        \
    (vm_tests_can_run(__FILE__) ? cmocka_run_group_tests(tests, NULL, NULL) : 0)
bool vm_tests_can_run(const char *file);

/* Counts KVM's memory slots that are made, changed or removed from now on, in all VMs. */
void slot_changes_begin(void);
unsigned slot_changes(void);

/* The next so many VMs are refused by KVM, as busy; those behind are not. Returns how many were
 * still to be refused. */
unsigned vm_creations_refuse(unsigned nr);

/* From now on KVM gives a VM so many vcpus and says so; 0: as many as it really has. Before the VM
 * is created, and while no other thread makes any. */
void vcpus_limit(unsigned nr);

/* From begin to end, or until so many seconds are over: then the VM is stopped and the test fails.
 */
void watchdog_begin(vm_t *vm);
void watchdog_end(void);

#endif
