/* The pair of 8259 interrupt controllers (8259A data sheet; ELCR: 82371SB data sheet, 2.5.4). */
#include "x86_64/pic.h"

#include "x86_64/ports.h"

enum {
    MASTER_COMMAND = 0x20,
    MASTER_DATA = 0x21,
    SLAVE_COMMAND = 0xa0,
    SLAVE_DATA = 0xa1,
    MASTER_ELCR = 0x4d0,
    SLAVE_ELCR = 0x4d1,

    SLAVE_LINE = 2,
    ICW1_INIT_WITH_ICW4 = 0x11,
    ICW4_8086 = 0x01,
    END_OF_INTERRUPT = 0x20,
    ALL_LINES = 0xff,
};

void pic_init(void)
{
    out8(MASTER_COMMAND, ICW1_INIT_WITH_ICW4);
    out8(MASTER_DATA, PIC_VECTOR);
    out8(MASTER_DATA, 1u << SLAVE_LINE);
    out8(MASTER_DATA, ICW4_8086);
    out8(SLAVE_COMMAND, ICW1_INIT_WITH_ICW4);
    out8(SLAVE_DATA, PIC_VECTOR + 8);
    out8(SLAVE_DATA, SLAVE_LINE);
    out8(SLAVE_DATA, ICW4_8086);
    out8(MASTER_DATA, ALL_LINES & ~(1u << SLAVE_LINE));
    out8(SLAVE_DATA, ALL_LINES);
    out8(MASTER_ELCR, 0);
    out8(SLAVE_ELCR, 0);
}

void pic_mask(unsigned line, bool is_masked)
{
    uint16_t port = line < 8 ? MASTER_DATA : SLAVE_DATA;
    uint8_t bit = (uint8_t)(1u << line % 8);
    uint8_t mask = in8(port);

    out8(port, is_masked ? mask | bit : mask & (uint8_t)~bit);
}

void pic_set_level_triggered(unsigned line)
{
    uint16_t port = line < 8 ? MASTER_ELCR : SLAVE_ELCR;

    out8(port, (uint8_t)(in8(port) | 1u << line % 8));
}

void pic_end(unsigned line)
{
    if (line >= 8) {
        out8(SLAVE_COMMAND, END_OF_INTERRUPT);
    }
    out8(MASTER_COMMAND, END_OF_INTERRUPT);
}
