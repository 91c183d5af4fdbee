/* The ends of a guest, and the processor's name. */
#include "lib/machine.h"

#include <stdint.h>

#include "lib/contract.h"
#include "lib/print.h"
#include "x86_64/acpi.h"
#include "x86_64/exceptions.h"
#include "x86_64/ports.h"

/* ACPI 6.5, 4.8.3.2.1 and 4.8.3.7: the registers that put a machine to sleep. */
enum {
    PM1_SCI_ENABLED = 1u << 0,
    PM1_TYPE_SHIFT = 10,
    PM1_TYPE_MASK = 7u << PM1_TYPE_SHIFT,
    PM1_SLEEP = 1u << 13,
    SLEEP_TYPE_SHIFT = 2,
    SLEEP_ENABLE = 1u << 5,
    ENABLE_TRIES = 1000,
};

/* The keyboard controller's pulse on the reset line (8042 data sheet). */
enum {
    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_RESET = 0xfe,
};

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static struct cpuid read_cpuid(uint32_t leaf)
{
    struct cpuid id;

    __asm__ volatile("cpuid"
                     : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx)
                     : "a"(leaf), "c"(0));
    return id;
}

static void print_register(uint32_t value)
{
    char text[5] = {(char)value, (char)(value >> 8), (char)(value >> 16), (char)(value >> 24), 0};

    print(text);
}

/* SDM 2A, CPUID: the vendor in ebx, edx, ecx of leaf 0; the name in leaves from 0x80000002 on. */
void machine_print_cpu(void)
{
    struct cpuid id = read_cpuid(0);

    print_register(id.ebx);
    print_register(id.edx);
    print_register(id.ecx);
    if (read_cpuid(0x80000000).eax < 0x80000004) {
        return;
    }
    print(" ");
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
        id = read_cpuid(leaf);
        print_register(id.eax);
        print_register(id.ebx);
        print_register(id.ecx);
        print_register(id.edx);
    }
}

void machine_stop(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void machine_spin(void)
{
    __asm__ volatile("cli");
    for (;;) {
        __asm__ volatile("");
    }
}

void machine_tell(unsigned port, unsigned value)
{
    out8((uint16_t)port, (uint8_t)value);
}

unsigned machine_ask(unsigned port)
{
    return in8((uint16_t)port);
}

/* KVM's emulator does not know it. */
void machine_store_oddly(uint64_t address)
{
    __asm__ volatile("fnstenv (%0)" : : "a"(address) : "memory");
}

void machine_sync(unsigned step)
{
    machine_tell(GUEST_SYNC_PORT, step);
}

void machine_exit(unsigned value)
{
    out8(GUEST_EXIT_PORT, (uint8_t)value);
    machine_stop();
}

void machine_crash(void)
{
    exceptions_remove();
    __asm__ volatile("ud2");
    machine_exit(GUEST_EXIT_SURVIVED);
}

static void write8(struct acpi_register reg, uint8_t value)
{
    if (reg.space == ACPI_PORT) {
        out8((uint16_t)reg.address, value);
    } else {
        *(volatile uint8_t *)reg.address = value;
    }
}

/* Firmware may have left the machine in legacy mode, where sleep is not heeded. */
static void enable_acpi(const struct acpi_power *power, uint16_t pm1_control)
{
    if (power->enable_port == 0 || (in16(pm1_control) & PM1_SCI_ENABLED) != 0) {
        return;
    }
    out8(power->enable_port, power->enable_value);
    for (unsigned i = 0; i < ENABLE_TRIES; i++) {
        if ((in16(pm1_control) & PM1_SCI_ENABLED) != 0) {
            return;
        }
    }
}

static void sleep_by_pm1(const struct acpi_power *power)
{
    uint16_t port = (uint16_t)power->pm1_control.address;
    unsigned control;

    enable_acpi(power, port);
    control = in16(port) & ~(unsigned)PM1_TYPE_MASK;
    out16(port, (uint16_t)(control | power->sleep_type << PM1_TYPE_SHIFT | PM1_SLEEP));
}

/* The host may take a while: what follows the write must not end the VM in another way. */
static _Noreturn void sleep(const struct acpi_power *power)
{
    if (power->sleep_control.address != 0) {
        write8(power->sleep_control,
               (uint8_t)(power->sleep_type << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
    } else {
        sleep_by_pm1(power);
    }
    machine_stop();
}

void machine_power_off(void)
{
    struct acpi_power power;

    if (acpi_find_power(&power) && power.has_sleep_type) {
        sleep(&power);
    }
    machine_exit(0);
}

void machine_reset(void)
{
    struct acpi_power power;

    if (acpi_find_power(&power) && power.reset.address != 0) {
        write8(power.reset, power.reset_value);
    }
    out8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    machine_stop();
}
