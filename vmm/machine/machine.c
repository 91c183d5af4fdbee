/* What all machines have in common: the VM, its processors, the time. */
#include "machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hostvm/chipset.h>
#include <hostvm/vm.h>
#include <sel4vm/boot.h>

/* The signal that interrupts the guest: the command has no other use for it. */
#define KICK_SIGNAL SIGUSR1

int machine_open(struct machine *machine, const struct machine_config *config, size_t chips_size)
{
    /* A guest's first state is ours to choose: in 32-bit mode no initial page tables take guest
     * memory. */
    const hostvm_env_config_t env = {
        .guest32 = true, .kick_signal = KICK_SIGNAL, .creates_vm_in_background = true};

    *machine = (struct machine){.nr_cpus = config->nr_cpus,
                                .ram_size = config->ram_size,
                                .has_pmu = config->has_pmu,
                                .dtb = config->dtb,
                                .devices_config = config->devices,
                                .console = config->console,
                                .serial.timer_fd = -1};
    if (hostvm_env_create(&machine->env, &env) != 0) {
        return -1;
    }
    if (vm_init(&machine->vm, &machine->env.vka, &machine->env.simple, machine->env.vspace,
                &machine->env.io_ops, machine->env.endpoint, "guest") != 0) {
        return -1;
    }
    machine->chips = calloc(1, chips_size);
    if (machine->chips == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for devices: %s\n", strerror(ENOMEM));
        return -1;
    }
    return 0;
}

void machine_close(struct machine *machine)
{
    serial_detach(&machine->serial);
    devices_destroy(machine->devices);
    machine->devices = NULL;
    hostvm_pci_bus_destroy(machine->pci);
    machine->pci = NULL;
    (void)hostvm_vm_destroy(&machine->vm); /* not in a callback, and not running: cannot fail */
    hostvm_env_destroy(&machine->env);
    free(machine->chips);
    machine->chips = NULL;
}

static int create_devices(struct machine *machine)
{
    return devices_create(&machine->vm, machine->devices_config, machine->nr_cpus, machine->console,
                          &machine->devices);
}

int machine_add_devices(struct machine *machine, const struct device_place *places)
{
    int r = create_devices(machine);

    return r < 0 ? r : devices_attach(machine->devices, places);
}

bool machine_wants_pci(const struct devices_config *config)
{
    return config->transport == DEVICES_ON_PCI;
}

int machine_add_pci(struct machine *machine, const hostvm_pci_bus_config_t *config)
{
    int r = create_devices(machine);

    if (r < 0) {
        return r;
    }
    machine->pci = hostvm_pci_bus_create(&machine->vm, config);
    return machine->pci == NULL ? -EIO : devices_attach_pci(machine->devices, machine->pci);
}

hostvm_pci_window_t machine_pci_window(uint64_t ram_end)
{
    static const uint64_t size = 16ull << 30, reach = 1ull << 39;
    uint64_t start = (ram_end + size - 1) / size * size;

    return start + size <= reach ? (hostvm_pci_window_t){start, size} : (hostvm_pci_window_t){0, 0};
}

int machine_add_other_cpus(struct machine *machine)
{
    for (unsigned i = 1; i < machine->nr_cpus; i++) {
        vm_vcpu_t *vcpu = vm_create_vcpu(&machine->vm, 0);

        if (vcpu == NULL || hostvm_vcpu_wait_for_startup(vcpu) != 0) {
            return -1;
        }
    }
    return 0;
}

int machine_start_cpus(struct machine *machine)
{
    for (unsigned i = 0; i < machine->vm.num_vcpus; i++) {
        if (vcpu_start(machine->vm.vcpus[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

int64_t machine_host_time(void *cookie)
{
    (void)cookie;
    return (int64_t)time(NULL);
}
