/* The ioctls that only x86 has. */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/reason.h"

static int vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned long request, const void *arg,
                      const char *what)
{
    if (ioctl(vcpu->fd, request, arg) < 0) {
        int r = -errno;
        return fail(r, "cannot %s of vcpu %u: %s", what, vcpu->id, strerror(-r));
    }
    return 0;
}

int kvm_vm_set_tss_addr(struct kvm_vm *vm, uint64_t gpa)
{
    if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)gpa) < 0) {
        int r = -errno;
        return fail(r, "cannot place KVM's task state segment at 0x%llx: %s",
                    (unsigned long long)gpa, strerror(-r));
    }
    return 0;
}

int kvm_vm_set_identity_map_addr(struct kvm_vm *vm, uint64_t gpa)
{
    if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &gpa) < 0) {
        int r = -errno;
        return fail(r, "cannot place KVM's identity map at 0x%llx: %s", (unsigned long long)gpa,
                    strerror(-r));
    }
    return 0;
}

int kvm_host_supported_cpuid(struct kvm_host *host, struct kvm_cpuid2 **ret_cpuid)
{
    /* KVM answers E2BIG while the table is too small and never has more than KVM_MAX_CPUID_ENTRIES
     * (256). */
    enum { MAX_ENTRIES = 256 };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));

    if (cpuid == NULL) {
        return fail(-ENOMEM, "cannot read the processor's features: out of memory");
    }
    cpuid->nent = MAX_ENTRIES;
    if (ioctl(host->fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
        int r = -errno;
        free(cpuid);
        return fail(r, "cannot read the processor's features: %s", strerror(-r));
    }
    *ret_cpuid = cpuid;
    return 0;
}

int kvm_vcpu_set_cpuid(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid)
{
    return vcpu_ioctl(vcpu, KVM_SET_CPUID2, cpuid, "set the processor features");
}

int kvm_vcpu_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
    return vcpu_ioctl(vcpu, KVM_GET_SREGS, sregs, "read the system registers");
}

int kvm_vcpu_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
    return vcpu_ioctl(vcpu, KVM_SET_SREGS, sregs, "write the system registers");
}

int kvm_vcpu_get_debugregs(struct kvm_vcpu *vcpu, struct kvm_debugregs *regs)
{
    return vcpu_ioctl(vcpu, KVM_GET_DEBUGREGS, regs, "read the debug registers");
}

int kvm_vcpu_set_debugregs(struct kvm_vcpu *vcpu, const struct kvm_debugregs *regs)
{
    return vcpu_ioctl(vcpu, KVM_SET_DEBUGREGS, regs, "write the debug registers");
}

int kvm_vcpu_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
    return vcpu_ioctl(vcpu, KVM_GET_VCPU_EVENTS, events, "read the pending events");
}

int kvm_vcpu_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
    return vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, events, "write the pending events");
}

struct one_msr {
    struct kvm_msrs header;
    struct kvm_msr_entry entry;
};

int kvm_vcpu_get_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *ret_value)
{
    struct one_msr msr = {.header.nmsrs = 1, .entry.index = index};

    if (ioctl(vcpu->fd, KVM_GET_MSRS, &msr) != 1) {
        return fail(-EIO, "cannot read model-specific register 0x%x of vcpu %u", index, vcpu->id);
    }
    *ret_value = msr.entry.data;
    return 0;
}

int kvm_vcpu_set_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t value)
{
    struct one_msr msr = {.header.nmsrs = 1, .entry = {.index = index, .data = value}};

    if (ioctl(vcpu->fd, KVM_SET_MSRS, &msr) != 1) {
        return fail(-EIO, "cannot write model-specific register 0x%x of vcpu %u", index, vcpu->id);
    }
    return 0;
}

int kvm_vcpu_interrupt(struct kvm_vcpu *vcpu, uint8_t vector)
{
    struct kvm_interrupt interrupt = {.irq = vector};

    return vcpu_ioctl(vcpu, KVM_INTERRUPT, &interrupt, "queue an interrupt");
}

int kvm_vcpu_translate(struct kvm_vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa)
{
    struct kvm_translation translation = {.linear_address = linear};
    int r = vcpu_ioctl(vcpu, KVM_TRANSLATE, &translation, "translate an address");

    if (r < 0) {
        return r;
    }
    if (!translation.valid) {
        return fail(-EFAULT, "the guest maps nothing at 0x%llx", (unsigned long long)linear);
    }
    *ret_gpa = translation.physical_address;
    return 0;
}
