/* The device tree. */
#include "machine/fdt.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hostvm/chipset.h>

#include "load/file.h"
#include "machine/layout_virt.h"

/* References between nodes. */
enum { PHANDLE_GIC = 1, PHANDLE_CLOCK = 2, PHANDLE_ITS = 3 };

/* Cells of interrupts (bindings/interrupt-controller/arm,gic.yaml). */
enum {
    GIC_SPI = 0,
    GIC_PPI = 1,
    EDGE_RISING = 1,
    LEVEL_HIGH = 4,
    GICV2_CPU_MASK_SHIFT = 8,
    GICV2_CPUS_MAX = 8
};

enum { KASLR_SEED_SIZE = 8 };

/* Cells for a property, in the tree's byte order. */
struct cells {
    fdt32_t cells[48];
    unsigned nr_cells;
};

/* A tree that grows in a buffer; the first failure stays. */
struct writer {
    void *fdt;
    int error;
};

static void keep(struct writer *writer, int error)
{
    if (writer->error == 0) {
        writer->error = error;
    }
}

static void add32(struct cells *cells, uint32_t value)
{
    cells->cells[cells->nr_cells++] = cpu_to_fdt32(value);
}

static void add64(struct cells *cells, uint64_t value)
{
    add32(cells, (uint32_t)(value >> 32));
    add32(cells, (uint32_t)value);
}

static void begin(struct writer *writer, const char *name)
{
    keep(writer, fdt_begin_node(writer->fdt, name));
}

static void begin_at(struct writer *writer, const char *name, uint64_t address)
{
    char full[64];

    (void)snprintf(full, sizeof(full), "%s@%" PRIx64, name, address);
    begin(writer, full);
}

static void end(struct writer *writer)
{
    keep(writer, fdt_end_node(writer->fdt));
}

static void put_flag(struct writer *writer, const char *name)
{
    keep(writer, fdt_property(writer->fdt, name, NULL, 0));
}

static void put_text(struct writer *writer, const char *name, const char *text)
{
    keep(writer, fdt_property_string(writer->fdt, name, text));
}

static void put32(struct writer *writer, const char *name, uint32_t value)
{
    keep(writer, fdt_property_u32(writer->fdt, name, value));
}

static void put_cells(struct writer *writer, const char *name, const struct cells *cells)
{
    keep(writer, fdt_property(writer->fdt, name, cells->cells,
                              (int)(cells->nr_cells * sizeof(cells->cells[0]))));
}

/* Strings one behind the other, as far as there are any. */
static void put_texts(struct writer *writer, const char *name, const char *const *texts,
                      unsigned nr_texts)
{
    char list[128];
    size_t length = 0;

    for (unsigned i = 0; i < nr_texts && texts[i] != NULL; i++) {
        size_t size = strlen(texts[i]) + 1;

        if (size > sizeof(list) - length) {
            keep(writer, -FDT_ERR_NOSPACE);
            return;
        }
        memcpy(list + length, texts[i], size);
        length += size;
    }
    keep(writer, fdt_property(writer->fdt, name, list, (int)length));
}

static void put_reg(struct writer *writer, uint64_t base, uint64_t size)
{
    struct cells cells = {.nr_cells = 0};

    add64(&cells, base);
    add64(&cells, size);
    put_cells(writer, "reg", &cells);
}

/* --- nodes --- */

uint32_t devtree_affinity(unsigned cpu)
{
    return (cpu >> 4 & 0xff) << 8 | (cpu & 0xf);
}

static void write_cpus(struct writer *writer, unsigned nr_cpus)
{
    begin(writer, "cpus");
    put32(writer, "#address-cells", 1);
    put32(writer, "#size-cells", 0);
    for (unsigned i = 0; i < nr_cpus; i++) {
        begin_at(writer, "cpu", devtree_affinity(i));
        put_text(writer, "device_type", "cpu");
        put_text(writer, "compatible", "arm,armv8");
        put32(writer, "reg", devtree_affinity(i));
        put_text(writer, "enable-method", "psci");
        end(writer);
    }
    end(writer);
}

static void write_psci(struct writer *writer)
{
    static const char *const compatible[] = {"arm,psci-1.0", "arm,psci-0.2"};

    begin(writer, "psci");
    put_texts(writer, "compatible", compatible, 2);
    put_text(writer, "method", "hvc");
    end(writer);
}

