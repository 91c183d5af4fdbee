/* The PL011 as a driver sees it: identification, interrupts, FIFOs, flow control, loopback, and
 * hostile accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/pl011.h"
#include "wires.h"

enum {
    DR = 0x00,
    RSR = 0x04,
    FR = 0x18,
    ILPR = 0x20,
    IBRD = 0x24,
    FBRD = 0x28,
    LCR_H = 0x2c,
    CR = 0x30,
    IFLS = 0x34,
    IMSC = 0x38,
    RIS = 0x3c,
    MIS = 0x40,
    ICR = 0x44,
    DMACR = 0x48,
};

enum {
    ON = 0x301, /* of CR: UART, transmitter, receiver */
    LOOP = 0x80,
    FIFOS = 0x70, /* of LCR_H: FIFOs, 8 bits */
    BREAK = 0x01,
    CTS = 0x002, /* interrupts */
    DCD = 0x004,
    DSR = 0x008,
    RI = 0x001,
    RX = 0x010,
    TX = 0x020,
    RT = 0x040,
    BE = 0x200,
    OE = 0x400,
    TXFE = 0x80, /* of FR */
    RXFF = 0x40,
    TXFF = 0x20,
    RXFE = 0x10,
    BUSY = 0x08,
    LINES = 0x07,
};

struct bench {
    struct pl011 uart;
    struct wires wires;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->uart.irq = (struct irq_line){wires_set_level, &bench->wires};
    bench->uart.transmit = wires_transmit;
    bench->uart.drained = wires_drained;
    bench->uart.cookie = &bench->wires;
    pl011_reset(&bench->uart);
}

static void put(struct bench *bench, unsigned offset, uint32_t value)
{
    pl011_write(&bench->uart, offset, value);
}

static uint32_t get(struct bench *bench, unsigned offset)
{
    return pl011_read(&bench->uart, offset);
}

static size_t arrive(struct bench *bench, size_t nr_bytes)
{
    static const uint8_t bytes[64] =
        "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return pl011_receive(&bench->uart, bytes, nr_bytes);
}

/* As a driver leaves it: FIFOs, everything on. */
static void bench_open(struct bench *bench, uint32_t mask)
{
    bench_init(bench);
    put(bench, LCR_H, FIFOS);
    put(bench, CR, ON);
    put(bench, IMSC, mask);
    bench->wires.nr_drained = 0;
}

static void test_reset_state_is_the_manuals(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
    } registers[] = {{RSR, 0},   {FR, 0x97},    {ILPR, 0},     {IBRD, 0},     {FBRD, 0},
                     {LCR_H, 0}, {CR, 0x300},   {IFLS, 0x12},  {IMSC, 0},     {RIS, 0},
                     {MIS, 0},   {DMACR, 0},    {0xfe0, 0x11}, {0xfe4, 0x10}, {0xfe8, 0x34},
                     {0xfec, 0}, {0xff0, 0x0d}, {0xff4, 0xf0}, {0xff8, 0x05}, {0xffc, 0xb1}};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        assert_int_equal(get(&b, registers[i].offset), registers[i].value);
    }
    assert_int_equal(b.wires.nr_changes, 0);
}

static void test_registers_keep_the_bits_they_have(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
    } registers[] = {{ILPR, 0xff},  {IBRD, 0xffff}, {FBRD, 0x3f}, {LCR_H, 0xff}, {IFLS, 0x3f},
                     {IMSC, 0x7ff}, {DMACR, 7},     {CR, 0xff87}, {RIS, RI},     {FR, 0x197}};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        put(&b, registers[i].offset, UINT32_MAX);
        assert_int_equal(get(&b, registers[i].offset), registers[i].value);
    }
}

static void test_bytes_leave_at_once_and_in_order(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    for (unsigned i = 0; i < 100; i++) {
        put(&b, DR, i | 0xff00);
        assert_int_equal(get(&b, FR) & (TXFE | TXFF | BUSY), TXFE);
    }
    assert_int_equal(b.wires.nr_sent, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(b.wires.sent[i], i);
    }
}

