/* The fault record of a vcpu: the access that a callback is asked about, and what it answers. */
#include <sel4vm/guest_vcpu_fault.h>

#include <errno.h>

#include "vm/vm.h"

/* Outside fault callbacks there is nothing to tell. */
static __attribute__((cold)) int no_fault(const vm_vcpu_t *vcpu, const char *function)
{
    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "%s: no vcpu given", function));
    }
    return public_status(vcpu->vm,
                         fail(-EINVAL, "%s: vcpu %u has no fault; ask in its fault callback",
                              function, vcpu->vcpu_id));
}

static inline bool has_fault(const vm_vcpu_t *vcpu)
{
    return vcpu_is_usable(vcpu) && vcpu->hosted->fault.is_active;
}

/* The record of the access that a callback is being asked about; NULL, with a reason logged,
 * outside callbacks. */
static inline struct fault *current_fault(vm_vcpu_t *vcpu, const char *function)
{
    if (has_fault(vcpu)) {
        return &vcpu->hosted->fault;
    }
    (void)no_fault(vcpu, function);
    return NULL;
}

/* Bits between the aligned 32-bit word and the access. */
static unsigned lane_shift(const struct fault *fault)
{
    return (unsigned)(fault->addr & 3) * 8;
}

static seL4_Word lane_mask(const struct fault *fault)
{
    switch (fault->size) {
    case 1:
        return 0xfful << lane_shift(fault);
    case 2:
        return 0xfffful << lane_shift(fault);
    case 4:
        return 0xfffffffful << lane_shift(fault);
    case 8:
        return ~0ul;
    default:
        (void)fail(-EINVAL, "an access of %u bytes has no data mask", fault->size);
        return 0;
    }
}

seL4_Word get_vcpu_fault_address(vm_vcpu_t *vcpu)
{
    const struct fault *fault = current_fault(vcpu, __func__);

    return fault == NULL ? 0 : fault->addr;
}

seL4_Word get_vcpu_fault_ip(vm_vcpu_t *vcpu)
{
    return current_fault(vcpu, __func__) == NULL ? 0 : arch_fault_ip(vcpu);
}

seL4_Word get_vcpu_fault_data(vm_vcpu_t *vcpu)
{
    const struct fault *fault = current_fault(vcpu, __func__);

    return fault == NULL ? 0 : fault->data;
}

seL4_Word get_vcpu_fault_data_mask(vm_vcpu_t *vcpu)
{
    const struct fault *fault = current_fault(vcpu, __func__);
    seL4_Word mask = fault == NULL ? 0 : lane_mask(fault);

    if (fault != NULL && mask == 0) { /* the guest chooses sizes, as often as it likes */
        log_limited(vcpu->vm->hosted->log, &vcpu->vm->hosted->guest_noise, HOSTVM_LOG_WARN, "%s",
                    reason_last());
    }
    return mask;
}

size_t get_vcpu_fault_size(vm_vcpu_t *vcpu)
{
    const struct fault *fault = current_fault(vcpu, __func__);

    return fault == NULL ? 0 : fault->size;
}

bool is_vcpu_read_fault(vm_vcpu_t *vcpu)
{
    const struct fault *fault = current_fault(vcpu, __func__);

    return fault != NULL && !fault->is_write;
}

static __attribute__((cold)) int not_a_read(const vm_vcpu_t *vcpu)
{
    return public_status(
        vcpu->vm, fail(-EINVAL, "set_vcpu_fault_data: the guest writes at 0x%llx, it reads nothing",
                       (unsigned long long)vcpu->hosted->fault.addr));
}

int set_vcpu_fault_data(vm_vcpu_t *vcpu, seL4_Word data)
{
    if (!has_fault(vcpu)) {
        return no_fault(vcpu, __func__);
    }
    if (vcpu->hosted->fault.is_write) {
        return not_a_read(vcpu);
    }
    vcpu->hosted->fault.data = data;
    return 0;
}

int hostvm_set_fault_data(vm_vcpu_t *vcpu, uint64_t value)
{
    const struct fault *fault = current_fault(vcpu, __func__);

    return fault == NULL ? -1 : set_vcpu_fault_data(vcpu, fault_data_of(fault, value));
}

seL4_Word emulate_vcpu_fault(vm_vcpu_t *vcpu, seL4_Word data)
{
    const struct fault *fault = current_fault(vcpu, __func__);
    seL4_Word mask;
    unsigned shift;

    if (fault == NULL) {
        return data;
    }
    mask = lane_mask(fault);
    shift = lane_shift(fault);
    if (fault->is_write) {
        return (data & ~mask) | ((fault->data << shift) & mask);
    }
    return (data & ~(mask >> shift)) | ((fault->data & mask) >> shift);
}

static __attribute__((cold)) void advanced_already(const vm_vcpu_t *vcpu)
{
    log_limited(vcpu->vm->hosted->log, &vcpu->vm->hosted->guest_noise, HOSTVM_LOG_WARN,
                "advance_vcpu_fault: the access at 0x%llx is complete already",
                (unsigned long long)vcpu->hosted->fault.addr);
}

void advance_vcpu_fault(vm_vcpu_t *vcpu)
{
    struct fault *fault = current_fault(vcpu, __func__);

    if (fault == NULL) {
        return;
    }
    if (fault->is_advanced) {
        advanced_already(vcpu);
        return;
    }
    fault->is_advanced = true;
}

void restart_vcpu_fault(vm_vcpu_t *vcpu)
{
    struct fault *fault = current_fault(vcpu, __func__);

    if (fault != NULL) {
        fault->is_restarted = true;
    }
}
