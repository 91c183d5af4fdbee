/* The configuration of libsel4utils. */
#pragma once

#include <autoconf.h>

/* Bytes of a stack from vspace_new_stack. */
#define CONFIG_SEL4UTILS_STACK_SIZE 65536
