/* The configuration of libsel4vm: nothing beyond autoconf.h. */
#pragma once

#include <autoconf.h>