static void test_firmware_leaves_a_transmitter_and_no_receiver(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    pl011_open(&b.uart);
    put(&b, DR, 'x');
    assert_int_equal(b.wires.nr_sent, 1);
    assert_int_equal(arrive(&b, 1), 0);
    assert_int_equal(b.wires.nr_drained, 0);
    assert_false(pl011_is_interrupt_driven(&b.uart));
    put(&b, CR, ON);
    assert_int_equal(b.wires.nr_drained, 1);
    put(&b, IMSC, RX | RT);
    assert_true(pl011_is_interrupt_driven(&b.uart));
    assert_int_equal(arrive(&b, 1), 1);
}

static void test_stopped_transmitter_keeps_what_fits_and_sends_it_later(void **state)
{
    static const struct {
        uint32_t line_control;
        unsigned depth;
    } modes[] = {{FIFOS, PL011_FIFO}, {0x60, 1}};

    (void)state;
    for (unsigned m = 0; m < 2; m++) {
        struct bench b;

        bench_init(&b);
        put(&b, LCR_H, modes[m].line_control);
        put(&b, CR, 0x201);
        for (unsigned i = 0; i < 40; i++) {
            put(&b, DR, i);
            assert_int_equal(get(&b, FR) & (TXFE | TXFF | BUSY),
                             BUSY | (i + 1 >= modes[m].depth ? TXFF : 0));
        }
        assert_int_equal(b.wires.nr_sent, 0);
        assert_int_equal(get(&b, RIS) & TX, 0);
        put(&b, CR, ON);
        assert_int_equal(b.wires.nr_sent, modes[m].depth);
        assert_int_equal(b.wires.sent[modes[m].depth - 1], modes[m].depth - 1);
        assert_int_equal(get(&b, RIS) & TX, TX);
    }
}

static void test_transmit_interrupt_comes_with_a_byte_and_goes_when_cleared(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, TX);
    assert_int_equal(b.wires.level, 0); /* nothing was sent yet (2.8.3) */
    put(&b, DR, 'a');
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(get(&b, MIS), TX);
    put(&b, ICR, TX);
    assert_int_equal(b.wires.level, 0);
    put(&b, DR, 'b');
    assert_int_equal(b.wires.level, 1);
    put(&b, IMSC, 0);
    assert_int_equal(b.wires.level, 0);
    assert_int_equal(get(&b, RIS), TX);
    assert_int_equal(get(&b, MIS), 0);
    put(&b, IMSC, TX);
    assert_int_equal(b.wires.level, 1);
}

static void test_writing_above_the_level_takes_the_transmit_interrupt_back(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, TX);
    put(&b, DR, 'a');
    put(&b, CR, ON & ~0x100);
    for (unsigned i = 0; i < 16; i++) {
        put(&b, DR, 'b');
        assert_int_equal(b.wires.level, 1);
    }
    put(&b, DR, 'c');
    assert_int_equal(b.wires.level, 0);
}

static void test_receive_interrupt_follows_the_trigger_level(void **state)
{
    static const unsigned levels[] = {4, 8, 16, 24, 28, 28, 28, 28};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct bench b;

        bench_open(&b, RX);
        put(&b, IFLS, i << 3);
        assert_int_equal(arrive(&b, levels[i] - 1), levels[i] - 1);
        assert_int_equal(b.wires.level, 0);
        assert_int_equal(arrive(&b, 1), 1);
        assert_int_equal(b.wires.level, 1);
        assert_int_equal(get(&b, DR), 'a');
        assert_int_equal(b.wires.level, 0);
    }
}

/* Nothing waits below the level for ever. */
static void test_time_out_tells_of_few_bytes_until_they_are_read(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, RT);
    assert_int_equal(arrive(&b, 2), 2);
    assert_int_equal(b.wires.level, 1);
    put(&b, ICR, RT);
    assert_int_equal(b.wires.level, 0);
    assert_int_equal(get(&b, DR), 'a');
    assert_int_equal(b.wires.level, 1); /* one is left */
    assert_int_equal(get(&b, DR), 'b');
    assert_int_equal(b.wires.level, 0);
    assert_int_equal(b.wires.nr_drained, 1);
    assert_int_equal(get(&b, DR), 0);
    assert_int_equal(b.wires.nr_drained, 1);
}

