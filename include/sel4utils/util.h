/* The small utilities of libsel4utils: messages about result codes. */
#pragma once

#include <sel4/sel4.h>
#include <sel4utils/sel4_zf_logif.h>
#include <utils/util.h>
