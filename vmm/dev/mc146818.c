/*
 * The MC146818 real-time clock. Its time is the host's; it never updates while a guest looks, and
 * has no interrupts: alarm and periodic rate can be set, nothing comes of them.
 */
#include "dev/mc146818.h"

#include <stdbool.h>
#include <string.h>

/* Registers (data sheet, figure 12), and memory of the PC/AT. */
enum {
    SECONDS = 0x00,
    MINUTES = 0x02,
    HOURS = 0x04,
    WEEKDAY = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    BASE_MEMORY = 0x15,
    EXTENDED_MEMORY = 0x17,
    EXTENDED_MEMORY_2 = 0x30,
    CENTURY = 0x32,
    HIGH_MEMORY = 0x34,
};

enum {
    A_DIVIDER_AND_RATE = 0x26, /* 32.768 kHz, 1024 Hz: what a PC's BIOS sets */
    A_UPDATING = 0x80,
    B_24_HOURS = 0x02,
    B_BINARY = 0x04,
    B_SET = 0x80,
    D_VALID = 0x80,
    INDEX_MASK = 0x7f, /* bit 7 of the index port masks NMIs */
    PM = 0x80,         /* in the hours of 12-hour mode */
};

static uint8_t encode(const struct mc146818 *clock, int value)
{
    if ((clock->memory[REGISTER_B] & B_BINARY) != 0) {
        return (uint8_t)value;
    }
    return (uint8_t)(value / 10 * 16 + value % 10);
}

