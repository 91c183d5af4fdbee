/* A device for tests. */
#include "support/device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

memory_fault_result_t device_fault(vm_t *vm, vm_vcpu_t *vcpu, uintptr_t addr, size_t size,
                                   void *cookie)
{
    struct device *device = cookie;

    assert_ptr_equal(vcpu->vm, vm);
    assert_int_equal(get_vcpu_fault_address(vcpu), addr);
    assert_int_equal(get_vcpu_fault_size(vcpu), size);
    if (device->nr_accesses < MAX_ACCESSES) {
        device->accesses[device->nr_accesses] = (struct device_access){
            .addr = addr,
            .size = size,
            .is_read = is_vcpu_read_fault(vcpu),
            .data = get_vcpu_fault_data(vcpu),
            .mask = get_vcpu_fault_data_mask(vcpu),
        };
    }
    device->nr_accesses++;
    if (device->act != NULL) {
        device->act(device, vcpu);
    }
    if (device->result == FAULT_HANDLED && !device->is_lazy) {
        if (is_vcpu_read_fault(vcpu)) {
            assert_int_equal(set_vcpu_fault_data(vcpu, device->value), 0);
        }
        advance_vcpu_fault(vcpu);
    }
    return device->result;
}

void device_check_at(const struct device *device, unsigned i, bool is_read, uintptr_t addr,
                     size_t size, seL4_Word data, const char *file, int line)
{
    const struct device_access *access = &device->accesses[i];

    _assert_true(i < device->nr_accesses && i < MAX_ACCESSES, "there was such an access", file,
                 line);
    _assert_int_equal(access->is_read, is_read, file, line);
    _assert_int_equal(access->addr, addr, file, line);
    _assert_int_equal(access->size, size, file, line);
    _assert_int_equal(access->data, data, file, line);
}
