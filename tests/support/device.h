/* A device for tests: answers accesses as it is told and remembers them. */
#ifndef SUPPORT_DEVICE_H
#define SUPPORT_DEVICE_H

#include <sel4vm/guest_vcpu_fault.h>
#include <sel4vm/guest_vm.h>

enum { MAX_ACCESSES = 8 };

struct device_access {
    uintptr_t addr;
    size_t size;
    bool is_read;
    seL4_Word data; /* written; of a read what it was before anybody set it */
    seL4_Word mask;
};

/* All zeros but the result: reads answer 0, and every access is completed. */
struct device {
    memory_fault_result_t result;                        /* of the callback */
    seL4_Word value;                                     /* what reads answer */
    bool is_lazy;                                        /* does not call advance_vcpu_fault */
    void (*act)(struct device *device, vm_vcpu_t *vcpu); /* NULL, or called in each access */
    void *cookie;                                        /* act's */
    unsigned nr_accesses;                                /* ever; the first of them: */
    struct device_access accesses[MAX_ACCESSES];
};

/* The fault callback, also for unhandled faults; cookie is the struct device. */
memory_fault_result_t device_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                   void *cookie);

/* Fails the test unless access number i was this one. */
void device_check_at(const struct device *device, unsigned i, bool is_read, uintptr_t addr,
                     size_t size, seL4_Word data, const char *file, int line);
#define assert_read(device, i, addr, size)                                                         \
    device_check_at((device), (i), true, (addr), (size), 0, __FILE__, __LINE__)
#define assert_write(device, i, addr, size, data)                                                  \
    device_check_at((device), (i), false, (addr), (size), (data), __FILE__, __LINE__)

#endif
