/* ACPI tables as a guest's firmware code walks them: links, checksums, contents, and what iasl says
 * of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/bytes.h"
#include "machine/acpi.h"
#include "machine/aml.h"
#include "machine/layout_pc.h"

enum { ROOM = 0x20000, HEADER = 36, MAX_CPUS = 254 };

static const struct acpi_device devices[] = {
    {.name = "COM1", .hid = "PNP0501", .port = 0x3f8, .nr_ports = 8, .gsi = 4},
    {.name = "RTC0", .hid = "PNP0B00", .port = 0x70, .nr_ports = 2, .gsi = 8},
};

static const struct device_place virtio[] = {{0xfe000000, 16}, {0xfe001000, 5}};

static const hostvm_pci_bus_config_t pci = {
    .ecam = PC_PCI_ECAM,
    .memory = {PC_PCI_MEMORY, PC_PCI_MEMORY_SIZE},
    .memory64 = {0x400000000, 0x400000000},
    .gsi = {20, 21, 22, 23},
};

static struct acpi_config config_of(unsigned nr_cpus)
{
    return (struct acpi_config){
        .nr_cpus = nr_cpus,
        .devices = devices,
        .nr_devices = sizeof(devices) / sizeof(devices[0]),
        .virtio = virtio,
        .nr_virtio = sizeof(virtio) / sizeof(virtio[0]),
        .pci = &pci,
    };
}

static size_t build(uint8_t *tables, unsigned nr_cpus)
{
    const struct acpi_config config = config_of(nr_cpus);
    size_t size = acpi_build(&config, PC_ACPI, tables, ROOM);

    assert_int_not_equal(size, 0);
    return size;
}

static unsigned sum(const uint8_t *bytes, size_t n)
{
    uint8_t total = 0;

    for (size_t i = 0; i < n; i++) {
        total = (uint8_t)(total + bytes[i]);
    }
    return total;
}

/* The table at a guest address, checked. */
static const uint8_t *table_at(const uint8_t *tables, size_t size, uint64_t gpa,
                               const char *signature)
{
    const uint8_t *table = tables + (gpa - PC_ACPI);
    uint32_t length;

    assert_in_range(gpa, PC_ACPI, PC_ACPI + size - HEADER);
    length = load_le32(table + 4);
    assert_memory_equal(table, signature, 4);
    assert_in_range(length, HEADER, size - (gpa - PC_ACPI));
    assert_int_equal(sum(table, length), 0);
    return table;
}

static const uint8_t *listed_table(const uint8_t *tables, size_t size, const char *signature)
{
    const uint8_t *xsdt = table_at(tables, size, load_le64(tables + 24), "XSDT");
    unsigned nr = (load_le32(xsdt + 4) - HEADER) / 8;

    for (unsigned i = 0; i < nr; i++) {
        uint64_t gpa = load_le64(xsdt + HEADER + 8 * i);

        if (memcmp(tables + (gpa - PC_ACPI), signature, 4) == 0) {
            return table_at(tables, size, gpa, signature);
        }
    }
    fail_msg("no %s among the tables", signature);
    return NULL;
}

static void test_root_pointer_has_both_checksums(void **state)
{
    static uint8_t tables[ROOM];

    (void)state;
    (void)build(tables, 1);
    assert_memory_equal(tables, "RSD PTR ", 8);
    assert_int_equal(tables[15], 2);
    assert_int_equal(load_le32(tables + 20), 36);
    assert_int_equal(sum(tables, 20), 0);
    assert_int_equal(sum(tables, 36), 0);
}

static void test_every_table_is_reached_and_sums_to_zero(void **state)
{
    static uint8_t tables[ROOM];
    size_t size = build(tables, 3);
    const uint8_t *fadt = listed_table(tables, size, "FACP");

    (void)state;
    (void)listed_table(tables, size, "APIC");
    assert_int_equal(load_le32(fadt + 40), load_le64(fadt + 140));
    (void)table_at(tables, size, load_le64(fadt + 140), "DSDT");
}

