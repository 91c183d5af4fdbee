/* The command's terminal at a serial port, whatever chip that is. */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sel4vm/guest_vm.h>

#include "console.h"
#include "input.h"

/* The chip: it takes as many bytes as it has room for. */
struct serial_port {
    size_t (*receive)(void *chip, const uint8_t *bytes, size_t nr_bytes);
    void *chip;
};

struct serial {
    vm_t *vm;
    struct console *console;
    struct serial_port port;
    struct input input; /* typed ahead of what the port's own FIFO has room for */
    int timer_fd;       /* output that no newline has flushed is, soon */
    bool is_timer_armed;
    bool is_drained; /* the port has room, and gets bytes when the timer ends */
};

/* Wires a port, whose chip is ready, to the terminal. serial, chip and console live as long as the
 * VM. 0 or -1. */
int serial_attach(struct serial *serial, vm_t *vm, struct console *console,
                  struct serial_port port);

/* For the chip, whose cookie is the serial: a byte leaves the port; there is room for bytes again,
 * to be used at once or in a moment. A serial of zeros is a port with nobody at it. */
void serial_transmit(void *cookie, uint8_t byte);
void serial_drained(void *cookie);
void serial_drained_soon(void *cookie);

/* Ends the watches; the VM is stopped by now. */
void serial_detach(struct serial *serial);

#endif
