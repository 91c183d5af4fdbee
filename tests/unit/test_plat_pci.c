/* PCI through ports: a bus emulated behind them, scanned, sized and read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hostvm/error.h>
#include <pci/helper.h>
#include <pci/ioreg.h>
#include <pci/pci.h>
#include <pci/virtual_pci.h>

#include "support/inject.h"
#include "support/leak.h"

enum { NR_FUNCTIONS = 140 };

/* One function: its 256 bytes, and which of them can be written. */
struct function {
    uint8_t bus, dev, fun;
    uint8_t space[256];
    uint8_t writable[256];
};

/* A host bridge's configuration port, and what is behind it. */
struct host {
    uint32_t address;
    struct function functions[NR_FUNCTIONS];
    int nr;
    bool is_broken;
    bool probed_while_decoding;
};

static struct function *selected(struct host *host)
{
    int i;

    for (i = 0; (host->address & 1u << 31) != 0 && i < host->nr; i++) {
        struct function *f = &host->functions[i];

        if (f->bus == (host->address >> 16 & 0xff) && f->dev == (host->address >> 11 & 0x1f) &&
            f->fun == (host->address >> 8 & 7)) {
            return f;
        }
    }
    return NULL;
}

static int port_in(void *cookie, uint32_t port, int io_size, uint32_t *result)
{
    struct host *host = cookie;
    struct function *f = selected(host);
    unsigned reg = (host->address & 0xfc) + (port - PCI_CONF_PORT_DATA);

    assert_in_range(port, PCI_CONF_PORT_DATA, PCI_CONF_PORT_DATA_END - 1);
    if (host->is_broken) {
        return EIO;
    }
    *result = 0xa5a5a5a5; /* upper bytes of narrow reads are anybody's */
    if (f == NULL) {
        *result = UINT32_MAX;
    } else {
        memcpy(result, &f->space[reg], (size_t)io_size);
    }
    return 0;
}

static int port_out(void *cookie, uint32_t port, int io_size, uint32_t val)
{
    struct host *host = cookie;
    struct function *f = selected(host);
    unsigned reg = (host->address & 0xfc) + (port - PCI_CONF_PORT_DATA);
    int i;

    if (port == PCI_CONF_PORT_ADDR) {
        assert_int_equal(io_size, 4);
        host->address = val;
        return 0;
    }
    assert_in_range(port, PCI_CONF_PORT_DATA, PCI_CONF_PORT_DATA_END - 1);
    if (f == NULL) {
        return 0;
    }
    if (reg >= PCI_BASE_ADDRESS_0 && reg <= PCI_BASE_ADDRESS_5 && (f->space[PCI_COMMAND] & 3)) {
        host->probed_while_decoding = true;
    }
    for (i = 0; i < io_size; i++) {
        uint8_t mask = f->writable[reg + (unsigned)i];
        uint8_t byte = (uint8_t)(val >> 8 * i);

        f->space[reg + (unsigned)i] =
            (uint8_t)((f->space[reg + (unsigned)i] & ~mask) | (byte & mask));
    }
    return 0;
}

static void set16(struct function *f, unsigned reg, uint16_t value)
{
    memcpy(&f->space[reg], &value, 2);
}

/* A base address: what it holds, and what of it can be written. */
static void set_bar(struct function *f, int bar, uint32_t value, uint32_t writable)
{
    memcpy(&f->space[PCI_BASE_ADDRESS_0 + 4 * bar], &value, 4);
    memcpy(&f->writable[PCI_BASE_ADDRESS_0 + 4 * bar], &writable, 4);
}

static struct function *add(struct host *host, uint8_t bus, uint8_t dev, uint8_t fun,
                            uint16_t device)
{
    struct function *f = &host->functions[host->nr++];

    *f = (struct function){.bus = bus, .dev = dev, .fun = fun};
    set16(f, PCI_VENDOR_ID, 0x1af4);
    set16(f, PCI_DEVICE_ID, device);
    set16(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    f->writable[PCI_COMMAND] = 7;
    return f;
}

static struct function *add_bridge(struct host *host, uint8_t bus, uint8_t dev, uint8_t to)
{
    struct function *f = add(host, bus, dev, 0, 0xb000);

    set16(f, PCI_CLASS_DEVICE, PCI_CLASS_BRIDGE_PCI);
    f->space[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
    f->space[PCI_SECONDARY_BUS] = to;
    return f;
}

static ps_io_port_ops_t ports_of(struct host *host)
{
    return (ps_io_port_ops_t){host, port_in, port_out};
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct host));
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    libpci_scan((ps_io_port_ops_t){NULL, NULL, NULL});
    free(*state);
    return 0;
}

