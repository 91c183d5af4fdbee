/* x86 hypercalls: who handles them, and which guest instruction makes one on which host. */
#pragma once

#include <sel4vm/guest_vm.h>

#if defined(__x86_64__)

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Registers the handler of a hypercall. Before or while the VM runs, from any thread and from
 * callbacks. Cannot be undone.
 *
 * The handler is called on the vcpu's thread, never at the same time as another callback of the VM.
 * It reads and sets registers through guest_x86_context.h; what it does not set the guest finds
 * unchanged, RAX included. It returns 0, and the guest goes on behind its instruction, or at the
 * VMX_GUEST_RIP that the handler set. Anything else ends vm_run with -1; should vm_run be called
 * again, the guest goes on behind the instruction, too.
 *
 * A hypercall whose token nobody has registered changes no register; the guest goes on, and the log
 * says so, a few times. libsel4vm does not look at the guest's privilege level, nor is it looked at
 * here: user programs of the guest can use the instruction. A handler that minds looks at bits 5
 * and 6 of VMX_GUEST_SS_ACCESS_RIGHTS. The port below is the guest's to protect, with IOPL.
 *
 * Two ways lead to the handler. hostvm_vmcall_mode (hostvm/vmcall.h) tells what the VM has:
 *
 * The port, on every host: an OUT of 4 bytes from EAX, the token, to HOSTVM_VMCALL_PORT. A guest
 * finds it in hostvm/guest_vmcall.h. It belongs to hypercalls from the first registration on, and
 * is a port like any other in VMs without. VMX_GUEST_RIP may be at the OUT or behind it while the
 * handler runs: KVM shows the one or the other.
 *
 * The instruction, where KVM hands it to user space: a KVM of Linux 5.12 or later built with
 * CONFIG_KVM_XEN (KVM_CAP_XEN_HVM has KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL). Then VMCALL is for Intel
 * processors and VMMCALL for AMD's; KVM overwrites the wrong one in the guest's memory with the
 * right one when it meets it, which asks for code that the guest may write. VMX_GUEST_RIP is at the
 * instruction while the handler runs. Three things to know:
 *  - Token 29 with 0 or 3 in the first argument (RDI, or EBX outside of 64-bit mode) is Xen's yield
 *    and poll: KVM of Linux 5.19 or later takes it for itself, from the guest's kernel. Use another
 *    token.
 *  - KVM's own paravirtual hypercalls come to the VMM as well. So a VM that shows them to the guest
 *    (HOSTVM_CPU_HOST, to be chosen before the first registration) keeps to the port.
 *  - WRMSR to 0x40000200 has KVM fill a page of the guest's choice with Xen's hypercall stubs.
 *
 * Elsewhere the instruction does not reach the VMM:
 *  - KVM on Intel and AMD processors answers itself: RAX becomes -1000 (KVM_ENOSYS), -1 (KVM_EPERM)
 *    outside of ring 0, or what KVM's paravirtual hypercalls 1, 5, 9, 10, 11 and 12 return
 *    (linux/kvm_para.h). One of them can be had: KVM_CAP_EXIT_HYPERCALL, Linux 5.14, is used for a
 *    handler whose token that capability names, which is 12 alone. It is called when RBX holds a
 *    page's address and RCX, a number of pages, is not 0; otherwise KVM answers.
 *  - a KVM that emulates ring 0 (module kvm_pvm) executes the instruction over and over: the guest
 *    hangs.
 *
 * Differs from libsel4vm: func NULL is refused; a further vm_run after a handler's failure does not
 * call it again; RIP set by a handler is where the guest goes on, not 3 bytes before it.
 *
 * @param vm     the VM
 * @param func   the handler
 * @param token  the low 32 bits of the guest's RAX
 * @return 0; -1 when vm or func is NULL, the token has a handler (which stays), another handler has
 * the hypercall port, memory runs out, or KVM fails; nothing is registered then
 */
int vm_reg_new_vmcall_handler(vm_t *vm, vmcall_handler func, int token);

#ifdef __cplusplus
}
#endif

#endif
