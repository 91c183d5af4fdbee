/* The PrimeCell UART, PL011. */
#include "dev/pl011.h"

#include "dev/primecell.h"

/* Registers by offset (DDI 0183, table 3-1). Those of the integration test are not there. */
enum {
    DR = 0x000,
    RSR_ECR = 0x004,
    FR = 0x018,
    ILPR = 0x020,
    IBRD = 0x024,
    FBRD = 0x028,
    LCR_H = 0x02c,
    CR = 0x030,
    IFLS = 0x034,
    IMSC = 0x038,
    RIS = 0x03c,
    MIS = 0x040,
    ICR = 0x044,
    DMACR = 0x048,
};

enum {
    DR_BE = 0x400,
    DR_OE = 0x800,
    DR_ERROR_SHIFT = 8,
    RSR_OE = 0x08,
    RSR_OF_CHARACTER = 0x07, /* framing, parity, break */
    FR_CTS = 0x001,
    FR_DSR = 0x002,
    FR_DCD = 0x004,
    FR_BUSY = 0x008,
    FR_RXFE = 0x010,
    FR_TXFF = 0x020,
    FR_RXFF = 0x040,
    FR_TXFE = 0x080,
    FR_RI = 0x100,
    LCR_BRK = 0x01,
    LCR_FEN = 0x10,
    LCR_8_BITS = 0x60,
    CR_UARTEN = 0x0001,
    CR_LBE = 0x0080,
    CR_TXE = 0x0100,
    CR_RXE = 0x0200,
    CR_DTR = 0x0400,
    CR_RTS = 0x0800,
    CR_OUT1 = 0x1000,
    CR_OUT2 = 0x2000,
    CR_RTSEN = 0x4000,
    CR_CTSEN = 0x8000,
    CR_ALL = 0xff87, /* bits 6:3 are reserved */
    IFLS_RESET = 0x12,
    IFLS_ALL = 0x3f,
    FBRD_ALL = 0x3f,
    DMACR_ALL = 0x07,
};

/* Interrupts, in the registers from IMSC to ICR. */
enum {
    INT_RI = 0x001,
    INT_CTS = 0x002,
    INT_DCD = 0x004,
    INT_DSR = 0x008,
    INT_RX = 0x010,
    INT_TX = 0x020,
    INT_RT = 0x040,
    INT_BE = 0x200,
    INT_OE = 0x400,
    INT_ALL = 0x7ff,
};

/* Part 0x011 of ARM's, revision r1p5. */
static const struct primecell_id id = {.part = 0x011, .revision = 3};

/* --- state --- */

static bool has(const struct pl011 *uart, unsigned control)
{
    return (uart->control & control) == control;
}

static unsigned capacity(const struct pl011 *uart)
{
    return (uart->line_control & LCR_FEN) != 0 ? PL011_FIFO : 1;
}

/* 1/8, 1/4, 1/2, 3/4 and 7/8 of the FIFO (3.3.9); other values are reserved. */
static unsigned level_of(unsigned value)
{
    static const uint8_t eighths[] = {1, 2, 4, 6, 7, 7, 7, 7};

    return eighths[value & 7] * PL011_FIFO / 8;
}

static unsigned receive_level(const struct pl011 *uart)
{
    return capacity(uart) == 1 ? 1 : level_of(uart->levels >> 3);
}

static unsigned transmit_level(const struct pl011 *uart)
{
    return capacity(uart) == 1 ? 0 : level_of(uart->levels);
}

static void update_irq(struct pl011 *uart)
{
    int level = (uart->raw & uart->mask) != 0;

    if (level != uart->level) {
        uart->level = level;
        irq_line_set(&uart->irq, level);
    }
}

static bool is_ready_to_receive(const struct pl011 *uart)
{
    if (has(uart, CR_RTSEN)) {
        return uart->rx.count < receive_level(uart);
    }
    return has(uart, CR_RTS);
}

/* In loopback the outputs come back as inputs (3.3.8, CR). Otherwise somebody is there: carrier,
 * ready, clear. */
static uint8_t modem_inputs(const struct pl011 *uart, bool *ret_ring)
{
    if (!has(uart, CR_LBE)) {
        *ret_ring = false;
        return FR_DCD | FR_DSR | FR_CTS;
    }
    *ret_ring = has(uart, CR_OUT2);
    return (is_ready_to_receive(uart) ? FR_CTS : 0) | (has(uart, CR_DTR) ? FR_DSR : 0) |
           (has(uart, CR_OUT1) ? FR_DCD : 0);
}

