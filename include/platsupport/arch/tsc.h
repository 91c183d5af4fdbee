/* The time stamp counter of an x86 processor. */
#pragma once

#include <autoconf.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(CONFIG_ARCH_X86_64)

/**
 * Reads the counter, without waiting for earlier instructions.
 */
static inline uint64_t rdtsc_pure(void)
{
    return __builtin_ia32_rdtsc();
}

#endif

#ifdef __cplusplus
}
#endif
