/* What the guest asks of firmware or hypervisor, and who answers instead of KVM. */
#include <errno.h>
#include <string.h>

#include <sel4vm/arch/guest_arm_context.h>
#include <sel4vm/arch/processor.h>

#include "arm64/arm64.h"

/* Arm DEN 0028: function numbers by owner; a call that nobody knows answers -1. */
#define FAST_32       0x80000000u
#define FAST_64       0xc0000000u
#define OWNER_SHIFT   24
#define NOT_SUPPORTED (~UINT64_C(0))

/* Since Linux 6.4 (linux/kvm.h): the call came by SMC; without it, by HVC. */
#define EXIT_BY_SMC (UINT64_C(1) << 0)

/* Owners whose calls are handed over; between them lie KVM's: PSCI, time, and its own. */
static const struct {
    uint32_t first, end;
} forwarded[] = {{1, 4}, {7, 64}};

int calls_forward(vm_t *vm)
{
    static const uint32_t conventions[] = {FAST_32, FAST_64};
    bool is_on = vm->arch.vm_smc_handler != NULL;

    for (unsigned i = 0; is_on && i < 4; i++) {
        uint32_t first = conventions[i / 2] + (forwarded[i % 2].first << OWNER_SHIFT);
        uint32_t nr = (forwarded[i % 2].end - forwarded[i % 2].first) << OWNER_SHIFT;
        int r = kvm_vm_forward_calls(&vm->hosted->kvm, first, nr, &is_on);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int ask_vcpu_fault_callback(vm_vcpu_t *vcpu, uint32_t hsr)
{
    unhandled_vcpu_fault_callback_fn fn = vcpu->vcpu_arch.unhandled_vcpu_callback;

    return fn == NULL ? -ENOENT : fn(vcpu, hsr, vcpu->vcpu_arch.unhandled_vcpu_callback_cookie);
}

/* The program counter is behind the instruction already; the handler sees it there, at it. */
static int ask_smc_handler(vm_vcpu_t *vcpu)
{
    seL4_UserContext regs;
    int r = vm_get_thread_context(vcpu, &regs);

    regs.pc -= INSTRUCTION;
    if (r < 0 || vcpu->vm->arch.vm_smc_handler(vcpu, &regs) != 0) {
        return -1;
    }
    regs.pc += INSTRUCTION;
    return vm_set_thread_context(vcpu, regs);
}

/* The member behind ret, which older headers do not have. */
static uint64_t exit_flags(const struct kvm_run *run)
{
    uint64_t flags;

    memcpy(&flags, &run->hypercall.ret + 1, sizeof(flags));
    return flags;
}

enum run_verdict handle_call(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    bool is_smc = (exit_flags(run) & EXIT_BY_SMC) != 0;
    uint32_t class = is_smc ? HSR_SMC_64_EXCEPTION : HSR_HVC_64_EXCEPTION;

    if (is_smc && ask_smc_handler(vcpu) == 0) {
        return RUN_CONTINUE;
    }
    if (ask_vcpu_fault_callback(vcpu, class << HSR_EXCEPTION_CLASS_SHIFT | HSR_IL_MASK) == 0) {
        return RUN_CONTINUE;
    }
    if (is_smc) {
        return RUN_UNKNOWN;
    }
    regs_set(vcpu->hosted, WORD_X0, NOT_SUPPORTED); /* as KVM would, without a handler for SMC */
    return RUN_CONTINUE;
}

static int set_smc_handler(vm_t *vm, smc_handler_callback_fn handler)
{
    if (vm->hosted->has_started_vcpu) {
        return fail(-EBUSY, "cannot register a handler of secure monitor calls: a vcpu was started "
                            "already");
    }
    vm->arch.vm_smc_handler = handler;
    return 0;
}

int vm_register_smc_handler_callback(vm_t *vm, smc_handler_callback_fn vm_smc_handler)
{
    int r;

    if (!vm_is_usable(vm) || vm_smc_handler == NULL) {
        return public_status(
            vm, fail(-EINVAL, "vm_register_smc_handler_callback: no VM or no callback given"));
    }
    vm_enter(vm);
    r = set_smc_handler(vm, vm_smc_handler);
    vm_leave(vm);
    return public_status(vm, r);
}

int vm_register_unhandled_vcpu_fault_callback(vm_vcpu_t *vcpu,
                                              unhandled_vcpu_fault_callback_fn vcpu_fault_callback,
                                              void *cookie)
{
    if (!vcpu_is_usable(vcpu) || vcpu_fault_callback == NULL) {
        return public_status(
            NULL, fail(-EINVAL,
                       "vm_register_unhandled_vcpu_fault_callback: no vcpu or no callback given"));
    }
    vm_enter(vcpu->vm);
    vcpu->vcpu_arch.unhandled_vcpu_callback = vcpu_fault_callback;
    vcpu->vcpu_arch.unhandled_vcpu_callback_cookie = cookie;
    vm_leave(vcpu->vm);
    return 0;
}
