/* The device tree: what an arm64 guest is told of its machine (Devicetree specification 0.4; Linux,
 * Documentation/devicetree/bindings). */
#ifndef MACHINE_FDT_H
#define MACHINE_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/reason.h"
#include "machine/devices.h"

enum { DEVTREE_COMPATIBLE_MAX = 2, DEVTREE_CLOCKS_MAX = 2 };

/* A device that the guest finds by what it is compatible with. */
struct devtree_device {
    const char *name;  /* generic: "serial" */
    const char *alias; /* "serial0"; NULL: none */
    const char *compatible[DEVTREE_COMPATIBLE_MAX];
    const char *clocks[DEVTREE_CLOCKS_MAX]; /* its inputs, all on the machine's one clock */
    uint64_t base, size;
    uint32_t spi; /* shared interrupt, from 0; level, active high */
};

enum devtree_gic {
    DEVTREE_GICV2,
    DEVTREE_GICV3,
};

struct devtree_config {
    uint64_t ram_base, ram_size;
    unsigned nr_cpus;
    enum devtree_gic gic;
    bool has_pmu;
    const struct devtree_device *devices; /* by address */
    unsigned nr_devices;
    const struct device_place *virtio; /* virtio devices in memory, in the guest's order */
    unsigned nr_virtio;
    bool has_its;                       /* the GICv3 takes messages */
    const hostvm_pci_bus_config_t *pci; /* NULL: there is none */
    const char *console; /* what the guest prints to: "ALIAS" or "ALIAS:OPTIONS"; NULL: none */
};

/* What differs from start to start. */
struct devtree_chosen {
    const char *cmdline;
    uint64_t initrd; /* guest address; with size 0: none */
    uint64_t initrd_size;
    const uint8_t *seed; /* random bytes that nobody else knows; NULL: none */
    size_t seed_size;
};

/* The affinity by which a vcpu is known, as KVM gives it: 16 in a cluster, 256 clusters. */
uint32_t devtree_affinity(unsigned cpu);

/* Writes the tree to buffer; ret_size is how much of it was taken. -E2BIG when the command line is
 * too long for the kernel; -ENOSPC when the buffer is too small. */
int devtree_build(const struct devtree_config *config, const struct devtree_chosen *chosen,
                  void *buffer, size_t size, size_t *ret_size, struct load_error *err);

/*
 * The same with a tree from the file called name. In it, /chosen alone is touched: a command line
 * that is not empty replaces the file's, initrd and seeds are ours. -ENOEXEC when it is no tree or
 * a damaged one, -EFBIG when it does not fit; else as regular_file_open.
 */
int devtree_load(const char *name, const struct devtree_chosen *chosen, void *buffer, size_t size,
                 size_t *ret_size, struct load_error *err);

/* Writes a tree to the file called name. 0, or -errno with the reason. */
int devtree_dump(const void *tree, const char *name, struct load_error *err);

#endif
