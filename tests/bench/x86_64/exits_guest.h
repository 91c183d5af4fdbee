/* What a measured guest does on x86: accesses to ports and memory in real mode. */
#ifndef BENCH_EXITS_GUEST_H
#define BENCH_EXITS_GUEST_H

#include <sel4vm/arch/ioports.h>
#include <sel4vm/arch/vmcs_fields.h>
#include <sel4vm/arch/guest_x86_context.h>

#include "bench/count.h"

enum { RAM_SIZE = 0xa0000, DEVICE = 0xa0000, PORT = 0x10 };

/* es = 0xa000, then one access for ever. */
#define SET_ES 0xb8, 0x00, 0xa0, 0x8e, 0xc0

struct kind {
    const char *name;
    uint8_t code[16];
};

static const struct kind kinds[] = {
    {"port write", {SET_ES, 0xe6, PORT, 0xeb, 0xfc}},               /* out PORT, al */
    {"port read", {SET_ES, 0xe4, PORT, 0xeb, 0xfc}},                /* in al, PORT */
    {"memory write", {SET_ES, 0x26, 0xa2, 0x00, 0x00, 0xeb, 0xfa}}, /* mov es:[0], al */
    {"memory read", {SET_ES, 0x26, 0xa0, 0x00, 0x00, 0xeb, 0xfa}},  /* mov al, es:[0] */
};

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

/* Where there are any. 0 or -1. */
static int count_ports(vm_t *vm, struct count *count)
{
    return vm_io_port_add_handler(vm, (vm_ioport_range_t){PORT, PORT},
                                  (vm_ioport_interface_t){count, port_in, port_out, "bench"});
}

static void enter_guest(vm_vcpu_t *vcpu)
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
    (void)vm_set_vmcs_field(vcpu, VMX_GUEST_RIP, BARE_CODE);
}

#endif
