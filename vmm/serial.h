/* The first serial port on the command's terminal. */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sel4vm/guest_vm.h>

#include "console.h"
#include "dev/uart16550.h"

/* Typed ahead of what the port's own FIFO has room for. */
enum { SERIAL_INPUT = 256 };

struct serial {
    vm_t *vm;
    struct console *console;
    struct uart16550 uart;
    uint8_t input[SERIAL_INPUT]; /* oldest first */
    size_t nr_input;
    int timer_fd; /* output that no newline has flushed is, soon */
    bool is_timer_armed;
    bool is_watching; /* the event loop watches the input */
    bool
        can_watch; /* files and /dev/null cannot be watched: they are read whenever there is room */
};

/* Wires the port to the terminal. serial and console live as long as the VM. 0 or -1. */
int serial_attach(struct serial *serial, vm_t *vm, struct console *console, struct irq_line irq,
                  uint16_t port);

/* Ends the watches; the VM is stopped by now. */
void serial_detach(struct serial *serial);

#endif
