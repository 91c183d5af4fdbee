/* What is typed at the command's terminal, until the guest takes it. */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console.h"

/* Typed ahead of what the guest's device has room for. */
enum { INPUT_SIZE = 4096 };

/* The device that the guest reads from, and the event loop that serves it. All are called by the
 * thread that calls input_start, input_ready and input_drained: one at a time. */
struct input_ops {
    /* The guest's device: it takes as many bytes as it has room for. */
    size_t (*receive)(void *cookie, const uint8_t *bytes, size_t nr_bytes);
    /* Has input_ready called whenever fd is readable, or no longer. False: that does not go. */
    bool (*watch)(void *cookie, int fd, bool wanted);
    /* For the eyes of who typed. */
    void (*show)(void *cookie, const char *text);
    /* The user ends the VM. */
    void (*end)(void *cookie);
};

/*
 * Escape keys are seen although the guest takes nothing, as long as there is room for what else is
 * typed. When it is full, reading pauses: nothing is lost.
 */
struct input {
    struct console *console;
    const struct input_ops *ops;
    void *cookie;
    uint8_t bytes[INPUT_SIZE]; /* oldest first */
    size_t nr_bytes;
    bool is_closed;   /* nothing more comes */
    bool is_watching; /* input_ready will be called */
    bool can_watch;   /* files and /dev/null cannot be watched: they are read when there is room */
};

/* console, ops and cookie live as long as the input. */
void input_start(struct input *input, struct console *console, const struct input_ops *ops,
                 void *cookie);

/* The terminal has something. */
void input_ready(struct input *input);

/* The guest's device has room again. True: there may be more, of which nobody will tell; to be
 * called again unless the device calls for itself. */
bool input_drained(struct input *input);

/* Ends the watch. Safe to call twice, and on zeros. */
void input_end(struct input *input);

#endif
