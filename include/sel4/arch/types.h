/* The register sets of the architecture, and the types of its own capabilities. */
#pragma once

#include <sel4/errors.h>
#include <sel4/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(CONFIG_ARCH_X86_64)

/**
 * The general registers of a vcpu that no VMCS field holds. The names are those of a 32-bit vcpu;
 * the registers are whole.
 */
typedef struct seL4_VCPUContext {
    seL4_Word eax, ebx, ecx, edx, esi, edi, ebp;
    seL4_Word r8, r9, r10, r11, r12, r13, r14, r15;
} seL4_VCPUContext;

/**
 * The registers of a thread; their order is what indexes mean.
 */
typedef struct seL4_UserContext {
    seL4_Word rip, rsp, rflags, rax, rbx, rcx, rdx, rsi, rdi, rbp;
    seL4_Word r8, r9, r10, r11, r12, r13, r14, r15;
    seL4_Word fs_base, gs_base;
} seL4_UserContext;

#elif defined(CONFIG_ARCH_AARCH64)

/**
 * The registers of a vcpu at EL1 and EL0; their order is what register indexes mean.
 */
typedef struct seL4_UserContext {
    seL4_Word pc, sp, spsr;
    seL4_Word x0, x1, x2, x3, x4, x5, x6, x7, x8;
    seL4_Word x16, x17, x18, x29, x30;
    seL4_Word x9, x10, x11, x12, x13, x14, x15;
    seL4_Word x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
    seL4_Word tpidr_el0, tpidrro_el0;
} seL4_UserContext;

/**
 * System registers of a vcpu.
 */
typedef enum seL4_VCPUReg {
    seL4_VCPUReg_SCTLR = 0,
    seL4_VCPUReg_CPACR,
    seL4_VCPUReg_TTBR0,
    seL4_VCPUReg_TTBR1,
    seL4_VCPUReg_TCR,
    seL4_VCPUReg_MAIR,
    seL4_VCPUReg_AMAIR,
    seL4_VCPUReg_CIDR,
    seL4_VCPUReg_ACTLR,
    seL4_VCPUReg_AFSR0,
    seL4_VCPUReg_AFSR1,
    seL4_VCPUReg_ESR,
    seL4_VCPUReg_FAR,
    seL4_VCPUReg_PAR,
    seL4_VCPUReg_VBAR,
    seL4_VCPUReg_TPIDR_EL1,
    seL4_VCPUReg_VMPIDR_EL2,
    seL4_VCPUReg_SP_EL1,
    seL4_VCPUReg_ELR_EL1,
    seL4_VCPUReg_SPSR_EL1,
    seL4_VCPUReg_CNTV_CTL,
    seL4_VCPUReg_CNTV_CVAL,
    seL4_VCPUReg_CNTVOFF,
    seL4_VCPUReg_CNTKCTL_EL1,
    seL4_VCPUReg_Num
} seL4_VCPUReg;

/* Message registers of an unknown system call. */
enum { seL4_UnknownSyscall_X0 = 0 };

typedef seL4_CPtr seL4_ARM_Page;
typedef seL4_CPtr seL4_ARM_PageTable;
typedef seL4_CPtr seL4_ARM_SMC;
typedef seL4_CPtr seL4_ARM_VCPU;

/**
 * Arguments or results of a secure monitor call.
 */
typedef struct seL4_ARM_SMCContext {
    seL4_Word x0, x1, x2, x3, x4, x5, x6, x7;
} seL4_ARM_SMCContext;

/**
 * Passes a secure monitor call on to the machine's firmware: a process cannot.
 *
 * @return seL4_IllegalOperation; *response is untouched
 */
static inline seL4_Error seL4_ARM_SMC_Call(seL4_ARM_SMC smc, seL4_ARM_SMCContext *args,
                                           seL4_ARM_SMCContext *response)
{
    (void)smc;
    (void)args;
    (void)response;
    return seL4_IllegalOperation;
}

/**
 * Acknowledges a private interrupt of a vcpu. KVM owns the timer's, so there is nothing left to
 * do.
 *
 * @return seL4_NoError
 */
static inline seL4_Error seL4_ARM_VCPU_AckVPPI(seL4_ARM_VCPU vcpu, seL4_Word irq)
{
    (void)vcpu;
    (void)irq;
    return seL4_NoError;
}

/**
 * Writes a frame's cached bytes back to memory, so that a guest that has its caches off sees
 * them.
 *
 * @param page   a frame
 * @param start  first byte, counted from the frame's beginning
 * @param end    past the last byte
 * @return seL4_NoError; seL4_InvalidCapability for what is not a frame; seL4_RangeError for a
 *         range that is empty or outside it; seL4_NotEnoughMemory
 */
seL4_Error seL4_ARM_Page_CleanInvalidate_Data(seL4_ARM_Page page, seL4_Word start, seL4_Word end);

#endif

#ifdef __cplusplus
}
#endif
