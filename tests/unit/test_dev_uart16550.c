/* The 16550A as a driver sees it: what Linux's probe asks, interrupts, FIFO, loopback, and hostile
 * accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "dev/uart16550.h"
#include "wires.h"

enum {
    RBR = 0,
    THR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR = 2,
    FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,
    SCR = 7
};

struct bench {
    struct uart16550 uart;
    struct wires wires;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->uart.irq = (struct irq_line){wires_set_level, &bench->wires};
    bench->uart.transmit = wires_transmit;
    bench->uart.drained = wires_drained;
    bench->uart.cookie = &bench->wires;
    uart16550_reset(&bench->uart);
}

static void put(struct bench *bench, unsigned offset, uint8_t value)
{
    uart16550_write(&bench->uart, offset, value);
}

static uint8_t get(struct bench *bench, unsigned offset)
{
    return uart16550_read(&bench->uart, offset);
}

/* As a driver leaves it: FIFO with trigger level 14, connected to its line. */
static void bench_open(struct bench *bench, uint8_t ier)
{
    bench_init(bench);
    put(bench, FCR, 0xc1);
    put(bench, MCR, 0x0b);
    (void)get(bench, MSR);
    put(bench, IER, ier);
}

static void test_reset_state_is_the_data_sheets(void **state)
{
    static const uint8_t expected[] = {[IIR] = 0x01, [LSR] = 0x60, [MSR] = 0xb0};
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned i = 0; i < sizeof(expected); i++) {
        assert_int_equal(get(&b, i), expected[i]);
    }
}

static void test_interrupt_enable_keeps_four_bits_and_scratch_all(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, IER, 0xff);
    assert_int_equal(get(&b, IER), 0x0f);
    put(&b, IER, 0);
    assert_int_equal(get(&b, IER), 0);
    put(&b, SCR, 0xa5);
    assert_int_equal(get(&b, SCR), 0xa5);
}

static void test_divisor_hides_data_and_interrupt_enable(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, IER, 0x05);
    put(&b, LCR, 0x83);
    put(&b, DLL, 0x34);
    put(&b, DLM, 0x12);
    assert_int_equal(get(&b, DLL), 0x34);
    assert_int_equal(get(&b, DLM), 0x12);
    assert_int_equal(b.wires.nr_sent, 0);
    put(&b, LCR, 0x03);
    assert_int_equal(get(&b, IER), 0x05);
}

/* The order of Linux's autoconfig: loopback of the modem lines, FIFO bits, and what finer chips
 * would show. */
static void test_probe_finds_a_16550a_and_nothing_finer(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, MCR, 0x10 | 0x0a);
    assert_int_equal(get(&b, MSR) & 0xf0, 0x90);
    put(&b, MCR, 0);
    put(&b, FCR, 0x01);
    assert_int_equal(get(&b, IIR) >> 6, 3);
    put(&b, LCR, 0xbf);
    assert_int_not_equal(get(&b, FCR), 0); /* no extended features register */
    put(&b, LCR, 0);
    put(&b, FCR, 0x21);
    assert_int_equal(get(&b, IIR) >> 5, 6); /* no FIFO of 64 bytes */
    put(&b, IER, 0x40);
    assert_int_equal(get(&b, IER), 0);
}

static void test_bytes_are_sent_in_order_and_transmitter_stays_empty(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    for (const char *p = "hello"; *p != '\0'; p++) {
        put(&b, THR, (uint8_t)*p);
        assert_int_equal(get(&b, LSR) & 0x60, 0x60);
    }
    assert_int_equal(b.wires.nr_sent, 5);
    assert_memory_equal(b.wires.sent, "hello", 5);
}

static void test_enabling_transmit_interrupt_raises_it_every_time(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    for (unsigned i = 0; i < 2; i++) {
        put(&b, IER, 0x02);
        assert_int_equal(b.wires.level, 1);
        assert_int_equal(get(&b, IIR), 0xc2);
        assert_int_equal(b.wires.level, 0);
        assert_int_equal(get(&b, IIR), 0xc1);
        put(&b, IER, 0);
    }
}

static void test_each_sent_burst_interrupts_again(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x02);
    for (unsigned burst = 0; burst < 3; burst++) {
        assert_int_equal(b.wires.level, 1);
        assert_int_equal(get(&b, IIR), 0xc2);
        assert_int_equal(b.wires.level, 0);
        for (unsigned i = 0; i < UART_FIFO; i++) {
            put(&b, THR, 'x');
        }
    }
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(b.wires.nr_sent, 3 * UART_FIFO);
}

