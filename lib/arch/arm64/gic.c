/* The interrupt controller of an Arm VM, KVM's GIC: creation, and the levels of its inputs. */
#include <errno.h>
#include <string.h>

#include <hostvm/chipset.h>

#include "arm64/arm64.h"
#include "base/io.h"

/* Of version 2's distributor (Arm IHI 0048, 4.1.2), and of version 3's (IHI 0069, 12.10). */
enum { V2_DISTRIBUTOR_SIZE = 0x1000, V3_DISTRIBUTOR_SIZE = 0x10000 };

/* Interrupts of software, private ones, shared ones. */
enum { FIRST_PRIVATE = 16, FIRST_SHARED = ARCH_FIRST_LINE };

/*
 * KVM lowers a connected line when the guest ends an interrupt that it handles as a level: what is
 * high by the client's will is raised again then.
 */
enum irq_state {
    IRQ_LOW,
    IRQ_INJECTED,       /* high until the guest ends it, or for ever: an edge */
    IRQ_INJECTED_AGAIN, /* the same, but another one has to follow */
    IRQ_HIGH,           /* until the client lowers it */
};

/* --- creation --- */

struct gic_layout {
    struct range distributor;
    struct range cpus;
    uint32_t device;
    uint64_t distributor_attr, cpus_attr;
};

static const struct gic_layout layouts[] = {
    [2] = {{HOSTVM_GIC_DISTRIBUTOR, V2_DISTRIBUTOR_SIZE},
           {HOSTVM_GIC_CPU_INTERFACE, HOSTVM_GIC_CPU_INTERFACE_SIZE},
           KVM_DEV_TYPE_ARM_VGIC_V2,
           KVM_VGIC_V2_ADDR_TYPE_DIST,
           KVM_VGIC_V2_ADDR_TYPE_CPU},
    [3] = {{HOSTVM_GIC_DISTRIBUTOR, V3_DISTRIBUTOR_SIZE},
           {HOSTVM_GIC_REDISTRIBUTORS, HOSTVM_GIC_REDISTRIBUTOR_SIZE *CONFIG_MAX_NUM_NODES},
           KVM_DEV_TYPE_ARM_VGIC_V3,
           KVM_VGIC_V3_ADDR_TYPE_DIST,
           KVM_VGIC_V3_ADDR_TYPE_REDIST},
};

/* The kernel answers for these pages: nobody else can. */
static int claim(struct space *space, const struct gic_layout *layout,
                 struct space_reservation *claims[2])
{
    int r = space_reserve(space, layout->distributor, false, seL4_NoRights, &claims[0]);

    if (r == 0) {
        r = space_reserve(space, layout->cpus, false, seL4_NoRights, &claims[1]);
        if (r < 0) {
            (void)space_unreserve(space, claims[0]); /* it is there: we have just made it */
        }
    }
    if (r == -EEXIST) {
        return fail(r,
                    "cannot create interrupt controllers: [0x%llx..0x%llx) or [0x%llx..0x%llx) is "
                    "reserved; free that first",
                    (unsigned long long)layout->distributor.start,
                    (unsigned long long)range_end(layout->distributor),
                    (unsigned long long)layout->cpus.start,
                    (unsigned long long)range_end(layout->cpus));
    }
    return r;
}

/* KVM takes each of these once, and never takes the device away again: what failed is tried again
 * from there on. */
static int place(struct arch_vm *arch, const struct gic_layout *layout)
{
    static const uint32_t nr_irqs = ARCH_NR_IRQS;
    const struct kvm_device_step steps[] = {
        {KVM_DEV_ARM_VGIC_GRP_ADDR, layout->distributor_attr, &layout->distributor.start,
         "place the interrupt distributor"},
        {KVM_DEV_ARM_VGIC_GRP_ADDR, layout->cpus_attr, &layout->cpus.start,
         "place the processors' interrupt interfaces"},
        {KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &nr_irqs, "set the number of interrupts"},
    };

    return kvm_device_set_steps(arch->gic_fd, steps, sizeof(steps) / sizeof(steps[0]),
                                &arch->nr_gic_steps);
}

