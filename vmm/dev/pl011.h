/* The PrimeCell UART, PL011 (ARM DDI 0183, r1p5: FIFOs of 32 bytes). */
#ifndef DEV_PL011_H
#define DEV_PL011_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dev/irq_line.h"

enum { PL011_FIFO = 32, PL011_SIZE = 0x1000 };

struct pl011_fifo {
    uint16_t entries[PL011_FIFO]; /* oldest at head; errors above the byte */
    unsigned head, count;
};

struct pl011 {
    struct irq_line irq;
    void (*transmit)(void *cookie, uint8_t byte); /* a byte leaves the port */
    void (*drained)(void *cookie); /* the guest has taken received bytes, or has switched the
                                      receiver on: there is room */
    void *cookie;

    struct pl011_fifo rx, tx;
    uint16_t control, divisor;
    uint8_t fraction, line_control, levels, irda_divisor, dma;
    uint16_t mask, raw;  /* interrupts */
    uint8_t errors;      /* receive status: of the character read last, and overrun */
    bool has_overrun;    /* not told yet by the data register */
    uint8_t modem_lines; /* inputs, as in the flag register; the ring indicator does not fit */
    bool is_ringing;
    int level; /* of the interrupt line */
};

/* The state after reset. irq, transmit, drained and cookie are the caller's to fill in first. */
void pl011_reset(struct pl011 *uart);

/* What firmware leaves behind: 8 bits, FIFOs, the transmitter on, for guests that print before they
 * have a driver. Receiving is the driver's to begin: it throws away what came before. */
void pl011_open(struct pl011 *uart);

/* The registers, at multiples of 4. */
uint32_t pl011_read(struct pl011 *uart, unsigned offset);
void pl011_write(struct pl011 *uart, unsigned offset, uint32_t value);

/* Bytes arrive on the line; how many there was room for. */
size_t pl011_receive(struct pl011 *uart, const uint8_t *bytes, size_t nr_bytes);

/* How many bytes there is room for. */
size_t pl011_room(const struct pl011 *uart);

/* The guest has interrupts for what arrives, and need not look for it. */
bool pl011_is_interrupt_driven(const struct pl011 *uart);

#endif
