/* What sel4_devices.c and its guest, of whichever architecture, share. */
#ifndef EXAMPLES_SEL4_DEVICES_H
#define EXAMPLES_SEL4_DEVICES_H

#include <sel4/sel4.h>

/* Who wants to know the guest's answer. */
struct listener {
    void (*answered)(void *cookie, seL4_Word value);
    void *cookie;
};

#endif
