/* The configuration of libsel4vka: nothing beyond autoconf.h. */
#pragma once

#include <autoconf.h>
