/* Exception classes and processor modes of AArch64. Empty for other architectures. */
#pragma once

#if defined(__aarch64__)

#include <sel4/sel4.h>

/** PSTATE's mode field: exception level, and whose stack pointer (Arm ARM, C5.2.19). */
enum processor_mode {
    PMODE_EL0t = 0,
    PMODE_EL1t = 4,
    PMODE_EL1h = 5,
    PMODE_EL2t = 8,
    PMODE_EL2h = 9,
    PMODE_EL3t = 12,
    PMODE_EL3h = 13,
};

#define seL4_UnknownSyscall_ARG0 seL4_UnknownSyscall_X0

/* Exception classes (Arm ARM, D17.2.37). The one HSW is seL4's own spelling. */
#define HSR_MAX_EXCEPTION 0x3f

#define HSR_UNKNOWN_EXCEPTION     0x0
#define HSR_WFx_EXCEPTION         0x1
#define HSR_CP15_32_EXCEPTION     0x3
#define HSR_CP15_64_EXCEPTION     0x4
#define HSR_CP14_32_EXCEPTION     0x5
#define HSR_CP14_LC_32_EXCEPTION  0x6
#define HSR_SIMD_EXCEPTION        0x7
#define HSR_CP10_EXCEPTION        0x8
#define HSR_CP14_EXCEPTION        0xc
#define HSR_ILLEGAL_EXCEPTION     0xe
#define HSR_SVC_32_EXCEPTION      0x11
#define HSR_HVC_32_EXCEPTION      0x12
#define HSR_SMC_32_EXCEPTION      0x13
#define HSR_SVC_64_EXCEPTION      0x15
#define HSR_HVC_64_EXCEPTION      0x16
#define HSR_SMC_64_EXCEPTION      0x17
#define HSR_SYSREG_64_EXCEPTION   0x18
#define HSR_IMPL_DEF_EXCEPTION    0x1f
#define HSR_IABT_LOW_EXCEPTION    0x20
#define HSR_IABT_CURR_EXCEPTION   0x21
#define HSR_PC_ALIGN_EXCEPTION    0x22
#define HSR_DABT_LOW_EXCEPTION    0x24
#define HSR_DABT_CUR_EXCEPTION    0x25
#define HSR_SP_ALIGN_EXCEPTION    0x26
#define HSR_FP32_EXCEPTION        0x28
#define HSR_FP64_EXCEPTION        0x2c
#define HSR_SERROR_EXCEPTION      0x2f
#define HSR_BRK_LOW_EXCEPTION     0x30
#define HSR_BRK_CUR_EXCEPTION     0x31
#define HSR_SWSTEP_LOW_EXCEPTION  0x32
#define HSR_SWSTEP_CUR_EXCEPTION  0x33
#define HSR_WATCHPT_LOW_EXCEPTION 0x34
#define HSR_WATCHPT_CUR_EXCEPTION 0x35
#define HSR_SWBRK_32_EXCEPTION    0x38
#define HSW_VECTOR_32_EXCEPTION   0x3a
#define HSR_SWBRK_64_EXCEPTION    0x3c

#ifndef __cplusplus
/**
 * What an exception class means; NULL for classes that mean nothing.
 *
 * Differs from libsel4vm: it has an entry for class HSR_MAX_EXCEPTION, too.
 */
static const char *hsr_reasons[HSR_MAX_EXCEPTION + 1] __attribute__((unused)) = {
    [HSR_UNKNOWN_EXCEPTION] = "unknown reason",
    [HSR_WFx_EXCEPTION] = "wait for interrupt or event",
    [HSR_CP15_32_EXCEPTION] = "access to coprocessor 15, 32 bits",
    [HSR_CP15_64_EXCEPTION] = "access to coprocessor 15, 64 bits",
    [HSR_CP14_32_EXCEPTION] = "access to coprocessor 14, 32 bits",
    [HSR_CP14_LC_32_EXCEPTION] = "load or store of coprocessor 14",
    [HSR_SIMD_EXCEPTION] = "floating point or SIMD while it is off",
    [HSR_CP10_EXCEPTION] = "access to coprocessor 10",
    [HSR_CP14_EXCEPTION] = "access to coprocessor 14, 64 bits",
    [HSR_ILLEGAL_EXCEPTION] = "illegal execution state",
    [HSR_SVC_32_EXCEPTION] = "supervisor call, 32-bit state",
    [HSR_HVC_32_EXCEPTION] = "hypervisor call, 32-bit state",
    [HSR_SMC_32_EXCEPTION] = "secure monitor call, 32-bit state",
    [HSR_SVC_64_EXCEPTION] = "supervisor call",
    [HSR_HVC_64_EXCEPTION] = "hypervisor call",
    [HSR_SMC_64_EXCEPTION] = "secure monitor call",
    [HSR_SYSREG_64_EXCEPTION] = "access to a system register",
    [HSR_IMPL_DEF_EXCEPTION] = "defined by the implementation",
    [HSR_IABT_LOW_EXCEPTION] = "instruction abort from a lower level",
    [HSR_IABT_CURR_EXCEPTION] = "instruction abort at the same level",
    [HSR_PC_ALIGN_EXCEPTION] = "misaligned program counter",
    [HSR_DABT_LOW_EXCEPTION] = "data abort from a lower level",
    [HSR_DABT_CUR_EXCEPTION] = "data abort at the same level",
    [HSR_SP_ALIGN_EXCEPTION] = "misaligned stack pointer",
    [HSR_FP32_EXCEPTION] = "floating point, 32-bit state",
    [HSR_FP64_EXCEPTION] = "floating point",
    [HSR_SERROR_EXCEPTION] = "system error",
    [HSR_BRK_LOW_EXCEPTION] = "breakpoint at a lower level",
    [HSR_BRK_CUR_EXCEPTION] = "breakpoint at the same level",
    [HSR_SWSTEP_LOW_EXCEPTION] = "software step at a lower level",
    [HSR_SWSTEP_CUR_EXCEPTION] = "software step at the same level",
    [HSR_WATCHPT_LOW_EXCEPTION] = "watchpoint at a lower level",
    [HSR_WATCHPT_CUR_EXCEPTION] = "watchpoint at the same level",
    [HSR_SWBRK_32_EXCEPTION] = "BKPT instruction, 32-bit state",
    [HSW_VECTOR_32_EXCEPTION] = "vector catch, 32-bit state",
    [HSR_SWBRK_64_EXCEPTION] = "BRK instruction",
};
#endif

#endif
