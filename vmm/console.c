/* The command's terminal. */
#include "console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { ESCAPE = 0x01 /* Ctrl-a */ };

static const char help[] =
    "\r\nhostvm: Ctrl-a x ends the VM, Ctrl-a a sends Ctrl-a, Ctrl-a h shows this\r\n";

/* Only a terminal whose foreground we are is ours to change: a background job would be stopped for
 * it. */
static bool is_ours(int fd)
{
    return isatty(fd) && tcgetpgrp(fd) == getpgrp();
}

static void make_raw(struct console *console)
{
    struct termios raw;

    if (!is_ours(console->in) || tcgetattr(console->in, &console->saved) < 0) {
        return;
    }
    raw = console->saved;
    cfmakeraw(&raw);
    raw.c_oflag =
        console->saved.c_oflag; /* newlines of our own messages keep their carriage return */
    console->is_raw = tcsetattr(console->in, TCSANOW, &raw) == 0;
}

void console_open(struct console *console)
{
    *console = (struct console){.in = STDIN_FILENO, .out = STDOUT_FILENO, .interrupt = -1};
    make_raw(console);
}

void console_resume(struct console *console)
{
    if (!console->is_raw && console->in >= 0) {
        make_raw(console);
    }
}

void console_close(struct console *console)
{
    console_flush(console);
    if (console->is_raw) {
        (void)tcsetattr(console->in, TCSANOW, &console->saved); /* it is gone when this fails */
        console->is_raw = false;
    }
}

/* --- output --- */

/* Waits until somebody takes output, or nobody will. False: something more urgent came. */
static bool wait_writable(const struct console *console)
{
    struct pollfd fds[2] = {
        {.fd = console->out, .events = POLLOUT},
        {.fd = console->interrupt, .events = POLLIN},
    };

    while (poll(fds, 2, console->is_hurried ? 0 : -1) < 0 && errno == EINTR) {
    }
    return fds[0].revents != 0;
}

/* A blocking write is asked for only when there is room: whoever reads us may have stopped reading.
 */
void console_flush(struct console *console)
{
    size_t done = 0;

    while (done < console->nr_pending && !console->is_broken) {
        ssize_t n;

        if (!wait_writable(console)) {
            break; /* the rest is lost: the VM is about to end */
        }
        n = write(console->out, console->pending + done, console->nr_pending - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            console->is_broken = true; /* the guest goes on, unheard */
        }
    }
    console->nr_pending = 0;
}

void console_put(struct console *console, uint8_t byte)
{
    console->pending[console->nr_pending++] = byte;
    if (console->nr_pending == CONSOLE_BUFFER) {
        console_flush(console);
    }
}

/* --- input --- */

static void show_help(struct console *console)
{
    for (const char *p = help; *p != '\0'; p++) {
        console_put(console, (uint8_t)*p);
    }
    console_flush(console);
}

/* Takes escape keys out of bytes, in place. */
static enum console_key filter(struct console *console, uint8_t *bytes, size_t nr_bytes,
                               size_t *ret_nr_bytes)
{
    size_t kept = 0;

    for (size_t i = 0; i < nr_bytes; i++) {
        uint8_t key = bytes[i];

        if (!console->is_escaped && key == ESCAPE) {
            console->is_escaped = true;
            continue;
        }
        if (console->is_escaped) {
            console->is_escaped = false;
            if (key == 'x') {
                return CONSOLE_END;
            }
            if (key == 'h') {
                show_help(console);
                continue;
            }
            key = key == 'a' ? ESCAPE : key;
        }
        bytes[kept++] = key;
    }
    *ret_nr_bytes = kept;
    return CONSOLE_DATA;
}

enum console_key console_read(struct console *console, uint8_t *bytes, size_t size,
                              size_t *ret_nr_bytes)
{
    ssize_t n = read(console->in, bytes, size);

    *ret_nr_bytes = 0;
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return CONSOLE_DATA;
    }
    if (n <= 0) {
        return CONSOLE_CLOSED;
    }
    /* Escape keys are for people; what comes through a pipe is the guest's as it is. */
    if (!console->is_raw) {
        *ret_nr_bytes = (size_t)n;
        return CONSOLE_DATA;
    }
    return filter(console, bytes, (size_t)n, ret_nr_bytes);
}
