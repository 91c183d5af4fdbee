/*
 * IN and OUT of every width reach a port's handler; string instructions do element by element.
 *
 * Host: the ports of lib/contract.h named GUEST_PORT_*.
 */
#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "x86_64/ports.h"

#define BEFORE 0x1122334455667788ull

static void check_widths(void)
{
    out8(GUEST_PORT_FILE_BASE, 0xa1);
    check("byte", in8(GUEST_PORT_FILE_BASE), 0xa1);
    out16(GUEST_PORT_FILE_BASE + 2, 0xb2b1);
    check("2 bytes", in16(GUEST_PORT_FILE_BASE + 2), 0xb2b1);
    check("4 bytes of those", in32(GUEST_PORT_FILE_BASE), 0xb2b100a1);
    out32(GUEST_PORT_FILE_BASE + 4, 0xc4c3c2c1);
    check("4 bytes", in32(GUEST_PORT_FILE_BASE + 4), 0xc4c3c2c1);
    check("byte of those", in8(GUEST_PORT_FILE_BASE + 7), 0xc4);
}

/* What IN leaves of rax, when the handler's answer has more bits than were asked for. */
static void check_wide_answer(void)
{
    check("byte keeps the rest of rax", in8_rax(GUEST_PORT_WIDE, BEFORE), 0x11223344556677ef);
    check("2 bytes keep the rest", in16_rax(GUEST_PORT_WIDE, BEFORE), 0x112233445566cdef);
    check("4 bytes clear the rest", in32_rax(GUEST_PORT_WIDE, BEFORE), GUEST_PORT_WIDE_VALUE);
}

static void check_nobody(void)
{
    out8(GUEST_PORT_NOBODY, 0);
    out16(GUEST_PORT_NOBODY, 0);
    out32(GUEST_PORT_NOBODY, 0);
    check("byte from nobody", in8_rax(GUEST_PORT_NOBODY, BEFORE), 0x11223344556677ff);
    check("2 bytes from nobody", in16_rax(GUEST_PORT_NOBODY, BEFORE), 0x112233445566ffff);
    check("4 bytes from nobody", in32_rax(GUEST_PORT_NOBODY, BEFORE), 0xffffffff);
}

static void check_strings(void)
{
    uint8_t bytes[4] = {0, 0, 0, 0x55};

    rep_out8(GUEST_PORT_FIFO, "abc", 3);
    rep_in8(GUEST_PORT_FIFO, bytes, 3);
    check("first byte of a string", bytes[0], 'a');
    check("second byte", bytes[1], 'b');
    check("third byte", bytes[2], 'c');
    check("no fourth byte", bytes[3], 0x55);
}

void guest_main(void)
{
    check_widths();
    check_wide_answer();
    check_nobody();
    check_strings();
    report_end();
}
