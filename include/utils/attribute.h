/* Attributes of declarations, under short names. */
#pragma once

#define ALIGN(n) __attribute__((aligned(n)))
#define DEPRECATED(message) __attribute__((deprecated(message)))
#define NORETURN __attribute__((noreturn))
#define PACKED __attribute__((packed))
#define SECTION(name) __attribute__((section(name)))
#define UNUSED __attribute__((unused))
#define USED __attribute__((used))
#define WARN_UNUSED_RESULT __attribute__((warn_unused_result))
#define WEAK __attribute__((weak))
