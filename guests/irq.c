/*
 * Interrupts that the host injects arrive through the machine's controller, once each, and are
 * acknowledged.
 *
 * Host: an interrupt controller, acknowledge functions and ports as lib/contract.h has them
 * (GUEST_IRQ_*). x86: vm_set_irq_level on a masked line returns -1; nothing here does that: masked
 * lines are injected.
 */
#include <stdbool.h>

#include "lib/contract.h"
#include "lib/irq.h"
#include "lib/machine.h"
#include "lib/report.h"

enum {
    IRQS = 16,
    WAIT_EXITS = 5000, /* until what should come counts as lost */
    QUIET_EXITS = 100, /* without another one, none comes */
    LEVEL_REPEATS = 3,
};

static volatile unsigned counts[IRQS];

static unsigned count(unsigned irq)
{
    return counts[irq - GUEST_IRQ_FIRST];
}

static void handle(unsigned irq)
{
    counts[irq - GUEST_IRQ_FIRST]++;
    if (irq == GUEST_IRQ_LEVEL && count(irq) == LEVEL_REPEATS) {
        machine_tell(GUEST_IRQ_LOWER, GUEST_IRQ_LEVEL - GUEST_IRQ_FIRST);
    }
}

static unsigned acks(unsigned irq)
{
    return machine_ask(GUEST_IRQ_ACKS_BASE + irq - GUEST_IRQ_FIRST);
}

/* How many have come in the end; reading a port gives the host its turn. */
static unsigned wait_for(unsigned irq, unsigned wanted)
{
    for (unsigned i = 0; i < WAIT_EXITS && count(irq) < wanted; i++) {
        (void)acks(irq);
    }
    for (unsigned i = 0; i < QUIET_EXITS; i++) {
        (void)acks(irq);
    }
    return count(irq);
}

static unsigned wait_for_acks(unsigned irq, unsigned wanted)
{
    for (unsigned i = 0; i < WAIT_EXITS && acks(irq) < wanted; i++) {
    }
    return acks(irq);
}

static void check_injected(void)
{
    irq_mask(GUEST_IRQ_INJECTED, false);
    machine_tell(GUEST_IRQ_INJECT, GUEST_IRQ_INJECTED - GUEST_IRQ_FIRST);
    check("an injected interrupt comes once", wait_for(GUEST_IRQ_INJECTED, 1), 1);
    check("its end is acknowledged once", wait_for_acks(GUEST_IRQ_INJECTED, 1), 1);
}

static void check_masked(void)
{
    irq_mask(GUEST_IRQ_INJECTED, true);
    machine_tell(GUEST_IRQ_INJECT, GUEST_IRQ_INJECTED - GUEST_IRQ_FIRST);
    check("a masked one does not come", wait_for(GUEST_IRQ_INJECTED, 1), 1);
    irq_mask(GUEST_IRQ_INJECTED, false);
    check("it comes when unmasked", wait_for(GUEST_IRQ_INJECTED, 2), 2);
    check("its end is acknowledged, too", wait_for_acks(GUEST_IRQ_INJECTED, 2), 2);
}

static void check_other(void)
{
    irq_mask(GUEST_IRQ_OTHER, false);
    machine_tell(GUEST_IRQ_INJECT, GUEST_IRQ_OTHER - GUEST_IRQ_FIRST);
    check("one of another line comes as such", wait_for(GUEST_IRQ_OTHER, 1), 1);
    check("its end is acknowledged on its line", wait_for_acks(GUEST_IRQ_OTHER, 1), 1);
    check("and on no other", acks(GUEST_IRQ_BETWEEN), 0);
}

static void check_level(void)
{
    irq_make_level(GUEST_IRQ_LEVEL);
    irq_mask(GUEST_IRQ_LEVEL, false);
    machine_tell(GUEST_IRQ_RAISE, GUEST_IRQ_LEVEL - GUEST_IRQ_FIRST);
    check("a level comes until it is lowered", wait_for(GUEST_IRQ_LEVEL, LEVEL_REPEATS),
          LEVEL_REPEATS);
}

/* The host may take its time to lower it. */
static void check_acked_level(void)
{
    irq_make_level(GUEST_IRQ_ACKED_LEVEL);
    irq_mask(GUEST_IRQ_ACKED_LEVEL, false);
    machine_tell(GUEST_IRQ_RAISE, GUEST_IRQ_ACKED_LEVEL - GUEST_IRQ_FIRST);
    check("a level comes until its acknowledge function lowers it",
          wait_for(GUEST_IRQ_ACKED_LEVEL, 2) >= 2, 1);
    check("which was called for it", wait_for_acks(GUEST_IRQ_ACKED_LEVEL, 2) >= 2, 1);
}

static void check_asleep(void)
{
    irq_off();
    machine_tell(GUEST_IRQ_INJECT, GUEST_IRQ_INJECTED - GUEST_IRQ_FIRST);
    check("none comes while interrupts are off", count(GUEST_IRQ_INJECTED), 2);
    irq_sleep();
    check("it wakes the processor", count(GUEST_IRQ_INJECTED), 3);
}

static unsigned count_all(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < IRQS; i++) {
        n += counts[i];
    }
    return n;
}

void guest_main(void)
{
    irq_init(handle);
    irq_on();
    check_injected();
    check_masked();
    check_other();
    check_level();
    check_acked_level();
    check_asleep();
    check("no others came", count_all(), 3 + 1 + LEVEL_REPEATS + count(GUEST_IRQ_ACKED_LEVEL));
    report_end();
}
