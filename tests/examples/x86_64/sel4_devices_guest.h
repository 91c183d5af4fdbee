/* The guest of sel4_devices.c on x86-64. */
#ifndef EXAMPLES_X86_64_SEL4_DEVICES_GUEST_H
#define EXAMPLES_X86_64_SEL4_DEVICES_GUEST_H

#include <stddef.h>

#include <sel4vm/arch/ioports.h>

#include "examples/load.h"
#include "examples/sel4_devices.h"
#include "guest.h"

enum {
    CODE = 0x1000,
    HANDLER = 0x1100, /* .org in the guest's code */
    IDT = 0x2000,
    GDT = 0x4000,
    LINE = 5, /* of the device: with the chip's vectors from 0x20 on, vector 0x25 */
    PORT = 0x80,
};

/* The guest has the device multiply two numbers, sleeps until the interrupt, tells the result. */
__asm__(".pushsection .rodata\n"
        "guest:\n"
        /* an 8259, vectors from 0x20 on, all lines masked but line 5 */
        "mov $0x11, %al; out %al, $0x20; mov $0x20, %al; out %al, $0x21\n"
        "mov $0x04, %al; out %al, $0x21; mov $0x01, %al; out %al, $0x21\n"
        "mov $0xdf, %al; out %al, $0x21\n"
        /* two factors, and go */
        "movl $6, 0x200000; movl $7, 0x200004; movl $1, 0x200008\n"
        "sti; hlt\n"
        /* busy until the acknowledgement has reached the device; then the product */
        "1: cmpl $0, 0x200008; jne 1b\n"
        "mov 0x20000c, %eax; out %eax, $0x80\n"
        "2: hlt; jmp 2b\n"
        /* the interrupt's handler */
        ".org guest + 0x100\n"
        "mov $0x20, %al; out %al, $0x20; iretq\n"
        "guest_end: .popsection\n");
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

/* What the interrupt needs: code and data segments, and a gate to HANDLER (SDM 3A, 6.14.1). */
static const seL4_Word segments[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
static const seL4_Word gate[] = {HANDLER | 0x8ul << 16 | 0x8e00ul << 32, 0};

static int load_guest(vm_t *vm, vm_vcpu_t *vcpu)
{
    return load(vm, CODE, guest, guest_end - guest) != 0 ||
                   load(vm, GDT, segments, sizeof(segments)) != 0 ||
                   load(vm, IDT + 0x25 * sizeof(gate), gate, sizeof(gate)) != 0 ||
                   vm_set_vmcs_field(vcpu, VMX_GUEST_GDTR_BASE, GDT) != 0 ||
                   vm_set_vmcs_field(vcpu, VMX_GUEST_GDTR_LIMIT, sizeof(segments) - 1) != 0 ||
                   vm_set_vmcs_field(vcpu, VMX_GUEST_IDTR_BASE, IDT) != 0 ||
                   vm_set_vmcs_field(vcpu, VMX_GUEST_IDTR_LIMIT, 0x26 * sizeof(gate) - 1) != 0
               ? -1
               : guest_begin(vm, vcpu, CODE);
}

/* The guest's answer comes by a port. */
static ioport_fault_result_t answer_by_port(vm_vcpu_t *vcpu, void *cookie, unsigned int port,
                                            unsigned int size, unsigned int value)
{
    const struct listener *listener = cookie;

    (void)vcpu;
    (void)port;
    (void)size;
    listener->answered(listener->cookie, value);
    return IO_FAULT_HANDLED;
}

static int listen_for_answer(vm_t *vm, struct listener *listener)
{
    const vm_ioport_interface_t port = {listener, NULL, answer_by_port, "answer"};

    return vm_io_port_add_handler(vm, (vm_ioport_range_t){PORT, PORT}, port);
}

#endif
