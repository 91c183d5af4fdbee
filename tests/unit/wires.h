/* What is at the other end of a UART's wires. */
#ifndef WIRES_H
#define WIRES_H

#include <stddef.h>
#include <stdint.h>

struct wires {
    uint8_t sent[4096];
    size_t nr_sent;
    unsigned nr_drained;
    int level;
    unsigned nr_changes;
};

static void wires_set_level(void *cookie, int level)
{
    struct wires *wires = cookie;

    assert_int_not_equal(level, wires->level); /* a change costs a system call: none for nothing */
    wires->level = level;
    wires->nr_changes++;
}

static void wires_transmit(void *cookie, uint8_t byte)
{
    struct wires *wires = cookie;

    wires->sent[wires->nr_sent++ % sizeof(wires->sent)] = byte;
}

static void wires_drained(void *cookie)
{
    struct wires *wires = cookie;

    wires->nr_drained++;
}

#endif
