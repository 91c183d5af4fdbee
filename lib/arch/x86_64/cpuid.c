/* The processor that a vcpu shows to its guest. */
#include <errno.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "x86_64/x86_64.h"

/* Leaves and feature bits: Intel SDM 2A, CPUID; the hypervisor leaves:
 * Documentation/virt/kvm/x86/cpuid.rst. */
enum {
    LEAF_FEATURES = 0x1,
    LEAF_MWAIT = 0x5,
    LEAF_EXTENDED_FEATURES = 0x7,
    LEAF_PMU = 0xa,
    LEAF_TOPOLOGY = 0xb,
    LEAF_XSAVE = 0xd,
    LEAF_TOPOLOGY_V2 = 0x1f,
};
#define LEAF_HYPERVISOR_FIRST 0x40000000u
#define LEAF_HYPERVISOR_LAST  0x4fffffffu

#define ECX_MONITOR      (1u << 3)
#define ECX_VMX          (1u << 5)
#define ECX_FMA          (1u << 12)
#define ECX_PDCM         (1u << 15)
#define ECX_X2APIC       (1u << 21)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_XSAVE        (1u << 26)
#define ECX_OSXSAVE      (1u << 27)
#define ECX_AVX          (1u << 28)
#define ECX_F16C         (1u << 29)
#define ECX_HYPERVISOR   (1u << 31)
#define EDX_APIC         (1u << 9)

#define APIC_ID_SHIFT 24

/* AVX2 and the AVX-512 family in leaf 7 EBX; those of ECX and EDX, subleaves included, need XSAVE
 * all the same. */
#define EXT_EBX_AVX                                                                                \
    (1u << 5 | 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 |        \
     1u << 31)
#define EXT_ECX_AVX (1u << 1 | 1u << 6 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14)
#define EXT_EDX_AVX (1u << 2 | 1u << 3 | 1u << 8 | 1u << 23)

static void clear(struct kvm_cpuid_entry2 *entry)
{
    entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
}

/* seL4's VMM hides what it does not save and what it does not emulate. */
static void reduce_to_sel4(struct kvm_cpuid_entry2 *entry)
{
    if (entry->function >= LEAF_HYPERVISOR_FIRST && entry->function <= LEAF_HYPERVISOR_LAST) {
        clear(entry);
        return;
    }
    switch (entry->function) {
    case LEAF_FEATURES:
        entry->ecx &= ~(ECX_MONITOR | ECX_VMX | ECX_FMA | ECX_PDCM | ECX_X2APIC | ECX_TSC_DEADLINE |
                        ECX_XSAVE | ECX_OSXSAVE | ECX_AVX | ECX_F16C | ECX_HYPERVISOR);
        break;
    case LEAF_EXTENDED_FEATURES:
        entry->ebx &= ~EXT_EBX_AVX;
        entry->ecx &= ~EXT_ECX_AVX;
        entry->edx &= ~EXT_EDX_AVX;
        break;
    case LEAF_MWAIT:
    case LEAF_PMU:
    case LEAF_XSAVE:
        clear(entry);
        break;
    default:
        break;
    }
}

/* Two features that are not the processor's: KVM leaves it to its users to announce them. */
static void complete_host(struct hosted_vm *hosted, struct kvm_cpuid_entry2 *entry)
{
    if (entry->function != LEAF_FEATURES) {
        return;
    }
    entry->ecx |= ECX_HYPERVISOR;
    if (hosted->kvm.has_irqchip && kvm_vm_check_cap(&hosted->kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0) {
        entry->ecx |= ECX_TSC_DEADLINE;
    }
}

static void set_identity(const struct hosted_vm *hosted, struct kvm_cpuid_entry2 *entry,
                         uint32_t apic_id)
{
    switch (entry->function) {
    case LEAF_FEATURES:
        entry->ebx = (entry->ebx & ((1u << APIC_ID_SHIFT) - 1)) | apic_id << APIC_ID_SHIFT;
        if (!hosted->kvm.has_irqchip) {
            entry->edx &= ~EDX_APIC;
            entry->ecx &= ~(ECX_X2APIC | ECX_TSC_DEADLINE);
        }
        break;
    case LEAF_TOPOLOGY:
    case LEAF_TOPOLOGY_V2:
        entry->edx = apic_id;
        break;
    default:
        break;
    }
}

int cpuid_setup(vm_vcpu_t *vcpu)
{
    struct hosted_vm *hosted = vcpu->vm->hosted;
    struct kvm_cpuid2 *cpuid;
    int r = kvm_host_supported_cpuid(&hosted->host, &cpuid);

    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

        if (hosted->cpu_model == HOSTVM_CPU_SEL4) {
            reduce_to_sel4(entry);
        } else {
            complete_host(hosted, entry);
        }
        set_identity(hosted, entry, vcpu->hosted->kvm.id);
    }
    r = kvm_vcpu_set_cpuid(&vcpu->hosted->kvm, cpuid);
    free(cpuid);
    return r;
}