static int decode(const struct mc146818 *clock, uint8_t value)
{
    return (clock->memory[REGISTER_B] & B_BINARY) != 0 ? value : (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hours(const struct mc146818 *clock, int hours)
{
    if ((clock->memory[REGISTER_B] & B_24_HOURS) != 0) {
        return encode(clock, hours);
    }
    return encode(clock, hours % 12 == 0 ? 12 : hours % 12) | (hours >= 12 ? PM : 0);
}

static int decode_hours(const struct mc146818 *clock, uint8_t value)
{
    int hours;

    if ((clock->memory[REGISTER_B] & B_24_HOURS) != 0) {
        return decode(clock, value);
    }
    hours = decode(clock, value & (uint8_t)~PM) % 12;
    return (value & PM) != 0 ? hours + 12 : hours;
}

static bool is_being_set(const struct mc146818 *clock)
{
    return (clock->memory[REGISTER_B] & B_SET) != 0;
}

static struct tm current_time(const struct mc146818 *clock)
{
    time_t seconds = (time_t)(clock->now(clock->cookie) + clock->offset);
    struct tm tm;

    if (is_being_set(clock)) {
        return clock->set_time;
    }
    if (gmtime_r(&seconds, &tm) == NULL) {
        memset(&tm, 0, sizeof(tm));
    }
    return tm;
}

static uint8_t read_clock(const struct mc146818 *clock, unsigned index)
{
    struct tm tm = current_time(clock);
    int year = tm.tm_year + 1900; /* the guest may have set a year before it */

    switch (index) {
    case SECONDS:
        return encode(clock, tm.tm_sec);
    case MINUTES:
        return encode(clock, tm.tm_min);
    case HOURS:
        return encode_hours(clock, tm.tm_hour);
    case WEEKDAY:
        return encode(clock, tm.tm_wday + 1);
    case DAY:
        return encode(clock, tm.tm_mday);
    case MONTH:
        return encode(clock, tm.tm_mon + 1);
    case YEAR:
        return encode(clock, year % 100);
    case CENTURY:
        return encode(clock, year / 100);
    default:
        return clock->memory[index];
    }
}

/* What makes no date is normalised. */
static void set_clock(struct mc146818 *clock, struct tm tm)
{
    clock->offset = (int64_t)timegm(&tm) - clock->now(clock->cookie);
}

/* The guest sets one field; the others stay what they are now. */
static void write_clock(struct mc146818 *clock, unsigned index, uint8_t value)
{
    struct tm tm = current_time(clock);
    int year = tm.tm_year + 1900;

    switch (index) {
    case SECONDS:
        tm.tm_sec = decode(clock, value);
        break;
    case MINUTES:
        tm.tm_min = decode(clock, value);
        break;
    case HOURS:
        tm.tm_hour = decode_hours(clock, value);
        break;
    case DAY:
        tm.tm_mday = decode(clock, value);
        break;
    case MONTH:
        tm.tm_mon = decode(clock, value) - 1;
        break;
    case YEAR:
        tm.tm_year = year / 100 * 100 + decode(clock, value) - 1900;
        break;
    case CENTURY:
        tm.tm_year = decode(clock, value) * 100 + year % 100 - 1900;
        break;
    default: /* the weekday follows from the date */
        return;
    }
    if (is_being_set(clock)) {
        clock->set_time = tm;
    } else {
        set_clock(clock, tm);
    }
}

/* The time stands still from SET's rise to its fall, so that no date in between is taken for one.
 */
static void write_b(struct mc146818 *clock, uint8_t value)
{
    bool was_being_set = is_being_set(clock);
    struct tm tm = current_time(clock);

    clock->memory[REGISTER_B] = value;
    clock->set_time = tm;
    if (was_being_set && !is_being_set(clock)) {
        set_clock(clock, tm);
    }
}

static void put16(uint8_t *memory, unsigned index, uint64_t value)
{
    uint64_t capped = value > UINT16_MAX ? UINT16_MAX : value;

    memory[index] = (uint8_t)capped;
    memory[index + 1] = (uint8_t)(capped >> 8);
}

void mc146818_reset(struct mc146818 *clock, uint64_t ram_size)
{
    enum { KIB = 1024, BASE_KIB = 640, MIB = 1024 * KIB };
    uint64_t above_1m = ram_size > MIB ? ram_size - MIB : 0;
    uint64_t above_16m = ram_size > 16ull * MIB ? ram_size - 16ull * MIB : 0;

    clock->offset = 0;
    clock->index = 0;
    memset(clock->memory, 0, sizeof(clock->memory));
    clock->memory[REGISTER_A] = A_DIVIDER_AND_RATE;
    clock->memory[REGISTER_B] = B_24_HOURS;
    put16(clock->memory, BASE_MEMORY, BASE_KIB);
    put16(clock->memory, EXTENDED_MEMORY, above_1m / KIB);
    put16(clock->memory, EXTENDED_MEMORY_2, above_1m / KIB);
    put16(clock->memory, HIGH_MEMORY, above_16m / (64 * KIB));
}

uint8_t mc146818_read(struct mc146818 *clock, unsigned offset)
{
    if (offset == 0) {
        return clock->index;
    }
    switch (clock->index) {
    case REGISTER_C:
        return 0;
    case REGISTER_D:
        return D_VALID;
    default:
        return read_clock(clock, clock->index);
    }
}

void mc146818_write(struct mc146818 *clock, unsigned offset, uint8_t value)
{
    if (offset == 0) {
        clock->index = value & INDEX_MASK;
        return;
    }
    if (clock->index < REGISTER_A || clock->index == CENTURY) {
        write_clock(clock, clock->index, value);
    }
    if (clock->index == REGISTER_B) {
        write_b(clock, value);
        return;
    }
    if (clock->index == REGISTER_A) {
        value &= (uint8_t)~A_UPDATING;
    }
    if (clock->index != REGISTER_C && clock->index != REGISTER_D) {
        clock->memory[clock->index] = value;
    }
}

static uint8_t read_port(void *device, unsigned offset)
{
    return mc146818_read(device, offset);
}

static void write_port(void *device, unsigned offset, uint8_t value)
{
    mc146818_write(device, offset, value);
}

int mc146818_attach(struct mc146818 *clock, vm_t *vm, uint16_t base)
{
    clock->ports =
        (struct port_device){clock, read_port, write_port, base, CMOS_PORTS, "real-time clock"};
    return port_device_attach(vm, &clock->ports);
}
