/* The command's terminal: bytes in and out, escape keys, and the terminal's state given back on
 * every way out. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

/* Bytes that wait to be written; one write(2) for a burst of them. */
enum { CONSOLE_BUFFER = 4096 };

struct console {
    int in; /* -1: nothing comes (any more) */
    int out;
    int interrupt;        /* readable: do not wait for the output any longer; -1: none */
    bool is_hurried;      /* the end is near: what has no room at once is lost */
    bool is_raw;          /* in is a terminal of ours, and raw */
    struct termios saved; /* its state before */
    bool is_escaped;      /* Ctrl-a was the last key */
    bool is_broken;       /* nobody reads the output any more */
    uint8_t pending[CONSOLE_BUFFER];
    size_t nr_pending;
};

enum console_key {
    CONSOLE_DATA,   /* bytes for the guest */
    CONSOLE_END,    /* Ctrl-a x */
    CONSOLE_CLOSED, /* nothing more will come */
};

/* Standard input and output; a terminal becomes raw. */
void console_open(struct console *console);

/* After the process was stopped, or came to the foreground: a terminal that is not raw becomes so
 * again. */
void console_resume(struct console *console);

/* Writes what is pending and gives the terminal back its state. Safe to call twice, and before
 * open. */
void console_close(struct console *console);

/* Output. */
void console_put(struct console *console, uint8_t byte);
void console_flush(struct console *console);

/*
 * Reads what is there, at most size bytes, takes the escape keys out and answers them; ret_nr_bytes
 * is what remains for the guest.
 */
enum console_key console_read(struct console *console, uint8_t *bytes, size_t size,
                              size_t *ret_nr_bytes);

#endif
