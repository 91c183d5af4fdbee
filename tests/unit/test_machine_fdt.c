/* The device tree as an arm64 guest reads it: what stands where, what differs from start to start,
 * trees from files, and what dtc says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/fdt.h"
#include "machine/layout_virt.h"

static uint8_t tree[VIRT_DTB_MAX] __attribute__((aligned(8)));

static const struct devtree_device devices[] = {
    {.name = "serial",
     .alias = "serial0",
     .compatible = {"arm,pl011", "arm,primecell"},
     .clocks = {"uartclk", "apb_pclk"},
     .base = VIRT_UART,
     .size = 0x1000,
     .spi = VIRT_SPI_UART},
    {.name = "rtc",
     .alias = "rtc0",
     .compatible = {"arm,pl031", "arm,primecell"},
     .clocks = {"apb_pclk"},
     .base = VIRT_RTC,
     .size = 0x1000,
     .spi = VIRT_SPI_RTC},
};

static const struct device_place virtio[] = {{0x0a000000, 48}, {0x0a001000, 49}};

static const hostvm_pci_bus_config_t pci = {
    .ecam = VIRT_PCI_ECAM,
    .memory = {VIRT_PCI_MEMORY, VIRT_PCI_MEMORY_SIZE},
    .memory64 = {0x400000000, 0x400000000},
    .gsi = {35, 36, 37, 38},
};

static const struct devtree_config config = {
    .ram_base = VIRT_RAM,
    .ram_size = 0x123456000,
    .nr_cpus = 3,
    .gic = DEVTREE_GICV3,
    .devices = devices,
    .nr_devices = 2,
    .virtio = virtio,
    .nr_virtio = 2,
    .console = "serial0:115200n8",
};

static const uint8_t seed[40] = "01234567abcdefghijklmnopqrstuvwxyz";

static const struct devtree_chosen chosen = {.cmdline = "console=ttyAMA0 quiet",
                                             .initrd = 0x143210000,
                                             .initrd_size = 0x4567,
                                             .seed = seed,
                                             .seed_size = sizeof(seed)};

static const struct devtree_chosen nothing = {.cmdline = ""};

static size_t build(const struct devtree_config *what, const struct devtree_chosen *how)
{
    struct load_error err = {""};
    size_t size = 0;

    memset(tree, 0xee, sizeof(tree));
    assert_int_equal(devtree_build(what, how, tree, VIRT_DTB_ROOM, &size, &err), 0);
    assert_int_equal(fdt_check_full(tree, size), 0);
    assert_int_equal(fdt_totalsize(tree), size);
    return size;
}

/* A property as 32-bit cells; how many there are. */
static unsigned cells_of(const char *path, const char *name, uint32_t *cells, unsigned max)
{
    int length = 0;
    const fdt32_t *value = fdt_getprop(tree, fdt_path_offset(tree, path), name, &length);

    assert_non_null(value);
    assert_in_range(length, 0, max * 4);
    for (int i = 0; i < length / 4; i++) {
        cells[i] = fdt32_to_cpu(value[i]);
    }
    return (unsigned)length / 4;
}

static void assert_cells(const char *path, const char *name, const uint32_t *expected, unsigned nr)
{
    uint32_t cells[64];

    assert_int_equal(cells_of(path, name, cells, 64), nr);
    for (unsigned i = 0; i < nr; i++) {
        assert_int_equal(cells[i], expected[i]);
    }
}

static void assert_bytes(const char *path, const char *name, const void *expected, size_t size)
{
    int length = 0;
    const void *value = fdt_getprop(tree, fdt_path_offset(tree, path), name, &length);

    assert_non_null(value);
    assert_int_equal(length, size);
    assert_memory_equal(value, expected, size);
}

#define ASSERT_CELLS(path, name, ...)                                                              \
    assert_cells(path, name, (const uint32_t[]){__VA_ARGS__},                                      \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / 4)
#define ASSERT_TEXT(path, name, text) assert_bytes(path, name, text, sizeof(text))