/* A private interrupt's cells; GICv2 wants to know for which processors it is there. */
static void add_ppi(struct cells *cells, const struct devtree_config *config, uint32_t ppi)
{
    unsigned nr_cpus = config->nr_cpus < GICV2_CPUS_MAX ? config->nr_cpus : GICV2_CPUS_MAX;
    uint32_t cpus = config->gic == DEVTREE_GICV2 ? (1u << nr_cpus) - 1 : 0;

    add32(cells, GIC_PPI);
    add32(cells, ppi);
    add32(cells, cpus << GICV2_CPU_MASK_SHIFT | LEVEL_HIGH);
}

/* The timers go on while a vcpu sleeps: always-on. */
static void write_timer(struct writer *writer, const struct devtree_config *config)
{
    static const uint32_t ppis[] = {VIRT_PPI_TIMER_SECURE, VIRT_PPI_TIMER_PHYSICAL,
                                    VIRT_PPI_TIMER_VIRTUAL, VIRT_PPI_TIMER_HYPERVISOR};
    struct cells cells = {.nr_cells = 0};

    for (unsigned i = 0; i < sizeof(ppis) / sizeof(ppis[0]); i++) {
        add_ppi(&cells, config, ppis[i]);
    }
    begin(writer, "timer");
    put_text(writer, "compatible", "arm,armv8-timer");
    put_cells(writer, "interrupts", &cells);
    put_flag(writer, "always-on");
    end(writer);
}

/* What stands in the controller's node has addresses, if there is anything. */
static unsigned nr_gic_address_cells(const struct devtree_config *config)
{
    return config->has_its ? 2 : 0;
}

static void write_its(struct writer *writer)
{
    put32(writer, "#size-cells", 2);
    put_flag(writer, "ranges");
    begin_at(writer, "msi-controller", HOSTVM_GIC_ITS);
    put_text(writer, "compatible", "arm,gic-v3-its");
    put_flag(writer, "msi-controller");
    put32(writer, "#msi-cells", 1);
    put_reg(writer, HOSTVM_GIC_ITS, HOSTVM_GIC_ITS_SIZE);
    put32(writer, "phandle", PHANDLE_ITS);
    end(writer);
}

/* bindings/arm/pmu.yaml */
static void write_pmu(struct writer *writer, const struct devtree_config *config)
{
    struct cells cells = {.nr_cells = 0};

    add_ppi(&cells, config, VIRT_PPI_PMU);
    begin(writer, "pmu");
    put_text(writer, "compatible", "arm,armv8-pmuv3");
    put_cells(writer, "interrupts", &cells);
    end(writer);
}