static void test_receiver_takes_what_fits(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    assert_int_equal(pl011_room(&b.uart), PL011_FIFO);
    assert_int_equal(arrive(&b, 40), PL011_FIFO);
    assert_int_equal(get(&b, FR) & (RXFF | RXFE), RXFF);
    assert_int_equal(arrive(&b, 1), 0);
    assert_int_equal(get(&b, RSR), 0);
    put(&b, LCR_H, 0x60);
    assert_int_equal(get(&b, FR) & (RXFF | RXFE), RXFE);
    assert_int_equal(get(&b, RIS) & (RX | RT), 0);
    assert_int_equal(b.wires.nr_drained, 1);
    assert_int_equal(arrive(&b, 40), 1);
    assert_int_equal(get(&b, RIS) & RX, RX);
    assert_int_equal(get(&b, DR), 'a');
    assert_int_equal(get(&b, RIS) & RX, 0);
}

static void test_switched_off_receiver_takes_nothing_and_says_when_it_is_on(void **state)
{
    static const uint32_t off[] = {0, 0x001, 0x101, 0x300, 0x200, ON | LOOP};

    (void)state;
    for (unsigned i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        struct bench b;

        bench_open(&b, 0);
        put(&b, CR, off[i]);
        assert_int_equal(arrive(&b, 3), 0);
        assert_int_equal(b.wires.nr_drained, 0);
        put(&b, CR, ON);
        assert_int_equal(b.wires.nr_drained, 1);
        assert_int_equal(arrive(&b, 3), 3);
    }
}

static void test_loopback_returns_bytes_and_modem_lines(void **state)
{
    static const struct {
        uint32_t output, line, interrupt;
    } pairs[] = {
        {0x400, 0x002, DSR}, {0x800, 0x001, CTS}, {0x1000, 0x004, DCD}, {0x2000, 0x100, RI}};
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    put(&b, CR, ON | LOOP);
    assert_int_equal(get(&b, FR) & (LINES | 0x100), 0);
    assert_int_equal(get(&b, RIS), CTS | DCD | DSR); /* that were up before */
    for (unsigned i = 0; i < 4; i++) {
        put(&b, ICR, 0x7ff);
        put(&b, CR, ON | LOOP | pairs[i].output);
        assert_int_equal(get(&b, FR) & (LINES | 0x100), pairs[i].line);
        assert_int_equal(get(&b, RIS), pairs[i].interrupt);
        put(&b, CR, ON | LOOP);
    }
    put(&b, DR, 'q');
    assert_int_equal(b.wires.nr_sent, 0);
    assert_int_equal(get(&b, DR), 'q');
}

static void test_overrun_is_told_by_both_registers(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, OE);
    put(&b, CR, ON | LOOP);
    for (unsigned i = 0; i < PL011_FIFO; i++) {
        put(&b, DR, i);
    }
    assert_int_equal(b.wires.level, 0);
    put(&b, DR, 'x');
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(get(&b, RSR), 0x08);
    assert_int_equal(get(&b, DR), 0x800);
    assert_int_equal(get(&b, DR), 1);
    assert_int_equal(get(&b, RSR), 0x08);
    put(&b, RSR, 0);
    assert_int_equal(get(&b, RSR), 0);
    put(&b, ICR, OE);
    assert_int_equal(b.wires.level, 0);
}

static void test_break_comes_back_as_one_character(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, BE);
    put(&b, LCR_H, FIFOS | BREAK);
    assert_int_equal(get(&b, FR) & RXFE, RXFE);
    put(&b, LCR_H, FIFOS);
    put(&b, CR, ON | LOOP);
    put(&b, LCR_H, FIFOS | BREAK);
    put(&b, LCR_H, FIFOS | BREAK);
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(get(&b, DR), 0x400);
    assert_int_equal(get(&b, RSR), 0x04);
    assert_int_equal(get(&b, FR) & RXFE, RXFE);
    put(&b, DR, 'a');
    assert_int_equal(get(&b, DR), 'a');
    assert_int_equal(get(&b, RSR), 0);
}

/* A sender that listens to a receiver that is full. */
static void test_hardware_flow_control_holds_bytes_back(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    put(&b, CR, 0xc000 | ON | LOOP);
    for (unsigned i = 0; i < 20; i++) {
        put(&b, DR, i);
    }
    assert_int_equal(get(&b, FR) & (BUSY | 1), BUSY); /* 16 arrived, 4 wait */
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(get(&b, DR), i);
    }
    assert_int_equal(get(&b, FR) & (TXFE | RXFE), TXFE | RXFE);
    assert_int_equal(get(&b, RSR), 0);
}

