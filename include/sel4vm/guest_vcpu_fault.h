/* The access that a fault callback is called for, and how it shall be completed. */
#pragma once

#include <sel4vm/guest_vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * All of these are for fault callbacks, on the vcpu given to the callback. Outside one they have
 * nothing to tell, and log that: the getters return 0 (is_vcpu_read_fault: false),
 * set_vcpu_fault_data -1, emulate_vcpu_fault its argument; the others do nothing.
 */

/** Guest-physical address of the access. */
seL4_Word get_vcpu_fault_address(vm_vcpu_t *vcpu);

/** Address of the faulting instruction. For a write KVM may already stand behind it: good for
 * messages only. */
seL4_Word get_vcpu_fault_ip(vm_vcpu_t *vcpu);

/**
 * The data of the access, in the low bits: of a write what the guest wrote, zero extended; of a
 * read what set_vcpu_fault_data stored, 0 before.
 *
 * Differs from libsel4vm on x86: there it is the whole register, and wrong for an immediate value.
 */
seL4_Word get_vcpu_fault_data(vm_vcpu_t *vcpu);

/**
 * The bits of an aligned 32-bit word that the access covers: ones over its size, shifted left by 8
 * bits for each byte between the word's address and its own. All ones for 8 bytes; 0, logged a few
 * times, for a size that is none of 1, 2, 4, 8.
 */
seL4_Word get_vcpu_fault_data_mask(vm_vcpu_t *vcpu);

/** Bytes accessed: 1, 2, 4 or 8 (for which libsel4vm on x86 says 4); any number from 1 to 8 where
 * an access straddles memory and a hole. */
size_t get_vcpu_fault_size(vm_vcpu_t *vcpu);

/** Whether the guest reads. */
bool is_vcpu_read_fault(vm_vcpu_t *vcpu);

/**
 * Sets what a read returns to the guest. x86: the low bytes of data. Arm: the bytes of data that
 * get_vcpu_fault_data_mask covers, moved down to the low bits. The last call counts.
 *
 * Differs from libsel4vm on x86: the guest's register gets as many bytes as it reads, when the
 * callback has returned, and keeps the others as the instruction does.
 *
 * @return 0; -1 when the access is a write
 */
int set_vcpu_fault_data(vm_vcpu_t *vcpu, seL4_Word data);

/**
 * Merges an access with a 32-bit register's value. With s = 8 bits for each byte between the
 * aligned word and the access, m = get_vcpu_fault_data_mask and f = get_vcpu_fault_data: of a write
 * (data & ~m) | ((f << s) & m): the register after the store; of a read (data & ~(m >> s)) | ((f &
 * m) >> s).
 */
seL4_Word emulate_vcpu_fault(vm_vcpu_t *vcpu, seL4_Word data);

/**
 * Declares the access complete: the guest continues behind it once the callback has returned
 * FAULT_HANDLED. A second call for the same access is ignored, with a warning; in libsel4vm on x86
 * it skips another instruction.
 */
void advance_vcpu_fault(vm_vcpu_t *vcpu);

/** Declares that the access shall be done again: as returning FAULT_RESTART. */
void restart_vcpu_fault(vm_vcpu_t *vcpu);

#ifdef __cplusplus
}
#endif