static void test_received_byte_interrupts_until_it_is_read(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x01);
    assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"ab", 2), 2);
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(get(&b, IIR), 0xcc); /* below the trigger level: timed out */
    assert_int_equal(get(&b, LSR) & 1, 1);
    assert_int_equal(get(&b, RBR), 'a');
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(b.wires.nr_drained, 0);
    assert_int_equal(get(&b, RBR), 'b');
    assert_int_equal(b.wires.level, 0);
    assert_int_equal(b.wires.nr_drained, 1);
    assert_int_equal(get(&b, LSR) & 1, 0);
    assert_int_equal(get(&b, RBR), 0);
}

static void test_trigger_level_tells_full_from_timed_out(void **state)
{
    static const struct {
        uint8_t fcr;
        unsigned level;
    } cases[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    struct bench b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_open(&b, 0x01);
        put(&b, FCR, cases[i].fcr);
        for (unsigned n = 1; n <= UART_FIFO; n++) {
            assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"x", 1), 1);
            assert_int_equal(get(&b, IIR), n >= cases[i].level ? 0xc4 : 0xcc);
        }
    }
}

static void test_full_receiver_takes_no_more_and_loses_nothing(void **state)
{
    uint8_t bytes[40];
    struct bench b;

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    bench_open(&b, 0);
    assert_int_equal(uart16550_room(&b.uart), UART_FIFO);
    assert_int_equal(uart16550_receive(&b.uart, bytes, sizeof(bytes)), UART_FIFO);
    assert_int_equal(uart16550_room(&b.uart), 0);
    assert_int_equal(uart16550_receive(&b.uart, bytes, 1), 0);
    for (unsigned i = 0; i < UART_FIFO; i++) {
        assert_int_equal(get(&b, RBR), i);
    }
    assert_int_equal(get(&b, LSR), 0x60);
}

static void test_without_fifo_one_byte_has_room(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"ab", 2), 1);
    assert_int_equal(get(&b, RBR), 'a');
}

static void test_switching_or_clearing_the_fifo_drops_received_bytes(void **state)
{
    static const uint8_t values[] = {0x00, 0x03};
    struct bench b;

    (void)state;
    for (size_t i = 0; i < sizeof(values); i++) {
        bench_open(&b, 0x01);
        assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"abc", 3), 3);
        put(&b, FCR, values[i]);
        assert_int_equal(b.wires.level, 0);
        assert_int_equal(get(&b, LSR) & 1, 0);
    }
}

static void test_loopback_returns_bytes_and_shuts_the_cable(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    put(&b, MCR, 0x10);
    put(&b, THR, 'l');
    assert_int_equal(b.wires.nr_sent, 0);
    assert_int_equal(uart16550_room(&b.uart), 0);
    assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"x", 1), 0);
    assert_int_equal(get(&b, RBR), 'l');
}

static void test_loopback_overrun_shows_once_in_line_status(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0);
    put(&b, MCR, 0x10);
    for (unsigned i = 0; i <= UART_FIFO; i++) {
        put(&b, THR, (uint8_t)i);
    }
    assert_int_equal(get(&b, LSR), 0x63);
    assert_int_equal(get(&b, LSR), 0x61);
}

static void test_modem_lines_loop_back_and_changes_show_once(void **state)
{
    static const struct {
        uint8_t mcr, msr;
    } cases[] = {
        {0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10}, {0x14, 0x40}, {0x18, 0x80}, {0x1f, 0xf0},
    };
    struct bench b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_init(&b);
        put(&b, MCR, cases[i].mcr);
        assert_int_equal(get(&b, MSR) & 0xf0, cases[i].msr);
        assert_int_equal(get(&b, MSR) & 0x0f, 0);
        put(&b, MCR, 0);
        assert_int_equal(get(&b, MSR) & 0xf0, 0xb0);
    }
}

static void test_ring_shows_a_change_only_at_its_end(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, MCR, 0x10);
    (void)get(&b, MSR);
    put(&b, MCR, 0x14);
    assert_int_equal(get(&b, MSR), 0x40);
    put(&b, MCR, 0x10);
    assert_int_equal(get(&b, MSR), 0x04);
}

static void test_modem_change_interrupts_until_status_is_read(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x08);
    put(&b, MCR, 0x10);
    put(&b, MCR, 0x0b);
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(get(&b, IIR), 0xc0);
    (void)get(&b, MSR);
    assert_int_equal(b.wires.level, 0);
}

static void test_receiving_comes_before_transmitting(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x0f);
    assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"a", 1), 1);
    assert_int_equal(get(&b, IIR), 0xcc);
    assert_int_equal(get(&b, IIR), 0xcc); /* looking does not take it back */
    (void)get(&b, RBR);
    assert_int_equal(get(&b, IIR), 0xc2);
    assert_int_equal(get(&b, IIR), 0xc1);
}

