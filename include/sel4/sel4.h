/* All of the hosted seL4: types, constants, errors and what can be done with capabilities. */
#pragma once

#include <autoconf.h>
#include <sel4/types.h>
#include <sel4/errors.h>
#include <sel4/constants.h>
#include <sel4/objecttype.h>
#include <sel4/arch/types.h>
#include <sel4/bootinfo_types.h>
#include <sel4/syscalls.h>
