/* A VMM in the manner of seL4 code: RAM, a device behind a reservation, its interrupt; on x86 a
 * port. The guest is in sel4_devices_guest.h, once for each architecture. */
#include <stdio.h>

#include <sel4/sel4.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/vka.h>

#include "sel4_devices_guest.h"

enum {
    RAM_SIZE = 1 << 20,
    DEVICE = 0x200000,
    DONE = 1 << 3, /* a badge */
};

enum { FACTOR, OTHER_FACTOR, BUSY, PRODUCT, NR_REGISTERS };

struct multiplier {
    seL4_Word registers[NR_REGISTERS]; /* 32 bits each, for the guest */
    unsigned nr_acks;
    seL4_Word answer; /* what the guest had to say */
    seL4_CPtr done;   /* to tell ourselves */
    struct listener listener;
};

static memory_fault_result_t device_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                          void *cookie)
{
    struct multiplier *device = cookie;
    seL4_Word *reg = &device->registers[(addr - DEVICE) / 4];

    (void)vm;
    (void)size;
    if (is_vcpu_read_fault(vcpu)) {
        set_vcpu_fault_data(vcpu, *reg);
    } else {
        *reg = emulate_vcpu_fault(vcpu, *reg);
    }
    if (!is_vcpu_read_fault(vcpu) && reg == &device->registers[BUSY]) {
        device->registers[PRODUCT] = device->registers[FACTOR] * device->registers[OTHER_FACTOR];
        vm_set_irq_level(vcpu, LINE, 1);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static void device_acknowledged(vm_vcpu_t *vcpu, int irq, void *cookie)
{
    struct multiplier *device = cookie;

    vm_set_irq_level(vcpu, irq, 0);
    device->registers[BUSY] = 0;
    device->nr_acks++;
}

static void answered(void *cookie, seL4_Word value)
{
    struct multiplier *device = cookie;

    device->answer = value;
    seL4_Signal(device->done);
}

/* vm_run comes back when a callback asks for it. */
static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)vm;
    (void)tag;
    (void)cookie;
    return (badge & DONE) != 0 ? -1 : 0;
}

/* A capability that signals the VM's endpoint with a badge. */
static int mint(vka_t *vka, seL4_CPtr endpoint, seL4_Word badge, seL4_CPtr *ret)
{
    cspacepath_t src;
    cspacepath_t dest;

    vka_cspace_make_path(vka, endpoint, &src);
    if (vka_cspace_alloc_path(vka, &dest) != 0 ||
        vka_cnode_mint(&dest, &src, seL4_AllRights, badge) != seL4_NoError) {
        return -1;
    }
    *ret = dest.capPtr;
    return 0;
}

static int add_devices(vm_t *vm, vm_vcpu_t *vcpu, struct multiplier *device)
{
    device->listener = (struct listener){answered, device};
    return vm_register_irq(vcpu, LINE, device_acknowledged, device) != 0 ||
                   vm_create_default_irq_controller(vm) != 0 ||
                   vm_reserve_memory_at(vm, DEVICE, NR_REGISTERS * 4, device_fault, device) ==
                       NULL ||
                   listen_for_answer(vm, &device->listener) != 0
               ? -1
               : 0;
}

static int run_vmm(vm_t *vm, vka_t *vka, simple_t *simple, vspace_t *vspace, ps_io_ops_t *io_ops,
                   seL4_CPtr endpoint)
{
    struct multiplier device = {.answer = 0};
    vm_vcpu_t *vcpu;

    if (vm_init(vm, vka, simple, *vspace, io_ops, endpoint, "multiplier") != 0 ||
        (vcpu = vm_create_vcpu(vm, 0)) == NULL || mint(vka, endpoint, DONE, &device.done) != 0 ||
        vm_register_notification_callback(vm, notified, NULL) != 0 ||
        vm_ram_register_at(vm, 0, RAM_SIZE, false) != 0 || add_devices(vm, vcpu, &device) != 0 ||
        load_guest(vm, vcpu) != 0 || vcpu_start(vcpu) != 0) {
        ZF_LOGE("no VM");
        return 1;
    }
    (void)vm_run(vm); /* it ends as we have asked for: see notified() */
    printf("6 * 7 is %lu, after %u acknowledged interrupt\n", device.answer, device.nr_acks);
    return device.answer == 42 && device.nr_acks == 1 ? 0 : 1;
}

/* --- what seL4 starts a VMM with; all of hostvm that there is in this program --- */

#include <hostvm/env.h>
#include <hostvm/vm.h>

int main(void)
{
    hostvm_env_t env;
    vm_t vm = {.vm_initialised = false};
    int status;

    if (hostvm_env_create(&env, NULL) != 0) {
        return 1;
    }
    status = run_vmm(&vm, &env.vka, &env.simple, &env.vspace, &env.io_ops, env.endpoint);
    hostvm_vm_destroy(&vm);
    hostvm_env_destroy(&env);
    return status;
}
