/* embed.c in C++: destructors take down what was built, and the device is a lambda with a state.
 * The guest is in embed_guest.h, once for each architecture. */
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <hostvm/env.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>
#include <sel4vm/guest_ram.h>
#include <sel4vm/guest_vcpu_fault.h>

#include "embed_guest.h"

namespace {

void check(bool is_good)
{
    if (!is_good) {
        throw std::runtime_error(hostvm_last_error());
    }
}

class Environment {
  public:
    Environment()
    {
        check(hostvm_env_create(&env, nullptr) == 0);
    }
    ~Environment()
    {
        hostvm_env_destroy(&env);
    }
    Environment(const Environment &) = delete;
    Environment &operator=(const Environment &) = delete;

    hostvm_env_t env{};
};

class Machine {
  public:
    explicit Machine(Environment &e)
    {
        check(vm_init(&vm, &e.env.vka, &e.env.simple, e.env.vspace, &e.env.io_ops, e.env.endpoint,
                      "example") == 0);
    }
    ~Machine()
    {
        hostvm_vm_destroy(&vm);
    }
    Machine(const Machine &) = delete;
    Machine &operator=(const Machine &) = delete;

    /* The device is called for each access and has to outlive the machine; it must not throw. */
    template <typename Device> void add(std::uintptr_t addr, std::size_t size, Device &device)
    {
        auto access = [](vm_t *, vm_vcpu_t *vcpu, std::uintptr_t, std::size_t, void *cookie) {
            (*static_cast<Device *>(cookie))(vcpu);
            advance_vcpu_fault(vcpu);
            return FAULT_HANDLED;
        };

        check(vm_reserve_memory_at(&vm, addr, size, access, &device) != nullptr);
    }

    vm_t vm{};
};

seL4_Word run()
{
    seL4_Word value = 0;
    seL4_Word result = 0;

    /* A register that doubles what is written to it; the guest has read the result: done. */
    auto doubler = [&value](vm_vcpu_t *vcpu) {
        if (is_vcpu_read_fault(vcpu)) {
            set_vcpu_fault_data(vcpu, value);
            hostvm_vm_stop(vcpu->vm);
        } else {
            value = 2 * get_vcpu_fault_data(vcpu);
        }
    };
    Environment environment;
    Machine machine(environment);
    vm_vcpu_t *vcpu = vm_create_vcpu(&machine.vm, 0);

    check(vcpu != nullptr);
    check(vm_ram_register_at(&machine.vm, 0, 1 << 20, false) == 0);
    machine.add(0x200000, 4096, doubler);
    std::memcpy(hostvm_vm_pointer(&machine.vm, 0x1000, sizeof(code)), code, sizeof(code));
    check(guest_begin(&machine.vm, vcpu, 0x1000) == 0);
    check(vcpu_start(vcpu) == 0);
    check(vm_run(&machine.vm) == 0);
    check(vm_get_thread_context_reg(vcpu, GUEST_RESULT, &result) == 0);
    return result;
}

} /* namespace */

int main()
{
    try {
        seL4_Word result = run();

        std::printf("the guest read %lu\n", result);
        return result == 84 ? 0 : 1;
    } catch (const std::exception &e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