static int create(struct hosted_vm *hosted, int version)
{
    int r = 0;

    if (hosted->arch.gic_version == 0) {
        r = kvm_device_create(&hosted->kvm, layouts[version].device, &hosted->arch.gic_fd);
    }
    if (r < 0) {
        return r;
    }
    hosted->arch.gic_version = version;
    return place(&hosted->arch, &layouts[version]);
}

int arch_irq_controller_create(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    struct space_reservation *claims[2];
    int version;
    int r = kvm_vm_await(&hosted->kvm);

    if (r < 0) {
        return r;
    }
    version = hosted->arch.gic_version;
    if (version == 0) {
        version = kvm_vm_has_device(&hosted->kvm, KVM_DEV_TYPE_ARM_VGIC_V3) ? 3 : 2;
    }
    r = claim(hosted->space, &layouts[version], claims);
    if (r < 0) {
        return r;
    }
    r = create(hosted, version);
    if (r < 0) {
        (void)space_unreserve(hosted->space, claims[0]); /* ours, see above */
        (void)space_unreserve(hosted->space, claims[1]);
    }
    hosted->kvm.has_irqchip = r == 0;
    return r;
}

void gic_fini(vm_t *vm)
{
    if (vm->hosted->arch.gic_version != 0) {
        io_close(&vm->hosted->arch.gic_fd);
        vm->hosted->arch.gic_version = 0;
    }
}

int hostvm_vm_gic_version(vm_t *vm)
{
    return vm_is_usable(vm) && vm->hosted->kvm.has_irqchip ? vm->hosted->arch.gic_version : 0;
}

bool arch_irq_controller_is_ready(const vm_t *vm)
{
    return atomic_load(&vm->hosted->arch.is_gic_ready);
}

/* --- inputs --- */

bool arch_irq_is_acknowledged(unsigned irq)
{
    return irq >= FIRST_SHARED;
}

int arch_irq_check(const vm_t *vm, int irq)
{
    (void)vm;
    if (irq < 0 || irq >= ARCH_NR_IRQS) {
        return fail(-EINVAL, "there is no interrupt %d: they are 0 to %d", irq, ARCH_NR_IRQS - 1);
    }
    return 0;
}

/* KVM's default routing: shared interrupts, counted from 0. */
unsigned arch_irq_gsi(unsigned irq)
{
    return irq - FIRST_SHARED;
}

void arch_routes(struct kvm_irq_routing_entry *entries)
{
    for (unsigned gsi = 0; gsi < ARCH_NR_ROUTES; gsi++) {
        entries[gsi] = (struct kvm_irq_routing_entry){.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP};
        entries[gsi].u.irqchip.pin = gsi;
    }
}

/* Until the controller is set up KVM takes no interrupts: the state of shared ones, which is there
 * by now, is what gic_set_up raises. */
static int set_later(unsigned irq)
{
    if (irq >= FIRST_SHARED) {
        return 0;
    }
    return fail(-EAGAIN, "cannot set interrupt %u of a vcpu: none was started yet", irq);
}

/* Documentation/virt/kvm/api.rst, KVM_IRQ_LINE: kind, vcpu, number. */
static int set_input(vm_t *vm, unsigned vcpu_id, unsigned irq, int level)
{
    unsigned line = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | irq;
    int status;
    int r;

    if (irq < FIRST_PRIVATE) {
        return fail(-EINVAL, "cannot set interrupt %u: only software sends 0 to %d", irq,
                    FIRST_PRIVATE - 1);
    }
    if (!atomic_load(&vm->hosted->arch.is_gic_ready)) {
        return set_later(irq);
    }
    if (irq < FIRST_SHARED) {
        line = KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT | vcpu_id << KVM_ARM_IRQ_VCPU_SHIFT |
               irq;
    }
    r = kvm_irq_line(&vm->hosted->kvm, line, level, &status);
    return r < 0 ? fail(r, "cannot set interrupt line %u: %s", irq, strerror(-r)) : 0;
}

