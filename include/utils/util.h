/* All of the small utilities, and the standard headers that client sources expect with them. */
#pragma once

#include <autoconf.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <utils/ansi.h>
#include <utils/arith.h>
#include <utils/attribute.h>
#include <utils/builtin.h>
#include <utils/compile_time.h>
#include <utils/config.h>
#include <utils/debug.h>
#include <utils/math.h>
#include <utils/page.h>
#include <utils/size.h>
#include <utils/time.h>
#include <utils/zf_log.h>
#include <utils/zf_log_if.h>
