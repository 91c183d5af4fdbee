/* Two VMs share a page in the manner of seL4 code: one frame, which one may write, the other read.
 * The guests are in sel4_shared_page_guest.h, once for each architecture. */
#include <stdio.h>

#include <sel4/sel4.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_memory.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm.h>
#include <utils/util.h>
#include <vka/capops.h>
#include <vka/object.h>
#include <vspace/vspace.h>

#include "examples/load.h"
#include "sel4_shared_page_guest.h"

enum { RAM_SIZE = 1 << 20, CODE = 0x1000, PAGE_BITS = 12, SHARED = 0x180000, REPORT = 0x200000 };

struct guest {
    vm_t vm;
    vka_object_t endpoint;
    seL4_Word refused;  /* what it wrote where it may not */
    seL4_Word reported; /* what it wrote to REPORT */
};

struct frame {
    seL4_CPtr cptr;
    seL4_CapRights_t rights;
};

/* Each mapping takes a capability of its own. */
static int copy_cap(vka_t *vka, seL4_CPtr from, seL4_CPtr *ret)
{
    cspacepath_t src;
    cspacepath_t dest;

    vka_cspace_make_path(vka, from, &src);
    if (vka_cspace_alloc_path(vka, &dest) != 0 ||
        vka_cnode_copy(&dest, &src, seL4_AllRights) != seL4_NoError) {
        return -1;
    }
    *ret = dest.capPtr;
    return 0;
}

static vm_frame_t the_frame(uintptr_t addr, void *cookie)
{
    const struct frame *frame = cookie;

    return (vm_frame_t){frame->cptr, frame->rights, addr, PAGE_BITS};
}

/* The page is there, but not to be written: the store is kept, the page is not changed. */
static memory_fault_result_t write_refused(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                           void *cookie)
{
    struct guest *guest = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    guest->refused = get_vcpu_fault_data(vcpu);
    advance_vcpu_fault(vcpu);
    return FAULT_HANDLED;
}

static int share(struct guest *guest, seL4_CPtr cptr, seL4_CapRights_t rights)
{
    struct frame frame = {cptr, rights};
    vm_memory_reservation_t *page =
        vm_reserve_memory_at(&guest->vm, SHARED, 1 << PAGE_BITS, write_refused, guest);

    return page == NULL ? -1 : vm_map_reservation(&guest->vm, page, the_frame, &frame);
}

static memory_fault_result_t report(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                    void *cookie)
{
    struct guest *guest = cookie;

    (void)vm;
    (void)addr;
    (void)size;
    guest->reported = get_vcpu_fault_data(vcpu);
    advance_vcpu_fault(vcpu);
    seL4_Signal(guest->endpoint.cptr);
    return FAULT_HANDLED;
}

/* vm_run comes back when a callback asks for it. */
static int notified(vm_t *vm, seL4_Word badge, seL4_MessageInfo_t tag, void *cookie)
{
    (void)vm;
    (void)badge;
    (void)tag;
    (void)cookie;
    return -1;
}

static int create(struct guest *guest, vka_t *vka, simple_t *simple, vspace_t *vspace,
                  ps_io_ops_t *io_ops, const char *name)
{
    vm_t *vm = &guest->vm;

    return vka_alloc_notification(vka, &guest->endpoint) != 0 ||
                   vm_init(vm, vka, simple, *vspace, io_ops, guest->endpoint.cptr, name) != 0 ||
                   vm_create_vcpu(vm, 0) == NULL ||
                   vm_ram_register_at(vm, 0, RAM_SIZE, false) != 0 ||
                   vm_register_notification_callback(vm, notified, NULL) != 0 ||
                   vm_reserve_memory_at(vm, REPORT, 4, report, guest) == NULL
               ? -1
               : 0;
}

static int run(struct guest *guest, const char *code, const char *end)
{
    vm_vcpu_t *vcpu = guest->vm.vcpus[BOOT_VCPU];

    if (load(&guest->vm, CODE, code, end - code) != 0 || guest_begin(&guest->vm, vcpu, CODE) != 0 ||
        vcpu_start(vcpu) != 0) {
        return -1;
    }
    (void)vm_run(&guest->vm); /* it ends as we have asked for: see notified() */
    return 0;
}

static int run_vmm(struct guest *writer, struct guest *reader, vka_t *vka, simple_t *simple,
                   vspace_t *vspace, ps_io_ops_t *io_ops)
{
    const seL4_Word *page;
    vka_object_t frame;
    seL4_CPtr for_reader;
    seL4_CPtr for_us;

    if (vka_alloc_frame(vka, PAGE_BITS, &frame) != 0 ||
        copy_cap(vka, frame.cptr, &for_reader) != 0 || copy_cap(vka, frame.cptr, &for_us) != 0 ||
        create(writer, vka, simple, vspace, io_ops, "writer") != 0 ||
        create(reader, vka, simple, vspace, io_ops, "reader") != 0 ||
        share(writer, frame.cptr, seL4_AllRights) != 0 ||
        share(reader, for_reader, seL4_CanRead) != 0 ||
        (page = vspace_map_pages(vspace, &for_us, NULL, seL4_CanRead, 1, PAGE_BITS, 1)) == NULL ||
        run(writer, writer_code, writer_end) != 0 || run(reader, reader_code, reader_end) != 0) {
        ZF_LOGE("no VMs, or no page for them");
        return 1;
    }
    printf("the reader was refused 0x%lx and reads 0x%lx, as we do: 0x%lx\n", reader->refused,
           reader->reported, *page);
    return reader->refused == 0xbad && reader->reported == 0x600d && *page == 0x600d &&
                   writer->refused == 0
               ? 0
               : 1;
}

/* --- what seL4 starts a VMM with; all of hostvm that there is in this program --- */

#include <hostvm/env.h>
#include <hostvm/vm.h>

int main(void)
{
    struct guest writer = {.refused = 0};
    struct guest reader = {.refused = 0};
    hostvm_env_t env;
    int status;

    if (hostvm_env_create(&env, NULL) != 0) {
        return 1;
    }
    status = run_vmm(&writer, &reader, &env.vka, &env.simple, &env.vspace, &env.io_ops);
    hostvm_vm_destroy(&reader.vm);
    hostvm_vm_destroy(&writer.vm);
    hostvm_env_destroy(&env);
    return status;
}
