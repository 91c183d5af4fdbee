/* When interrupt controllers take what devices send: from their creation on. */
#ifndef SUPPORT_X86_64_FAKE_CONTROLLERS_H
#define SUPPORT_X86_64_FAKE_CONTROLLERS_H

#include <sel4vm/guest_vm.h>

/* 0, or -errno. */
static inline int fake_controllers_start(vm_t *vm)
{
    (void)vm;
    return 0;
}

#endif
