/* The sizes that frames come in. */
#pragma once

#include <sel4/constants.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEL4_NUM_PAGE_SIZES 3

/* As logarithms, rising. */
static const size_t sel4_page_sizes[SEL4_NUM_PAGE_SIZES] __attribute__((unused)) = {
    seL4_PageBits,
    seL4_LargePageBits,
    seL4_HugePageBits,
};

/**
 * Whether there are frames of 2^size_bits bytes.
 */
static inline bool sel4_valid_size_bits(size_t size_bits)
{
    return size_bits == seL4_PageBits || size_bits == seL4_LargePageBits ||
           size_bits == seL4_HugePageBits;
}

/**
 * The largest frames that fill a region without remainder, judging by its size alone.
 *
 * @param size_bytes  the region's size
 * @return logarithm of the frame size; seL4_PageBits when no size divides it
 */
static inline size_t sel4_page_size_bits_for_memory_region(size_t size_bytes)
{
    size_t i;

    for (i = SEL4_NUM_PAGE_SIZES; i-- > 1;) {
        if (size_bytes >> sel4_page_sizes[i] != 0 &&
            (size_bytes & (((size_t)1 << sel4_page_sizes[i]) - 1)) == 0) {
            return sel4_page_sizes[i];
        }
    }
    return seL4_PageBits;
}

#ifdef __cplusplus
}
#endif
