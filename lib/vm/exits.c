/* From a KVM exit to whoever handles it. */
#include <errno.h>
#include <string.h>

#include "vm/vm.h"

/* A callback that asks for a restart although nothing has changed gets one more chance. */
enum { MAX_RESTARTS = 2 };

static void remember(struct hosted_vcpu *hv, uint32_t reason, const struct fault *access)
{
    hv->records[hv->nr_exits++ % EXIT_RECORDS] = (struct exit_record){
        .reason = reason,
        .size = access->size,
        .is_write = access->is_write,
        .addr = access->addr,
        .data = access->data,
    };
}

/* --- memory --- */

static void begin_fault(struct hosted_vcpu *hv, const struct kvm_run *run)
{
    struct fault *fault = &hv->fault;

    *fault = (struct fault){
        .addr = run->mmio.phys_addr,
        .size = (uint8_t)run->mmio.len,
        .is_write = run->mmio.is_write != 0,
        .is_active = true,
    };
    if (fault->is_write) {
        memcpy(&fault->data, run->mmio.data, sizeof(fault->data));
        fault->data &= UINT64_MAX >> (64 - 8 * fault->size);
    }
    remember(hv, run->exit_reason, fault);
}

/* What the guest reads goes into the run page; the next entry completes the instruction. KVM takes
 * as many of the bytes as the access has. */
static enum run_verdict complete(struct hosted_vcpu *hv, uint64_t value)
{
    if (!hv->fault.is_write) {
        memcpy(hv->kvm.run->mmio.data, &value, sizeof(value));
    }
    return RUN_CONTINUE;
}

static enum run_verdict complete_by_callback(struct hosted_vcpu *hv)
{
    return complete(hv, fault_read_value(&hv->fault));
}

static bool complete_in_memory(struct hosted_vm *hosted, struct hosted_vcpu *hv)
{
    if (!guest_vspace_access(hosted, &hv->fault)) {
        return false;
    }
    (void)complete(hv, hv->fault.data);
    return true;
}

static memory_fault_result_t refuse(struct fault *fault)
{
    fault->refuser = REFUSED_BY_LIBRARY;
    return FAULT_ERROR;
}

/* Within a reservation, but not plainly its callback's. */
static __attribute__((noinline)) memory_fault_result_t ask_mapping(
    vm_t *vm, vm_vcpu_t *vcpu, struct vm_memory_reservation *reservation)
{
    struct fault *fault = &vcpu->hosted->fault;

    if (fault->size > range_end(reservation->range) - fault->addr) { /* it begins inside */
        (void)fail(-EFAULT, "it reaches past the end of the reservation [0x%llx..0x%llx)",
                   (unsigned long long)reservation->range.start,
                   (unsigned long long)range_end(reservation->range));
        return refuse(fault);
    }
    if (reservation->iterator != NULL) {
        return memory_map_deferred(vm, reservation) == 0 ? FAULT_RESTART : refuse(fault);
    }
    /* Memory is there, and still KVM came here: the slot was being exchanged, or the guest lacks
     * the right. */
    if (complete_in_memory(vm->hosted, vcpu->hosted)) {
        fault->is_active = false;
        return FAULT_HANDLED;
    }
    return reservation->callback(vm, vcpu, fault->addr, fault->size, reservation->cookie);
}

static __attribute__((noinline)) memory_fault_result_t ask_nobody(vm_t *vm, vm_vcpu_t *vcpu)
{
    struct fault *fault = &vcpu->hosted->fault;

    if (vm->mem.unhandled_mem_fault_handler == NULL) {
        return FAULT_UNHANDLED;
    }
    fault->refuser = REFUSED_BY_UNHANDLED_CALLBACK;
    return vm->mem.unhandled_mem_fault_handler(vm, vcpu, fault->addr, fault->size,
                                               vm->mem.unhandled_mem_fault_cookie);
}

/* The reservation of an access, its mapping and its callback; or else the VM's. Part of every exit,
 * and its rare cases are functions of their own: what they need would cost all others. */
static inline __attribute__((always_inline)) memory_fault_result_t ask_anybody(vm_t *vm,
                                                                               vm_vcpu_t *vcpu)
{
    struct fault *fault = &vcpu->hosted->fault;
    struct vm_memory_reservation *reservation;
    memory_fault_result_t result = FAULT_UNHANDLED;

    /* As in ask_mapping, for what a bound window has attached, which no reservation knows. */
    if (vm->hosted->bound != NULL && complete_in_memory(vm->hosted, vcpu->hosted)) {
        fault->is_active = false;
        return FAULT_HANDLED;
    }
    reservation = memory_find(vm, fault->addr);
    if (reservation != NULL) {
        result =
            reservation->is_mapped || reservation->iterator != NULL ||
                    fault->size > range_end(reservation->range) - fault->addr
                ? ask_mapping(vm, vcpu, reservation)
                : reservation->callback(vm, vcpu, fault->addr, fault->size, reservation->cookie);
    }
    return result == FAULT_UNHANDLED ? ask_nobody(vm, vcpu) : result;
}