static void test_scan_finds_a_device_and_what_it_says(void **state)
{
    struct host *host = *state;
    struct function *f = add(host, 0, 3, 0, 0x1000);
    libpci_device_t *found;

    set16(f, PCI_SUBSYSTEM_ID, 0x77);
    f->space[PCI_INTERRUPT_LINE] = 11;
    f->space[PCI_INTERRUPT_PIN] = 1;
    libpci_scan(ports_of(host));
    found = libpci_find_device(0x1af4, 0x1000);
    assert_non_null(found);
    assert_int_equal(found->bus, 0);
    assert_int_equal(found->dev, 3);
    assert_int_equal(found->fun, 0);
    assert_int_equal(found->subsystem_id, 0x77);
    assert_int_equal(found->interrupt_line, 11);
    assert_int_equal(found->interrupt_pin, 1);
    assert_string_equal(found->vendor_name, "0x1af4");
    assert_string_equal(found->device_name, "0x1000");
    assert_ptr_equal(libpci_find_device_bdf(0, 3, 0), found);
    assert_ptr_equal(libpci_find_device_matching(found), found);
    assert_null(libpci_find_device(0x1af4, 0x1001));
    assert_null(libpci_find_device_bdf(0, 3, 1));
    assert_null(libpci_find_device_matching(NULL));
}

static void test_functions_are_looked_for_where_there_are_several(void **state)
{
    struct host *host = *state;
    libpci_device_t *all[PCI_MAX_DEVICES];
    libpci_device_t other;

    add(host, 0, 1, 0, 0x1000)->space[PCI_HEADER_TYPE] = 0x80;
    (void)add(host, 0, 1, 5, 0x1000);
    (void)add(host, 0, 2, 0, 0x1000);
    (void)add(host, 0, 2, 5, 0x1000); /* hidden: function 0 says it is alone */
    (void)add(host, 0, 4, 1, 0x1000); /* hidden: no function 0 */
    libpci_scan(ports_of(host));
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1000, all), 3);
    assert_int_equal(all[1]->fun, 5);
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1001, all), 0);
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1000, NULL), 0);
    other = *all[0];
    other.device_id = 0x1001;
    assert_null(libpci_find_device_matching(&other));
}

static void test_buses_behind_bridges_are_scanned_once(void **state)
{
    struct host *host = *state;
    libpci_device_t *all[PCI_MAX_DEVICES];

    (void)add_bridge(host, 0, 1, 7);
    (void)add_bridge(host, 7, 0, 8);
    (void)add_bridge(host, 8, 0, 7); /* back */
    (void)add_bridge(host, 8, 1, 0); /* to the beginning */
    (void)add(host, 8, 2, 0, 0x1000);
    libpci_scan(ports_of(host));
    assert_int_equal(libpci_find_device_all(0x1af4, 0xb000, all), 4);
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1000, all), 1);
    assert_int_equal(all[0]->bus, 8);
}

static void test_host_bridges_of_several_buses(void **state)
{
    struct host *host = *state;

    add(host, 0, 0, 0, 0x1)->space[PCI_HEADER_TYPE] = 0x80;
    set16(add(host, 0, 0, 1, 0x2), PCI_CLASS_DEVICE, PCI_CLASS_BRIDGE_HOST);
    set16(add(host, 0, 0, 2, 0x3), PCI_CLASS_DEVICE, PCI_CLASS_MEMORY_RAM);
    (void)add(host, 1, 4, 0, 0x4);
    (void)add(host, 2, 4, 0, 0x5);
    libpci_scan(ports_of(host));
    assert_non_null(libpci_find_device(0x1af4, 0x4));
    assert_null(libpci_find_device(0x1af4, 0x5));
}