static void test_fixed_description_names_reset_and_sleep_ports(void **state)
{
    static uint8_t tables[ROOM];
    const uint8_t *fadt = listed_table(tables, build(tables, 1), "FACP");

    (void)state;
    assert_int_equal(fadt[8], 6);
    assert_int_equal(load_le32(fadt + 4), 276);
    assert_int_equal(load_le16(fadt + 109) & 0x22, 0); /* no 8042, and the clock is there */
    assert_int_equal(load_le32(fadt + 112) & 0x100400,
                     0x100400); /* hardware-reduced, reset register */
    assert_int_equal(fadt[116], 1);
    assert_int_equal(load_le64(fadt + 120), PC_PORT_RESET);
    assert_int_equal(fadt[128], 0x06);
    assert_int_equal(load_le64(fadt + 248), PC_PORT_SLEEP);
    assert_int_equal(load_le64(fadt + 260), PC_PORT_SLEEP + 1);
}

static void test_every_processor_is_listed_once_and_enabled(void **state)
{
    static const unsigned counts[] = {1, 2, 16, MAX_CPUS};
    static uint8_t tables[ROOM];

    (void)state;
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        const uint8_t *madt = listed_table(tables, build(tables, counts[c]), "APIC");
        unsigned nr_cpus = 0, nr_ioapics = 0;

        assert_int_equal(load_le32(madt + 36), PC_LAPIC);
        for (size_t at = 44; at < load_le32(madt + 4); at += madt[at + 1]) {
            assert_int_not_equal(madt[at + 1], 0);
            if (madt[at] == 0) {
                assert_int_equal(madt[at + 3], nr_cpus);
                assert_int_equal(load_le32(madt + at + 4), 1);
                nr_cpus++;
            } else if (madt[at] == 1) {
                assert_int_equal(load_le32(madt + at + 4), PC_IOAPIC);
                assert_int_equal(load_le32(madt + at + 8), 0);
                nr_ioapics++;
            }
        }
        assert_int_equal(nr_cpus, counts[c]);
        assert_int_equal(nr_ioapics, 1);
    }
}

static void test_pci_registers_are_listed_where_there_are_any(void **state)
{
    static uint8_t tables[ROOM];
    struct acpi_config config = config_of(1);
    const uint8_t *mcfg = listed_table(tables, build(tables, 1), "MCFG");
    size_t size;

    (void)state;
    assert_int_equal(load_le32(mcfg + 4), 60);
    assert_int_equal(load_le64(mcfg + 44), PC_PCI_ECAM);
    assert_int_equal(load_le32(mcfg + 52), 0); /* segment 0, buses 0 to 0 */
    config.pci = NULL;
    memset(tables, 0, sizeof(tables));
    size = acpi_build(&config, PC_ACPI, tables, ROOM);
    assert_null(memmem(tables, size, "MCFG", 4));
    assert_null(memmem(tables, size, "PCI0", 4));
    assert_int_equal(load_le32(table_at(tables, size, load_le64(tables + 24), "XSDT") + 4),
                     HEADER + 2 * 8);
}

/* The bytes as the specification has them (ACPI 6.4, 6.4.3.5): both ends fixed, not cacheable,
 * writable. */
