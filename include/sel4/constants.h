/* The sizes and well-known capability numbers of the hosted seL4. */
#pragma once

#include <autoconf.h>

#define seL4_WordBits CONFIG_WORD_SIZE
#define seL4_BadgeBits 64

/* Sizes of objects, as the logarithm of their bytes. */
#define seL4_SlotBits 5
#define seL4_EndpointBits 4
#define seL4_NotificationBits 5
#define seL4_TCBBits 11
#define seL4_PageBits 12
#define seL4_LargePageBits 21
#define seL4_HugePageBits 30
#define seL4_PageTableBits 12
#define seL4_VSpaceBits 12
#define seL4_MinUntypedBits 4
#define seL4_MaxUntypedBits 47

/* Message registers of one message. */
#define seL4_MsgMaxLength 120

/* Capability numbers that simple_get_init_cap is asked for. */
enum {
    seL4_CapNull = 0,
    seL4_CapInitThreadTCB = 1,
    seL4_CapInitThreadCNode = 2,
    seL4_CapInitThreadVSpace = 3,
    seL4_CapIRQControl = 4,
    seL4_CapASIDControl = 5,
    seL4_CapInitThreadASIDPool = 6
};

#define seL4_CapInitThreadPD seL4_CapInitThreadVSpace
