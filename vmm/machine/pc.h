/* The PC: which devices stand where. */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include <stdbool.h>
#include <stdint.h>

#include <hostvm/env.h>
#include <sel4vm/guest_vm.h>

#include "dev/mc146818.h"
#include "dev/power.h"
#include "load/boot_info.h"
#include "load/image.h"
#include "machine/memmap.h"
#include "serial.h"

struct pc_config {
    uint64_t ram_size;
    unsigned nr_cpus;
    bool has_debug_exit;
    struct console *console;
    void (*power_event)(void *cookie, enum power_event event, uint8_t status);
    void *cookie;
};

struct pc {
    hostvm_env_t env;
    vm_t vm;
    vm_vcpu_t *boot;
    unsigned nr_cpus;
    uint64_t ram_size;
    struct load_ram ram; /* what of the RAM lies below 4 GiB */
    struct memmap memmap;
    struct serial com1;
    struct mc146818 clock;
    struct power power;
};

/* What the guest is started with, besides its image. */
struct pc_guest {
    const struct image *image;
    const char *cmdline;
    const struct load_module *modules; /* the first is Linux's initrd */
    unsigned nr_modules;
};

/* Builds the machine, without a guest, as far as it goes while the host creates the VM: memory that
 * can be filled, the boot processor, devices. 0 or -1; pc_destroy in either case. pc does not move
 * while it lives. */
int pc_create(struct pc *pc, const struct pc_config *config);
void pc_destroy(struct pc *pc);

/* Waits for the VM and adds the rest: interrupt controllers, timer, other processors. 0 or -1. */
int pc_complete(struct pc *pc);

/* Tells the guest of its machine and sets the processors to its first instruction. 0, or -errno
 * with the reason; -EIO: the host refused a processor, and the log has the reason. */
int pc_start(struct pc *pc, const struct pc_guest *guest, struct load_error *err);

/* The ACPI tables of such a machine, as they will stand at PC_ACPI; their size, or 0. */
size_t pc_acpi_tables(unsigned nr_cpus, uint8_t *buffer, size_t size);

#endif
