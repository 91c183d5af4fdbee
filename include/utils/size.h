/* Sizes in bytes, in MiB, and as logarithms. */
#pragma once

#include <stddef.h>
#include <utils/arith.h>

/* The logarithm of a size, rounded down; the size is not 0. */
#define BYTES_TO_SIZE_BITS(bytes) (CONFIG_WORD_SIZE - 1ul - (unsigned long)__builtin_clzl(bytes))
#define SIZE_BITS_TO_BYTES(size_bits) BIT(size_bits)

#define MiB_TO_BYTES(mib) (1024 * 1024 * (size_t)(mib))
