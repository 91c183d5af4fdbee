/* The command's terminal. */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ESCAPE = 0x01, /* Ctrl-a */
    AT_ONCE =
        PIPE_BUF, /* what a descriptor that says it has room takes, as far as it can be known */
};

const char console_help[] =
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

/*
 * A terminal, or a pipe, once more, so that it can be made non-blocking without the other programs
 * that share the one we were given: a terminal that says it has room may have too little. The
 * others (files) do not block; where the host forbids it, the one that we have must do.
 */
static int open_again(int fd, int flags)
{
    char name[32];
    struct stat stat;

    if (fstat(fd, &stat) < 0 || !(S_ISFIFO(stat.st_mode) || isatty(fd))) {
        return -1;
    }
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return open(name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void console_open(struct console *console)
{
    int in = open_again(STDIN_FILENO, O_RDONLY);
    int out = open_again(STDOUT_FILENO, O_WRONLY);

    *console = (struct console){.in = in >= 0 ? in : STDIN_FILENO,
                                .out = out >= 0 ? out : STDOUT_FILENO,
                                .owns_in = in >= 0,
                                .owns_out = out >= 0,
                                .interrupt = -1};
    make_raw(console);
}

void console_resume(struct console *console)
{
    if (!console->is_raw) {
        make_raw(console);
    }
}

void console_suspend(struct console *console)
{
    console_flush(console);
    if (console->is_raw) {
        (void)tcsetattr(console->in, TCSANOW, &console->saved); /* it is gone when this fails */
        console->is_raw = false;
    }
}

void console_close(struct console *console)
{
    console_suspend(console);
    if (console->owns_in) {
        (void)close(console->in);
    }
    if (console->owns_out) {
        (void)close(console->out);
    }
    console->owns_in = false;
    console->owns_out = false;
    console->in = STDIN_FILENO;
    console->out = STDOUT_FILENO;
}

/* --- output --- */

bool console_wait(const struct console *console)
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

        if (!console_wait(console)) {
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

static size_t size_of(const struct iovec *iov, int nr_iov)
{
    size_t size = 0;

    for (int i = 0; i < nr_iov; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

static bool has_room(const struct console *console)
{
    struct pollfd fd = {.fd = console->out, .events = POLLOUT};

    return poll(&fd, 1, 0) > 0;
}

/* To a descriptor that may block: no more than it takes if it has room at all. */
static ssize_t write_carefully(const struct console *console, const struct iovec *iov, int nr_iov)
{
    while (nr_iov > 1 && iov->iov_len == 0) {
        iov++;
        nr_iov--;
    }
    if (!has_room(console)) {
        return 0;
    }
    return write(console->out, iov->iov_base, iov->iov_len < AT_ONCE ? iov->iov_len : AT_ONCE);
}

size_t console_write(struct console *console, const struct iovec *iov, int nr_iov)
{
    ssize_t n;

    if (console->is_broken) {
        return size_of(iov, nr_iov);
    }
    n = console->owns_out ? writev(console->out, iov, nr_iov)
                          : write_carefully(console, iov, nr_iov);
    if (n >= 0) {
        return (size_t)n;
    }
    if (errno == EINTR || errno == EAGAIN) {
        return 0;
    }
    console->is_broken = true; /* the guest goes on, unheard */
    return size_of(iov, nr_iov);
}

/* --- size --- */

bool console_size(const struct console *console, uint16_t *ret_columns, uint16_t *ret_rows)
{
    struct winsize size;

    if (ioctl(console->out, TIOCGWINSZ, &size) < 0) {
        return false;
    }
    *ret_columns = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}

/* --- input --- */

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
                console->wants_help = true;
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
