/* The guest of sel4_devices.c on AArch64. */
#ifndef EXAMPLES_ARM64_SEL4_DEVICES_GUEST_H
#define EXAMPLES_ARM64_SEL4_DEVICES_GUEST_H

#include <stddef.h>

#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "examples/load.h"
#include "examples/sel4_devices.h"
#include "guest.h"

enum {
    CODE = 0x1000,
    ANSWER = 0x201000, /* a page; there are no ports */
    LINE = 40,         /* of the device: one of those that are shared by all processors */
};

/* The guest has the device multiply two numbers, sleeps until the interrupt, tells the result. */
__asm__(
    ".pushsection .rodata\n"
    ".balign 4\n"
    "guest:\n"
    /* the distributor on; line 40 a level, for the first processor (GICv2: Arm IHI 0048, 4.3) */
    "mov x0, #0x8000000; mov w1, #0x13; str w1, [x0]; str wzr, [x0, #0xc08]\n"
    "mrs x19, id_aa64pfr0_el1; ands x19, x19, #0xf000000; b.eq 1f\n"
    /* GICv3 (Arm IHI 0069, 12): in group 1; the redistributor awake; the interface on */
    "mov w1, #0x100; str w1, [x0, #0x84]; add x1, x0, #0x6000; str xzr, [x1, #0x140]\n"
    "mov x1, #0x80a0000; str wzr, [x1, #0x14]\n"
    "mov x1, #1; msr S3_0_C12_C12_5, x1; isb\n"
    "mov x2, #0xff; msr S3_0_C4_C6_0, x2; msr S3_0_C12_C12_7, x1; isb; b 2f\n"
    /* GICv2: the processor's target, its interface on */
    "1: mov w1, #1; strb w1, [x0, #0x828]\n"
    "mov x2, #0x8010000; mov w3, #0xff; str w3, [x2, #4]; str w1, [x2]\n"
    "2: mov w1, #0x100; str w1, [x0, #0x104]; dsb sy\n"
    "mov x1, #0x1800; msr vbar_el1, x1; isb\n"
    /* two factors, and go */
    "mov x1, #0x200000; mov w0, #6; str w0, [x1]; mov w0, #7; str w0, [x1, #4]\n"
    "mov w0, #1; str w0, [x1, #8]\n"
    "mov x20, #0\n"
    "3: wfi; msr daifclr, #2; isb; msr daifset, #2; cbz x20, 3b\n"
    /* busy until the acknowledgement has reached the device; then the product */
    "4: ldr w0, [x1, #8]; cbnz w0, 4b\n"
    "ldr w0, [x1, #12]; add x2, x1, #0x1000; str w0, [x2]\n"
    "5: wfi; b 5b\n"
    /* the interrupt's handler: which one it is, its end */
    ".org guest + 0x800 + 0x280\n"
    "mov x20, #1; cbz x19, 6f\n"
    "mrs x21, S3_0_C12_C12_0; msr S3_0_C12_C12_1, x21; isb; eret\n"
    "6: mov x22, #0x8010000; ldr w21, [x22, #0xc]; str w21, [x22, #0x10]; eret\n"
    "guest_end: .popsection\n");
/* Hidden: no table of addresses stands between, which has no room for what lies behind a label. */
extern __attribute__((visibility("hidden"))) const char guest[], guest_end[];

static int load_guest(vm_t *vm, vm_vcpu_t *vcpu)
{
    return load(vm, CODE, guest, guest_end - guest) != 0 ? -1 : guest_begin(vm, vcpu, CODE);
}

static memory_fault_result_t answer_by_store(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                             void *cookie)
{
    const struct listener *listener = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    listener->answered(listener->cookie, get_vcpu_fault_data(vcpu));
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static int listen_for_answer(vm_t *vm, struct listener *listener)
{
    return vm_reserve_memory_at(vm, ANSWER, 4, answer_by_store, listener) == NULL ? -1 : 0;
}

#endif
