/* The ports by which a guest ends itself: ACPI sleep control, reset control, keyboard controller
 * reset, debug exit. */
#ifndef DEV_POWER_H
#define DEV_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "dev/device.h"

enum power_event {
    POWER_OFF,
    POWER_RESET,
    POWER_DEBUG_EXIT, /* with a status */
};

struct power {
    void (*event)(void *cookie, enum power_event event, uint8_t status);
    void *cookie;
    struct port_device sleep; /* sleep control and status registers (ACPI 6.4, 4.8.3.7) */
    struct port_device reset; /* reset control, port 0xcf9 of PC chip sets */
    struct port_device keyboard_data;
    struct port_device keyboard_command;
    struct port_device debug_exit;
};

struct power_ports {
    uint16_t sleep, reset, keyboard_data, keyboard_command;
    uint16_t debug_exit; /* 0: none */
};

/* The registers, each of one byte. */
uint8_t power_sleep_read(struct power *power, unsigned offset);
void power_sleep_write(struct power *power, unsigned offset, uint8_t value);
void power_reset_write(struct power *power, unsigned offset, uint8_t value);
void power_keyboard_write(struct power *power, unsigned offset, uint8_t value);
void power_debug_exit_write(struct power *power, unsigned offset, uint8_t value);

/* event and cookie are filled in by the caller. 0 or -1. */
int power_attach(struct power *power, vm_t *vm, const struct power_ports *ports);

#endif
