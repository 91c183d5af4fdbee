/* The PrimeCell real-time clock, PL031 (ARM DDI 0224): seconds in 32 bits, and an alarm. */
#ifndef DEV_PL031_H
#define DEV_PL031_H

#include <stdbool.h>
#include <stdint.h>

#include "dev/irq_line.h"

enum { PL031_SIZE = 0x1000 };

struct pl031 {
    struct irq_line irq;
    int64_t (*now)(void *cookie); /* the host's seconds since 1970, UTC */
    /* pl031_tick is wanted once now() is at; an earlier wish is void. */
    void (*wake)(void *cookie, int64_t at);
    void *cookie;

    bool is_running;
    uint32_t offset; /* of the counter to the host's seconds */
    uint32_t match, load;
    bool is_enabled; /* the alarm may reach the line */
    bool is_raised;
    int64_t alarm; /* when the counter equals match next, in the host's seconds */
    int64_t wish;  /* for which wake was called last; 0: none is out */
    int level;     /* of the interrupt line */
};

/* The state after reset: the counter stands at 0. irq, now, wake and cookie are the caller's to
 * fill in first. */
void pl031_reset(struct pl031 *clock);

/* What firmware leaves behind: the host's time, and the counter running. */
void pl031_open(struct pl031 *clock);

/* The registers, at multiples of 4. */
uint32_t pl031_read(struct pl031 *clock, unsigned offset);
void pl031_write(struct pl031 *clock, unsigned offset, uint32_t value);

/* Time has passed. */
void pl031_tick(struct pl031 *clock);

#endif
