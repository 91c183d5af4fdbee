/* The 16550A UART. */
#include "dev/uart16550.h"

/* Registers by offset; the first two are the divisor's halves while LCR_DLAB is set (PC16550D,
 * table II). */
enum { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

enum {
    IER_RDI = 0x01,
    IER_THRI = 0x02,
    IER_RLSI = 0x04,
    IER_MSI = 0x08,
    IER_ALL = 0x0f,
    IIR_NONE = 0x01,
    IIR_MSI = 0x00,
    IIR_THRI = 0x02,
    IIR_RDI = 0x04,
    IIR_RLSI = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_TRIGGER = 0xc0,
    LCR_BREAK = 0x40,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    MCR_ALL = 0x1f,
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
    MSR_TERI = 0x04,
};

static bool has_fifo(const struct uart16550 *uart)
{
    return (uart->fcr & FCR_ENABLE) != 0;
}

static unsigned capacity(const struct uart16550 *uart)
{
    return has_fifo(uart) ? UART_FIFO : 1;
}

static unsigned trigger_level(const struct uart16550 *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return has_fifo(uart) ? levels[uart->fcr >> 6] : 1;
}

/* The modem lines; in loopback the outputs come back as inputs. Otherwise somebody is there:
 * carrier, ready, clear. */
static uint8_t modem_lines(const struct uart16550 *uart)
{
    if ((uart->mcr & MCR_LOOP) == 0) {
        return MSR_DCD | MSR_DSR | MSR_CTS;
    }
    return (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
           (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* The highest pending interrupt, as IIR's low bits name it (PC16550D, table IV). */
static uint8_t pending(const struct uart16550 *uart)
{
    if ((uart->ier & IER_RLSI) != 0 && (uart->has_overrun || uart->has_break)) {
        return IIR_RLSI;
    }
    if ((uart->ier & IER_RDI) != 0 && uart->count >= trigger_level(uart)) {
        return IIR_RDI;
    }
    if ((uart->ier & IER_RDI) != 0 && uart->count > 0) {
        return IIR_TIMEOUT; /* nothing more is on the line: the guest need not wait for the trigger
                               level */
    }
    if ((uart->ier & IER_THRI) != 0 && uart->thre_pending) {
        return IIR_THRI;
    }
    if ((uart->ier & IER_MSI) != 0 && uart->msr_delta != 0) {
        return IIR_MSI;
    }
    return IIR_NONE;
}

/* On a PC, OUT2 connects the chip to its line. */
static void update_irq(struct uart16550 *uart)
{
    int level = pending(uart) != IIR_NONE && (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    if (level != uart->level) {
        uart->level = level;
        irq_line_set(&uart->irq, level);
    }
}

void uart16550_reset(struct uart16550 *uart)
{
    uart->head = uart->count = 0;
    uart->ier = uart->lcr = uart->mcr = uart->scr = uart->fcr = uart->msr_delta = 0;
    uart->divisor = 12; /* 9600 baud of 115200 */
    uart->thre_pending = uart->has_overrun = uart->has_break = false;
    uart->burst_left = 0;
    uart->level = 0;
}

/* --- receiving --- */

size_t uart16550_room(const struct uart16550 *uart)
{
    return (uart->mcr & MCR_LOOP) != 0 ? 0 : capacity(uart) - uart->count;
}

static void push(struct uart16550 *uart, uint8_t byte)
{
    if (uart->count == capacity(uart)) {
        uart->has_overrun = true;
        return;
    }
    uart->fifo[(uart->head + uart->count++) % UART_FIFO] = byte;
}

size_t uart16550_receive(struct uart16550 *uart, const uint8_t *bytes, size_t nr_bytes)
{
    size_t room = uart16550_room(uart);
    size_t n = nr_bytes < room ? nr_bytes : room;

    for (size_t i = 0; i < n; i++) {
        push(uart, bytes[i]);
    }
    update_irq(uart);
    return n;
}

static uint8_t pop(struct uart16550 *uart)
{
    uint8_t byte;

    if (uart->count == 0) {
        return 0;
    }
    byte = uart->fifo[uart->head];
    uart->head = (uart->head + 1) % UART_FIFO;
    uart->count--;
    if (uart->count == 0) {
        uart->drained(uart->cookie);
    }
    return byte;
}

/* --- reading --- */

static uint8_t read_iir(struct uart16550 *uart)
{
    uint8_t iir = pending(uart);

    if (iir == IIR_THRI) {
        uart->thre_pending = false; /* seen */
        uart->burst_left = capacity(uart);
    }
    return iir | (has_fifo(uart) ? IIR_FIFO : 0);
}

/* Bytes leave at once: the transmitter is always empty. */
static uint8_t read_lsr(struct uart16550 *uart)
{
    uint8_t lsr = LSR_THRE | LSR_TEMT | (uart->count > 0 ? LSR_DR : 0) |
                  (uart->has_overrun ? LSR_OE : 0) | (uart->has_break ? LSR_BI : 0);

    uart->has_overrun = uart->has_break = false;
    return lsr;
}

static uint8_t read_msr(struct uart16550 *uart)
{
    uint8_t msr = modem_lines(uart) | uart->msr_delta;

    uart->msr_delta = 0;
    return msr;
}

static uint8_t read_register(struct uart16550 *uart, unsigned offset)
{
    bool is_divisor = (uart->lcr & LCR_DLAB) != 0;

    switch (offset) {
    case RBR_THR:
        return is_divisor ? (uint8_t)uart->divisor : pop(uart);
    case IER:
        return is_divisor ? (uint8_t)(uart->divisor >> 8) : uart->ier;
    case IIR_FCR:
        return read_iir(uart);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        return read_lsr(uart);
    case MSR:
        return read_msr(uart);
    case SCR:
        return uart->scr;
    default:
        return 0xff;
    }
}

uint8_t uart16550_read(struct uart16550 *uart, unsigned offset)
{
    uint8_t value = read_register(uart, offset);

    update_irq(uart);
    return value;
}

/* --- writing --- */

/*
 * The transmitter is empty again at once, and its interrupt due. Interrupts are edges on a PC: a
 * line that is high already falls first, or a handler that does not read IIR waits for ever. Not so
 * in the burst that answers an interrupt seen through IIR: its first byte raises the line, and that
 * edge is enough for all of them.
 */
static void write_data(struct uart16550 *uart, uint8_t value)
{
    if (uart->burst_left > 0) {
        uart->burst_left--;
    } else {
        uart->thre_pending = false;
        update_irq(uart);
    }
    if ((uart->mcr & MCR_LOOP) != 0) {
        push(uart, value);
    } else {
        uart->transmit(uart->cookie, value);
    }
    uart->thre_pending = true;
}

static void write_ier(struct uart16550 *uart, uint8_t value)
{
    /* Enabling the transmitter's interrupt while it is empty raises it. */
    if ((value & IER_THRI) != 0 && (uart->ier & IER_THRI) == 0) {
        uart->thre_pending = true;
    }
    uart->ier = value & IER_ALL;
}

static void write_fcr(struct uart16550 *uart, uint8_t value)
{
    unsigned dropped = 0;

    if ((value & FCR_CLEAR_RX) != 0 || ((value ^ uart->fcr) & FCR_ENABLE) != 0) {
        dropped = uart->count;
        uart->head = uart->count = 0;
    }
    uart->fcr = value & (FCR_ENABLE | FCR_TRIGGER);
    if (dropped > 0) {
        uart->drained(uart->cookie);
    }
}

static void write_lcr(struct uart16550 *uart, uint8_t value)
{
    if ((value & ~uart->lcr & LCR_BREAK) != 0 && (uart->mcr & MCR_LOOP) != 0) {
        uart->has_break = true;
    }
    uart->lcr = value;
}

static void write_mcr(struct uart16550 *uart, uint8_t value)
{
    bool was_looped = (uart->mcr & MCR_LOOP) != 0;
    uint8_t before = modem_lines(uart);
    uint8_t after;

    uart->mcr = value & MCR_ALL;
    after = modem_lines(uart);
    /* Each input has a bit for its change, but the ring indicator's tells only of its end. */
    uart->msr_delta |= (uint8_t)((before ^ after) >> 4) & (uint8_t)~MSR_TERI;
    if ((before & MSR_RI) != 0 && (after & MSR_RI) == 0) {
        uart->msr_delta |= MSR_TERI;
    }
    if (was_looped && uart16550_room(uart) > 0) {
        uart->drained(uart->cookie);
    }
}

static void write_register(struct uart16550 *uart, unsigned offset, uint8_t value)
{
    bool is_divisor = (uart->lcr & LCR_DLAB) != 0;

    switch (offset) {
    case RBR_THR:
        if (is_divisor) {
            uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
        } else {
            write_data(uart, value);
        }
        break;
    case IER:
        if (is_divisor) {
            uart->divisor = (uint16_t)((uart->divisor & 0xff) | value << 8);
        } else {
            write_ier(uart, value);
        }
        break;
    case IIR_FCR:
        write_fcr(uart, value);
        break;
    case LCR:
        write_lcr(uart, value);
        break;
    case MCR:
        write_mcr(uart, value);
        break;
    case SCR:
        uart->scr = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
}

void uart16550_write(struct uart16550 *uart, unsigned offset, uint8_t value)
{
    write_register(uart, offset, value);
    update_irq(uart);
}

/* --- in the port map --- */

static uint8_t read_port(void *device, unsigned offset)
{
    return uart16550_read(device, offset);
}

static void write_port(void *device, unsigned offset, uint8_t value)
{
    uart16550_write(device, offset, value);
}

int uart16550_attach(struct uart16550 *uart, vm_t *vm, uint16_t base)
{
    uart->ports =
        (struct port_device){uart, read_port, write_port, base, UART_PORTS, "serial port"};
    return port_device_attach(vm, &uart->ports);
}