static bool has_property(const char *path, const char *name)
{
    return fdt_getprop(tree, fdt_path_offset(tree, path), name, NULL) != NULL;
}

/* --- our own tree --- */

static void test_memory_and_processors_are_those_of_the_machine(void **state)
{
    (void)state;
    (void)build(&config, &chosen);
    ASSERT_TEXT("/memory@40000000", "device_type", "memory");
    ASSERT_CELLS("/memory@40000000", "reg", 0, 0x40000000, 1, 0x23456000);
    ASSERT_CELLS("/cpus/cpu@2", "reg", 2);
    ASSERT_TEXT("/cpus/cpu@2", "enable-method", "psci");
    ASSERT_TEXT("/cpus/cpu@2", "device_type", "cpu");
    assert_int_equal(fdt_path_offset(tree, "/cpus/cpu@3"), -FDT_ERR_NOTFOUND);
    ASSERT_TEXT("/psci", "method", "hvc");
    ASSERT_TEXT("/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2");
}

static void test_affinity_is_sixteen_to_a_cluster(void **state)
{
    (void)state;
    assert_int_equal(devtree_affinity(0), 0);
    assert_int_equal(devtree_affinity(15), 15);
    assert_int_equal(devtree_affinity(16), 0x100);
    assert_int_equal(devtree_affinity(0x123), 0x1203);
}

static void test_gicv3_has_a_redistributor_per_processor(void **state)
{
    const char *path = "/interrupt-controller@8000000";

    (void)state;
    (void)build(&config, &chosen);
    ASSERT_TEXT(path, "compatible", "arm,gic-v3");
    ASSERT_CELLS(path, "reg", 0, 0x08000000, 0, 0x10000, 0, 0x080a0000, 0, 0x60000);
    ASSERT_CELLS(path, "#interrupt-cells", 3);
    ASSERT_CELLS("/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
    assert_true(has_property("/timer", "always-on"));
}

static void test_gicv2_names_the_processors_of_private_interrupts(void **state)
{
    const char *path = "/interrupt-controller@8000000";
    struct devtree_config v2 = config;

    (void)state;
    v2.gic = DEVTREE_GICV2;
    (void)build(&v2, &chosen);
    ASSERT_TEXT(path, "compatible", "arm,cortex-a15-gic");
    ASSERT_CELLS(path, "reg", 0, 0x08000000, 0, 0x1000, 0, 0x08010000, 0, 0x2000);
    ASSERT_CELLS("/timer", "interrupts", 1, 13, 0x704, 1, 14, 0x704, 1, 11, 0x704, 1, 10, 0x704);
    v2.nr_cpus = 8;
    (void)build(&v2, &chosen);
    ASSERT_CELLS("/timer", "interrupts", 1, 13, 0xff04, 1, 14, 0xff04, 1, 11, 0xff04, 1, 10,
                 0xff04);
}

static void test_performance_counters_are_there_when_asked_for(void **state)
{
    struct devtree_config with = config;

    (void)state;
    (void)build(&config, &chosen);
    assert_int_equal(fdt_path_offset(tree, "/pmu"), -FDT_ERR_NOTFOUND);
    with.has_pmu = true;
    (void)build(&with, &chosen);
    ASSERT_TEXT("/pmu", "compatible", "arm,armv8-pmuv3");
    ASSERT_CELLS("/pmu", "interrupts", 1, 7, 4);
    with.gic = DEVTREE_GICV2;
    (void)build(&with, &chosen);
    ASSERT_CELLS("/pmu", "interrupts", 1, 7, 0x704);
}

static void test_devices_are_those_of_the_list(void **state)
{
    uint32_t clocks[2];
    uint32_t phandle;

    (void)state;
    (void)build(&config, &chosen);
    ASSERT_TEXT("/serial@9000000", "compatible", "arm,pl011\0arm,primecell");
    ASSERT_CELLS("/serial@9000000", "reg", 0, 0x09000000, 0, 0x1000);
    ASSERT_CELLS("/serial@9000000", "interrupts", 0, 1, 4);
    ASSERT_TEXT("/serial@9000000", "clock-names", "uartclk\0apb_pclk");
    assert_int_equal(cells_of("/clock", "phandle", &phandle, 1), 1);
    assert_int_equal(cells_of("/serial@9000000", "clocks", clocks, 2), 2);
    assert_true(clocks[0] == phandle && clocks[1] == phandle);
    ASSERT_TEXT("/rtc@9010000", "clock-names", "apb_pclk");
    ASSERT_CELLS("/rtc@9010000", "interrupts", 0, 2, 4);
    ASSERT_TEXT("/virtio-mmio@a000000", "compatible", "virtio,mmio");
    ASSERT_CELLS("/virtio-mmio@a001000", "reg", 0, 0x0a001000, 0, 0x1000);
    ASSERT_CELLS("/virtio-mmio@a001000", "interrupts", 0, 17, 1);
    assert_true(has_property("/virtio-mmio@a001000", "dma-coherent"));
    ASSERT_TEXT("/aliases", "serial0", "/serial@9000000");
    ASSERT_TEXT("/aliases", "rtc0", "/rtc@9010000");
    assert_int_equal(cells_of("/interrupt-controller@8000000", "phandle", &phandle, 1), 1);
    ASSERT_CELLS("/", "interrupt-parent", phandle);
}

static void test_chosen_has_what_the_guest_is_started_with(void **state)
{
    (void)state;
    (void)build(&config, &chosen);
    ASSERT_TEXT("/chosen", "stdout-path", "serial0:115200n8");
    ASSERT_TEXT("/chosen", "bootargs", "console=ttyAMA0 quiet");
    ASSERT_CELLS("/chosen", "linux,initrd-start", 1, 0x43210000);
    ASSERT_CELLS("/chosen", "linux,initrd-end", 1, 0x43214567);
    assert_bytes("/chosen", "kaslr-seed", seed, 8);
    assert_bytes("/chosen", "rng-seed", seed + 8, 32);
}

static void test_what_is_not_there_is_not_mentioned(void **state)
{
    static const char *const names[] = {"stdout-path",      "bootargs",   "linux,initrd-start",
                                        "linux,initrd-end", "kaslr-seed", "rng-seed"};
    struct devtree_config bare = config;

    (void)state;
    bare.nr_devices = 0;
    bare.console = NULL;
    (void)build(&bare, &nothing);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_false(has_property("/chosen", names[i]));
    }
}

