/* The ports of a PCI bus's registers: what they lead to, and what leads nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/pci_ports.h"

#include <hostvm/vm.h>
#include <sel4vm/boot.h>

#include "support/envs.h"
#include "support/fake_kvm.h"
#include "support/leak.h"

static hostvm_env_t env;
static vm_t vm;
static struct pci_ports ports;
static struct leak_state before;

static int set_up(void **state)
{
    static const hostvm_pci_bus_config_t config = {
        .ecam = 0xe0000000,
        .memory = {0xd0000000, 0x10000000},
        .vendor = 0x1234,
        .device = 0x5678,
    };

    (void)state;
    leak_begin(&before);
    fake_kvm_begin();
    env = envs_create();
    assert_int_equal(
        vm_init(&vm, &env.vka, &env.simple, env.vspace, &env.io_ops, env.endpoint, "ports"), 0);
    ports = (struct pci_ports){.bus = hostvm_pci_bus_create(&vm, &config)};
    assert_non_null(ports.bus);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hostvm_pci_bus_destroy(ports.bus);
    assert_int_equal(hostvm_vm_destroy(&vm), 0);
    hostvm_env_destroy(&env);
    fake_kvm_end();
    leak_check(&before);
    return 0;
}

static void test_data_is_the_register_that_the_address_says(void **state)
{
    (void)state;
    pci_ports_write_address(&ports, 4, 0x80000000);
    assert_int_equal(pci_ports_read_address(&ports, 4), 0x80000000);
    assert_int_equal(pci_ports_read_data(&ports, 0, 4), 0x56781234);
    assert_int_equal(pci_ports_read_data(&ports, 2, 2) & 0xffff, 0x5678);
    assert_int_equal(pci_ports_read_data(&ports, 3, 1) & 0xff, 0x56);
    pci_ports_write_address(&ports, 4, 0x8000003c);
    pci_ports_write_data(&ports, 0, 1, 0x5a);
    assert_int_equal(pci_ports_read_data(&ports, 0, 4) & 0xff, 0x5a);
    pci_ports_write_address(&ports, 4, 0x80000004);
    pci_ports_write_data(&ports, 1, 1, 4);
    assert_int_equal(pci_ports_read_data(&ports, 0, 2) & 0xffff, 0x400);
}

static void test_other_addresses_lead_nowhere(void **state)
{
    static const uint32_t addresses[] = {0x00000000, 0x80010000, 0x80000800,
                                         0x80000100, 0x8000f800, 0x80ff0000};

    (void)state;
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        pci_ports_write_address(&ports, 4, addresses[i]);
        pci_ports_write_data(&ports, 0, 4, 0);
        assert_int_equal(pci_ports_read_data(&ports, 0, 4), 0xffffffff);
    }
}

/* Kernels that look for this way in read back what they wrote. */
static void test_the_address_is_accessed_as_a_whole(void **state)
{
    (void)state;
    pci_ports_write_address(&ports, 4, 0xffffffff);
    assert_int_equal(pci_ports_read_address(&ports, 4), 0x80fffffc);
    pci_ports_write_address(&ports, 1, 0);
    pci_ports_write_address(&ports, 2, 0);
    assert_int_equal(pci_ports_read_address(&ports, 4), 0x80fffffc);
    assert_int_equal(pci_ports_read_address(&ports, 1), 0xffffffff);
}

#define ports_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ports_test(test_data_is_the_register_that_the_address_says),
        ports_test(test_other_addresses_lead_nowhere),
        ports_test(test_the_address_is_accessed_as_a_whole),
    };

    return cmocka_run_group_tests_name("dev_pci_ports", tests, NULL, NULL);
}
