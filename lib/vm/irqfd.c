/* Eventfds that raise interrupts: on lines of the controllers, and as messages. */
#include <hostvm/eventfd.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/vm.h"

/*
 * A message has a number of its own behind those of the lines, which KVM's routing leads to it. A
 * number that is not in use keeps its message: a vector that is masked and unmasked costs no new
 * routing.
 */
struct irq_source {
    int fd;       /* -1: not in use */
    unsigned gsi; /* as KVM counts them */
    bool is_msi;
    bool is_tied;   /* KVM has it: as soon as the controllers are ready */
    bool is_routed; /* KVM's routes have the message, likewise */
    hostvm_msi_t msi;
    struct irq_source *next;
};

static struct irq_source *find_source(struct hosted_vm *hosted, int fd)
{
    struct irq_source *source = hosted->irq_sources;

    while (source != NULL && source->fd != fd) {
        source = source->next;
    }
    return source;
}

static struct irq_source *add_source(struct hosted_vm *hosted, bool is_msi, unsigned gsi)
{
    struct irq_source *source = calloc(1, sizeof(*source));

    if (source == NULL) {
        (void)fail(-ENOMEM, "cannot tie a descriptor to an interrupt: out of memory");
        return NULL;
    }
    *source =
        (struct irq_source){.fd = -1, .gsi = gsi, .is_msi = is_msi, .next = hosted->irq_sources};
    hosted->irq_sources = source;
    return source;
}

static void forget_source(struct hosted_vm *hosted, struct irq_source *source)
{
    struct irq_source **link = &hosted->irq_sources;

    while (*link != source) {
        link = &(*link)->next;
    }
    *link = source->next;
    free(source);
}

void irq_sources_fini(struct hosted_vm *hosted)
{
    while (hosted->irq_sources != NULL) {
        forget_source(hosted, hosted->irq_sources);
    }
}

/* --- routing --- */

static void route_message(struct kvm_irq_routing_entry *entry, const struct irq_source *source)
{
    *entry = (struct kvm_irq_routing_entry){.gsi = source->gsi, .type = KVM_IRQ_ROUTING_MSI};
    entry->u.msi.address_lo = (uint32_t)source->msi.address;
    entry->u.msi.address_hi = (uint32_t)(source->msi.address >> 32);
    entry->u.msi.data = source->msi.data;
    if (ARCH_MESSAGES_HAVE_SENDERS) {
        entry->flags = KVM_MSI_VALID_DEVID;
        entry->u.msi.devid = source->msi.device;
    }
}

static unsigned nr_messages(const struct hosted_vm *hosted)
{
    unsigned nr = 0;

    for (const struct irq_source *s = hosted->irq_sources; s != NULL; s = s->next) {
        nr += s->is_msi;
    }
    return nr;
}

/* KVM takes all routes at once: those of the lines, as it has them from the start, too. */
static int route_all(struct hosted_vm *hosted)
{
    unsigned nr_max = ARCH_NR_ROUTES + nr_messages(hosted);
    struct kvm_irq_routing *routing =
        calloc(1, sizeof(*routing) + nr_max * sizeof(routing->entries[0]));
    int r;

    if (routing == NULL) {
        return fail(-ENOMEM, "cannot route %u interrupts: out of memory", nr_max);
    }
    arch_routes(routing->entries);
    routing->nr = ARCH_NR_ROUTES;
    for (const struct irq_source *s = hosted->irq_sources; s != NULL; s = s->next) {
        if (s->is_msi) {
            route_message(&routing->entries[routing->nr++], s);
        }
    }
    r = kvm_routing_set(&hosted->kvm, routing);
    free(routing);
    for (struct irq_source *s = hosted->irq_sources; r == 0 && s != NULL; s = s->next) {
        s->is_routed = s->is_msi;
    }
    return r;
}

static int route_when_ready(struct hosted_vm *hosted)
{
    return arch_irq_controller_is_ready(hosted->vm) ? route_all(hosted) : 0;
}

/* --- tying --- */

static int tie(struct hosted_vm *hosted, struct irq_source *source, int fd)
{
    int r = 0;

    if (arch_irq_controller_is_ready(hosted->vm)) {
        r = kvm_irqfd_add(&hosted->kvm, source->gsi, fd, -1);
        source->is_tied = r == 0;
    }
    if (r == 0) {
        source->fd = fd;
    }
    return r;
}

static int untie(struct hosted_vm *hosted, struct irq_source *source)
{
    int r = source->is_tied ? kvm_irqfd_remove(&hosted->kvm, source->gsi, source->fd) : 0;

    if (r == 0) {
        source->fd = -1;
        source->is_tied = false;
    }
    return r;
}

int irq_sources_connect(struct hosted_vm *hosted)
{
    int r = 0;

    if (!arch_irq_controller_is_ready(hosted->vm)) {
        return 0;
    }
    for (const struct irq_source *s = hosted->irq_sources; r == 0 && s != NULL; s = s->next) {
        if (s->is_msi && !s->is_routed) {
            r = route_all(hosted);
        }
    }
    for (struct irq_source *s = hosted->irq_sources; r == 0 && s != NULL; s = s->next) {
        if (s->fd >= 0 && !s->is_tied) {
            r = tie(hosted, s, s->fd);
        }
    }
    return r;
}

