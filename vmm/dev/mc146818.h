/* The MC146818 real-time clock with its CMOS memory (Motorola MC146818 data sheet; IBM PC/AT for
 * the memory's use). */
#ifndef DEV_MC146818_H
#define DEV_MC146818_H

#include <stdint.h>
#include <time.h>

#include "dev/device.h"

enum { CMOS_SIZE = 128, CMOS_PORTS = 2 };

struct mc146818 {
    int64_t (*now)(void *cookie); /* seconds since 1970, UTC */
    void *cookie;
    int64_t offset;     /* what the guest has set the clock ahead by */
    struct tm set_time; /* what the clock shows while the guest sets it (register B, SET) */
    uint8_t index;
    uint8_t memory[CMOS_SIZE];
    struct port_device ports;
};

/* now and cookie are the caller's to fill in first. ram_size: of the RAM from 0 up, what the
 * memory-size bytes tell. */
void mc146818_reset(struct mc146818 *clock, uint64_t ram_size);

/* The index register at offset 0, the data register at offset 1. */
uint8_t mc146818_read(struct mc146818 *clock, unsigned offset);
void mc146818_write(struct mc146818 *clock, unsigned offset, uint8_t value);

int mc146818_attach(struct mc146818 *clock, vm_t *vm, uint16_t base);

#endif
