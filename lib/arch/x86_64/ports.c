/* I/O ports: the map of who answers them, and their exits. */
#include <sel4vm/arch/ioports.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

/* --- the map --- */

/* Index of the first entry that ends at or behind a port. */
static int index_at_or_after(const vm_io_port_list_t *list, unsigned port)
{
    int low = 0;
    int high = list->num_ioports;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (list->ioports[middle].range.end < port) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const vm_ioport_interface_t *find_handler(const vm_io_port_list_t *list, unsigned port)
{
    int at = index_at_or_after(list, port);

    if (at < list->num_ioports && list->ioports[at].range.start <= port) {
        return &list->ioports[at].interface;
    }
    return NULL;
}

static int check_range(const vm_io_port_list_t *list, vm_ioport_range_t range)
{
    int at;

    if (range.start > range.end) {
        return fail(-EINVAL,
                    "cannot add a handler for ports 0x%x to 0x%x: the last is below the first",
                    range.start, range.end);
    }
    at = index_at_or_after(list, range.start);
    if (at < list->num_ioports && list->ioports[at].range.start <= range.end) {
        const vm_ioport_entry_t *entry = &list->ioports[at];

        return fail(-EEXIST,
                    "cannot add a handler for ports 0x%x to 0x%x: 0x%x to 0x%x belong to %s",
                    range.start, range.end, entry->range.start, entry->range.end,
                    entry->interface.desc != NULL ? entry->interface.desc : "another");
    }
    return 0;
}

static int add_handler(vm_io_port_list_t *list, vm_ioport_entry_t entry)
{
    vm_ioport_entry_t *grown;
    int at;
    int r = check_range(list, entry.range);

    if (r < 0) {
        return r;
    }
    grown = realloc(list->ioports, ((size_t)list->num_ioports + 1) * sizeof(*grown));
    if (grown == NULL) {
        return fail(-ENOMEM, "cannot add a handler for ports 0x%x to 0x%x: out of memory",
                    entry.range.start, entry.range.end);
    }
    list->ioports = grown;
    at = index_at_or_after(list, entry.range.start);
    memmove(&grown[at + 1], &grown[at], (size_t)(list->num_ioports - at) * sizeof(*grown));
    grown[at] = entry;
    list->num_ioports++;
    return 0;
}

const vm_ioport_interface_t *port_owner(const vm_t *vm, uint16_t port)
{
    return find_handler(&vm->arch.ioport_list, port);
}

int port_claim(vm_t *vm, uint16_t port, vm_ioport_interface_t interface)
{
    return add_handler(&vm->arch.ioport_list, (vm_ioport_entry_t){{port, port}, interface});
}

void port_unclaim(vm_t *vm, uint16_t port)
{
    vm_io_port_list_t *list = &vm->arch.ioport_list;
    int at = index_at_or_after(list, port);

    list->num_ioports--;
    memmove(&list->ioports[at], &list->ioports[at + 1],
            (size_t)(list->num_ioports - at) * sizeof(*list->ioports));
}

int vm_io_port_add_handler(vm_t *vm, vm_ioport_range_t ioport_range,
                           vm_ioport_interface_t ioport_interface)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "vm_io_port_add_handler: no VM given"));
    }
    vm_enter(vm);
    r = add_handler(&vm->arch.ioport_list, (vm_ioport_entry_t){ioport_range, ioport_interface});
    vm_leave(vm);
    return public_status(vm, r);
}

int vm_register_unhandled_ioport_callback(vm_t *vm, unhandled_ioport_callback_fn ioport_callback,
                                          void *cookie)
{
    if (!vm_is_usable(vm) || ioport_callback == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_register_unhandled_ioport_callback: no VM or no callback given"));
    }
    vm_enter(vm);
    vm->arch.unhandled_ioport_callback = ioport_callback;
    vm->arch.unhandled_ioport_callback_cookie = cookie;
    vm_leave(vm);
    return 0;
}

/* --- the host's own ports --- */

static ioport_fault_result_t host_port_in(vm_vcpu_t *vcpu, void *cookie, unsigned int port_no,
                                          unsigned int size, unsigned int *result)
{
    uint16_t port = (uint16_t)port_no;

    (void)vcpu;
    (void)cookie;
    *result = size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
    return IO_FAULT_HANDLED;
}

static ioport_fault_result_t host_port_out(vm_vcpu_t *vcpu, void *cookie, unsigned int port_no,
                                           unsigned int size, unsigned int value)
{
    uint16_t port = (uint16_t)port_no;

    (void)vcpu;
    (void)cookie;
    if (size == 1) {
        outb((uint8_t)value, port);
    } else if (size == 2) {
        outw((uint16_t)value, port);
    } else {
        outl(value, port);
    }
    return IO_FAULT_HANDLED;
}

