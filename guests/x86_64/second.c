/* How the first processor starts another one (Intel SDM 3A, 9.4.4; 11.6.1). */
#include "lib/machine.h"

#include <stddef.h>
#include <stdint.h>

#include "mmio.h"

enum {
    PAGE = 0x70000, /* free on any PC, below 640 KiB */
    PAGE_SHIFT = 12,
    LAPIC_SPURIOUS = 0xf0,
    LAPIC_ENABLED = 0x1ff,
    LAPIC_ICR_LOW = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    ICR_INIT = 0x4500,
    ICR_STARTUP = 0x4600,
    ICR_DESTINATION_SHIFT = 24,
};

#define LAPIC 0xfee00000ull

extern const uint8_t second_begin[], second_end[];

_Noreturn void second_start(void);

static void (*second_fn)(void);

void second_start(void)
{
    second_fn();
    for (;;) {
    }
}

static void send(unsigned processor, uint32_t what)
{
    mmio_write32(LAPIC + LAPIC_ICR_HIGH, (uint32_t)processor << ICR_DESTINATION_SHIFT);
    mmio_write32(LAPIC + LAPIC_ICR_LOW, what);
}

void machine_start_second(void (*fn)(void))
{
    second_fn = fn;
    for (size_t i = 0; i < (size_t)(second_end - second_begin); i++) {
        mmio_write8(PAGE + i, second_begin[i]);
    }
    mmio_write32(LAPIC + LAPIC_SPURIOUS, LAPIC_ENABLED);
    send(1, ICR_INIT);
    send(1, ICR_STARTUP | PAGE >> PAGE_SHIFT);
}
