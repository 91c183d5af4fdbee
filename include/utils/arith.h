/* Bits, masks, rounding, minima and maxima. */
#pragma once

#include <assert.h>
#include <autoconf.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One bit, 0 to 63. */
#define BIT(n) (1ul << (n))
#define LLBIT(n) (1ull << (n))

/* The n lowest bits, n from 1 to 64. The second form checks nothing and is a constant if n is. */
#define MASK(n) utils_mask(n)
#define MASK_UNSAFE(n) (~0ul >> (CONFIG_WORD_SIZE - (n)))

static inline unsigned long utils_mask(unsigned long n)
{
    assert(n >= 1 && n <= CONFIG_WORD_SIZE);
    return MASK_UNSAFE(n);
}

/* True when the lowest `bits` bits of n are clear. */
#define IS_ALIGNED(n, bits) (((n) & (BIT(bits) - 1ul)) == 0)

/* To a multiple of n, a power of two. x is evaluated once, n twice. */
#define ALIGN_UP(x, n) (((x) + (n)-1) & ~((n)-1))
#define ALIGN_DOWN(x, n) ((x) & ~((n)-1))

/* Elements of an array. */
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/*
 * To a multiple of any b but 0, and how many times b fits in, rounded up. These forms are
 * constants if n and b are, evaluate their arguments several times and may overflow near the end
 * of the type.
 */
#define ROUND_DOWN_UNSAFE(n, b) ((n) - (n) % (b))
#define ROUND_UP_UNSAFE(n, b) ((n) + ((n) % (b) == 0 ? 0 : (b) - (n) % (b)))
#define DIV_ROUND_UP_UNSAFE(n, b) (((n) + (b)-1) / (b))

/*
 * The same, evaluating each argument once, with the type of n. Not for constant expressions.
 */
#define ROUND_DOWN(n, b) UTILS_ROUND_DOWN(n, b, UTILS_UNIQUE(x), UTILS_UNIQUE(y))
#define ROUND_UP(n, b) UTILS_ROUND_UP(n, b, UTILS_UNIQUE(x), UTILS_UNIQUE(y))
#define DIV_ROUND_UP(n, b) UTILS_DIV_ROUND_UP(n, b, UTILS_UNIQUE(x), UTILS_UNIQUE(y))

/* The smaller and the larger of two values, each evaluated once. */
#undef MIN /* sys/param.h has forms that evaluate twice */
#undef MAX
#define MIN(a, b) UTILS_MIN(a, b, UTILS_UNIQUE(x), UTILS_UNIQUE(y))
#define MAX(a, b) UTILS_MAX(a, b, UTILS_UNIQUE(x), UTILS_UNIQUE(y))

/*
 * What the above are made of. Their variables get names that occur once in a translation unit, so
 * that one can be another's argument.
 */
#define UTILS_UNIQUE(name) UTILS_PASTE(utils_##name, __COUNTER__)
#define UTILS_PASTE(name, number) UTILS_PASTE_EXPANDED(name, number)
#define UTILS_PASTE_EXPANDED(name, number) name##number

#define UTILS_ROUND_DOWN(n, b, x, y)                                                              \
    __extension__({                                                                               \
        __typeof__(n) x = (n);                                                                    \
        __typeof__(b) y = (b);                                                                    \
        (__typeof__(n))ROUND_DOWN_UNSAFE(x, y);                                                   \
    })

#define UTILS_ROUND_UP(n, b, x, y)                                                                \
    __extension__({                                                                               \
        __typeof__(n) x = (n);                                                                    \
        __typeof__(b) y = (b);                                                                    \
        (__typeof__(n))ROUND_UP_UNSAFE(x, y);                                                     \
    })

#define UTILS_DIV_ROUND_UP(n, b, x, y)                                                            \
    __extension__({                                                                               \
        __typeof__(n) x = (n);                                                                    \
        __typeof__(b) y = (b);                                                                    \
        (__typeof__(n))(x / y + (x % y != 0));                                                    \
    })

#define UTILS_MIN(a, b, x, y)                                                                     \
    __extension__({                                                                               \
        __typeof__(a) x = (a);                                                                    \
        __typeof__(b) y = (b);                                                                    \
        x < y ? x : y;                                                                            \
    })

#define UTILS_MAX(a, b, x, y)                                                                     \
    __extension__({                                                                               \
        __typeof__(a) x = (a);                                                                    \
        __typeof__(b) y = (b);                                                                    \
        x > y ? x : y;                                                                            \
    })

#ifdef __cplusplus
}
#endif
