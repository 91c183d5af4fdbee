/* A machine: RAM, processors, devices, and a guest in it. pc.c is the one of x86-64, virt.c that of
 * arm64; a build has one of them. */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include <hostvm/env.h>
#include <sel4vm/guest_vm.h>

#include "dev/power.h"
#include "load/boot_info.h"
#include "load/image.h"
#include "machine/devices.h"
#include "serial.h"

struct machine_config {
    uint64_t ram_size;
    unsigned nr_cpus;
    bool has_debug_exit;
    bool has_pmu;
    const char *dtb; /* a file in the place of our own device tree; NULL: none */
    const struct devices_config *devices; /* lives as long as the machine */
    struct console *console;
    void (*power_event)(void *cookie, enum power_event event, uint8_t status);
    void *cookie;
};

struct machine_chips; /* the devices, pc.c's or virt.c's */

struct machine {
    hostvm_env_t env;
    vm_t vm;
    vm_vcpu_t *boot;
    unsigned nr_cpus;
    uint64_t ram_size;
    bool has_pmu;
    const char *dtb;
    struct load_ram ram; /* that guests are loaded into */
    struct serial serial;
    struct machine_chips *chips; /* NULL: none yet */
    const struct devices_config *devices_config;
    struct console *console;
    struct devices *devices; /* NULL: none yet */
    hostvm_pci_bus_t *pci;   /* NULL: none */
};

/* What the guest is started with, besides its image. */
struct machine_guest {
    const struct image *image;
    const char *cmdline;
    const struct load_module *modules; /* the first is Linux's initrd */
    unsigned nr_modules;
};

/* --- every machine has its own of these --- */

/* What processor images have to be for. */
enum image_machine machine_image_kind(void);

/* What of a machine there is on one architecture alone. */
struct machine_wishes {
    bool acpi; /* tables to look at */
    bool dtb;  /* a device tree to look at or to be given */
    bool pmu;  /* performance counters, to be asked for */
};

/* Why the machine cannot do what the user wishes; NULL: it can. */
const char *machine_refuses(struct machine_wishes wishes);

/* Builds the machine, without a guest, as far as it goes while the host creates the VM: memory that
 * can be filled, the boot processor, devices. 0 or -1; machine_destroy in either case. It does not
 * move while it lives. */
int machine_create(struct machine *machine, const struct machine_config *config);

/* Waits for the VM and adds the rest: interrupt controllers, timers, virtio devices, other
 * processors. 0; -ENOENT: a file of the guest's is not what it should be; -EIO: the host refuses.
 * It was said. */
int machine_complete(struct machine *machine);

void machine_destroy(struct machine *machine);

/* [ret_low, ret_high) is where modules may lie once image is loaded; -EFBIG when there is no room.
 */
int machine_module_room(const struct machine *machine, const struct image *image, uint64_t *ret_low,
                        uint64_t *ret_high, struct load_error *err);

/* Tells the guest of its machine and sets the processors to its first instruction. 0, or -errno
 * with the reason; -EIO: the host refused a processor, and the log has the reason. */
int machine_start(struct machine *machine, const struct machine_guest *guest,
                  struct load_error *err);

/* Writes the ACPI tables of such a machine to a directory. 0, or -errno with the reason. */
int machine_dump_acpi(const struct machine_config *config, const char *directory,
                      struct load_error *err);

/* Writes the device tree that the guest would get to a file, but for its secrets. After
 * machine_complete; guest->image may be NULL. 0; -ENOSPC: the file cannot be written; else -errno;
 * with the reason. */
int machine_dump_dtb(struct machine *machine, const struct machine_guest *guest, const char *name,
                     struct load_error *err);

/* --- what machines have in common, for them alone (machine.c) --- */

/* Makes the virtio devices and puts them at their places. After the interrupt controllers. As
 * machine_complete. */
int machine_add_devices(struct machine *machine, const struct device_place *places);

/* The same on a PCI bus, which the machine has then, too. */
int machine_add_pci(struct machine *machine, const hostvm_pci_bus_config_t *config);

bool machine_wants_pci(const struct devices_config *config);

/* Where PCI functions with much memory can have it: behind RAM that ends there, if there is a place
 * that most processors' addresses reach. */
hostvm_pci_window_t machine_pci_window(uint64_t ram_end);

/* An empty VM, chips_size bytes of zero for the devices; config is noted. 0 or -1. */
int machine_open(struct machine *machine, const struct machine_config *config, size_t chips_size);
void machine_close(struct machine *machine);

/* The processors but the first: they wait until the guest starts them. 0 or -1. */
int machine_add_other_cpus(struct machine *machine);
int machine_start_cpus(struct machine *machine);

/* Seconds since 1970, UTC, for clocks. */
int64_t machine_host_time(void *cookie);

#endif