static int check_tie(struct hosted_vm *hosted, int fd)
{
    if (!hosted->has_irq_controller) {
        return fail(-ENODEV,
                    "cannot tie descriptor %d to an interrupt: the VM has no interrupt "
                    "controller; call vm_create_default_irq_controller first",
                    fd);
    }
    if (fd < 0 || find_source(hosted, fd) != NULL) {
        return fail(fd < 0 ? -EBADF : -EEXIST, "cannot tie descriptor %d to an interrupt: it %s",
                    fd, fd < 0 ? "is none" : "raises one already");
    }
    return 0;
}

/* --- lines --- */

static int add_line(struct hosted_vm *hosted, unsigned line, int fd)
{
    struct irq_source *source;
    int r = check_tie(hosted, fd);

    if (r == 0) {
        r = line_check(line);
    }
    if (r < 0) {
        return r;
    }
    source = add_source(hosted, false, arch_irq_gsi(line));
    if (source == NULL) {
        return -ENOMEM;
    }
    r = tie(hosted, source, fd);
    if (r < 0) {
        forget_source(hosted, source);
    }
    return r;
}

int hostvm_irqfd_add(vm_t *vm, unsigned int gsi, int fd)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_irqfd_add: no VM given"));
    }
    vm_enter(vm);
    r = add_line(vm->hosted, gsi, fd);
    vm_leave(vm);
    return public_status(vm, r);
}

static int remove_line(struct hosted_vm *hosted, unsigned line, int fd)
{
    struct irq_source *source = fd < 0 ? NULL : find_source(hosted, fd);
    int r;

    if (source == NULL || source->is_msi || line_check(line) < 0 ||
        source->gsi != arch_irq_gsi(line)) {
        return fail(-ENOENT, "descriptor %d does not raise interrupt line %u", fd, line);
    }
    r = untie(hosted, source);
    if (r == 0) {
        forget_source(hosted, source);
    }
    return r;
}

int hostvm_irqfd_remove(vm_t *vm, unsigned int gsi, int fd)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_irqfd_remove: no VM given"));
    }
    vm_enter(vm);
    r = remove_line(vm->hosted, gsi, fd);
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- messages --- */

static bool is_same_message(const hostvm_msi_t *a, const hostvm_msi_t *b)
{
    return a->address == b->address && a->data == b->data && a->device == b->device;
}

/* One that nobody uses, best one that leads to this message already; or a new one. */
static struct irq_source *message_source(struct hosted_vm *hosted, const hostvm_msi_t *msi)
{
    struct irq_source *unused = NULL;

    for (struct irq_source *s = hosted->irq_sources; s != NULL; s = s->next) {
        if (!s->is_msi || s->fd >= 0) {
            continue;
        }
        if (is_same_message(&s->msi, msi)) {
            return s;
        }
        unused = s;
    }
    return unused != NULL ? unused
                          : add_source(hosted, true, ARCH_FIRST_MESSAGE + nr_messages(hosted));
}

static int set_message(struct hosted_vm *hosted, struct irq_source *source, const hostvm_msi_t *msi)
{
    hostvm_msi_t before = source->msi;
    int r;

    if (source->is_routed && is_same_message(&before, msi)) {
        return 0;
    }
    source->msi = *msi;
    source->is_routed = false;
    r = route_when_ready(hosted);
    if (r < 0) {
        source->msi = before;
    }
    return r;
}

static int connect_message(struct hosted_vm *hosted, int fd, const hostvm_msi_t *msi)
{
    struct irq_source *source;
    int r = check_tie(hosted, fd);

    if (r < 0) {
        return r;
    }
    source = message_source(hosted, msi);
    if (source == NULL) {
        return -ENOMEM;
    }
    r = set_message(hosted, source, msi);
    return r < 0 ? r : tie(hosted, source, fd);
}

int hostvm_msi_connect(vm_t *vm, int fd, const hostvm_msi_t *msi)
{
    int r;

    if (!vm_is_usable(vm) || msi == NULL) {
        return public_status(vm, fail(-EINVAL, "hostvm_msi_connect: no VM or no message given"));
    }
    vm_enter(vm);
    r = connect_message(vm->hosted, fd, msi);
    vm_leave(vm);
    return public_status(vm, r);
}

static int disconnect_message(struct hosted_vm *hosted, int fd)
{
    struct irq_source *source = fd < 0 ? NULL : find_source(hosted, fd);

    if (source == NULL || !source->is_msi) {
        return fail(-ENOENT, "descriptor %d sends no message", fd);
    }
    return untie(hosted, source);
}

int hostvm_msi_disconnect(vm_t *vm, int fd)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_msi_disconnect: no VM given"));
    }
    vm_enter(vm);
    r = disconnect_message(vm->hosted, fd);
    vm_leave(vm);
    return public_status(vm, r);
}
