/* The configuration of libsel4vmmplatsupport: nothing beyond autoconf.h. */
#pragma once

#include <autoconf.h>
