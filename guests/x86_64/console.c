/* Where characters go: a 16550 at the first serial port's place, else the host's print port. */
#include "lib/contract.h"
#include "lib/machine.h"
#include "x86_64/ports.h"

/* PC16550D data sheet, 8: registers by offset. */
enum {
    UART_BASE = 0x3f8,
    UART_DATA = UART_BASE + 0,
    UART_FIFO_CONTROL = UART_BASE + 2,
    UART_LINE_CONTROL = UART_BASE + 3,
    UART_LINE_STATUS = UART_BASE + 5,
    UART_SCRATCH = UART_BASE + 7,

    FIFO_ENABLE_AND_CLEAR = 0x07,
    LINE_8N1 = 0x03,
    STATUS_CAN_SEND = 0x20,

    FIFO_SIZE = 16,

    SCRATCH_PROBE = 0x5a,
    SEND_TRIES = 10000,
};

static enum {
    NOT_PROBED,
    CONSOLE_UART,
    CONSOLE_PRINT_PORT,
} console;

/* The speed stays what the firmware or reset made it: no host takes it for real. */
static void probe(void)
{
    out8(UART_SCRATCH, SCRATCH_PROBE);
    if (in8(UART_SCRATCH) != SCRATCH_PROBE) {
        console = CONSOLE_PRINT_PORT;
        return;
    }
    out8(UART_LINE_CONTROL, LINE_8N1);
    out8(UART_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    console = CONSOLE_UART;
}

static void await_empty_fifo(void)
{
    for (unsigned i = 0; i < SEND_TRIES; i++) {
        if ((in8(UART_LINE_STATUS) & STATUS_CAN_SEND) != 0) {
            return;
        }
    }
}

void machine_write(const char *text, size_t size)
{
    if (console == NOT_PROBED) {
        probe();
    }
    while (size > 0) {
        size_t burst = size < FIFO_SIZE ? size : FIFO_SIZE;

        if (console == CONSOLE_UART) {
            await_empty_fifo();
        }
        rep_out8(console == CONSOLE_UART ? UART_DATA : GUEST_PRINT_PORT, text, burst);
        text += burst;
        size -= burst;
    }
}