/* Every change of an input is an interrupt. */
static void update_modem(struct pl011 *uart)
{
    bool is_ringing;
    uint8_t lines = modem_inputs(uart, &is_ringing);
    uint8_t changed = lines ^ uart->modem_lines;

    uart->raw |= (changed & FR_CTS ? INT_CTS : 0) | (changed & FR_DSR ? INT_DSR : 0) |
                 (changed & FR_DCD ? INT_DCD : 0) | (is_ringing != uart->is_ringing ? INT_RI : 0);
    uart->modem_lines = lines;
    uart->is_ringing = is_ringing;
}

static void fifo_push(struct pl011_fifo *fifo, uint16_t entry)
{
    fifo->entries[(fifo->head + fifo->count++) % PL011_FIFO] = entry;
}

static uint16_t fifo_pop(struct pl011_fifo *fifo)
{
    uint16_t entry = fifo->entries[fifo->head];

    fifo->head = (fifo->head + 1) % PL011_FIFO;
    fifo->count--;
    return entry;
}

/* --- receiving --- */

bool pl011_is_interrupt_driven(const struct pl011 *uart)
{
    return (uart->mask & (INT_RX | INT_RT)) != 0;
}

size_t pl011_room(const struct pl011 *uart)
{
    if (!has(uart, CR_UARTEN | CR_RXE) || has(uart, CR_LBE)) {
        return 0;
    }
    return capacity(uart) - uart->rx.count;
}

/*
 * Nothing more is on the line: the time-out, which tells of what lies below the trigger level, is
 * due at once.
 */
static void push(struct pl011 *uart, uint16_t entry)
{
    if (uart->rx.count == capacity(uart)) {
        uart->errors |= RSR_OE;
        uart->has_overrun = true;
        uart->raw |= INT_OE;
        return;
    }
    fifo_push(&uart->rx, entry);
    uart->raw |= INT_RT | (entry & DR_BE ? INT_BE : 0) |
                 (uart->rx.count >= receive_level(uart) ? INT_RX : 0);
}

size_t pl011_receive(struct pl011 *uart, const uint8_t *bytes, size_t nr_bytes)
{
    size_t room = pl011_room(uart);
    size_t n = nr_bytes < room ? nr_bytes : room;

    for (size_t i = 0; i < n; i++) {
        push(uart, bytes[i]);
    }
    update_irq(uart);
    return n;
}

/* Reading starts the time-out anew: what is left is told of again. */
static void settle_receiver(struct pl011 *uart)
{
    if (uart->rx.count < receive_level(uart)) {
        uart->raw &= (uint16_t)~INT_RX;
    }
    if (uart->rx.count == 0) {
        uart->raw &= (uint16_t)~INT_RT;
    } else {
        uart->raw |= INT_RT;
    }
}

/* --- transmitting --- */

/* Bytes leave at once, unless the guest has stopped the transmitter. The interrupt stands for the
 * moment in which the FIFO falls to its level or below (2.8.3): here it falls to 0. */
static void send(struct pl011 *uart)
{
    bool has_sent = false;

    while (uart->tx.count > 0 && has(uart, CR_UARTEN | CR_TXE) &&
           (!has(uart, CR_CTSEN) || (uart->modem_lines & FR_CTS) != 0)) {
        uint8_t byte = (uint8_t)fifo_pop(&uart->tx);

        if (!has(uart, CR_LBE)) {
            uart->transmit(uart->cookie, byte);
        } else if (has(uart, CR_RXE)) {
            push(uart, byte);
            update_modem(uart);
        }
        has_sent = true;
    }
    if (has_sent) {
        uart->raw |= INT_TX;
    }
}

/* --- the state after reset --- */

void pl011_reset(struct pl011 *uart)
{
    uart->rx = uart->tx = (struct pl011_fifo){.count = 0};
    uart->control = CR_TXE | CR_RXE;
    uart->divisor = 0;
    uart->fraction = uart->line_control = uart->irda_divisor = uart->dma = uart->errors = 0;
    uart->levels = IFLS_RESET;
    uart->mask = uart->raw = 0;
    uart->has_overrun = false;
    uart->modem_lines = modem_inputs(uart, &uart->is_ringing);
    uart->level = 0;
}

void pl011_open(struct pl011 *uart)
{
    pl011_write(uart, LCR_H, LCR_8_BITS | LCR_FEN);
    pl011_write(uart, CR, CR_UARTEN | CR_TXE);
}

/* --- reading --- */