static int pass_ports(vm_t *vm, vm_ioport_range_t range)
{
    const vm_ioport_interface_t host_ports = {NULL, host_port_in, host_port_out,
                                              "the host's ports"};
    int r = check_range(&vm->arch.ioport_list, range);

    if (r < 0) {
        return r;
    }
    if (!env_config(vm->hosted->env)->allow_ioport_passthrough) {
        return fail(-EPERM,
                    "cannot give the guest the host's ports 0x%x to 0x%x: the environment does not "
                    "allow it; set "
                    "hostvm_env_config_t.allow_ioport_passthrough",
                    range.start, range.end);
    }
    if (ioperm(range.start, range.end - range.start + 1u, 1) < 0) {
        return fail(
            -EPERM,
            "cannot give the guest the host's ports 0x%x to 0x%x: the process may not use them",
            range.start, range.end);
    }
    return add_handler(&vm->arch.ioport_list, (vm_ioport_entry_t){range, host_ports});
}

int vm_enable_passthrough_ioport(vm_vcpu_t *vcpu, uint16_t port_start, uint16_t port_end)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_enable_passthrough_ioport: no vcpu given"));
    }
    vm_enter(vcpu->vm);
    r = pass_ports(vcpu->vm, (vm_ioport_range_t){port_start, port_end});
    vm_leave(vcpu->vm);
    r = public_status(vcpu->vm, r);
    if (r < 0) {
        errno = EPERM;
    }
    return r;
}

/* --- exits --- */

static uint32_t mask_of(unsigned size)
{
    return size == 4 ? UINT32_MAX : (1u << size * 8) - 1;
}

static ioport_fault_result_t ask(vm_vcpu_t *vcpu, const vm_ioport_interface_t *handler,
                                 unsigned port, unsigned size, bool is_in, unsigned *value)
{
    const struct vm_arch *arch = &vcpu->vm->arch;

    if (handler == NULL) {
        return arch->unhandled_ioport_callback == NULL
                   ? IO_FAULT_UNHANDLED
                   : arch->unhandled_ioport_callback(vcpu, port, is_in, value, size,
                                                     arch->unhandled_ioport_callback_cookie);
    }
    if (is_in) {
        return handler->port_in == NULL
                   ? IO_FAULT_UNHANDLED
                   : handler->port_in(vcpu, handler->cookie, port, size, value);
    }
    return handler->port_out == NULL ? IO_FAULT_UNHANDLED
                                     : handler->port_out(vcpu, handler->cookie, port, size, *value);
}

static enum run_verdict refuse(vm_vcpu_t *vcpu, unsigned port, unsigned size, bool is_in)
{
    if (is_hypercall_port(port_owner(vcpu->vm, (uint16_t)port))) {
        return RUN_REFUSED; /* the reason is there */
    }
    (void)public_status(
        vcpu->vm, fail(-ECANCELED, "the handler of port 0x%x reported an error for %s of %u bytes",
                       port, is_in ? "a read" : "a write", size));
    return RUN_REFUSED;
}

static struct exit_record *remember(struct hosted_vcpu *hv, const struct kvm_run *run,
                                    uint32_t value)
{
    struct exit_record *record = &hv->records[hv->nr_exits++ % EXIT_RECORDS];

    *record = (struct exit_record){
        .reason = KVM_EXIT_IO,
        .size = run->io.size,
        .is_write = run->io.direction == KVM_EXIT_IO_OUT,
        .addr = run->io.port,
        .data = value,
    };
    return record;
}

/* String instructions come with several elements at once. The map may move while a handler runs:
 * found anew for each. */
enum run_verdict handle_port(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    bool is_in = run->io.direction == KVM_EXIT_IO_IN;
    unsigned size = run->io.size;
    uint8_t *data = (uint8_t *)vcpu->hosted->kvm.run + run->io.data_offset;

    vcpu->hosted->has_pending_io = true;
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        struct exit_record *record;
        unsigned value = 0;

        if (!is_in) {
            memcpy(&value, data, size);
        }
        record = remember(vcpu->hosted, run, value);
        switch (ask(vcpu, find_handler(&vcpu->vm->arch.ioport_list, run->io.port), run->io.port,
                    size, is_in, &value)) {
        case IO_FAULT_HANDLED:
            break;
        case IO_FAULT_UNHANDLED:
            value = is_in ? mask_of(size) : value;
            break;
        case IO_FAULT_ERROR:
        default:
            return refuse(vcpu, run->io.port, size, is_in);
        }
        record->data = value & mask_of(size);
        if (is_in) {
            memcpy(data, &value, size);
        }
    }
    return RUN_CONTINUE;
}
