/* Here lives the order in which seL4's x86 VMMs build a machine and run it, in one go. */
#include "support/vm.h"

#include <string.h>

#include <sel4vm/arch/ioports.h>
#include <sel4vm/guest_irq_controller.h>
#include <sel4vm/guest_memory_helpers.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <vka/capops.h>
#include <vka/object.h>

enum {
    VIDEO = 0xa0000,
    EXCLUDED = 0xfe000000,
    POOL = 0x10003000,
    POOL_END = 0xa0000000u,
    DONE_PORT = 0x80,
    HOST_EVENT = BIT(27), /* in every badge, as VMMs have it */
};

struct machine {
    struct testvm *t;
    seL4_CPtr rings[2]; /* badged capabilities to the VM's own endpoint */
    seL4_Word badges;
    unsigned nr_notifications;
    unsigned nr_unhandled_ports;
    uint32_t reg; /* of the device */
};

static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    struct machine *m = cookie;

    assert_int_equal(seL4_MessageInfo_get_label(tag), 0);
    m->nr_notifications++;
    m->badges |= badge;
    return (badge & (HOST_EVENT | BIT(1))) == (HOST_EVENT | BIT(1)) ? hostvm_vm_stop(vm) : 0;
}

static ioport_fault_result_t unhandled_port(vm_vcpu_t *vcpu, unsigned port, bool is_in,
                                            unsigned *value, size_t size, void *cookie)
{
    struct machine *m = cookie;

    (void)vcpu;
    (void)value;
    assert_int_equal(port, 0x61);
    assert_int_equal(size, 1);
    assert_true(is_in);
    m->nr_unhandled_ports++;
    return IO_FAULT_UNHANDLED;
}

/* The host's two events come together. */
static ioport_fault_result_t done(vm_vcpu_t *vcpu, void *cookie, unsigned port, unsigned size,
                                  unsigned value)
{
    struct machine *m = cookie;

    (void)vcpu;
    (void)port;
    (void)size;
    (void)value;
    seL4_Signal(m->rings[0]);
    seL4_Signal(m->rings[1]);
    return IO_FAULT_HANDLED;
}

