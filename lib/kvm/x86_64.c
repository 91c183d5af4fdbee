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

unsigned long kvm_host_vm_type(const struct kvm_host *host)
{
    (void)host;
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

int kvm_vcpu_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
    return vcpu_ioctl(vcpu, KVM_GET_REGS, regs, "read the registers");
}

int kvm_vcpu_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
    return vcpu_ioctl(vcpu, KVM_SET_REGS, regs, "write the registers");
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

/* What a KVM says that knows the request, or the flag, but not what it asks for. */
static bool is_refusal(int err)
{
    return err == EINVAL || err == ENOTTY || err == EOPNOTSUPP || err == EPERM;
}

int kvm_vm_intercept_hypercalls(struct kvm_vm *vm, bool *ret_is_on)
{
    /* KVM intercepts nothing unless an MSR is named, and takes those from 0x40000000 to 0x4fffffff
     * (arch/x86/kvm/xen.c). This one is Xen's where Hyper-V has the first ones. */
    struct kvm_xen_hvm_config config = {
        .flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
        .msr = 0x40000200,
    };
    int caps = kvm_vm_check_cap(vm, KVM_CAP_XEN_HVM);

    *ret_is_on = false;
    if ((caps & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL) == 0) {
        return 0;
    }
    if (ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &config) < 0) {
        int err = errno;
        return is_refusal(err) ? 0 : fail(-err, "cannot intercept hypercalls: %s", strerror(err));
    }
    *ret_is_on = true;
    return 0;
}

int kvm_vm_pass_hypercall(struct kvm_vm *vm, uint32_t nr)
{
    uint32_t mask;
    int r;

    if (nr >= 31) { /* the capability's answer is a positive int with a bit per number */
        return 0;
    }
    mask = 1u << nr;
    if ((vm->passed_hypercalls & mask) != 0 ||
        ((uint32_t)kvm_vm_check_cap(vm, KVM_CAP_EXIT_HYPERCALL) & mask) == 0) {
        return 0;
    }
    mask |= vm->passed_hypercalls; /* KVM forgets what it was told before */
    r = kvm_vm_enable_cap(vm, KVM_CAP_EXIT_HYPERCALL, mask);
    vm->passed_hypercalls = r < 0 ? vm->passed_hypercalls : mask;
    return r;
}