static void test_short_buffer_is_refused_and_not_overrun(void **state)
{
    size_t needed = build(&config, &chosen);
    struct load_error err;
    unsigned nr_refused = 0;
    size_t size = 0;

    (void)state;
    for (size_t room = 0; room < needed + 512; room++) {
        int r;

        memset(tree, 0xee, needed + 1024);
        r = devtree_build(&config, &chosen, tree, room, &size, &err);
        for (size_t i = room; i < needed + 1024; i++) {
            assert_int_equal(tree[i], 0xee);
        }
        if (r == 0) {
            assert_int_equal(size, needed);
            continue;
        }
        nr_refused++;
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(strncmp(err.text, "cannot write the device tree to ", 32), 0);
    }
    assert_in_range(nr_refused, needed - 512, needed + 511);
}

static void test_command_line_is_as_long_as_the_kernel_takes(void **state)
{
    static char text[VIRT_COMMAND_LINE_MAX + 2];
    const struct devtree_chosen how = {.cmdline = text};
    struct load_error err;
    size_t size;

    (void)state;
    memset(text, 'x', VIRT_COMMAND_LINE_MAX);
    (void)build(&config, &how);
    assert_bytes("/chosen", "bootargs", text, VIRT_COMMAND_LINE_MAX + 1);
    text[VIRT_COMMAND_LINE_MAX] = 'x';
    assert_int_equal(devtree_build(&config, &how, tree, sizeof(tree), &size, &err), -E2BIG);
    assert_string_equal(err.text, "cannot pass the command line: it has 2048 characters, the "
                                  "kernel takes 2047");
    assert_int_equal(devtree_load("/nonexistent", &how, tree, sizeof(tree), &size, &err), -E2BIG);
}