static void test_base_addresses_are_sized_and_left_as_they_were(void **state)
{
    struct host *host = *state;
    struct function *f = add(host, 0, 1, 0, 0x1000);
    libpci_device_iocfg_t cfg;
    uint8_t before[256];

    set_bar(f, 0, 0x0000c001, 0xffffffe0); /* 32 ports */
    set_bar(f, 1, 0xfebf0000, 0xffff0000); /* 64 KiB */
    set_bar(f, 2, 0xe000000c, 0xf0000000); /* 256 MiB, 64 bits */
    set_bar(f, 3, 0x00000012, 0xffffffff); /* its upper half */
    set_bar(f, 5, 0x0000d001, 0x0000fff0); /* 16 ports, 16 bits */
    memcpy(before, f->space, sizeof(before));
    libpci_scan(ports_of(host));
    assert_memory_equal(f->space, before, sizeof(before));
    assert_false(host->probed_while_decoding);
    cfg = libpci_find_device_bdf(0, 1, 0)->cfg;

    assert_int_equal(cfg.base_addr[0], 0xc000);
    assert_int_equal(cfg.base_addr_space[0], PCI_BASE_ADDRESS_SPACE_IO);
    assert_int_equal(cfg.base_addr_size[0], 32);
    assert_int_equal(cfg.base_addr_size_mask[0], 0xffffffe0);
    assert_int_equal(cfg.base_addr_raw[0], 0xc001);
    assert_int_equal(cfg.base_addr[1], 0xfebf0000);
    assert_int_equal(cfg.base_addr_space[1], PCI_BASE_ADDRESS_SPACE_MEMORY);
    assert_int_equal(cfg.base_addr_type[1], PCI_BASE_ADDRESS_MEM_TYPE_32);
    assert_int_equal(cfg.base_addr_size[1], 0x10000);
    assert_int_equal(cfg.base_addr_prefetchable[1], 0);
    assert_int_equal(cfg.base_addr_type[2], PCI_BASE_ADDRESS_MEM_TYPE_64);
    assert_int_equal(cfg.base_addr_prefetchable[2], 1);
    assert_int_equal(cfg.base_addr_size[2], 0x10000000);
    assert_true(cfg.base_addr_64H[3]);
    assert_int_equal(cfg.base_addr_size[3], 0);
    assert_int_equal(libpci_device_iocfg_get_baseaddr(&cfg, 2), 0x12e0000000);
    assert_int_equal(libpci_device_iocfg_get_baseaddr32(&cfg, 2), 0xe0000000);
    assert_int_equal(cfg.base_addr_size[4], 0);
    assert_int_equal(cfg.base_addr[4], 0);
    assert_int_equal(cfg.base_addr_size[5], 16);
    assert_true(libpci_device_iocfg_uses_iomem(&cfg));
    assert_int_equal(libpci_device_iocfg_get_baseaddr(&cfg, 6), 0);
    assert_int_equal(libpci_device_iocfg_get_baseaddr(&cfg, -1), 0);
    assert_int_equal(libpci_device_iocfg_get_baseaddr(NULL, 0), 0);
}

