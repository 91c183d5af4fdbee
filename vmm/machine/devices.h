/* The machine's virtio devices: which there are, and in which order the guest finds them. */
#ifndef MACHINE_DEVICES_H
#define MACHINE_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include <hostvm/pci.h>
#include <hostvm/virtio.h>

#include "options/balloon.h"
#include "options/console.h"
#include "options/disk.h"
#include "options/net.h"
#include "options/share.h"
#include "options/vsock.h"

enum { DEVICES_MAX = 15, DEVICES_MAX_DISKS = 10, DEVICES_MAX_NETS = 4, DEVICES_MAX_SHARES = 4 };

/* How the guest finds them. */
enum devices_transport {
    DEVICES_IN_MEMORY, /* registers at places of the machine's */
    DEVICES_ON_PCI,
};

/* What the user asked for. */
struct devices_config {
    enum devices_transport transport;
    struct options_disk disks[DEVICES_MAX_DISKS];
    unsigned nr_disks;
    struct options_net nets[DEVICES_MAX_NETS];
    unsigned nr_nets;
    struct options_share shares[DEVICES_MAX_SHARES];
    unsigned nr_shares;
    struct options_vsock vsock;
    bool has_console; /* the terminal is its, not the serial port's */
    struct options_balloon balloon;
    bool has_rng;
};

/* Where one stands: what the machine's layout has for the first, the second, ... */
struct device_place {
    uint64_t gpa;
    unsigned gsi; /* as hostvm_irq_line counts */
};

struct console;
struct devices;

/* How many the machine has with such a configuration. */
unsigned devices_count(const struct devices_config *config);

/* Makes them, with their host sides; terminal is the console's, if there is one. The guest does not
 * see them yet. 0; -ENOENT: a file is not what it should be; -EIO: the host refuses. It was said.
 * devices_destroy in any case. */
int devices_create(vm_t *vm, const struct devices_config *config, unsigned nr_cpus,
                   struct console *terminal, struct devices **ret);

/* Shows them to the guest, each at a place of its own. 0 or -EIO. */
int devices_attach(struct devices *devices, const struct device_place *places);
int devices_attach_pci(struct devices *devices, hostvm_pci_bus_t *bus);

/* Before the VM is destroyed; it is not running. NULL is fine. */
void devices_destroy(struct devices *devices);

#endif
