/* The command's terminal at a serial port. */
#include "serial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <hostvm/events.h>
#include <hostvm/vm.h>

/* Long enough to gather a burst of single bytes, short enough not to be felt. */
enum { FLUSH_DELAY_NS = 5000000 };

/*
 * --- output: the first byte after a pause goes out at once, so that nothing typed waits for its
 * echo; those that follow it closely are gathered, and go out together at a newline or when the
 * timer ends. ---
 */

static void arm_timer(struct serial *serial)
{
    const struct itimerspec soon = {.it_value.tv_nsec = FLUSH_DELAY_NS};

    serial->is_timer_armed = timerfd_settime(serial->timer_fd, 0, &soon, NULL) == 0;
}

void serial_transmit(void *cookie, uint8_t byte)
{
    struct serial *serial = cookie;

    console_put(serial->console, byte);
    if (byte == '\n' || !serial->is_timer_armed) {
        console_flush(serial->console);
    }
    if (!serial->is_timer_armed) {
        arm_timer(serial);
    }
}

/*
 * --- input: a buffer of ours stands before the port's FIFO, so that escape keys are seen although
 * the guest takes nothing. When it is full, reading pauses: nothing is lost. ---
 */

static void pass_on(struct serial *serial)
{
    size_t n = serial->port.receive(serial->port.chip, serial->input, serial->nr_input);

    serial->nr_input -= n;
    memmove(serial->input, serial->input + n, serial->nr_input);
}

static int input_ready(vm_t *vm, int fd, void *cookie);

static void watch(struct serial *serial, bool wanted)
{
    if (!serial->can_watch || serial->is_watching == wanted) {
        return;
    }
    if (wanted) {
        serial->is_watching =
            hostvm_event_add(serial->vm, serial->console->in, input_ready, serial) == 0;
    } else {
        (void)hostvm_event_remove(serial->vm, serial->console->in); /* it is watched */
        serial->is_watching = false;
    }
}

static void input_closed(struct serial *serial)
{
    watch(serial, false);
    serial->console->in = -1;
}

/* Takes what the terminal has, as far as there is room. False: there is nothing (more) to take now.
 */
static bool take_input(struct serial *serial)
{
    size_t room = SERIAL_INPUT - serial->nr_input;
    size_t n;

    if (serial->console->in < 0 || room == 0) {
        return false;
    }
    switch (console_read(serial->console, serial->input + serial->nr_input, room, &n)) {
    case CONSOLE_DATA:
        serial->nr_input += n;
        return n > 0;
    case CONSOLE_END:
        (void)hostvm_vm_stop(serial->vm);
        return false;
    case CONSOLE_CLOSED:
        input_closed(serial);
        return false;
    }
    return false;
}

static void watch_for_room(struct serial *serial)
{
    watch(serial, serial->console->in >= 0 && serial->nr_input < SERIAL_INPUT);
}

static int input_ready(vm_t *vm, int fd, void *cookie)
{
    struct serial *serial = cookie;

    (void)vm;
    (void)fd;
    (void)take_input(serial);
    pass_on(serial);
    watch_for_room(serial);
    return 0;
}

/* The guest has taken what there was. Input that cannot be watched is read here, when there is use
 * for it. */
void serial_drained(void *cookie)
{
    struct serial *serial = cookie;

    if (serial->vm == NULL) {
        return;
    }
    if (serial->nr_input == 0 && !serial->can_watch) {
        (void)take_input(serial);
    }
    pass_on(serial);
    watch_for_room(serial);
}

/* A guest that looks for bytes, and throws away what it finds until there are none, is to find an
 * end. */
void serial_drained_soon(void *cookie)
{
    struct serial *serial = cookie;

    if (serial->vm == NULL) {
        return;
    }
    serial->is_drained = true;
    if (!serial->is_timer_armed) {
        arm_timer(serial);
    }
}

static int timer_fired(vm_t *vm, int fd, void *cookie)
{
    struct serial *serial = cookie;
    uint64_t count;

    (void)vm;
    (void)!read(fd, &count, sizeof(count));
    serial->is_timer_armed = false;
    console_flush(serial->console);
    if (serial->is_drained) {
        serial->is_drained = false;
        serial_drained(serial);
    }
    return 0;
}

/* --- putting it together --- */

static bool can_be_watched(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool can = epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;

    if (epoll_fd >= 0) {
        (void)close(epoll_fd);
    }
    return can;
}

static void close_timer(struct serial *serial)
{
    (void)close(serial->timer_fd);
    serial->timer_fd = -1;
}

int serial_attach(struct serial *serial, vm_t *vm, struct console *console, struct serial_port port)
{
    *serial = (struct serial){.vm = vm, .console = console, .port = port};
    serial->can_watch = can_be_watched(console->in);
    serial->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (serial->timer_fd < 0) {
        (void)fprintf(stderr, "hostvm: cannot create a timer for the serial port: %s\n",
                      strerror(errno));
        return -1;
    }
    if (hostvm_event_add(vm, serial->timer_fd, timer_fired, serial) != 0) {
        close_timer(serial);
        return -1;
    }
    if (serial->can_watch) {
        watch(serial, true);
    } else {
        serial_drained(serial);
    }
    return 0;
}

void serial_detach(struct serial *serial)
{
    if (serial->vm == NULL) {
        return;
    }
    watch(serial, false);
    if (serial->timer_fd >= 0) {
        (void)hostvm_event_remove(serial->vm, serial->timer_fd);
        close_timer(serial);
    }
}