static void test_lower_level_lets_the_sender_go_on(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    put(&b, IFLS, 0);
    put(&b, CR, 0xc000 | ON | LOOP);
    for (unsigned i = 0; i < 6; i++) {
        put(&b, DR, i);
    }
    assert_int_equal(get(&b, FR) & BUSY, BUSY);
    put(&b, IFLS, 1 << 3);
    assert_int_equal(get(&b, FR) & BUSY, 0);
}

static void test_unknown_offsets_read_zero_and_change_nothing(void **state)
{
    struct bench b;
    struct pl011 before;

    (void)state;
    bench_open(&b, 0);
    before = b.uart;
    for (unsigned offset = 0x4c; offset < 0xfe0; offset++) {
        put(&b, offset, UINT32_MAX);
        assert_int_equal(get(&b, offset), 0);
    }
    for (unsigned offset = 0xfe0; offset < 0x2000; offset++) {
        uint32_t value = get(&b, offset);

        put(&b, offset, UINT32_MAX);
        assert_true(value <= 0xff && (offset < 0x1000 || value == 0));
        assert_int_equal(get(&b, offset), value);
    }
    assert_memory_equal(&before, &b.uart, sizeof(before));
}

static void test_any_access_sequence_keeps_the_chip_consistent(void **state)
{
    static const unsigned offsets[] = {DR, RSR,  FR,   ILPR, IBRD, FBRD, LCR_H,
                                       CR, IFLS, IMSC, RIS,  MIS,  ICR,  DMACR};
    uint32_t seed = 1;
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned i = 0; i < 300000; i++) {
        unsigned offset;

        seed = seed * 1664525 + 1013904223;
        offset = offsets[(seed >> 8) % 14];
        switch (seed >> 28 & 3) {
        case 0:
            (void)arrive(&b, seed >> 16 & 63);
            break;
        case 1:
            (void)get(&b, offset);
            break;
        default:
            put(&b, offset, seed >> 12 ^ seed);
            break;
        }
        assert_true(b.uart.rx.count <= PL011_FIFO && b.uart.tx.count <= PL011_FIFO);
        assert_true(b.uart.rx.head < PL011_FIFO && b.uart.tx.head < PL011_FIFO);
        assert_int_equal(b.wires.level, (b.uart.raw & b.uart.mask) != 0);
        assert_true(pl011_room(&b.uart) <= PL011_FIFO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_state_is_the_manuals),
        cmocka_unit_test(test_registers_keep_the_bits_they_have),
        cmocka_unit_test(test_bytes_leave_at_once_and_in_order),
        cmocka_unit_test(test_firmware_leaves_a_transmitter_and_no_receiver),
        cmocka_unit_test(test_stopped_transmitter_keeps_what_fits_and_sends_it_later),
        cmocka_unit_test(test_transmit_interrupt_comes_with_a_byte_and_goes_when_cleared),
        cmocka_unit_test(test_writing_above_the_level_takes_the_transmit_interrupt_back),
        cmocka_unit_test(test_receive_interrupt_follows_the_trigger_level),
        cmocka_unit_test(test_time_out_tells_of_few_bytes_until_they_are_read),
        cmocka_unit_test(test_receiver_takes_what_fits),
        cmocka_unit_test(test_switched_off_receiver_takes_nothing_and_says_when_it_is_on),
        cmocka_unit_test(test_loopback_returns_bytes_and_modem_lines),
        cmocka_unit_test(test_overrun_is_told_by_both_registers),
        cmocka_unit_test(test_break_comes_back_as_one_character),
        cmocka_unit_test(test_hardware_flow_control_holds_bytes_back),
        cmocka_unit_test(test_lower_level_lets_the_sender_go_on),
        cmocka_unit_test(test_unknown_offsets_read_zero_and_change_nothing),
        cmocka_unit_test(test_any_access_sequence_keeps_the_chip_consistent),
    };

    return cmocka_run_group_tests_name("dev_pl011", tests, NULL, NULL);
}
