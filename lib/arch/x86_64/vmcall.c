/* Hypercalls: who handles them, and the ways by which they come. */
#include <sel4vm/arch/vmcall.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hostvm/vmcall.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

/* --- the table, sorted by token --- */

/* Index of the first entry whose token is not below. */
static unsigned index_at_or_after(const struct vm_arch *arch, int token)
{
    unsigned low = 0;
    unsigned high = arch->vmcall_num_handlers;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (arch->vmcall_handlers[middle].token < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static vmcall_handler find_handler(const struct vm_arch *arch, int token)
{
    unsigned at = index_at_or_after(arch, token);

    return at < arch->vmcall_num_handlers && arch->vmcall_handlers[at].token == token
               ? arch->vmcall_handlers[at].func
               : NULL;
}

static int make_room(struct vm_arch *arch, int token)
{
    vmcall_handler_t *grown =
        realloc(arch->vmcall_handlers, ((size_t)arch->vmcall_num_handlers + 1) * sizeof(*grown));

    if (grown == NULL) {
        return fail(-ENOMEM, "cannot register a handler for hypercall 0x%x: out of memory",
                    (unsigned)token);
    }
    arch->vmcall_handlers = grown;
    return 0;
}

static void insert(struct vm_arch *arch, vmcall_handler_t handler)
{
    unsigned at = index_at_or_after(arch, handler.token);
    vmcall_handler_t *entry = &arch->vmcall_handlers[at];

    memmove(entry + 1, entry, (arch->vmcall_num_handlers - at) * sizeof(*entry));
    *entry = handler;
    arch->vmcall_num_handlers++;
}

/* --- hypercalls --- */

static enum run_verdict call_handler(vm_vcpu_t *vcpu, uint32_t eax)
{
    vm_t *vm = vcpu->vm;
    struct hosted_vcpu *hv = vcpu->hosted;
    vmcall_handler func = find_handler(&vm->arch, (int)eax);
    struct exit_record *record = &hv->records[(hv->nr_exits - 1) % EXIT_RECORDS];
    int r;

    record->reason = KVM_EXIT_HYPERCALL; /* whichever way it came */
    record->data = eax;
    if (func == NULL) {
        log_limited(vm->hosted->log, &vm->hosted->guest_noise, HOSTVM_LOG_WARN,
                    "vcpu %u made hypercall 0x%x, which nobody has registered", vcpu->vcpu_id, eax);
        return RUN_CONTINUE;
    }
    r = func(vcpu);
    if (r != 0) {
        (void)public_status(
            vm, fail(-ECANCELED, "the handler of hypercall 0x%x reported failure (%d)", eax, r));
        return RUN_REFUSED;
    }
    return RUN_CONTINUE;
}

/* --- by the port --- */

static ioport_fault_result_t hypercall_port(vm_vcpu_t *vcpu, void *cookie, unsigned int port_no,
                                            unsigned int size, unsigned int value)
{
    (void)cookie;
    (void)port_no;
    if (size != sizeof(uint32_t)) {
        return IO_FAULT_UNHANDLED;
    }
    return call_handler(vcpu, value) == RUN_CONTINUE ? IO_FAULT_HANDLED : IO_FAULT_ERROR;
}

bool is_hypercall_port(const vm_ioport_interface_t *handler)
{
    return handler != NULL && handler->port_out == hypercall_port;
}

static int claim_port(vm_t *vm, int token)
{
    const vm_ioport_interface_t interface = {NULL, NULL, hypercall_port, "hypercalls"};
    const vm_ioport_interface_t *owner = port_owner(vm, HOSTVM_VMCALL_PORT);

    if (owner != NULL) {
        return fail(-EEXIST,
                    "cannot register a handler for hypercall 0x%x: port 0x%x, by which hypercalls "
                    "come, belongs to %s",
                    (unsigned)token, HOSTVM_VMCALL_PORT,
                    owner->desc != NULL ? owner->desc : "another");
    }
    return port_claim(vm, HOSTVM_VMCALL_PORT, interface);
}

/* --- by the instruction --- */

/* The guest finds RAX as it was: KVM writes it back when it completes the instruction, and what the
 * handler set is written after that. */
enum run_verdict handle_hypercall(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    struct kvm_run *page = vcpu->hosted->kvm.run;
    uint64_t rax;

    if (run->exit_reason == KVM_EXIT_HYPERCALL) {
        rax = run->hypercall.nr;
        page->hypercall.ret = rax;
    } else if (run->xen.type == KVM_EXIT_XEN_HCALL) {
        rax = run->xen.u.hcall.input;
        page->xen.u.hcall.result = rax;
    } else {
        return RUN_UNKNOWN;
    }
    vcpu->hosted->has_pending_io = true;
    return call_handler(vcpu, (uint32_t)rax);
}

/* A guest that sees KVM's paravirtual hypercalls relies on KVM to answer them. */
static int choose_mode(struct hosted_vm *hosted)
{
    bool is_intercepted = false;
    int r = hosted->cpu_model == HOSTVM_CPU_HOST
                ? 0
                : kvm_vm_intercept_hypercalls(&hosted->kvm, &is_intercepted);

    if (r == 0) {
        hosted->arch.vmcall_mode =
            is_intercepted ? HOSTVM_VMCALL_BY_INSTRUCTION : HOSTVM_VMCALL_BY_PORT;
    }
    return r;
}

static int prepare_first(vm_t *vm, int token)
{
    int r = claim_port(vm, token);

    if (r < 0) {
        return r;
    }
    r = choose_mode(vm->hosted);
    if (r < 0) {
        port_unclaim(vm, HOSTVM_VMCALL_PORT);
    }
    return r;
}

/* --- registration --- */

static int prepare(vm_t *vm, int token)
{
    struct hosted_vm *hosted = vm->hosted;
    bool is_first = hosted->arch.vmcall_mode == HOSTVM_VMCALL_NONE;
    int r = make_room(&vm->arch, token);

    if (r == 0 && is_first) {
        r = prepare_first(vm, token);
    }
    if (r == 0 && hosted->arch.vmcall_mode == HOSTVM_VMCALL_BY_PORT) {
        r = kvm_vm_pass_hypercall(&hosted->kvm, (uint32_t)token);
        if (r < 0 && is_first) {
            hosted->arch.vmcall_mode = HOSTVM_VMCALL_NONE;
            port_unclaim(vm, HOSTVM_VMCALL_PORT);
        }
    }
    return r;
}

int vm_reg_new_vmcall_handler(vm_t *vm, vmcall_handler func, int token)
{
    int r;

    if (!vm_is_usable(vm) || func == NULL) {
        return public_status(vm,
                             fail(-EINVAL, "vm_reg_new_vmcall_handler: no VM or no handler given"));
    }
    vm_enter(vm);
    if (find_handler(&vm->arch, token) != NULL) {
        r = fail(-EEXIST, "cannot register a handler for hypercall 0x%x: it has one already",
                 (unsigned)token);
    } else {
        r = prepare(vm, token);
    }
    if (r == 0) {
        insert(&vm->arch, (vmcall_handler_t){token, func});
    }
    vm_leave(vm);
    return public_status(vm, r);
}

hostvm_vmcall_mode_t hostvm_vmcall_mode(vm_t *vm)
{
    hostvm_vmcall_mode_t mode;

    if (!vm_is_usable(vm)) {
        return HOSTVM_VMCALL_NONE;
    }
    vm_enter(vm);
    mode = vm->hosted->arch.vmcall_mode;
    vm_leave(vm);
    return mode;
}
