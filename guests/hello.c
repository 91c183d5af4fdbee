/*
 * Boots, tells what it was given, and powers off.
 *
 * The first line is "hello from hostvm's test kernel"; then: how it was entered, the processor, the
 * memory map, the modules, the command line. Words on the command line choose another end:
 *   exit=N   the debug-exit device, with N
 *   reboot   a reset
 *   crash    a triple fault
 *   hang     runs on the spot, interrupts off
 *   halt     hlt, interrupts off
 * Host: ACPI tables (root pointer from PVH, or in [0xe0000..0x100000)) that have a PM1a or sleep
 * control register and \_S5; without them it ends through the debug-exit device with 0.
 */
#include "lib/boot.h"
#include "lib/machine.h"
#include "lib/print.h"

static void print_range(const char *what, uint64_t start, uint64_t size)
{
    print(what);
    print("[");
    print_hex(start);
    print("..");
    print_hex(start + size);
    print(") ");
}

static void print_regions(void)
{
    for (unsigned i = 0; i < boot_info.nr_regions; i++) {
        const struct boot_region *region = &boot_info.regions[i];

        print_range("memory: ", region->start, region->size);
        print("type ");
        print_decimal(region->type);
        print("\n");
    }
}

static void print_modules(void)
{
    for (unsigned i = 0; i < boot_info.nr_modules; i++) {
        const struct boot_module *module = &boot_info.modules[i];

        print_range("module: ", module->start, module->size);
        print(module->text);
        print("\n");
    }
}

static _Noreturn void end(void)
{
    unsigned value;

    if (boot_find_number("exit=", &value)) {
        machine_exit(value);
    }
    if (boot_has_word("reboot")) {
        machine_reset();
    }
    if (boot_has_word("crash")) {
        machine_crash();
    }
    if (boot_has_word("hang")) {
        machine_spin();
    }
    if (boot_has_word("halt")) {
        machine_stop();
    }
    machine_power_off();
}

void guest_main(void)
{
    print("hello from hostvm's test kernel\nbooted by ");
    print(boot_info.method);
    print("\ncpu: ");
    machine_print_cpu();
    print("\n");
    print_regions();
    print_modules();
    print("command line: ");
    print(boot_info.cmdline);
    print("\n");
    end();
}
