/*
 * Exit round trips: the library's dispatch beside a bare KVM_RUN loop that does the same exits in
 * the same run.
 *
 * Prints, per kind of exit, nanoseconds (in the deterministic box: instructions) for both and their
 * ratio.
 */
#include <signal.h>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/arch/guest_x86_context.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "bench/bare.h"

enum { NR_EXITS = 20000, NR_WARM_UP = 1000, CODE = BARE_CODE, DEVICE = 0xa0000, PORT = 0x10 };

/* Real mode: es = 0xa000, then one access for ever. */
#define SET_ES 0xb8, 0x00, 0xa0, 0x8e, 0xc0

static const struct kind {
    const char *name;
    uint8_t code[16];
} kinds[] = {
    {"port write", {SET_ES, 0xe6, PORT, 0xeb, 0xfc}},               /* out PORT, al */
    {"port read", {SET_ES, 0xe4, PORT, 0xeb, 0xfc}},                /* in al, PORT */
    {"memory write", {SET_ES, 0x26, 0xa2, 0x00, 0x00, 0xeb, 0xfa}}, /* mov es:[0], al */
    {"memory read", {SET_ES, 0x26, 0xa0, 0x00, 0x00, 0xeb, 0xfa}},  /* mov al, es:[0] */
};

static double bare_loop(const struct kind *kind)
{
    struct bare bare = bare_open(kind->code, sizeof(kind->code), DEVICE);
    uint64_t start = 0;

    for (int i = 0; i < NR_WARM_UP + NR_EXITS; i++) {
        if (i == NR_WARM_UP) {
            start = now();
        }
        bare_run(&bare);
    }
    start = now() - start;
    bare_close(&bare);
    return (double)start / NR_EXITS;
}

/* --- the library --- */

struct count {
    int nr_exits;
    uint64_t start;
    uint64_t end;
};

static void count_exit(struct count *count, vm_t *vm)
{
    count->nr_exits++;
    if (count->nr_exits == NR_WARM_UP) {
        count->start = now();
    } else if (count->nr_exits == NR_WARM_UP + NR_EXITS) {
        count->end = now();
        (void)hostvm_vm_stop(vm);
    }
}

static memory_fault_result_t device(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                    void *cookie)
{
    (void)addr;
    (void)size;
    if (is_vcpu_read_fault(vcpu)) {
        (void)set_vcpu_fault_data(vcpu, 1);
    }
    count_exit(cookie, vm);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static ioport_fault_result_t port_in(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                     unsigned *result)
{
    (void)port;
    (void)size;
    *result = 1;
    count_exit(cookie, vcpu->vm);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t port_out(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                      unsigned value)
{
    (void)port;
    (void)size;
    (void)value;
    count_exit(cookie, vcpu->vm);
    return IO_FAULT_HANDLED;
}

static void enter_real_mode(vm_vcpu_t *vcpu)
{
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_CR0, 0x10);
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_CR3, 0);
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_CR4, 0);
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_EFER, 0);
    for (unsigned segment = VMX_GUEST_ES_SELECTOR; segment <= VMX_GUEST_GS_SELECTOR; segment += 2) {
        unsigned i = segment - VMX_GUEST_ES_SELECTOR;

        (void)vm_set_vmcs_field(vcpu, segment, 0);
        (void)vm_set_vmcs_field(vcpu, VMX_GUEST_ES_BASE + i, 0);
        (void)vm_set_vmcs_field(vcpu, VMX_GUEST_ES_LIMIT + i, 0xffff);
        (void)vm_set_vmcs_field(vcpu, VMX_GUEST_ES_ACCESS_RIGHTS + i,
                                segment == VMX_GUEST_CS_SELECTOR ? 0x9b : 0x93);
    }
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, CODE);
}

static double library_loop(const struct kind *kind, const hostvm_env_config_t *config)
{
    const vm_ioport_interface_t port = {NULL, port_in, port_out, "bench"};
    struct count count = {0};
    vm_ioport_interface_t counted = port;
    hostvm_env_t env;
    vm_vcpu_t *vcpu;
    vm_t vm;

    counted.cookie = &count;
    if (hostvm_env_create(&env, config) != 0 ||
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "bench") != 0) {
        exit(1);
    }
    vcpu = vm_create_vcpu(&vm, 0);
    if (vcpu == NULL || vm_ram_register_at(&vm, 0, DEVICE, false) != 0 ||
        vm_reserve_memory_at(&vm, DEVICE, 4096, device, &count) == NULL ||
        vm_io_port_add_handler(&vm, (vm_ioport_range_t){PORT, PORT}, counted) != 0) {
        exit(1);
    }
    memcpy(hostvm_vm_pointer(&vm, CODE, sizeof(kind->code)), kind->code, sizeof(kind->code));
    enter_real_mode(vcpu);
    if (vcpu_start(vcpu) != 0 || vm_run(&vm) != 0) {
        exit(1);
    }
    (void)hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return (double)(count.end - count.start) / NR_EXITS;
}

static void measure(const char *title, const hostvm_env_config_t *config)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        double floor = bare_loop(&kinds[i]);
        double library = library_loop(&kinds[i], config);

        printf("exit, %-13s %-14s bare %8.0f  hostvm %8.0f  ratio %.3f\n", kinds[i].name, title,
               floor, library, library / floor);
    }
}

int main(void)
{
    const hostvm_env_config_t given = {.kick_signal = SIGUSR1};

    measure("", NULL);
    measure("(signal given)", &given);
    return 0;
}
