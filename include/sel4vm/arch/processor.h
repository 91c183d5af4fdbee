/* The parts of an Arm syndrome (HSR, ESR). Empty for other architectures. */
#pragma once

#if defined(__aarch64__)

#include <sel4vm/sel4_arch/processor.h>

/* Arm ARM, D17.2.37: exception class, instruction length, instruction specific syndrome. */
#define HSR_EXCEPTION_CLASS_SHIFT 26
#define HSR_EXCEPTION_CLASS_MASK  ((unsigned)HSR_MAX_EXCEPTION << HSR_EXCEPTION_CLASS_SHIFT)
#define HSR_EXCEPTION_CLASS(hsr)  (((hsr)&HSR_EXCEPTION_CLASS_MASK) >> HSR_EXCEPTION_CLASS_SHIFT)

#define HSR_IL_SHIFT 25
#define HSR_IL_MASK  (1u << HSR_IL_SHIFT)
#define HSR_IL(hsr)  (((hsr)&HSR_IL_MASK) >> HSR_IL_SHIFT)

#define HSR_ISS_MASK (HSR_IL_MASK - 1)

#endif
