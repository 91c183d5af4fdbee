/* Arithmetic on wide numbers. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * a * b / c without losing the product's upper half; c is not 0. What does not fit the result is
 * cut off.
 */
static inline uint64_t muldivu64(uint64_t a, uint64_t b, uint64_t c)
{
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)((wide)a * b / c);
}

#ifdef __cplusplus
}
#endif
