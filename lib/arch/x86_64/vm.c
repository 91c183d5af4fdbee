/* What KVM wants to know of an x86 VM before it has vcpus, and the interrupt controllers of a PC.
 */
#include <errno.h>
#include <stdlib.h>

#include <hostvm/chipset.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

/*
 * Intel processors without unrestricted guest mode need four pages of guest-physical space for real
 * mode: KVM asks where (Documentation/virt/kvm/api.rst, KVM_SET_TSS_ADDR). Below the 4 GiB border
 * firmware lives on a PC; nobody puts RAM there.
 */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA          0xfffbd000ull

int arch_vm_init(vm_t *vm)
{
    struct kvm_vm *kvm = &vm->hosted->kvm;
    int r = kvm_vm_set_identity_map_addr(kvm, IDENTITY_MAP_GPA);

    return r < 0 ? r : kvm_vm_set_tss_addr(kvm, TSS_GPA);
}

void delete_boot_tables(vm_t *vm)
{
    for (int i = 0; i < ARCH_NR_BOOT_TABLES; i++) {
        seL4_CPtr *cptr = &vm->hosted->arch.boot_tables[i];

        if (*cptr != seL4_CapNull) {
            (void)cap_delete(vm->hosted->env, *cptr); /* unmaps it, too */
            (void)cap_slot_free(vm->hosted->env, *cptr);
            *cptr = seL4_CapNull;
        }
    }
}

void arch_vm_fini(vm_t *vm)
{
    delete_boot_tables(vm);
    free(vm->arch.ioport_list.ioports);
    free(vm->arch.vmcall_handlers);
    vm->arch.ioport_list = (vm_io_port_list_t){0, NULL};
    vm->arch.vmcall_handlers = NULL;
    vm->arch.vmcall_num_handlers = 0;
}

/* The kernel answers for these pages: nobody else can. */
static int claim_controllers(struct space *space, struct space_reservation *claims[2])
{
    static const uint64_t pages[] = {IO_APIC_DEFAULT_PHYS_BASE, APIC_DEFAULT_PHYS_BASE};
    enum { PAGE = 4096 };

    for (size_t i = 0; i < 2; i++) {
        int r =
            space_reserve(space, (struct range){pages[i], PAGE}, false, seL4_NoRights, &claims[i]);

        if (r < 0) {
            while (i-- > 0) {
                (void)space_unreserve(space, claims[i]); /* it is there: we have just made it */
            }
            return fail(r,
                        "cannot create interrupt controllers: their pages at 0x%x and 0x%x are "
                        "reserved, one at least; free that first",
                        IO_APIC_DEFAULT_PHYS_BASE, APIC_DEFAULT_PHYS_BASE);
        }
        space_keep(claims[i]);
    }
    return 0;
}

int arch_irq_controller_create(vm_t *vm)
{
    struct space_reservation *claims[2];
    int r;

    if (!vm->hosted->host.has_irqchip) {
        return fail(-EOPNOTSUPP, "cannot create interrupt controllers: this host's KVM has none");
    }
    r = kvm_vm_await(&vm->hosted->kvm);
    if (r == 0) {
        r = claim_controllers(vm->hosted->space, claims);
    }
    if (r < 0) {
        return r;
    }
    r = kvm_irqchip_create(&vm->hosted->kvm);
    if (r < 0) {
        (void)space_unreserve(vm->hosted->space, claims[0]); /* ours, see above */
        (void)space_unreserve(vm->hosted->space, claims[1]);
    }
    return r;
}

/* Line 2 carries the second 8259's interrupts: the guest acknowledges those, never the line. */
bool arch_irq_is_acknowledged(unsigned irq)
{
    return irq != 2;
}

bool arch_irq_controller_is_ready(const vm_t *vm)
{
    return vm->hosted->kvm.has_irqchip;
}

static struct kvm_irq_routing_entry route(unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry entry = {.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP};

    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = pin;
    return entry;
}

void arch_routes(struct kvm_irq_routing_entry *entries)
{
    enum { PIC_PINS = 8 };

    for (unsigned gsi = 0; gsi < ARCH_NR_LINES; gsi++) {
        if (gsi < ARCH_NR_IRQS) {
            *entries++ = route(gsi, gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                               gsi % PIC_PINS);
        }
        *entries++ = route(gsi, KVM_IRQCHIP_IOAPIC, gsi);
    }
}

unsigned arch_irq_gsi(unsigned irq)
{
    return irq;
}

int arch_irq_set_level(vm_vcpu_t *vcpu, unsigned irq, int level, int *ret_status)
{
    return kvm_irq_line(&vcpu->vm->hosted->kvm, irq, level, ret_status);
}

int arch_irq_inject(vm_vcpu_t *vcpu, unsigned irq)
{
    int status;
    int r = arch_irq_set_level(vcpu, irq, 1, &status);

    return r < 0 ? r : arch_irq_set_level(vcpu, irq, 0, &status);
}

/* What the acknowledgement did to the line was to KVM's own share of it. */
int arch_irq_ended(vm_t *vm, unsigned irq, uint64_t count)
{
    (void)vm;
    (void)irq;
    (void)count;
    return 0;
}

int arch_irq_acknowledged(vm_t *vm, unsigned irq)
{
    (void)vm;
    (void)irq;
    return 0;
}

int arch_line_set_level(vm_t *vm, unsigned line, int level)
{
    int status;

    return kvm_irq_line(&vm->hosted->kvm, line, level, &status);
}

int hostvm_vm_gic_version(vm_t *vm)
{
    (void)vm;
    return 0;
}

int hostvm_vm_create_its(vm_t *vm)
{
    return public_status(vm, fail(-EOPNOTSUPP, "cannot create the ITS: only an Arm machine has it; "
                                               "a PC's processors take messages as they are"));
}

int arch_irq_check(const vm_t *vm, int irq)
{
    (void)vm;
    if (irq < 0 || irq >= ARCH_NR_IRQS) {
        return fail(-EINVAL, "there is no interrupt line %d: lines are 0 to %d", irq,
                    ARCH_NR_IRQS - 1);
    }
    return 0;
}

/* Boot protocols of 32-bit times want their images below 4 GiB. */
bool arch_can_boot_from(struct range ram)
{
    return range_end(ram) < UINT32_MAX;
}

bool arch_is_notification_failure(int result)
{
    return result == -1;
}

static int create_pit(struct hosted_vm *hosted)
{
    int r;

    if (!hosted->kvm.has_irqchip) {
        return fail(-ENODEV,
                    "cannot create the timer chip: the VM has no interrupt controller; call "
                    "vm_create_default_irq_controller first");
    }
    if (hosted->has_pit) {
        return fail(-EEXIST, "cannot create the timer chip: the VM has it already");
    }
    r = kvm_pit_create(&hosted->kvm);
    hosted->has_pit = r == 0;
    return r;
}

int hostvm_vm_create_pit(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_create_pit: no VM given"));
    }
    vm_enter(vm);
    r = create_pit(vm->hosted);
    vm_leave(vm);
    return public_status(vm, r);
}

int hostvm_vm_enable_pmu(vm_t *vm)
{
    return public_status(
        vm, fail(-EOPNOTSUPP, "cannot give vcpus performance counters apart: on x86 they come with "
                              "the processor model HOSTVM_CPU_HOST"));
}
