/* An Arm vcpu's first state, and how KVM gets it. */
#include <errno.h>

#include <sel4vm/boot.h>

#include "arm64/arm64.h"

/* PSTATE after reset: EL1 with its own stack pointer, all interrupts off (Arm ARM, D1.3.2). */
#define PSTATE_RESET 0x3c5ull

/* The affinity that KVM gives a vcpu for its number (Linux, arch/arm64/kvm/sys_regs.c,
 * reset_mpidr): 4, 8 and 8 bits. Bit 31 is always set. */
static uint64_t mpidr_of(unsigned number)
{
    return UINT64_C(1) << 31 | (number & 0xf) | (uint64_t)(number >> 4 & 0xff) << 8 |
           (uint64_t)(number >> 12 & 0xff) << 16;
}

int arch_vcpu_init(vm_vcpu_t *vcpu)
{
    struct arch_vcpu *arch = &vcpu->hosted->arch;

    if (vcpu->vm->hosted->arch.is_gic_ready) {
        return fail(-EBUSY, "cannot create another vcpu: the interrupt controller was set up when "
                            "the first one was started; create them all before");
    }
    arch->words[WORD_SPSR] = PSTATE_RESET;
    arch->known = WORDS_THREAD;
    return 0;
}

static int create(vm_vcpu_t *vcpu)
{
    return kvm_vcpu_open(&vcpu->hosted->kvm, &vcpu->vm->hosted->kvm, vcpu_cpu_number(vcpu));
}

/* The one with the least number from there on. NULL: there is none. */
static vm_vcpu_t *next_by_number(const vm_t *vm, unsigned from)
{
    vm_vcpu_t *next = NULL;

    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        unsigned number = vcpu_cpu_number(vm->vcpus[i]);

        if (number >= from && (next == NULL || number < vcpu_cpu_number(next))) {
            next = vm->vcpus[i];
        }
    }
    return next;
}

/* To a GICv2, processors are those that KVM made first, second, ...: that has to be the order of
 * their numbers, whichever is started first. */
int arch_vcpu_create(vm_vcpu_t *vcpu)
{
    const struct hosted_vm *hosted = vcpu->vm->hosted;
    vm_vcpu_t *next = next_by_number(vcpu->vm, 0);
    int r = 0;

    if (!hosted->kvm.has_irqchip || hosted->arch.is_gic_ready) {
        return create(vcpu);
    }
    while (r == 0 && next != NULL) {
        r = create(next);
        next = next_by_number(vcpu->vm, vcpu_cpu_number(next) + 1);
    }
    return r;
}

static int reset(struct hosted_vcpu *hv)
{
    uint32_t features = hv->vcpu->vm->hosted->arch.has_pmu ? 1u << KVM_ARM_VCPU_PMU_V3 : 0;
    int r = hv->arch.is_reset ? 0 : kvm_vcpu_reset(&hv->kvm, features);

    hv->arch.is_reset = r == 0;
    return r;
}

/*
 * The interrupt controller is set up when all vcpus are there, and before any of them runs. Those
 * that were not started yet are off.
 */
static int open_all(vm_t *vm)
{
    for (unsigned i = 0; i < vm->num_vcpus; i++) {
        struct hosted_vcpu *hv = vm->vcpus[i]->hosted;
        int r = reset(hv);

        if (r == 0 && !hv->is_open) {
            r = kvm_vcpu_set_mp_state(&hv->kvm, KVM_MP_STATE_STOPPED);
        }
        if (r < 0) {
            return r;
        }
    }
    return gic_set_up(vm);
}

/*
 * KVM puts the interrupt controller at its addresses in the first KVM_RUN. A second one that comes
 * meanwhile does not wait for that: its guest would find nothing there. So the first is one that
 * runs nothing, and over before others begin.
 */
static int place_gic(vm_vcpu_t *vcpu)
{
    struct arch_vm *arch = &vcpu->vm->hosted->arch;
    int r;

    if (!arch->is_gic_ready || arch->is_gic_placed) {
        return 0;
    }
    kvm_vcpu_set_immediate_exit(&vcpu->hosted->kvm, true);
    r = kvm_vcpu_run(&vcpu->hosted->kvm);
    arch->is_gic_placed = r == -EINTR;
    return arch->is_gic_placed ? 0 : r;
}

static void apply_number(vm_vcpu_t *vcpu)
{
    const unsigned word = NR_THREAD_WORDS + seL4_VCPUReg_VMPIDR_EL2;
    struct hosted_vcpu *hv = vcpu->hosted;

    if (hv->kvm.id != vcpu_cpu_number(vcpu) && (hv->arch.dirty & REG_BIT(word)) == 0) {
        regs_set(hv, word, mpidr_of(vcpu_cpu_number(vcpu)));
    }
}

int arch_vcpu_open(vm_vcpu_t *vcpu)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct hosted_vcpu *hv = vcpu->hosted;
    int r = 0;

    if (!hosted->arch.has_forwarded_calls) {
        r = calls_forward(vcpu->vm);
        hosted->arch.has_forwarded_calls = r == 0;
    }
    if (r == 0 && hosted->kvm.has_irqchip && !hosted->arch.is_gic_ready) {
        r = open_all(vcpu->vm);
    }
    if (r == 0) {
        r = reset(hv);
    }
    if (r == 0) {
        r = pmu_set_up(vcpu);
    }
    if (r == 0) {
        r = kvm_vcpu_set_mp_state(&hv->kvm, hv->waits_for_startup ? KVM_MP_STATE_STOPPED
                                                                  : KVM_MP_STATE_RUNNABLE);
    }
    if (r == 0) {
        r = place_gic(vcpu);
    }
    if (r == 0) {
        apply_number(vcpu);
        hv->arch.known = hv->arch.dirty;
    }
    return r;
}