static int pulse(vm_vcpu_t *vcpu, unsigned irq)
{
    int r = set_input(vcpu->vm, vcpu->vcpu_id, irq, 1);

    return r < 0 ? r : set_input(vcpu->vm, vcpu->vcpu_id, irq, 0);
}

/* An edge whether it was high or not, and high from then on, for those who take it for a level. */
static int raise_anew(vm_t *vm, unsigned irq)
{
    int r = set_input(vm, 0, irq, 0);

    return r < 0 ? r : set_input(vm, 0, irq, 1);
}

static int raise_what_waits(vm_t *vm)
{
    int r = 0;

    for (unsigned irq = FIRST_SHARED; r == 0 && irq < ARCH_NR_IRQS; irq++) {
        if (atomic_load(&vm->hosted->arch.irqs[irq]) != IRQ_LOW) {
            r = set_input(vm, 0, irq, 1);
        }
    }
    return r;
}

/* Ready first: who changes an interrupt meanwhile sees that, or we see the change. */
int gic_set_up(vm_t *vm)
{
    int r = kvm_device_set(vm->hosted->arch.gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
                           KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, "set up the interrupt controller");

    if (r == 0) {
        atomic_store(&vm->hosted->arch.is_gic_ready, true);
        r = raise_what_waits(vm);
    }
    if (r < 0) {
        atomic_store(&vm->hosted->arch.is_gic_ready, false); /* and all of it once more */
    }
    return r;
}

int arch_irq_inject(vm_vcpu_t *vcpu, unsigned irq)
{
    atomic_uchar *state = &vcpu->vm->hosted->arch.irqs[irq];
    unsigned char before = IRQ_LOW;

    if (irq < FIRST_SHARED) {
        return pulse(vcpu, irq);
    }
    if (!atomic_compare_exchange_strong(state, &before, IRQ_INJECTED) && before != IRQ_HIGH) {
        (void)atomic_compare_exchange_strong(state, &before, IRQ_INJECTED_AGAIN);
    }
    return raise_anew(vcpu->vm, irq);
}

int arch_irq_set_level(vm_vcpu_t *vcpu, unsigned irq, int level, int *ret_status)
{
    *ret_status = 0;
    atomic_store(&vcpu->vm->hosted->arch.irqs[irq], level != 0 ? IRQ_HIGH : IRQ_LOW);
    return set_input(vcpu->vm, vcpu->vcpu_id, irq, level);
}

int arch_line_set_level(vm_t *vm, unsigned line, int level)
{
    atomic_store(&vm->hosted->arch.irqs[line], level != 0 ? IRQ_HIGH : IRQ_LOW);
    return set_input(vm, 0, line, level);
}

/*
 * An injection that met the line high has raised it for nothing if the guest was not done then, or
 * else for an interrupt of its own. Where only one has ended nobody knows which: raising the line
 * once more is right in the first case, and nothing new in the second, unless that one ends just
 * now.
 */
int arch_irq_ended(vm_t *vm, unsigned irq, uint64_t count)
{
    atomic_uchar *state = &vm->hosted->arch.irqs[irq];
    unsigned char before = IRQ_INJECTED;

    if (atomic_compare_exchange_strong(state, &before, IRQ_LOW) || before != IRQ_INJECTED_AGAIN) {
        return 0;
    }
    if (count > 1) {
        (void)atomic_compare_exchange_strong(state, &before, IRQ_LOW);
        return 0;
    }
    return atomic_compare_exchange_strong(state, &before, IRQ_INJECTED) ? set_input(vm, 0, irq, 1)
                                                                        : 0;
}

int arch_irq_acknowledged(vm_t *vm, unsigned irq)
{
    return atomic_load(&vm->hosted->arch.irqs[irq]) == IRQ_HIGH ? set_input(vm, 0, irq, 1) : 0;
}
