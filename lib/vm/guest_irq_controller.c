/* Interrupt lines: raising them, and telling the client when the guest has acknowledged them. */
#include <sel4vm/guest_irq_controller.h>

#include <errno.h>
#include <unistd.h>

#include <sel4vm/boot.h>

#include "base/io.h"
#include "vm/vm.h"

/* --- acknowledgements: KVM signals a line's resample descriptor at every end of interrupt --- */

/* Ends of interrupt that one look may find, of which the callback is told. More come only of a
 * guest that ends what it never began, and shall not keep us from the rest. */
enum { MAX_ACKNOWLEDGED = 64 };

static int acknowledged(vm_t *vm, int fd, void *cookie)
{
    const struct irq_ack *ack = cookie;
    unsigned irq = (unsigned)(ack - vm->hosted->irq_acks);
    uint64_t count;
    int r;

    if (read(fd, &count, sizeof(count)) != sizeof(count)) {
        return 0;
    }
    r = arch_irq_ended(vm, irq, count);
    for (uint64_t i = 0; i < count && i < MAX_ACKNOWLEDGED && ack->fn != NULL; i++) {
        ack->fn(vm->vcpus[BOOT_VCPU], (int)irq, ack->cookie);
    }
    if (r == 0) {
        r = arch_irq_acknowledged(vm, irq);
    }
    return public_status(vm, r);
}

static void disconnect(struct hosted_vm *hosted, struct irq_ack *ack)
{
    if (ack->resample_fd >= 0) {
        (void)hostvm_event_remove(hosted->vm, ack->resample_fd);
    }
    io_close(&ack->resample_fd);
    io_close(&ack->trigger_fd);
}

static int connect_irq(struct hosted_vm *hosted, unsigned irq)
{
    struct irq_ack *ack = &hosted->irq_acks[irq];
    int r;

    if (!arch_irq_is_acknowledged(irq)) {
        return 0;
    }
    ack->resample_fd = io_eventfd();
    if (ack->resample_fd < 0) {
        return ack->resample_fd;
    }
    ack->trigger_fd = io_eventfd();
    r = ack->trigger_fd < 0 ? ack->trigger_fd
                            : events_add(hosted->vm, ack->resample_fd, acknowledged, ack);
    if (r < 0) {
        io_close(&ack->resample_fd);
        io_close(&ack->trigger_fd);
        return r;
    }
    r = kvm_irqfd_add(&hosted->kvm, arch_irq_gsi(irq), ack->trigger_fd, ack->resample_fd);
    if (r < 0) {
        disconnect(hosted, ack);
    }
    return r;
}

static bool wants_connection(const struct irq_ack *ack)
{
    return ack->resample_fd < 0 &&
           (ack->fn != NULL || (ARCH_IRQS_ARE_REGISTERED && ack->is_registered));
}

