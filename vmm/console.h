/* The command's terminal: bytes in and out, escape keys, its size, and its state given back on
 * every way out. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <termios.h>

/* Bytes that wait to be written; one write(2) for a burst of them. */
enum { CONSOLE_BUFFER = 4096 };

struct console {
    int in;
    int out;
    bool owns_in, owns_out; /* opened here, again, so that nobody waits in a read or a write */
    int interrupt;          /* readable: do not wait for the output any longer; -1: none */
    bool is_hurried;        /* the end is near: what has no room at once is lost */
    atomic_bool is_raw;     /* in is a terminal of ours, and raw */
    struct termios saved;   /* its state before */
    bool is_escaped;        /* Ctrl-a was the last key */
    bool wants_help;       /* Ctrl-a h was typed: whoever reads shows console_help, and clears it */
    atomic_bool is_broken; /* nobody reads the output any more */
    uint8_t pending[CONSOLE_BUFFER];
    size_t nr_pending;

    /* The terminal may have another size; NULL: nobody wants to know. */
    void (*resized)(void *cookie);
    void *resized_cookie;
};

enum console_key {
    CONSOLE_DATA,   /* bytes for the guest */
    CONSOLE_END,    /* Ctrl-a x */
    CONSOLE_CLOSED, /* nothing more will come */
};

/* What the escape keys are, for people. */
extern const char console_help[];

/* Standard input and output; a terminal becomes raw. */
void console_open(struct console *console);

/* Before the process is stopped: writes what is pending and gives the terminal back its state. */
void console_suspend(struct console *console);

/* After the process was stopped, or came to the foreground: a terminal that is not raw becomes so
 * again. */
void console_resume(struct console *console);

/* As console_suspend, for good. Safe to call twice, and before open. */
void console_close(struct console *console);

/* --- output: gathered, and waited for, by the thread that writes --- */

void console_put(struct console *console, uint8_t byte);
void console_flush(struct console *console);

/* --- output: at once. From any thread --- */

/* Writes as much as there is room for, and says how much: 0 when there is none. All of it when
 * nobody reads any more. */
size_t console_write(struct console *console, const struct iovec *iov, int nr_iov);

/* Waits until there is room, or nobody reads any more. False: something more urgent came. */
bool console_wait(const struct console *console);

/* --- size --- */

/* False: the output is no terminal, or one that does not tell. */
bool console_size(const struct console *console, uint16_t *ret_columns, uint16_t *ret_rows);

/* --- input --- */

/*
 * Reads what is there, at most size bytes, and takes the escape keys out; ret_nr_bytes is what
 * remains for the guest.
 */
enum console_key console_read(struct console *console, uint8_t *bytes, size_t size,
                              size_t *ret_nr_bytes);

#endif
