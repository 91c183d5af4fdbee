/*
 * Interrupts that the host injects arrive through the 8259 pair, once each, and are acknowledged.
 *
 * Host: an interrupt controller, acknowledge functions that count for the lines GUEST_IRQ_EDGE,
 * GUEST_IRQ_SLAVE and GUEST_IRQ_ACKED_LEVEL, and the ports of lib/contract.h named GUEST_IRQ_*.
 * vm_set_irq_level on a masked line returns -1; nothing here does that: masked lines are injected.
 */
#include <stdbool.h>

#include "lib/contract.h"
#include "lib/machine.h"
#include "lib/report.h"
#include "x86_64/exceptions.h"
#include "x86_64/pic.h"
#include "x86_64/ports.h"

enum {
    LINES = 16,
    WAIT_EXITS = 5000,    /* until what should come counts as lost */
    QUIET_EXITS = 100,    /* without another one, none comes */
    LEVEL_REPEATS = 3,
};

static volatile unsigned counts[LINES];

static void handle(unsigned vector)
{
    unsigned line = vector - PIC_VECTOR;

    counts[line]++;
    if (line == GUEST_IRQ_LEVEL && counts[line] == LEVEL_REPEATS) {
        out8(GUEST_IRQ_LOWER, GUEST_IRQ_LEVEL);
    }
    pic_end(line);
}

static uint8_t acks(unsigned line)
{
    return in8((uint16_t)(GUEST_IRQ_ACKS_BASE + line));
}

/* How many have come in the end; reading a port gives the host its turn. */
static unsigned wait_for(unsigned line, unsigned count)
{
    for (unsigned i = 0; i < WAIT_EXITS && counts[line] < count; i++) {
        (void)acks(line);
    }
    for (unsigned i = 0; i < QUIET_EXITS; i++) {
        (void)acks(line);
    }
    return counts[line];
}

static unsigned wait_for_acks(unsigned line, unsigned count)
{
    for (unsigned i = 0; i < WAIT_EXITS && acks(line) < count; i++) {
    }
    return acks(line);
}

static void check_edge(void)
{
    pic_mask(GUEST_IRQ_EDGE, false);
    out8(GUEST_IRQ_INJECT, GUEST_IRQ_EDGE);
    check("an injected interrupt comes once", wait_for(GUEST_IRQ_EDGE, 1), 1);
    check("its end is acknowledged once", wait_for_acks(GUEST_IRQ_EDGE, 1), 1);
}

static void check_masked(void)
{
    pic_mask(GUEST_IRQ_EDGE, true);
    out8(GUEST_IRQ_INJECT, GUEST_IRQ_EDGE);
    check("a masked one does not come", wait_for(GUEST_IRQ_EDGE, 1), 1);
    pic_mask(GUEST_IRQ_EDGE, false);
    check("it comes when unmasked", wait_for(GUEST_IRQ_EDGE, 2), 2);
    check("its end is acknowledged, too", wait_for_acks(GUEST_IRQ_EDGE, 2), 2);
}

static void check_slave(void)
{
    pic_mask(GUEST_IRQ_SLAVE, false);
    out8(GUEST_IRQ_INJECT, GUEST_IRQ_SLAVE);
    check("one of the slave comes as such", wait_for(GUEST_IRQ_SLAVE, 1), 1);
    check("its end is acknowledged on its line", wait_for_acks(GUEST_IRQ_SLAVE, 1), 1);
    check("and not on the line between the two", acks(2), 0);
}

static void check_level(void)
{
    pic_set_level_triggered(GUEST_IRQ_LEVEL);
    pic_mask(GUEST_IRQ_LEVEL, false);
    out8(GUEST_IRQ_RAISE, GUEST_IRQ_LEVEL);
    check("a level comes until it is lowered", wait_for(GUEST_IRQ_LEVEL, LEVEL_REPEATS),
          LEVEL_REPEATS);
}

static void check_acked_level(void)
{
    pic_set_level_triggered(GUEST_IRQ_ACKED_LEVEL);
    pic_mask(GUEST_IRQ_ACKED_LEVEL, false);
    out8(GUEST_IRQ_RAISE, GUEST_IRQ_ACKED_LEVEL);
    check("a level comes until its acknowledge function lowers it",
          wait_for(GUEST_IRQ_ACKED_LEVEL, 2), 2);
    check("which was called for each", wait_for_acks(GUEST_IRQ_ACKED_LEVEL, 2), 2);
}

/* `sti` lets an interrupt in only behind the next instruction: none is lost between the two. */
static void check_halted(void)
{
    __asm__ volatile("cli");
    out8(GUEST_IRQ_INJECT, GUEST_IRQ_EDGE);
    check("none comes while interrupts are off", counts[GUEST_IRQ_EDGE], 2);
    __asm__ volatile("sti; hlt" : : : "memory");
    check("it ends hlt", counts[GUEST_IRQ_EDGE], 3);
}

static unsigned count_all(void)
{
    unsigned n = 0;

    for (unsigned line = 0; line < LINES; line++) {
        n += counts[line];
    }
    return n;
}

void guest_main(void)
{
    interrupts_handle(handle);
    pic_init();
    __asm__ volatile("sti");
    check_edge();
    check_masked();
    check_slave();
    check_level();
    check_acked_level();
    check_halted();
    check("no others came", count_all(), 3 + 1 + LEVEL_REPEATS + 2);
    report_end();
}
