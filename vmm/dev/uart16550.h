/* The 16550A UART: a serial port with FIFOs (National Semiconductor PC16550D data sheet). */
#ifndef DEV_UART16550_H
#define DEV_UART16550_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dev/device.h"

enum { UART_FIFO = 16, UART_PORTS = 8 };

struct uart16550 {
    struct irq_line irq;
    void (*transmit)(void *cookie, uint8_t byte); /* a byte leaves the port */
    void (*drained)(void *cookie); /* the guest has taken received bytes: there is room again */
    void *cookie;

    uint8_t fifo[UART_FIFO]; /* received, oldest at head */
    unsigned head, count;
    uint8_t ier, lcr, mcr, scr, fcr;
    uint8_t msr_delta; /* modem status changes not read yet */
    uint16_t divisor;
    bool thre_pending;   /* the transmitter-empty interrupt waits to be seen */
    unsigned burst_left; /* bytes that still belong to the answer to the one seen last */
    bool has_overrun;
    bool has_break;
    int level; /* of the interrupt line */
    struct port_device ports;
};

/* The state after reset. irq, transmit, drained and cookie are the caller's to fill in first. */
void uart16550_reset(struct uart16550 *uart);

/* The registers, at offset 0 to 7. */
uint8_t uart16550_read(struct uart16550 *uart, unsigned offset);
void uart16550_write(struct uart16550 *uart, unsigned offset, uint8_t value);

/* Bytes arrive on the line; how many there was room for. */
size_t uart16550_receive(struct uart16550 *uart, const uint8_t *bytes, size_t nr_bytes);

/* How many bytes there is room for. */
size_t uart16550_room(const struct uart16550 *uart);

/* Puts it into the port map at base. 0 or -1. */
int uart16550_attach(struct uart16550 *uart, vm_t *vm, uint16_t base);

#endif