/* Lines that were registered before the controller was ready for it. */
int irq_acks_connect(struct hosted_vm *hosted)
{
    if (!arch_irq_controller_is_ready(hosted->vm)) {
        return 0;
    }
    for (unsigned irq = 0; irq < ARCH_NR_IRQS; irq++) {
        if (wants_connection(&hosted->irq_acks[irq])) {
            int r = connect_irq(hosted, irq);

            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

void irq_acks_fini(struct hosted_vm *hosted)
{
    for (unsigned irq = 0; irq < ARCH_NR_IRQS; irq++) {
        disconnect(hosted, &hosted->irq_acks[irq]);
    }
}

static int register_irq(struct hosted_vm *hosted, int irq, irq_ack_fn_t ack_fn, void *cookie)
{
    struct irq_ack *ack;
    struct irq_ack before;
    int r = arch_irq_check(hosted->vm, irq);

    if (r < 0) {
        return r;
    }
    ack = &hosted->irq_acks[irq];
    before = *ack;
    ack->fn = ack_fn;
    ack->cookie = cookie;
    ack->is_registered = true;
    if (wants_connection(ack) && arch_irq_controller_is_ready(hosted->vm)) {
        r = connect_irq(hosted, (unsigned)irq);
    }
    if (r < 0) {
        *ack = before;
    }
    return r;
}

int vm_register_irq(vm_vcpu_t *vcpu, int irq, irq_ack_fn_t ack_fn, void *cookie)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_register_irq: no vcpu given"));
    }
    vm_enter(vcpu->vm);
    r = register_irq(vcpu->vm->hosted, irq, ack_fn, cookie);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

/* --- the controllers --- */

static int create_controller(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    int r;

    if (hosted->has_irq_controller) {
        return fail(-EEXIST, "cannot create interrupt controllers: the VM has them already");
    }
    if (hosted->has_started_vcpu) {
        return fail(
            -EBUSY,
            "cannot create interrupt controllers: a vcpu was started already; create them first");
    }
    /* KVM's cannot be taken back: where the rest fails, the next call completes them. */
    r = hosted->kvm.has_irqchip ? 0 : arch_irq_controller_create(vm);
    if (r == 0) {
        r = irq_acks_connect(hosted);
        hosted->has_irq_controller = r == 0;
    }
    return r;
}

int vm_create_default_irq_controller(vm_t *vm)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_create_default_irq_controller: no VM given"));
    }
    vm_enter(vm);
    r = create_controller(vm);
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- lines --- */

static int check_controller(const vm_t *vm, unsigned line)
{
    if (!vm->hosted->kvm.has_irqchip) {
        return fail(-ENODEV,
                    "cannot set interrupt line %u: the VM has no interrupt controller; call "
                    "vm_create_default_irq_controller first",
                    line);
    }
    return 0;
}

static int check_injection(const vm_vcpu_t *vcpu, int irq)
{
    int r = arch_irq_check(vcpu->vm, irq);

    if (r == 0) {
        r = check_controller(vcpu->vm, (unsigned)irq);
    }
    if (r == 0 && ARCH_IRQS_ARE_REGISTERED && !vcpu->vm->hosted->irq_acks[irq].is_registered) {
        r = fail(-ENOENT,
                 "cannot inject interrupt %d: nobody has registered it; see vm_register_irq", irq);
    }
    return r;
}

int vm_inject_irq(vm_vcpu_t *vcpu, int irq)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_inject_irq: no vcpu given"));
    }
    r = check_injection(vcpu, irq);
    if (r == 0) {
        r = arch_irq_inject(vcpu, (unsigned)irq);
    }
    return public_status(vcpu->vm, r);
}

int vm_set_irq_level(vm_vcpu_t *vcpu, int irq, int irq_level)
{
    int status = 0;
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_set_irq_level: no vcpu given"));
    }
    r = arch_irq_check(vcpu->vm, irq);
    if (r == 0) {
        r = check_controller(vcpu->vm, (unsigned)irq);
    }
    if (r == 0) {
        r = arch_irq_set_level(vcpu, (unsigned)irq, irq_level, &status);
    }
    if (r < 0) {
        return public_status(vcpu->vm, r);
    }
    return status < 0 && irq_level != 0 ? -1 : 0; /* masked: an answer, not a failure */
}

/* KVM takes any number, and nothing comes of it. */
int line_check(unsigned line)
{
    if (line - ARCH_FIRST_LINE >= ARCH_NR_LINES - ARCH_FIRST_LINE) {
        return fail(-EINVAL, "there is no interrupt line %u: the controllers have %d to %d", line,
                    ARCH_FIRST_LINE, ARCH_NR_LINES - 1);
    }
    return 0;
}

static int set_line(vm_t *vm, unsigned line, int level)
{
    int r = check_controller(vm, line);

    if (r == 0) {
        r = line_check(line);
    }
    return r < 0 ? r : arch_line_set_level(vm, line, level);
}

int hostvm_irq_line(vm_t *vm, unsigned int gsi, int level)
{
    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_irq_line: no VM given"));
    }
    return public_status(vm, set_line(vm, gsi, level));
}
