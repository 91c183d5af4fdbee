/* Configuration macros as values. */
#pragma once

#include <autoconf.h>

/**
 * 1 when the macro is defined as 1, else 0: a constant that `if` and `?:` can test. Not for #if.
 *
 * How: a macro defined as 1 makes UTILS_CONFIG_IS_1 stand before the comma, which pushes the 1
 * into second place; any other name stays in first place and leaves the 0 there.
 */
#define config_set(macro) UTILS_CONFIG_EXPAND(macro)
#define UTILS_CONFIG_EXPAND(value) UTILS_CONFIG_SECOND_OF(UTILS_CONFIG_IS_##value)
#define UTILS_CONFIG_IS_1 unused, 1
#define UTILS_CONFIG_SECOND_OF(first) UTILS_CONFIG_SECOND(first, 0, unused)
#define UTILS_CONFIG_SECOND(first, second, ...) (second)
