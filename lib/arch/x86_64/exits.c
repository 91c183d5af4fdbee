/* Exits that only x86 has. */
#include "arch/arch.h"
#include "x86_64/x86_64.h"

enum run_verdict arch_handle_exit(vm_vcpu_t *vcpu, const struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_port(vcpu, run);
    case KVM_EXIT_XEN:
    case KVM_EXIT_HYPERCALL:
        return handle_hypercall(vcpu, run);
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
        return RUN_CONTINUE;
    default:
        return RUN_UNKNOWN;
    }
}

uint64_t arch_fault_ip(vm_vcpu_t *vcpu)
{
    return regs_load(vcpu->hosted) < 0 ? 0 : vcpu->hosted->arch.regs.rip;
}

/* --- the report of a crash --- */

static void report_registers(const struct log *log, const struct kvm_regs *regs)
{
    log_at(log, HOSTVM_LOG_ERROR, "  rip %016llx rsp %016llx rflags %08llx", regs->rip, regs->rsp,
           regs->rflags);
    log_at(log, HOSTVM_LOG_ERROR, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx", regs->rax,
           regs->rbx, regs->rcx, regs->rdx);
    log_at(log, HOSTVM_LOG_ERROR, "  rsi %016llx rdi %016llx rbp %016llx r8  %016llx", regs->rsi,
           regs->rdi, regs->rbp, regs->r8);
    log_at(log, HOSTVM_LOG_ERROR, "  r9  %016llx r10 %016llx r11 %016llx r12 %016llx", regs->r9,
           regs->r10, regs->r11, regs->r12);
    log_at(log, HOSTVM_LOG_ERROR, "  r13 %016llx r14 %016llx r15 %016llx", regs->r13, regs->r14,
           regs->r15);
}

static void report_system_registers(const struct log *log, const struct kvm_sregs *sregs)
{
    log_at(log, HOSTVM_LOG_ERROR, "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx",
           sregs->cr0, sregs->cr2, sregs->cr3, sregs->cr4, sregs->efer);
    log_at(log, HOSTVM_LOG_ERROR, "  cs %04x base %llx ss %04x gdt %llx/%x idt %llx/%x",
           sregs->cs.selector, sregs->cs.base, sregs->ss.selector, sregs->gdt.base,
           sregs->gdt.limit, sregs->idt.base, sregs->idt.limit);
}

/* As many bytes of the instruction as lie in memory on its first page. */
static void report_code(vm_vcpu_t *vcpu, uint64_t linear)
{
    enum { MAX_INSTRUCTION = 15, PAGE = 4096 }; /* SDM 2A, 2.3.11 */
    const struct log *log = vcpu->vm->hosted->log;
    char text[MAX_INSTRUCTION * 3 + 1] = "";
    uint64_t gpa;
    size_t n = PAGE - linear % PAGE < MAX_INSTRUCTION ? PAGE - linear % PAGE : MAX_INSTRUCTION;
    const uint8_t *code;

    if (kvm_vcpu_translate(&vcpu->hosted->kvm, linear, &gpa) < 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  code at rip: the guest maps nothing there");
        return;
    }
    code = hostvm_vm_pointer(vcpu->vm, gpa, n);
    if (code == NULL) {
        log_at(log, HOSTVM_LOG_ERROR, "  code at rip: guest-physical 0x%llx has no memory",
               (unsigned long long)gpa);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text + 3 * i, 4, " %02x", code[i]);
    }
    log_at(log, HOSTVM_LOG_ERROR, "  code at rip:%s", text);
}

void arch_report(vm_vcpu_t *vcpu)
{
    const struct log *log = vcpu->vm->hosted->log;
    const struct arch_vcpu *arch = &vcpu->hosted->arch;

    if (regs_load(vcpu->hosted) < 0 || sregs_load(vcpu->hosted) < 0) {
        log_at(log, HOSTVM_LOG_ERROR, "  no registers: %s", reason_last());
        return;
    }
    report_registers(log, &arch->regs);
    report_system_registers(log, &arch->sregs);
    report_code(vcpu, arch->sregs.cs.base + arch->regs.rip);
}