/* --- trees from files --- */

static char directory[] = "/tmp/hostvm-fdt-XXXXXX";
static char path_of_tree[64];

static int make_directory(void **state)
{
    (void)state;
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    (void)snprintf(path_of_tree, sizeof(path_of_tree), "%s/tree.dtb", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    (void)unlink(path_of_tree);
    return rmdir(directory);
}

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path_of_tree, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void dump(const struct devtree_chosen *how)
{
    struct load_error err = {""};

    (void)build(&config, how);
    assert_int_equal(devtree_dump(tree, path_of_tree, &err), 0);
    memset(tree, 0xee, sizeof(tree));
}

static void assert_load_fails(size_t room, int code, const char *why)
{
    struct load_error err = {""};
    char line[256];
    size_t size;

    (void)snprintf(line, sizeof(line), "cannot load device tree '%s': %s", path_of_tree, why);
    assert_int_equal(devtree_load(path_of_tree, &chosen, tree, room, &size, &err), code);
    assert_string_equal(err.text, line);
}

static void test_loaded_tree_is_the_file_with_another_chosen(void **state)
{
    const struct devtree_chosen other = {
        .cmdline = "other", .initrd = 0x50000000, .initrd_size = 1};
    struct load_error err;
    size_t size;

    (void)state;
    dump(&chosen);
    assert_int_equal(devtree_load(path_of_tree, &other, tree, sizeof(tree), &size, &err), 0);
    assert_int_equal(fdt_check_full(tree, size), 0);
    ASSERT_TEXT("/chosen", "bootargs", "other");
    ASSERT_CELLS("/chosen", "linux,initrd-start", 0, 0x50000000);
    ASSERT_CELLS("/chosen", "linux,initrd-end", 0, 0x50000001);
    ASSERT_TEXT("/chosen", "stdout-path", "serial0:115200n8");
    ASSERT_CELLS("/serial@9000000", "interrupts", 0, 1, 4);
}

static void test_loaded_tree_keeps_its_command_line_and_loses_its_initrd(void **state)
{
    struct load_error err;
    size_t size;

    (void)state;
    dump(&chosen);
    assert_int_equal(devtree_load(path_of_tree, &nothing, tree, sizeof(tree), &size, &err), 0);
    ASSERT_TEXT("/chosen", "bootargs", "console=ttyAMA0 quiet");
    assert_false(has_property("/chosen", "linux,initrd-start"));
    assert_false(has_property("/chosen", "linux,initrd-end"));
}

static void test_tree_without_chosen_gets_one(void **state)
{
    struct load_error err;
    size_t size;

    (void)state;
    assert_int_equal(fdt_create_empty_tree(tree, 4096), 0);
    write_file(tree, fdt_totalsize(tree));
    assert_int_equal(devtree_load(path_of_tree, &chosen, tree, sizeof(tree), &size, &err), 0);
    ASSERT_TEXT("/chosen", "bootargs", "console=ttyAMA0 quiet");
    assert_bytes("/chosen", "rng-seed", seed + 8, 32);
}

static void test_files_that_are_no_trees_are_refused(void **state)
{
    static const uint8_t magic[] = {0xd0, 0x0d, 0xfe, 0xed};

    (void)state;
    assert_load_fails(sizeof(tree), -ENOENT, "No such file or directory");
    write_file("", 0);
    assert_load_fails(sizeof(tree), -ENODATA, "the file is empty");
    write_file("/dts-v1/; / {};", 15);
    assert_load_fails(sizeof(tree), -ENOEXEC,
                      "it is a damaged device tree blob; compile it again "
                      "with dtc");
    write_file("/dts-v1/; / {}; and more than a header of forty bytes", 53);
    assert_load_fails(sizeof(tree), -ENOEXEC, "it is no device tree blob; compile it with dtc");
    write_file(magic, sizeof(magic));
    assert_load_fails(sizeof(tree), -ENOEXEC,
                      "it is a damaged device tree blob; compile it again "
                      "with dtc");
}

static void test_tree_larger_than_its_room_is_refused(void **state)
{
    size_t size = build(&config, &nothing);

    (void)state;
    dump(&nothing);
    assert_load_fails(size - 1, -EFBIG, "it is larger than the kernel's 2 MiB");
    assert_load_fails(size, -EFBIG, "with /chosen it is larger than the kernel's 2 MiB");
}

/* Wherever a byte is damaged: a tree, or a reason; never an access outside. */
static void test_damaged_trees_load_or_are_refused(void **state)
{
    static uint8_t whole[VIRT_DTB_ROOM];
    size_t size = build(&config, &chosen);

    (void)state;
    memcpy(whole, tree, size);
    for (size_t at = 0; at < size; at += at < 64 ? 1 : 7) {
        uint8_t byte = whole[at];
        struct load_error err = {""};
        size_t loaded = 0;
        int r;

        whole[at] ^= 0xff;
        write_file(whole, size);
        r = devtree_load(path_of_tree, &chosen, tree, sizeof(tree), &loaded, &err);
        assert_true(r == 0 ? loaded > 0 : err.text[0] != '\0');
        whole[at] = byte;
    }
    for (size_t cut = 1; cut < size; cut += 61) {
        struct load_error err = {""};
        size_t loaded;

        write_file(whole, size - cut);
        assert_int_equal(devtree_load(path_of_tree, &chosen, tree, sizeof(tree), &loaded, &err),
                         -ENOEXEC);
    }
}

static void test_dump_to_a_missing_directory_says_so(void **state)
{
    struct load_error err = {""};

    (void)state;
    (void)build(&config, &chosen);
    assert_int_equal(devtree_dump(tree, "/nonexistent/tree.dtb", &err), -ENOENT);
    assert_string_equal(err.text, "cannot write the device tree to '/nonexistent/tree.dtb': No "
                                  "such file or directory");
    assert_int_equal(devtree_dump(tree, "/dev/full", &err), -ENOSPC);
    assert_string_equal(err.text, "cannot write the device tree to '/dev/full': No space left on "
                                  "device");
}

/* --- PCI --- */

#define PCIE "/pcie@3f000000"
#define GIC  "/interrupt-controller@8000000"

static void test_pci_is_there_when_the_machine_has_it(void **state)
{
    struct devtree_config with_pci = config;

    (void)state;
    (void)build(&config, &chosen);
    assert_true(fdt_path_offset(tree, PCIE) < 0);
    with_pci.pci = &pci;
    (void)build(&with_pci, &chosen);
    ASSERT_CELLS(PCIE, "reg", 0, 0x3f000000, 0, 0x100000);
    ASSERT_CELLS(PCIE, "bus-range", 0, 0);
    ASSERT_CELLS(PCIE, "ranges", 0x02000000, 0, 0x10000000, 0, 0x10000000, 0, 0x2eff0000,
                 0x03000000, 4, 0, 4, 0, 4, 0);
    ASSERT_CELLS(PCIE, "interrupt-map-mask", 0x1800, 0, 0, 7);
    ASSERT_CELLS(PCIE, "interrupt-map", 0, 0, 0, 1, 1, 0, 3, 4, 0x800, 0, 0, 1, 1, 0, 4, 4, 0x1000,
                 0, 0, 1, 1, 0, 5, 4, 0x1800, 0, 0, 1, 1, 0, 6, 4);
    assert_null(fdt_getprop(tree, fdt_path_offset(tree, PCIE), "msi-map", NULL));
}

static void test_messages_go_to_the_its(void **state)
{
    struct devtree_config with_its = config;

    (void)state;
    with_its.pci = &pci;
    with_its.has_its = true;
    (void)build(&with_its, &chosen);
    ASSERT_CELLS(GIC "/msi-controller@8080000", "reg", 0, 0x8080000, 0, 0x20000);
    ASSERT_CELLS(GIC "/msi-controller@8080000", "phandle", 3);
    ASSERT_CELLS(GIC, "#address-cells", 2);
    ASSERT_CELLS(PCIE, "msi-map", 0, 3, 0, 0x100);
    ASSERT_CELLS(PCIE, "interrupt-map", 0, 0, 0, 1, 1, 0, 0, 0, 3, 4, 0x800, 0, 0, 1, 1, 0, 0, 0, 4,
                 4, 0x1000, 0, 0, 1, 1, 0, 0, 0, 5, 4, 0x1800, 0, 0, 1, 1, 0, 0, 0, 6, 4);
}

/*
 * Both GICs, few and many processors: to source and back again without a word. One check is left
 * out on the way back: dtc writes a reference as the number that it has in a blob, and then misses
 * the reference.
 */
static void test_dtc_has_nothing_to_complain_about(void **state)
{
    static const unsigned nr_cpus[] = {1, 16, 123};
    char command[1024];

    (void)state;
    if (system("command -v dtc > /dev/null 2>&1") != 0) {
        print_message("skipped: dtc (package device-tree-compiler) is not installed\n");
        skip();
    }
    (void)snprintf(command, sizeof(command),
                   "cd %s && w='-Wnode_name_chars_strict -Wproperty_name_chars_strict"
                   " -Wunique_unit_address_if_enabled' &&"
                   " dtc $w -I dtb -O dts -o tree.dts tree.dtb > log 2>&1 &&"
                   " dtc $w -Wno-clocks_property -I dts -O dtb -o again.dtb tree.dts >> log 2>&1 "
                   "&& ! [ -s log ];"
                   " r=$?; cat log; rm -f log tree.dts again.dtb; exit $r",
                   directory);
    for (unsigned i = 0; i < 6; i++) {
        struct load_error err = {""};
        struct devtree_config what = config;

        what.gic = i % 2 == 0 ? DEVTREE_GICV2 : DEVTREE_GICV3;
        what.has_its = i % 2 != 0;
        what.pci = i < 4 ? &pci : NULL;
        what.nr_cpus = nr_cpus[i / 2];
        (void)build(&what, &chosen);
        assert_int_equal(devtree_dump(tree, path_of_tree, &err), 0);
        assert_int_equal(system(command), 0);
    }
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_and_processors_are_those_of_the_machine),
        cmocka_unit_test(test_affinity_is_sixteen_to_a_cluster),
        cmocka_unit_test(test_gicv3_has_a_redistributor_per_processor),
        cmocka_unit_test(test_gicv2_names_the_processors_of_private_interrupts),
        cmocka_unit_test(test_performance_counters_are_there_when_asked_for),
        cmocka_unit_test(test_devices_are_those_of_the_list),
        cmocka_unit_test(test_chosen_has_what_the_guest_is_started_with),
        cmocka_unit_test(test_what_is_not_there_is_not_mentioned),
        cmocka_unit_test(test_short_buffer_is_refused_and_not_overrun),
        cmocka_unit_test(test_command_line_is_as_long_as_the_kernel_takes),
        FILE_TEST(test_loaded_tree_is_the_file_with_another_chosen),
        FILE_TEST(test_loaded_tree_keeps_its_command_line_and_loses_its_initrd),
        FILE_TEST(test_tree_without_chosen_gets_one),
        FILE_TEST(test_files_that_are_no_trees_are_refused),
        FILE_TEST(test_tree_larger_than_its_room_is_refused),
        FILE_TEST(test_damaged_trees_load_or_are_refused),
        cmocka_unit_test(test_dump_to_a_missing_directory_says_so),
        cmocka_unit_test(test_pci_is_there_when_the_machine_has_it),
        cmocka_unit_test(test_messages_go_to_the_its),
        FILE_TEST(test_dtc_has_nothing_to_complain_about),
    };

    return cmocka_run_group_tests_name("machine_fdt", tests, NULL, NULL);
}
