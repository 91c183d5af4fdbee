/* The configuration of libutils. */
#pragma once

#include <autoconf.h>

/* The lowest level that ZF_LOGx prints unless ZF_LOG_LEVEL says otherwise: 4, warnings. */
#define CONFIG_LIB_UTILS_DEFAULT_ZF_LOG_LEVEL 4