static memory_fault_result_t register_block(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                            void *cookie)
{
    struct machine *m = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    if (is_vcpu_read_fault(vcpu)) {
        (void)set_vcpu_fault_data(vcpu, m->reg); /* only writes fail */
    } else {
        m->reg = (uint32_t)emulate_vcpu_fault(vcpu, m->reg);
    }
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static vm_frame_t fresh_frame(uintptr_t addr, void *cookie)
{
    vm_frame_t frame = {seL4_CapNull, seL4_NoRights, 0, 0};
    vm_t *vm = cookie;
    vka_object_t object;

    if (vka_alloc_frame_maybe_device(vm->vka, seL4_PageBits, true, &object) == 0) {
        frame = (vm_frame_t){object.cptr, seL4_AllRights, PAGE_ALIGN_4K(addr), seL4_PageBits};
    }
    return frame;
}

static seL4_CPtr make_ring(struct testvm *t, seL4_Word badge)
{
    cspacepath_t from;
    cspacepath_t to;

    vka_cspace_make_path(&t->env.vka, t->env.endpoint, &from);
    assert_int_equal(vka_cspace_alloc_path(&t->env.vka, &to), 0);
    assert_int_equal(vka_cnode_mint(&to, &from, seL4_AllRights, badge), 0);
    return to.capPtr;
}

static void add_memory(vm_t *vm)
{
    vm_memory_reservation_t *video;
    size_t got = 0;

    assert_int_equal(vm_ram_register_at(vm, 0x500, 0x7fb00, false), 0);
    assert_int_equal(vm_ram_register_at(vm, 0x80000, 0x1fc00, false), 0);
    video = vm_reserve_memory_at(vm, VIDEO, 0x60000, default_error_fault_callback, NULL);
    assert_int_equal(vm_map_reservation(vm, video, fresh_frame, vm), 0);
    assert_non_null(vm_reserve_memory_at(vm, EXCLUDED, 0x1000, default_error_fault_callback, NULL));
    assert_int_equal(vm_memory_make_anon(vm, POOL, POOL_END - POOL), 0);
    while (got < MiB_TO_BYTES(1024)) {
        assert_int_not_equal(vm_ram_register(vm, MiB_TO_BYTES(512)), 0);
        got += MiB_TO_BYTES(512);
    }
}

/* Bytes of RAM as a memory map for the guest would tell them, whatever is allocated. */
static size_t map_of_ram(const vm_t *vm)
{
    uintptr_t end = 0;
    size_t size = 0;

    for (int i = 0; i < vm->mem.num_ram_regions; i++) {
        assert_true(vm->mem.ram_regions[i].start >= end);
        end = vm->mem.ram_regions[i].start + vm->mem.ram_regions[i].size;
        size += vm->mem.ram_regions[i].size;
    }
    return size;
}

/* EDI: the device; ESI: what platform code passes on. */
GUEST_CODE(use_everything, "mov %esi, %r8d\n"
                           "movb $0xab, 3(%rdi)\n"
                           "mov (%rdi), %ebx\n"
                           "movl $5, 0xa0000\n"
                           "in $0x61, %al\n"
                           "movzbl %al, %edx\n"
                           "out %al, $0x70\n"
                           "out %eax, $0x80\n"
                           "1: jmp 1b\n");

static void load_and_start(vm_t *vm, uintptr_t device)
{
    size_t size = (size_t)(use_everything.end - use_everything.begin);
    seL4_VCPUContext context = {.esi = 0x7000, .edi = device};
    uint8_t code[64];
    uintptr_t load;
    size_t free_size;

    assert_true(size <= sizeof(code));
    memcpy(code, use_everything.begin, size);
    assert_int_equal(vm_ram_find_largest_free_region(vm, &load, &free_size), 0);
    assert_in_range(load, POOL, MiB_TO_BYTES(1024) - 1);
    vm_ram_mark_allocated(vm, load, size);
    assert_int_equal(vm_ram_touch(vm, load, size, vm_guest_ram_write_callback, code), 0);
    assert_int_equal(vm_set_thread_context(vm->vcpus[BOOT_VCPU], context), 0);
    assert_int_equal(vm_set_vmcs_field(vm->vcpus[BOOT_VCPU], VMX_GUEST_RIP, load), 0);
    assert_int_equal(vcpu_start(vm->vcpus[BOOT_VCPU]), 0);
}

static void test_the_start_order_of_x86_vmms_works(void **state)
{
    struct testvm *t = *state;
    struct machine m = {.t = t, .reg = 0x11223344};
    static const char desc[] = "clock, passed through";
    const vm_ioport_interface_t done_port = {&m, NULL, done, "done"};
    const vm_ioport_interface_t passed = {NULL, NULL, NULL, desc};
    const vm_ioport_range_t done_range = {DONE_PORT, DONE_PORT};
    const vm_ioport_range_t passed_range = {0x70, 0x7f};
    uintptr_t device;
    vm_t *vm = &t->vm;
    int r;

    t->vcpu = vm_create_vcpu(vm, 0);
    assert_int_equal(vm_register_notification_callback(vm, notified, &m), 0);
    assert_int_equal(vm_register_unhandled_ioport_callback(vm, unhandled_port, &m), 0);
    assert_int_equal(vm_register_irq(vm->vcpus[BOOT_VCPU], 4, NULL, NULL), 0);
    assert_int_equal(vm_create_default_irq_controller(vm), 0);
    add_memory(vm);
    assert_int_equal(map_of_ram(vm), 0x9f700 + MiB_TO_BYTES(1024));
    assert_int_equal(vm_io_port_add_handler(vm, done_range, done_port), 0);
    assert_int_equal(vm_io_port_add_handler(vm, passed_range, passed), 0);
    assert_ptr_equal(vm->arch.ioport_list.ioports[0].interface.desc, desc);
    device = 0x8000000; /* where the first page tables reach */
    assert_non_null(vm_reserve_memory_at(vm, device, PAGE_SIZE_4K, register_block, &m));
    m.rings[0] = make_ring(t, HOST_EVENT | BIT(0));
    m.rings[1] = make_ring(t, HOST_EVENT | BIT(1));
    load_and_start(vm, device);
    assert_int_equal(map_of_ram(vm), 0x9f700 + MiB_TO_BYTES(1024));

    watchdog_begin(vm);
    r = vm_run(vm);
    watchdog_end();
    assert_int_equal(r, 0);
    assert_int_equal(m.nr_notifications, 1);
    assert_int_equal(m.badges, HOST_EVENT | BIT(0) | BIT(1));
    assert_int_equal(m.nr_unhandled_ports, 1);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_R8), 0x7000);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EBX), 0xab223344);
    assert_int_equal(testvm_reg(t, VCPU_CONTEXT_EDX), 0xff);
    assert_int_equal(*(uint32_t *)testvm_pointer(t, VIDEO, 4), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        vm_test(test_the_start_order_of_x86_vmms_works),
    };

    return run_vm_tests(tests);
}
