/* The PrimeCell real-time clock, PL031. */
#include "dev/pl031.h"

#include "dev/primecell.h"

/* Registers by offset (DDI 0224, table 3-1). */
enum {
    DR = 0x00,
    MR = 0x04,
    LR = 0x08,
    CR = 0x0c,
    IMSC = 0x10,
    RIS = 0x14,
    MIS = 0x18,
    ICR = 0x1c,
};

/* Part 0x031 of ARM's, revision r0. */
static const struct primecell_id id = {.part = 0x031, .revision = 0};

static void update_irq(struct pl031 *clock)
{
    int level = clock->is_raised && clock->is_enabled;

    if (level != clock->level) {
        clock->level = level;
        irq_line_set(&clock->irq, level);
    }
}

static uint32_t host_seconds(const struct pl031 *clock)
{
    return (uint32_t)clock->now(clock->cookie);
}

static uint32_t counter(const struct pl031 *clock)
{
    return clock->is_running ? host_seconds(clock) + clock->offset : clock->load;
}

/* The counter runs round in 2^32 seconds: it always meets match again. */
static void set_alarm(struct pl031 *clock)
{
    int64_t now = clock->now(clock->cookie);

    clock->alarm = now + (uint32_t)(clock->match - ((uint32_t)now + clock->offset));
}

/* What has happened since somebody last looked. */
static void catch_up(struct pl031 *clock)
{
    if (clock->is_running && clock->now(clock->cookie) >= clock->alarm) {
        clock->is_raised = true;
        set_alarm(clock);
        if (clock->alarm <= clock->now(clock->cookie)) {
            clock->alarm += (int64_t)1 << 32;
        }
    }
}

/* An alarm that nobody hears needs no waking. */
static void settle(struct pl031 *clock)
{
    update_irq(clock);
    if (clock->is_running && clock->is_enabled && !clock->is_raised &&
        clock->wish != clock->alarm) {
        clock->wish = clock->alarm;
        clock->wake(clock->cookie, clock->wish);
    }
}

void pl031_tick(struct pl031 *clock)
{
    clock->wish = 0;
    catch_up(clock);
    settle(clock);
}

void pl031_reset(struct pl031 *clock)
{
    clock->is_running = clock->is_enabled = clock->is_raised = false;
    clock->offset = clock->match = clock->load = 0;
    clock->alarm = clock->wish = 0;
    clock->level = 0;
}

void pl031_open(struct pl031 *clock)
{
    pl031_write(clock, LR, host_seconds(clock));
    pl031_write(clock, CR, 1);
    pl031_write(clock, ICR, 1); /* at 0 seconds since 1970 the counter equals match */
}

static uint32_t read_register(const struct pl031 *clock, unsigned offset)
{
    switch (offset) {
    case DR:
        return counter(clock);
    case MR:
        return clock->match;
    case LR:
        return clock->load;
    case CR:
        return clock->is_running;
    case IMSC:
        return clock->is_enabled;
    case RIS:
        return clock->is_raised;
    case MIS:
        return clock->is_raised && clock->is_enabled;
    default:
        return primecell_id_read(&id, offset);
    }
}

uint32_t pl031_read(struct pl031 *clock, unsigned offset)
{
    catch_up(clock);
    settle(clock);
    return read_register(clock, offset);
}

static void load(struct pl031 *clock, uint32_t value)
{
    clock->load = value;
    clock->offset = value - host_seconds(clock);
    set_alarm(clock);
}

void pl031_write(struct pl031 *clock, unsigned offset, uint32_t value)
{
    catch_up(clock);
    switch (offset) {
    case MR:
        clock->match = value;
        set_alarm(clock);
        break;
    case LR:
        load(clock, value);
        break;
    case CR: /* what runs is stopped by a reset alone (3.3.4) */
        if ((value & 1) != 0 && !clock->is_running) {
            clock->is_running = true;
            load(clock, clock->load);
        }
        break;
    case IMSC:
        clock->is_enabled = (value & 1) != 0;
        break;
    case ICR:
        clock->is_raised = clock->is_raised && (value & 1) == 0;
        break;
    default: /* read-only, or nothing there */
        break;
    }
    catch_up(clock); /* the new time may be that of the alarm */
    settle(clock);
}