static enum run_verdict handled(vm_t *vm, struct hosted_vcpu *hv)
{
    if (hv->fault.is_advanced) {
        return complete_by_callback(hv);
    }
    if (!hv->fault.is_active) { /* in memory */
        return RUN_CONTINUE;
    }
    if (!complete_in_memory(vm->hosted, hv)) {
        log_limited(
            vm->hosted->log, &vm->hosted->guest_noise, HOSTVM_LOG_WARN,
            "a callback handled the access at 0x%llx without advance_vcpu_fault; taken as complete",
            (unsigned long long)hv->fault.addr);
        return complete_by_callback(hv);
    }
    return RUN_CONTINUE;
}

static enum run_verdict ignore(vm_vcpu_t *vcpu)
{
    if (vcpu->hosted->fault.is_write) {
        return RUN_CONTINUE;
    }
    return public_status(vcpu->vm, arch_fault_ignore_read(vcpu)) == 0 ? RUN_CONTINUE
                                                                      : RUN_HOST_FAILED;
}

static enum run_verdict nobody(vm_vcpu_t *vcpu, memory_fault_result_t result)
{
    const struct fault *fault = &vcpu->hosted->fault;
    const char *who = fault->refuser == REFUSED_BY_UNHANDLED_CALLBACK
                          ? "the unhandled-fault callback"
                          : "its fault callback";
    const char *why = " reported an error";

    if (result == FAULT_UNHANDLED) {
        who = "nothing is there and nobody handled it";
        why = "";
    } else if (result == FAULT_RESTART) {
        why = " asks for a restart again and again, but nothing is there";
    } else if (fault->refuser == REFUSED_BY_LIBRARY) {
        who = reason_last();
        why = "";
    }
    return crash(vcpu, "%s of %u bytes at 0x%llx: %s%s", fault->is_write ? "write" : "read",
                 fault->size, (unsigned long long)fault->addr, who, why);
}

/* An answer that is not plainly: done. Apart, for what it needs would cost every exit. */
static __attribute__((noinline)) enum run_verdict settle_fault(vm_vcpu_t *vcpu,
                                                               memory_fault_result_t result)
{
    struct hosted_vcpu *hv = vcpu->hosted;

    for (int nr_restarts = 0;; nr_restarts++) {
        if (result == FAULT_HANDLED && hv->fault.is_restarted && !hv->fault.is_advanced) {
            result = FAULT_RESTART;
        }
        if (result == FAULT_RESTART && complete_in_memory(vcpu->vm->hosted, hv)) {
            return RUN_CONTINUE;
        }
        if (result != FAULT_RESTART || nr_restarts + 1 == MAX_RESTARTS) {
            break;
        }
        hv->fault.is_restarted = false;
        hv->fault.refuser = REFUSED_BY_CALLBACK;
        result = ask_anybody(vcpu->vm, vcpu);
    }
    if (result == FAULT_HANDLED) {
        return handled(vcpu->vm, hv);
    }
    return result == FAULT_IGNORE ? ignore(vcpu) : nobody(vcpu, result);
}

static enum run_verdict handle_mmio(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    struct hosted_vcpu *hv = vcpu->hosted;
    memory_fault_result_t result;
    enum run_verdict verdict;

    begin_fault(hv, run);
    hv->has_pending_io = true;
    result = ask_anybody(vcpu->vm, vcpu);
    verdict = result == FAULT_HANDLED && hv->fault.is_advanced ? complete_by_callback(hv)
                                                               : settle_fault(vcpu, result);
    hv->fault.is_active = false;
    return verdict;
}

/* --- the rest --- */

static enum run_verdict handle_halt(vm_vcpu_t *vcpu)
{
    log_at(vcpu->vm->hosted->log, HOSTVM_LOG_INFO,
           "vcpu %u halted; the VM has no interrupt controller that could wake it", vcpu->vcpu_id);
    return RUN_HALTED;
}