static void write_gic(struct writer *writer, const struct devtree_config *config)
{
    bool is_v3 = config->gic == DEVTREE_GICV3;
    struct cells reg = {.nr_cells = 0};

    add64(&reg, HOSTVM_GIC_DISTRIBUTOR);
    add64(&reg, is_v3 ? VIRT_GICV3_DIST_SIZE : VIRT_GICV2_DIST_SIZE);
    add64(&reg, is_v3 ? HOSTVM_GIC_REDISTRIBUTORS : HOSTVM_GIC_CPU_INTERFACE);
    add64(&reg,
          is_v3 ? config->nr_cpus * HOSTVM_GIC_REDISTRIBUTOR_SIZE : HOSTVM_GIC_CPU_INTERFACE_SIZE);
    begin_at(writer, "interrupt-controller", HOSTVM_GIC_DISTRIBUTOR);
    put_text(writer, "compatible", is_v3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
    put_flag(writer, "interrupt-controller");
    put32(writer, "#interrupt-cells", 3);
    put32(writer, "#address-cells", nr_gic_address_cells(config));
    put_cells(writer, "reg", &reg);
    put32(writer, "phandle", PHANDLE_GIC);
    if (config->has_its) {
        write_its(writer);
    }
    end(writer);
}

/* --- PCI: Documentation/devicetree/bindings/pci/host-generic-pci.yaml; IEEE 1275 PCI bus binding
 * 2.1 for addresses and interrupts --- */

/* Functions have the first of four pins. Slots share lines by their number's two lowest bits. */
static void write_pci_lines(struct writer *writer, const struct devtree_config *config)
{
    enum { SLOT_SHIFT = 11, FIRST_PIN = 1, PINS = 7 };
    struct cells map = {.nr_cells = 0};
    struct cells mask = {.nr_cells = 0};

    for (unsigned slot = 0; slot < HOSTVM_PCI_LINES; slot++) {
        add32(&map, slot << SLOT_SHIFT);
        add64(&map, 0);
        add32(&map, FIRST_PIN);
        add32(&map, PHANDLE_GIC);
        for (unsigned i = 0; i < nr_gic_address_cells(config); i++) {
            add32(&map, 0);
        }
        add32(&map, GIC_SPI);
        add32(&map, config->pci->gsi[slot] - VIRT_SPI_BASE);
        add32(&map, LEVEL_HIGH);
    }
    add32(&mask, (HOSTVM_PCI_LINES - 1) << SLOT_SHIFT);
    add64(&mask, 0);
    add32(&mask, PINS);
    put32(writer, "#interrupt-cells", 1);
    put_cells(writer, "interrupt-map", &map);
    put_cells(writer, "interrupt-map-mask", &mask);
}

/* A window is where it is, for functions as for processors. */
static void add_window(struct cells *ranges, uint32_t space, const hostvm_pci_window_t *window)
{
    if (window->size != 0) {
        add32(ranges, space);
        add64(ranges, window->start);
        add64(ranges, window->start);
        add64(ranges, window->size);
    }
}

static void write_pci(struct writer *writer, const struct devtree_config *config)
{
    enum { SPACE_MEMORY_32 = 0x02000000, SPACE_MEMORY_64 = 0x03000000, ALL_FUNCTIONS = 0x100 };
    const hostvm_pci_bus_config_t *pci = config->pci;
    struct cells buses = {.nr_cells = 0};
    struct cells ranges = {.nr_cells = 0};
    struct cells messages = {.nr_cells = 0};

    begin_at(writer, "pcie", pci->ecam);
    put_text(writer, "compatible", "pci-host-ecam-generic");
    put_text(writer, "device_type", "pci");
    put32(writer, "#address-cells", 3);
    put32(writer, "#size-cells", 2);
    put_reg(writer, pci->ecam, HOSTVM_PCI_ECAM_SIZE);
    put32(writer, "linux,pci-domain", 0);
    add64(&buses, 0);
    put_cells(writer, "bus-range", &buses);
    add_window(&ranges, SPACE_MEMORY_32, &pci->memory);
    add_window(&ranges, SPACE_MEMORY_64, &pci->memory64);
    put_cells(writer, "ranges", &ranges);
    put_flag(writer, "dma-coherent");
    write_pci_lines(writer, config);
    if (config->has_its) {
        add32(&messages, 0);
        add32(&messages, PHANDLE_ITS);
        add32(&messages, 0);
        add32(&messages, ALL_FUNCTIONS);
        put_cells(writer, "msi-map", &messages);
    }
    end(writer);
}

static void write_clock(struct writer *writer)
{
    begin(writer, "clock");
    put_text(writer, "compatible", "fixed-clock");
    put32(writer, "#clock-cells", 0);
    put32(writer, "clock-frequency", VIRT_CLOCK_HZ);
    put32(writer, "phandle", PHANDLE_CLOCK);
    end(writer);
}

static void write_clocks_of(struct writer *writer, const struct devtree_device *device)
{
    struct cells cells = {.nr_cells = 0};

    for (unsigned i = 0; i < DEVTREE_CLOCKS_MAX && device->clocks[i] != NULL; i++) {
        add32(&cells, PHANDLE_CLOCK);
    }
    if (cells.nr_cells > 0) {
        put_cells(writer, "clocks", &cells);
        put_texts(writer, "clock-names", device->clocks, DEVTREE_CLOCKS_MAX);
    }
}

static void write_device(struct writer *writer, const struct devtree_device *device)
{
    struct cells interrupts = {.nr_cells = 0};

    add32(&interrupts, GIC_SPI);
    add32(&interrupts, device->spi);
    add32(&interrupts, LEVEL_HIGH);
    begin_at(writer, device->name, device->base);
    put_texts(writer, "compatible", device->compatible, DEVTREE_COMPATIBLE_MAX);
    put_reg(writer, device->base, device->size);
    put_cells(writer, "interrupts", &interrupts);
    write_clocks_of(writer, device);
    end(writer);
}

/* Documentation/devicetree/bindings/virtio/mmio.yaml; the line is pulsed. */
static void write_virtio(struct writer *writer, const struct device_place *place)
{
    struct cells interrupts = {.nr_cells = 0};

    add32(&interrupts, GIC_SPI);
    add32(&interrupts, place->gsi - VIRT_SPI_BASE);
    add32(&interrupts, EDGE_RISING);
    begin_at(writer, "virtio-mmio", place->gpa);
    put_text(writer, "compatible", "virtio,mmio");
    put_reg(writer, place->gpa, HOSTVM_VIRTIO_MMIO_SIZE);
    put_cells(writer, "interrupts", &interrupts);
    put_flag(writer, "dma-coherent");
    end(writer);
}

static void write_aliases(struct writer *writer, const struct devtree_config *config)
{
    begin(writer, "aliases");
    for (unsigned i = 0; i < config->nr_devices; i++) {
        const struct devtree_device *device = &config->devices[i];
        char path[64];

        if (device->alias != NULL) {
            (void)snprintf(path, sizeof(path), "/%s@%" PRIx64, device->name, device->base);
            put_text(writer, device->alias, path);
        }
    }
    end(writer);
}

static void write_memory(struct writer *writer, const struct devtree_config *config)
{
    begin_at(writer, "memory", config->ram_base);
    put_text(writer, "device_type", "memory");
    put_reg(writer, config->ram_base, config->ram_size);
    end(writer);
}

static void write_root(struct writer *writer, const struct devtree_config *config)
{
    begin(writer, "");
    put_text(writer, "model", "hostvm");
    put_text(writer, "compatible", "linux,dummy-virt");
    put32(writer, "#address-cells", 2);
    put32(writer, "#size-cells", 2);
    put32(writer, "interrupt-parent", PHANDLE_GIC);
    begin(writer, "chosen");
    if (config->console != NULL) {
        put_text(writer, "stdout-path", config->console);
    }
    end(writer);
    write_aliases(writer, config);
    write_memory(writer, config);
    write_cpus(writer, config->nr_cpus);
    write_psci(writer);
    write_timer(writer, config);
    if (config->has_pmu) {
        write_pmu(writer, config);
    }
    write_gic(writer, config);
    write_clock(writer);
    for (unsigned i = 0; i < config->nr_devices; i++) {
        write_device(writer, &config->devices[i]);
    }
    for (unsigned i = 0; i < config->nr_virtio; i++) {
        write_virtio(writer, &config->virtio[i]);
    }
    if (config->pci != NULL) {
        write_pci(writer, config);
    }
    end(writer);
}

/* --- what differs from start to start --- */

static int set_or_delete(void *fdt, int node, const char *name, bool is_there, uint64_t value)
{
    int r;

    if (is_there) {
        return fdt_setprop_u64(fdt, node, name, value);
    }
    r = fdt_delprop(fdt, node, name);
    return r == -FDT_ERR_NOTFOUND ? 0 : r;
}

static int set_seeds(void *fdt, int node, const struct devtree_chosen *chosen)
{
    int r;

    if (chosen->seed == NULL || chosen->seed_size <= KASLR_SEED_SIZE) {
        return 0;
    }
    r = fdt_setprop(fdt, node, "kaslr-seed", chosen->seed, KASLR_SEED_SIZE);
    return r != 0 ? r
                  : fdt_setprop(fdt, node, "rng-seed", chosen->seed + KASLR_SEED_SIZE,
                                (int)(chosen->seed_size - KASLR_SEED_SIZE));
}

static int set_chosen(void *fdt, const struct devtree_chosen *chosen)
{
    bool has_initrd = chosen->initrd_size > 0;
    int node = fdt_path_offset(fdt, "/chosen");
    int r = 0;

    if (node == -FDT_ERR_NOTFOUND) {
        node = fdt_add_subnode(fdt, 0, "chosen");
    }
    if (node < 0) {
        return node;
    }
    if (chosen->cmdline[0] != '\0') {
        r = fdt_setprop_string(fdt, node, "bootargs", chosen->cmdline);
    }
    if (r == 0) {
        r = set_or_delete(fdt, node, "linux,initrd-start", has_initrd, chosen->initrd);
    }
    if (r == 0) {
        r = set_or_delete(fdt, node, "linux,initrd-end", has_initrd,
                          chosen->initrd + chosen->initrd_size);
    }
    return r == 0 ? set_seeds(fdt, node, chosen) : r;
}

static int check_cmdline(const struct devtree_chosen *chosen, struct load_error *err)
{
    size_t length = strlen(chosen->cmdline);

    if (length > VIRT_COMMAND_LINE_MAX) {
        return load_fail(err, -E2BIG,
                         "cannot pass the command line: it has %zu characters, the kernel takes %u",
                         length, VIRT_COMMAND_LINE_MAX);
    }
    return 0;
}

/* --- the whole --- */

int devtree_build(const struct devtree_config *config, const struct devtree_chosen *chosen,
                  void *buffer, size_t size, size_t *ret_size, struct load_error *err)
{
    struct writer writer = {.fdt = buffer};
    int r = check_cmdline(chosen, err);

    if (r < 0) {
        return r;
    }
    writer.error = fdt_create(buffer, (int)size);
    keep(&writer, writer.error == 0 ? fdt_finish_reservemap(buffer) : 0);
    if (writer.error == 0) {
        write_root(&writer, config);
        keep(&writer, fdt_finish(buffer));
    }
    if (writer.error == 0) {
        keep(&writer, fdt_open_into(buffer, buffer, (int)size));
    }
    if (writer.error == 0) {
        keep(&writer, set_chosen(buffer, chosen));
    }
    if (writer.error != 0) {
        return load_fail(err, -ENOSPC, "cannot write the device tree to %zu bytes: %s", size,
                         fdt_strerror(writer.error));
    }
    (void)fdt_pack(buffer); /* a tree that was just written is no bad one */
    *ret_size = fdt_totalsize(buffer);
    return 0;
}

/* --- a tree from a file --- */

static int tree_fail(struct load_error *err, int code, const char *name, const char *why)
{
    return load_fail(err, code, "cannot load device tree '%s': %s", short_name(name), why);
}

static int adopt(const char *name, size_t file_size, const struct devtree_chosen *chosen,
                 void *buffer, size_t size, struct load_error *err)
{
    int r = fdt_check_full(buffer, file_size);

    if (r != 0) {
        return tree_fail(err, -ENOEXEC, name,
                         r == -FDT_ERR_BADMAGIC
                             ? "it is no device tree blob; compile it with dtc"
                             : "it is a damaged device tree blob; compile it again with dtc");
    }
    r = fdt_open_into(buffer, buffer, (int)size);
    if (r == 0) {
        r = set_chosen(buffer, chosen);
    }
    if (r == -FDT_ERR_NOSPACE) {
        return tree_fail(err, -EFBIG, name, "with /chosen it is larger than the kernel's 2 MiB");
    }
    return r == 0 ? 0 : tree_fail(err, -ENOEXEC, name, fdt_strerror(r));
}

int devtree_load(const char *name, const struct devtree_chosen *chosen, void *buffer, size_t size,
                 size_t *ret_size, struct load_error *err)
{
    uint64_t file_size;
    int r = check_cmdline(chosen, err);
    int fd;

    if (r < 0) {
        return r;
    }
    fd = regular_file_open("device tree", name, &file_size, err);
    if (fd < 0) {
        return fd;
    }
    if (file_size > size) {
        r = tree_fail(err, -EFBIG, name, "it is larger than the kernel's 2 MiB");
    } else {
        r = regular_file_read("device tree", fd, name, buffer, file_size, err);
    }
    (void)close(fd);
    if (r == 0) {
        r = adopt(name, file_size, chosen, buffer, size, err);
    }
    if (r < 0) {
        return r;
    }
    (void)fdt_pack(buffer); /* as in devtree_build */
    *ret_size = fdt_totalsize(buffer);
    return 0;
}

int devtree_dump(const void *tree, const char *name, struct load_error *err)
{
    size_t size = fdt_totalsize(tree);
    FILE *file = fopen(name, "wbe");
    size_t done = 0;
    int r = -errno;

    if (file != NULL) {
        done = fwrite(tree, 1, size, file);
        r = done == size ? 0 : -errno;
        if (fclose(file) != 0 && r == 0) {
            r = -errno;
        }
    }
    return r == 0 ? 0
                  : load_fail(err, r, "cannot write the device tree to '%s': %s", short_name(name),
                              strerror(-r));
}
