/* Assertions that the compiler checks. */
#pragma once

/**
 * Breaks the build when a constant expression is false. A declaration: at file scope or in a
 * block.
 *
 * @param name  an identifier that the compiler's message shows
 */
#define compile_time_assert(name, expression)                                                     \
    typedef char compile_time_assert_##name[(expression) ? 1 : -1] __attribute__((unused))
