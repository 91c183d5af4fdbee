/* The ports by which a guest ends itself. */
#include "dev/power.h"

/* Sleep control: bit 5 enables, bits 4:2 hold the type (ACPI 6.4, table 4.18). 5 is the type that
 * \_S5 names. */
enum { SLEEP_ENABLE = 0x20, SLEEP_TYPE_SHIFT = 2, SLEEP_TYPE_MASK = 7, SLEEP_TYPE_OFF = 5 };

/* Reset control: bit 2 resets (Intel PCH data sheets, RST_CNT). */
enum { RESET_CPU = 0x04 };

/* Keyboard controller (8042): the command that pulses its output 0, the processor's reset; status
 * of an idle chip. */
enum { KEYBOARD_PULSE_RESET = 0xfe, KEYBOARD_IDLE = 0x00 };

static void raise_event(struct power *power, enum power_event event, uint8_t status)
{
    power->event(power->cookie, event, status);
}

uint8_t power_sleep_read(struct power *power, unsigned offset)
{
    (void)power;
    (void)offset;
    return 0; /* never woken */
}

void power_sleep_write(struct power *power, unsigned offset, uint8_t value)
{
    if (offset == 0 && (value & SLEEP_ENABLE) != 0 &&
        (value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_OFF) {
        raise_event(power, POWER_OFF, 0);
    }
}

void power_reset_write(struct power *power, unsigned offset, uint8_t value)
{
    (void)offset;
    if ((value & RESET_CPU) != 0) {
        raise_event(power, POWER_RESET, 0);
    }
}

void power_keyboard_write(struct power *power, unsigned offset, uint8_t value)
{
    (void)offset;
    if (value == KEYBOARD_PULSE_RESET) {
        raise_event(power, POWER_RESET, 0);
    }
}

void power_debug_exit_write(struct power *power, unsigned offset, uint8_t value)
{
    (void)offset;
    raise_event(power, POWER_DEBUG_EXIT, (uint8_t)(value << 1 | 1));
}

/* --- in the port map --- */

static uint8_t sleep_read(void *device, unsigned offset)
{
    return power_sleep_read(device, offset);
}

static void sleep_write(void *device, unsigned offset, uint8_t value)
{
    power_sleep_write(device, offset, value);
}

static void reset_write(void *device, unsigned offset, uint8_t value)
{
    power_reset_write(device, offset, value);
}

static void keyboard_write(void *device, unsigned offset, uint8_t value)
{
    power_keyboard_write(device, offset, value);
}

static void debug_exit_write(void *device, unsigned offset, uint8_t value)
{
    power_debug_exit_write(device, offset, value);
}

static uint8_t read_idle(void *device, unsigned offset)
{
    (void)device;
    (void)offset;
    return KEYBOARD_IDLE;
}

static void ignore(void *device, unsigned offset, uint8_t value)
{
    (void)device;
    (void)offset;
    (void)value;
}

int power_attach(struct power *power, vm_t *vm, const struct power_ports *ports)
{
    power->sleep =
        (struct port_device){power, sleep_read, sleep_write, ports->sleep, 2, "sleep control"};
    power->reset =
        (struct port_device){power, read_idle, reset_write, ports->reset, 1, "reset control"};
    power->keyboard_data =
        (struct port_device){power, read_idle, ignore, ports->keyboard_data, 1, "keyboard data"};
    power->keyboard_command = (struct port_device){
        power, read_idle, keyboard_write, ports->keyboard_command, 1, "keyboard controller"};
    power->debug_exit = (struct port_device){
        power, read_idle, debug_exit_write, ports->debug_exit, 1, "debug exit"};
    if (port_device_attach(vm, &power->sleep) != 0 || port_device_attach(vm, &power->reset) != 0 ||
        port_device_attach(vm, &power->keyboard_data) != 0 ||
        port_device_attach(vm, &power->keyboard_command) != 0) {
        return -1;
    }
    return ports->debug_exit == 0 ? 0 : port_device_attach(vm, &power->debug_exit);
}