static enum run_verdict handle_system_event(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        return RUN_POWEROFF;
    case KVM_SYSTEM_EVENT_RESET:
        return RUN_RESET;
    default:
        return crash(vcpu, "the guest reported a crash of its own (system event %u)",
                     run->system_event.type);
    }
}

static enum run_verdict handle_internal_error(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    switch (run->internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return crash(
            vcpu, "KVM cannot emulate the instruction, or there is no memory where it should be");
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return crash(vcpu, "an exception came while KVM delivered another one");
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return crash(
            vcpu, "KVM could not deliver an event: no memory where its table or stack should be");
    default:
        return crash(vcpu, "KVM gave up with internal error %u", run->internal.suberror);
    }
}

static enum run_verdict handle_by_arch(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    enum run_verdict verdict = arch_handle_exit(vcpu, run);

    if (verdict == RUN_UNKNOWN && run->exit_reason == KVM_EXIT_HYPERCALL) {
        return crash(vcpu, "nobody handled the guest's call 0x%llx",
                     (unsigned long long)run->hypercall.nr);
    }
    if (verdict == RUN_UNKNOWN) {
        return crash(vcpu, "an exit that nobody knows, KVM's number %u", run->exit_reason);
    }
    return verdict;
}

/* Memory that can be accessed in this way by now; a deferred mapping comes into being. */
static bool is_memory(vm_t *vm, uint64_t addr, bool is_write, bool *ret_failed)
{
    struct vm_memory_reservation *reservation = memory_find(vm, addr);
    const struct kvm_slot *slot;

    if (reservation != NULL && reservation->iterator != NULL) {
        *ret_failed = public_status(vm, memory_map_deferred(vm, reservation)) != 0;
    }
    slot = kvm_slots_find(&vm->hosted->kvm.slots, addr);
    return slot != NULL && !(is_write && (slot->flags & KVM_MEM_READONLY) != 0);
}

/*
 * Arm: an access whose width and register the processor did not tell, so that nobody can do it for
 * the guest. Where there is memory the instruction runs again.
 */
static enum run_verdict handle_undecoded(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    enum { ISS_IS_WRITE = 1u << 6 }; /* Arm ARM, D17.2.37: WnR of a data abort */
    struct fault *fault = &vcpu->hosted->fault;
    bool has_failed = false;
    enum run_verdict verdict;

    *fault = (struct fault){
        .addr = run->arm_nisv.fault_ipa,
        .is_write = (run->arm_nisv.esr_iss & ISS_IS_WRITE) != 0,
        .is_active = true,
    };
    remember(vcpu->hosted, run->exit_reason, fault);
    if (is_memory(vcpu->vm, fault->addr, fault->is_write, &has_failed)) {
        fault->is_active = false;
        return RUN_CONTINUE;
    }
    verdict = has_failed ? RUN_UNKNOWN : arch_handle_exit(vcpu, run);
    if (verdict == RUN_UNKNOWN) {
        verdict = crash(
            vcpu,
            "%s at 0x%llx by an instruction that the processor does not describe (a pair of "
            "registers, an atomic operation, a base register written back): there is no memory",
            fault->is_write ? "write" : "read", (unsigned long long)fault->addr);
    }
    fault->is_active = false;
    return verdict;
}

enum run_verdict dispatch_exit(vm_vcpu_t *vcpu)
{
    static const struct fault no_access;
    struct hosted_vcpu *hv = vcpu->hosted;
    const struct kvm_run *run = hv->kvm.run;

    if (run->exit_reason == KVM_EXIT_MMIO) {
        return handle_mmio(vcpu, run);
    }
    if (run->exit_reason == KVM_EXIT_IO) {
        return arch_handle_exit(vcpu, run);
    }
    if (run->exit_reason == KVM_EXIT_ARM_NISV) {
        return handle_undecoded(vcpu, run);
    }
    remember(hv, run->exit_reason, &no_access);
    switch (run->exit_reason) {
    case KVM_EXIT_INTR:
        return RUN_CONTINUE;
    case KVM_EXIT_HLT:
        return handle_halt(vcpu);
    case KVM_EXIT_SHUTDOWN:
        return crash(vcpu, "triple fault");
    case KVM_EXIT_SYSTEM_EVENT:
        return handle_system_event(vcpu, run);
    case KVM_EXIT_INTERNAL_ERROR:
        return handle_internal_error(vcpu, run);
    case KVM_EXIT_FAIL_ENTRY:
        return crash(
            vcpu,
            "the processor refused to enter the guest, with reason 0x%llx: its registers make no "
            "valid state",
            (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    default:
        return handle_by_arch(vcpu, run);
    }
}