/* Where a device has its third base address, a bridge has bus numbers. */
static void test_bridges_have_two_base_addresses(void **state)
{
    struct host *host = *state;
    struct function *bridge = add_bridge(host, 0, 1, 7);
    struct function *cardbus = add(host, 0, 2, 0, 0x1);
    libpci_device_iocfg_t cfg;

    memset(&bridge->writable[PCI_BASE_ADDRESS_0], 0xff, 24);
    cardbus->space[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_CARDBUS;
    set_bar(cardbus, 0, 0x1000, 0xfffff000);
    libpci_scan(ports_of(host));
    libpci_read_ioconfig(&cfg, 0, 1, 0);
    assert_int_equal(cfg.base_addr_size_mask[2], 0);
    assert_int_equal(bridge->space[PCI_SECONDARY_BUS], 7);
    libpci_read_ioconfig(&cfg, 0, 2, 0);
    assert_false(libpci_device_iocfg_uses_iomem(&cfg));
    libpci_read_ioconfig(&cfg, 0, 9, 0);
    assert_int_equal(cfg.base_addr_raw[0], 0);
    libpci_read_ioconfig(NULL, 0, 1, 0);
}

static void test_registers_of_all_widths(void **state)
{
    struct host *host = *state;
    struct function *f = add(host, 0, 1, 0, 0x1000);
    uint32_t value = 0;

    f->writable[PCI_INTERRUPT_LINE] = 0xff;
    libpci_scan(ports_of(host));
    assert_int_equal(libpci_read_reg32(0, 1, 0, PCI_VENDOR_ID), 0x10001af4);
    assert_int_equal(libpci_read_reg16(0, 1, 0, PCI_DEVICE_ID), 0x1000);
    assert_int_equal(libpci_read_reg8(0, 1, 0, PCI_VENDOR_ID + 1), 0x1a);
    assert_int_equal(libpci_read_reg(0, 1, 0, PCI_VENDOR_ID, 2), 0x1af4);
    libpci_write_reg8(0, 1, 0, PCI_INTERRUPT_LINE, 5);
    assert_int_equal(libpci_read_reg8(0, 1, 0, PCI_INTERRUPT_LINE), 5);
    libpci_write_reg16(0, 1, 0, PCI_INTERRUPT_LINE, 0x0106);
    libpci_write_reg32(0, 1, 0, PCI_CAPABILITY_LIST, 0xffffffff);
    libpci_write_reg(0, 1, 0, PCI_INTERRUPT_LINE, 7, 1);
    assert_int_equal(libpci_read_reg32(0, 1, 0, PCI_INTERRUPT_LINE), 7);
    assert_int_equal(libpci_read_reg32(0, 1, 0, PCI_CAPABILITY_LIST), 0);

    /* not a register of that width */
    assert_int_equal(libpci_read_reg(0, 1, 0, PCI_VENDOR_ID, 3), UINT32_MAX);
    assert_int_equal(libpci_read_reg16(0, 1, 0, PCI_VENDOR_ID + 1), 0xffff);
    libpci_write_reg(0, 1, 0, PCI_INTERRUPT_LINE, 9, 3);
    libpci_write_reg32(0, 1, 0, PCI_INTERRUPT_LINE + 1, 9);
    assert_int_equal(libpci_read_reg8(0, 1, 0, PCI_INTERRUPT_LINE), 7);

    assert_int_equal(libpci_iowrite(PCI_CONF_PORT_ADDR, 1u << 31 | 1 << 11, 4), 0);
    assert_int_equal(libpci_ioread(PCI_CONF_PORT_DATA, &value, 4), 0);
    assert_int_equal(value, 0x10001af4);
}

static void test_without_ports_nothing_is_there(void **state)
{
    struct host *host = *state;
    libpci_device_t *all[PCI_MAX_DEVICES];
    ps_io_port_ops_t half = ports_of(host);
    uint32_t value;

    (void)add(host, 0, 1, 0, 0x1000);
    libpci_scan(ports_of(host));
    assert_non_null(libpci_find_device(0x1af4, 0x1000));
    half.io_port_out_fn = NULL;
    libpci_scan(half);
    assert_null(libpci_find_device(0x1af4, 0x1000));
    assert_null(libpci_find_device_bdf(0, 1, 0));
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1000, all), 0);
    assert_int_equal(libpci_read_reg32(0, 1, 0, 0), UINT32_MAX);
    assert_int_equal(libpci_read_reg8(0, 1, 0, 0), 0xff);
    libpci_write_reg32(0, 1, 0, PCI_COMMAND, 0);
    assert_int_equal(libpci_ioread(PCI_CONF_PORT_DATA, &value, 4), ENOSYS);
    assert_int_equal(libpci_iowrite(PCI_CONF_PORT_DATA, 0, 4), ENOSYS);
}

static void test_ports_that_fail_find_nothing(void **state)
{
    struct host *host = *state;

    (void)add(host, 0, 1, 0, 0x1000);
    host->is_broken = true;
    libpci_scan(ports_of(host));
    assert_null(libpci_find_device_bdf(0, 1, 0));
    assert_int_equal(libpci_read_reg16(0, 1, 0, PCI_VENDOR_ID), PCI_VENDOR_ID_INVALID);
}

static void test_more_devices_than_fit_are_left_out(void **state)
{
    struct host *host = *state;
    libpci_device_t *all[PCI_MAX_DEVICES];
    int i;

    for (i = 0; i < NR_FUNCTIONS; i++) {
        struct function *f = add(host, 0, (uint8_t)(i / 8), (uint8_t)(i % 8), 0x1000);

        f->space[PCI_HEADER_TYPE] = 0x80;
    }
    libpci_scan(ports_of(host));
    assert_int_equal(libpci_find_device_all(0x1af4, 0x1000, all), PCI_MAX_DEVICES);
}

static void test_scan_without_memory_finds_nothing_and_says_so(void **state)
{
    struct host *host = *state;
    struct leak_state before;

    (void)add(host, 0, 1, 0, 0x1000);
    leak_begin(&before);
    inject_fail_nth(1);
    libpci_scan(ports_of(host));
    assert_true(inject_disarm());
    assert_null(libpci_find_device_bdf(0, 1, 0));
    assert_string_equal(hostvm_last_error(), "cannot scan for PCI devices: out of memory");
    libpci_scan(ports_of(host));
    assert_non_null(libpci_find_device_bdf(0, 1, 0));
    libpci_scan((ps_io_port_ops_t){NULL, NULL, NULL});
    leak_check(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scan_finds_a_device_and_what_it_says, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_functions_are_looked_for_where_there_are_several,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_buses_behind_bridges_are_scanned_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_host_bridges_of_several_buses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_base_addresses_are_sized_and_left_as_they_were, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_bridges_have_two_base_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registers_of_all_widths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_ports_nothing_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ports_that_fail_find_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_devices_than_fit_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scan_without_memory_finds_nothing_and_says_so, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
