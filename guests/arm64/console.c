/* Where characters go: a PL011 where there is a device tree, else the host's print byte. */
#include "arm64/virt.h"
#include "lib/contract.h"
#include "lib/machine.h"
#include "mmio.h"

/* PL011 technical reference manual, 3.3; its place on QEMU's machine virt. */
enum {
    UART_BASE = 0x09000000,
    UART_DATA = UART_BASE + 0x00,
    UART_FLAGS = UART_BASE + 0x18,
    FLAG_FULL = 1u << 5,
    SEND_TRIES = 10000,
};

static void await_room(void)
{
    for (unsigned i = 0; i < SEND_TRIES; i++) {
        if ((mmio_read32(UART_FLAGS) & FLAG_FULL) == 0) {
            return;
        }
    }
}

void machine_write(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (has_device_tree) {
            await_room();
            mmio_write32(UART_DATA, (uint8_t)text[i]);
        } else {
            mmio_write8(GUEST_PORTS_BASE + GUEST_PRINT_PORT, (uint8_t)text[i]);
        }
    }
}
