/* What a measured guest does on Arm: accesses to memory that is not there. */
#ifndef BENCH_EXITS_GUEST_H
#define BENCH_EXITS_GUEST_H

#include <sel4vm/arch/guest_arm_context.h>

#include "bench/count.h"

enum { RAM_SIZE = 0x100000, DEVICE = BARE_DEVICE };

#define REPEAT 0xff, 0xff, 0xff, 0x17 /* b .-4 */

struct kind {
    const char *name;
    uint8_t code[16];
};

static const struct kind kinds[] = {
    {"memory write", {SET_X1, 0x20, 0x00, 0x00, 0xb9, REPEAT}}, /* str w0, [x1] */
    {"memory read", {SET_X1, 0x20, 0x00, 0x40, 0xb9, REPEAT}},  /* ldr w0, [x1] */
};

/* Where there are any. 0 or -1. */
static int count_ports(vm_t *vm, struct count *count)
{
    (void)vm;
    (void)count;
    return 0;
}

static void enter_guest(vm_vcpu_t *vcpu)
{
    (void)vm_set_thread_context_reg(vcpu, offsetof(seL4_UserContext, pc) / sizeof(seL4_Word),
                                    BARE_CODE);
}

#endif
