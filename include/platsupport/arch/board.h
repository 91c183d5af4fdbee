/* What a board with an Arm processor has beside the rest: clocks and pin multiplexers. */
#pragma once

#include <autoconf.h>

#ifdef CONFIG_ARCH_ARM
/* The owner of the operations knows what priv is. */
typedef struct clock_sys {
    void *priv;
} clock_sys_t;

typedef struct mux_sys {
    void *priv;
} mux_sys_t;

#define PS_IO_OPS_OF_A_BOARD                                                                       \
    clock_sys_t clock_sys;                                                                         \
    mux_sys_t mux_sys;
#else
#define PS_IO_OPS_OF_A_BOARD
#endif