static void test_pci_windows_are_passed_on(void **state)
{
    static const uint8_t buses[] = {0x88, 13, 0, 2, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    static const uint8_t window[] = {0x87, 23,   0,    0,    0x0c, 1, 0, 0, 0, 0, 0, 0, 0,
                                     0xd0, 0xff, 0xff, 0xff, 0xdf, 0, 0, 0, 0, 0, 0, 0, 0x10};
    static const uint8_t window64[] = {
        0x8a, 43,   0,    0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0xff,
        0xff, 0xff, 0xff, 7, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0};
    static uint8_t tables[ROOM];
    struct acpi_config config = config_of(1);
    hostvm_pci_bus_config_t low = pci;
    size_t size = build(tables, 1);

    (void)state;
    assert_non_null(memmem(tables, size, buses, sizeof(buses)));
    assert_non_null(memmem(tables, size, window, sizeof(window)));
    assert_non_null(memmem(tables, size, window64, sizeof(window64)));
    low.memory64.size = 0;
    config.pci = &low;
    size = acpi_build(&config, PC_ACPI, tables, ROOM);
    assert_non_null(memmem(tables, size, window, sizeof(window)));
    assert_null(memmem(tables, size, window64, 6));
}

/* An entry for each slot: all of its functions, the first pin, no link device, the line. */
static void test_every_pci_slot_has_its_line(void **state)
{
    static uint8_t tables[ROOM];
    size_t size = build(tables, 1);

    (void)state;
    for (unsigned slot = 2; slot < 32; slot++) {
        const uint8_t entry[] = {0x12,          0x0c, 0x04, 0x0c, 0xff, 0xff,
                                 (uint8_t)slot, 0,    0,    0,    0x0a, (uint8_t)(20 + slot % 4)};
        const uint8_t *found = memmem(tables, size, entry + 3, sizeof(entry) - 3);

        assert_non_null(found);
        assert_int_equal(found[-1], 4);
    }
}

/* Exhaustively: whatever the room, the tables are whole or refused, and nothing is written behind
 * it. */
static void test_short_buffer_is_refused_and_not_overrun(void **state)
{
    const struct acpi_config config = config_of(2);
    static uint8_t tables[ROOM];
    size_t needed = build(tables, 2);

    (void)state;
    for (size_t room = 36; room <= needed; room++) {
        uint8_t *exact = malloc(room);
        size_t size;

        assert_non_null(exact);
        size = acpi_build(&config, PC_ACPI, exact, room);
        assert_int_equal(size, room < needed ? 0 : needed);
        free(exact);
    }
}

static void test_integers_take_their_shortest_form(void **state)
{
    static const struct {
        uint64_t value;
        uint8_t code[9];
        size_t size;
    } cases[] = {
        {0, {0x00}, 1},
        {1, {0x01}, 1},
        {2, {0x0a, 2}, 2},
        {0xff, {0x0a, 0xff}, 2},
        {0x100, {0x0b, 0x00, 0x01}, 3},
        {0x10000, {0x0c, 0, 0, 1, 0}, 5},
        {0x100000000, {0x0e, 0, 0, 0, 0, 1, 0, 0, 0}, 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t code[16];
        struct aml aml = {code, sizeof(code), 0, false};

        aml_integer(&aml, cases[i].value);
        assert_int_equal(aml.length, cases[i].size);
        assert_memory_equal(code, cases[i].code, cases[i].size);
    }
}

static void test_eisa_id_is_the_specifications_example(void **state)
{
    static const uint8_t expected[] = {0x0c, 0x41, 0xd0, 0x05, 0x01}; /* PNP0501 */
    uint8_t code[5];
    struct aml aml = {code, sizeof(code), 0, false};

    (void)state;
    aml_eisa_id(&aml, "PNP0501");
    assert_int_equal(aml.length, 5);
    assert_memory_equal(code, expected, 5);
}

static void test_package_beyond_its_length_field_is_refused(void **state)
{
    static uint8_t code[0x2000];
    struct aml aml = {code, sizeof(code), 0, false};
    size_t mark = aml_device_begin(&aml, "BIG0");

    (void)state;
    for (unsigned i = 0; i < 0x1000; i++) {
        aml_integer(&aml, 0);
    }
    aml_end(&aml, mark);
    assert_true(aml.is_short);
}

/* In order, each with its memory (6.4.3.4) and its line, pulsed and high (6.4.3.6). */
static void test_virtio_devices_have_a_page_and_a_line_each(void **state)
{
    static const uint8_t first[] = {0x86, 9,    0, 1, 0, 0, 0,  0xfe, 0, 0x10, 0,
                                    0,    0x89, 6, 0, 3, 1, 16, 0,    0, 0};
    static const uint8_t second[] = {0x86, 9,    0, 1, 0, 0x10, 0, 0xfe, 0, 0x10, 0,
                                     0,    0x89, 6, 0, 3, 1,    5, 0,    0, 0};
    static uint8_t tables[ROOM];
    size_t size = build(tables, 1);
    const uint8_t *name = memmem(tables, size, "VR00", 4);
    const uint8_t *found = memmem(tables, size, first, sizeof(first));

    (void)state;
    assert_non_null(name);
    assert_non_null(found);
    assert_true(name < found);
    assert_non_null(memmem(name, size - (size_t)(name - tables), "LNRO0005", 8));
    name = memmem(tables, size, "VR01", 4);
    assert_non_null(name);
    assert_true(found < name);
    assert_non_null(memmem(name, size - (size_t)(name - tables), second, sizeof(second)));
}

/* --- files --- */

static char directory[] = "/tmp/hostvm-acpi-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory + sizeof(directory) - 7, "XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    char path[sizeof(directory) + 300];
    DIR *dir = opendir(directory);

    (void)state;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
    return rmdir(directory);
}

static void test_dump_writes_each_table_as_it_is(void **state)
{
    static const char *const names[] = {"DSDT", "FACP", "APIC", "MCFG", "XSDT"};
    static uint8_t tables[ROOM];
    size_t size = build(tables, 2);

    (void)state;
    assert_int_equal(acpi_dump(tables, size, directory), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        static uint8_t content[ROOM];
        char path[sizeof(directory) + 16];
        FILE *file;
        size_t n;

        (void)snprintf(path, sizeof(path), "%s/%s.aml", directory, names[i]);
        file = fopen(path, "rb");
        assert_non_null(file);
        n = fread(content, 1, sizeof(content), file);
        (void)fclose(file);
        assert_true(n >= HEADER);
        assert_memory_equal(content, names[i], 4);
        assert_int_equal(load_le32(content + 4), n);
        assert_int_equal(sum(content, n), 0);
    }
}

static void test_dump_to_a_missing_directory_says_so(void **state)
{
    static uint8_t tables[ROOM];
    size_t size = build(tables, 1);

    (void)state;
    assert_int_equal(acpi_dump(tables, size, "/nonexistent/directory"), -ENOENT);
}

/* Each table comes apart and goes together again without a warning or an error. */
static void test_iasl_has_nothing_to_complain_about(void **state)
{
    static uint8_t tables[ROOM];
    char command[1024];

    (void)state;
    if (system("command -v iasl > /dev/null 2>&1") != 0) {
        print_message("skipped: iasl (package acpica-tools) is not installed\n");
        skip();
    }
    assert_int_equal(acpi_dump(tables, build(tables, 4), directory), 0);
    (void)snprintf(
        command, sizeof(command),
        "cd %s && for t in DSDT FACP APIC MCFG; do"
        "  iasl -d $t.aml > $t.log 2>&1 && ! grep -Ei 'warning|error|invalid' $t.log > /dev/null &&"
        "  iasl -p again $t.dsl > $t.out 2>&1 &&"
        "  ! grep -E ' [1-9][0-9]* (Errors|Warnings)' $t.out > /dev/null ||"
        "  { cat $t.log $t.out; exit 1; }; done",
        directory);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_pointer_has_both_checksums),
        cmocka_unit_test(test_every_table_is_reached_and_sums_to_zero),
        cmocka_unit_test(test_fixed_description_names_reset_and_sleep_ports),
        cmocka_unit_test(test_every_processor_is_listed_once_and_enabled),
        cmocka_unit_test(test_virtio_devices_have_a_page_and_a_line_each),
        cmocka_unit_test(test_pci_registers_are_listed_where_there_are_any),
        cmocka_unit_test(test_pci_windows_are_passed_on),
        cmocka_unit_test(test_every_pci_slot_has_its_line),
        cmocka_unit_test(test_short_buffer_is_refused_and_not_overrun),
        cmocka_unit_test(test_integers_take_their_shortest_form),
        cmocka_unit_test(test_eisa_id_is_the_specifications_example),
        cmocka_unit_test(test_package_beyond_its_length_field_is_refused),
        cmocka_unit_test_setup_teardown(test_dump_writes_each_table_as_it_is, make_directory,
                                        remove_directory),
        cmocka_unit_test(test_dump_to_a_missing_directory_says_so),
        cmocka_unit_test_setup_teardown(test_iasl_has_nothing_to_complain_about, make_directory,
                                        remove_directory),
    };

    return cmocka_run_group_tests_name("machine_acpi", tests, NULL, NULL);
}
