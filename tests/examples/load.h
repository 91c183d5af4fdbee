/* Bytes of ours into a guest's RAM. */
#ifndef EXAMPLES_LOAD_H
#define EXAMPLES_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <sel4vm/guest_ram.h>

/* 0 or -1. */
static inline int load(vm_t *vm, uintptr_t addr, const void *from, size_t size)
{
    return vm_ram_touch(vm, addr, size, vm_guest_ram_write_callback, (char *)(uintptr_t)from);
}

#endif
