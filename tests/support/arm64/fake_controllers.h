/* When interrupt controllers take what devices send: from the first vcpu's start on, which a fake
 * KVM has none for. */
#ifndef SUPPORT_ARM64_FAKE_CONTROLLERS_H
#define SUPPORT_ARM64_FAKE_CONTROLLERS_H

#include "arm64/arm64.h"

/* 0, or -errno. */
static inline int fake_controllers_start(vm_t *vm)
{
    return gic_set_up(vm);
}

#endif