static void test_line_follows_the_gate(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x02);
    assert_int_equal(b.wires.level, 1);
    put(&b, MCR, 0x03);
    assert_int_equal(b.wires.level, 0);
    put(&b, MCR, 0x0b);
    assert_int_equal(b.wires.level, 1);
}

static void test_any_access_in_any_state_stays_in_bounds(void **state)
{
    uint32_t seed = 1;
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned i = 0; i < 300000; i++) {
        unsigned offset, kind;

        seed = seed * 1664525 + 1013904223;
        offset = seed >> 8 & 15;
        kind = seed >> 13 & 3;
        if (kind == 0) {
            (void)get(&b, offset);
        } else if (kind == 1) {
            (void)uart16550_receive(&b.uart, (const uint8_t *)"0123456789abcdefghij",
                                    seed >> 16 & 15);
        } else {
            put(&b, offset, (uint8_t)(seed >> 24));
        }
        assert_true(b.uart.count <= UART_FIFO);
        assert_true(b.uart.head < UART_FIFO);
    }
}

static void test_every_value_in_every_register(void **state)
{
    struct bench b;

    (void)state;
    for (unsigned offset = 0; offset < 16; offset++) {
        for (unsigned value = 0; value < 256; value++) {
            bench_init(&b);
            put(&b, offset, (uint8_t)value);
            for (unsigned i = 0; i < 16; i++) {
                (void)get(&b, i);
            }
        }
    }
}

static void test_room_made_by_clearing_the_fifo_is_told(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    assert_int_equal(uart16550_receive(&b.uart, (const uint8_t *)"a", 1), 1);
    put(&b, FCR, 0x01);
    assert_int_equal(b.wires.nr_drained, 1);
}

static void test_room_made_by_leaving_loopback_is_told(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    put(&b, MCR, 0x10);
    assert_int_equal(uart16550_room(&b.uart), 0);
    put(&b, MCR, 0x00);
    assert_int_equal(b.wires.nr_drained, 1);
}

static void test_handler_that_does_not_read_iir_gets_another_edge(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x02);
    b.wires.nr_changes = 0;
    put(&b, THR, 'x');
    assert_int_equal(b.wires.level, 1);
    assert_int_equal(b.wires.nr_changes, 2);
}

/* A line change is a system call: one for sixteen bytes. */
static void test_burst_that_answers_an_interrupt_raises_the_line_once(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0x02);
    (void)get(&b, IIR);
    b.wires.nr_changes = 0;
    for (unsigned i = 0; i < UART_FIFO; i++) {
        put(&b, THR, 'x');
    }
    assert_int_equal(b.wires.nr_changes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_state_is_the_data_sheets),
        cmocka_unit_test(test_interrupt_enable_keeps_four_bits_and_scratch_all),
        cmocka_unit_test(test_divisor_hides_data_and_interrupt_enable),
        cmocka_unit_test(test_probe_finds_a_16550a_and_nothing_finer),
        cmocka_unit_test(test_bytes_are_sent_in_order_and_transmitter_stays_empty),
        cmocka_unit_test(test_enabling_transmit_interrupt_raises_it_every_time),
        cmocka_unit_test(test_each_sent_burst_interrupts_again),
        cmocka_unit_test(test_received_byte_interrupts_until_it_is_read),
        cmocka_unit_test(test_trigger_level_tells_full_from_timed_out),
        cmocka_unit_test(test_full_receiver_takes_no_more_and_loses_nothing),
        cmocka_unit_test(test_without_fifo_one_byte_has_room),
        cmocka_unit_test(test_switching_or_clearing_the_fifo_drops_received_bytes),
        cmocka_unit_test(test_loopback_returns_bytes_and_shuts_the_cable),
        cmocka_unit_test(test_loopback_overrun_shows_once_in_line_status),
        cmocka_unit_test(test_modem_lines_loop_back_and_changes_show_once),
        cmocka_unit_test(test_ring_shows_a_change_only_at_its_end),
        cmocka_unit_test(test_modem_change_interrupts_until_status_is_read),
        cmocka_unit_test(test_receiving_comes_before_transmitting),
        cmocka_unit_test(test_line_follows_the_gate),
        cmocka_unit_test(test_any_access_in_any_state_stays_in_bounds),
        cmocka_unit_test(test_every_value_in_every_register),
        cmocka_unit_test(test_room_made_by_clearing_the_fifo_is_told),
        cmocka_unit_test(test_room_made_by_leaving_loopback_is_told),
        cmocka_unit_test(test_handler_that_does_not_read_iir_gets_another_edge),
        cmocka_unit_test(test_burst_that_answers_an_interrupt_raises_the_line_once),
    };

    return cmocka_run_group_tests_name("dev_uart16550", tests, NULL, NULL);
}