static uint32_t read_data(struct pl011 *uart)
{
    uint16_t entry = 0;

    if (uart->rx.count > 0) {
        entry = fifo_pop(&uart->rx);
        uart->errors =
            (uint8_t)((uart->errors & RSR_OE) | (entry >> DR_ERROR_SHIFT & RSR_OF_CHARACTER));
        entry |= uart->has_overrun ? DR_OE : 0;
        uart->has_overrun = false; /* there is space again */
        settle_receiver(uart);
        update_modem(uart);
        send(uart);
        if (uart->rx.count == 0) {
            uart->drained(uart->cookie);
        }
    }
    return entry;
}

static uint32_t read_flags(const struct pl011 *uart)
{
    return uart->modem_lines | (uart->is_ringing ? FR_RI : 0) |
           (uart->tx.count > 0 ? FR_BUSY : FR_TXFE) |
           (uart->tx.count == capacity(uart) ? FR_TXFF : 0) | (uart->rx.count == 0 ? FR_RXFE : 0) |
           (uart->rx.count == capacity(uart) ? FR_RXFF : 0);
}

static uint32_t read_register(struct pl011 *uart, unsigned offset)
{
    switch (offset) {
    case DR:
        return read_data(uart);
    case RSR_ECR:
        return uart->errors;
    case FR:
        return read_flags(uart);
    case ILPR:
        return uart->irda_divisor;
    case IBRD:
        return uart->divisor;
    case FBRD:
        return uart->fraction;
    case LCR_H:
        return uart->line_control;
    case CR:
        return uart->control;
    case IFLS:
        return uart->levels;
    case IMSC:
        return uart->mask;
    case RIS:
        return uart->raw;
    case MIS:
        return uart->raw & uart->mask;
    case DMACR:
        return uart->dma;
    default:
        return primecell_id_read(&id, offset);
    }
}

uint32_t pl011_read(struct pl011 *uart, unsigned offset)
{
    uint32_t value = read_register(uart, offset);

    update_irq(uart);
    return value;
}

/* --- writing --- */

/* A byte that finds the FIFO full is lost; the FIFO is full only when the transmitter is stopped.
 */
static void write_data(struct pl011 *uart, uint32_t value)
{
    if (uart->tx.count == capacity(uart)) {
        return;
    }
    fifo_push(&uart->tx, (uint8_t)value);
    if (uart->tx.count > transmit_level(uart)) {
        uart->raw &= (uint16_t)~INT_TX;
    }
    send(uart);
}

/* Both FIFOs are emptied by what changes their depth. */
static void write_line_control(struct pl011 *uart, uint8_t value)
{
    uint8_t changed = uart->line_control ^ value;
    bool had_bytes = uart->rx.count > 0;

    uart->line_control = value;
    if ((changed & LCR_FEN) != 0) {
        uart->rx.count = uart->tx.count = 0;
        settle_receiver(uart);
        update_modem(uart);
        if (had_bytes) {
            uart->drained(uart->cookie);
        }
    }
    if ((changed & value & LCR_BRK) != 0 && has(uart, CR_UARTEN | CR_LBE | CR_RXE)) {
        push(uart, DR_BE);
    }
}

static void write_control(struct pl011 *uart, uint16_t value)
{
    bool had_room = pl011_room(uart) > 0;

    uart->control = value & CR_ALL;
    update_modem(uart);
    send(uart);
    if (!had_room && pl011_room(uart) > 0) {
        uart->drained(uart->cookie);
    }
}

static void write_register(struct pl011 *uart, unsigned offset, uint32_t value)
{
    switch (offset) {
    case DR:
        write_data(uart, value);
        break;
    case RSR_ECR: /* whatever is written */
        uart->errors = 0;
        break;
    case ILPR:
        uart->irda_divisor = (uint8_t)value;
        break;
    case IBRD:
        uart->divisor = (uint16_t)value;
        break;
    case FBRD:
        uart->fraction = value & FBRD_ALL;
        break;
    case LCR_H:
        write_line_control(uart, (uint8_t)value);
        break;
    case CR:
        write_control(uart, (uint16_t)value);
        break;
    case IFLS:
        uart->levels = value & IFLS_ALL;
        update_modem(uart); /* RTS may hang on the level, and CTS on it */
        send(uart);
        break;
    case IMSC:
        uart->mask = value & INT_ALL;
        break;
    case ICR:
        uart->raw &= (uint16_t)~value;
        break;
    case DMACR:
        uart->dma = value & DMACR_ALL;
        break;
    default: /* read-only, or nothing there */
        break;
    }
}

void pl011_write(struct pl011 *uart, unsigned offset, uint32_t value)
{
    write_register(uart, offset, value);
    update_irq(uart);
}
