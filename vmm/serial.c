/* The command's terminal at a serial port. */
#include "serial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
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

    if (serial->vm == NULL) {
        return; /* nobody is at this port */
    }
    console_put(serial->console, byte);
    if (byte == '\n' || !serial->is_timer_armed) {
        console_flush(serial->console);
    }
    if (!serial->is_timer_armed) {
        arm_timer(serial);
    }
}

/* --- input, in the VM's event loop --- */

static size_t receive(void *cookie, const uint8_t *bytes, size_t nr_bytes)
{
    struct serial *serial = cookie;

    return serial->port.receive(serial->port.chip, bytes, nr_bytes);
}

static int input_is_readable(vm_t *vm, int fd, void *cookie)
{
    struct serial *serial = cookie;

    (void)vm;
    (void)fd;
    input_ready(&serial->input);
    return 0;
}

static bool watch(void *cookie, int fd, bool wanted)
{
    struct serial *serial = cookie;

    if (wanted) {
        return hostvm_event_add(serial->vm, fd, input_is_readable, serial) == 0;
    }
    return hostvm_event_remove(serial->vm, fd) == 0;
}

static void show(void *cookie, const char *text)
{
    struct serial *serial = cookie;

    for (; *text != '\0'; text++) {
        console_put(serial->console, (uint8_t)*text);
    }
    console_flush(serial->console);
}

static void end(void *cookie)
{
    struct serial *serial = cookie;

    (void)hostvm_vm_stop(serial->vm); /* it is there: cannot fail */
}

static const struct input_ops input_ops = {
    .receive = receive,
    .watch = watch,
    .show = show,
    .end = end,
};

void serial_drained(void *cookie)
{
    struct serial *serial = cookie;

    if (serial->vm != NULL) {
        (void)input_drained(&serial->input); /* the chip calls again when all is taken */
    }
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

static void close_timer(struct serial *serial)
{
    (void)close(serial->timer_fd);
    serial->timer_fd = -1;
}

int serial_attach(struct serial *serial, vm_t *vm, struct console *console, struct serial_port port)
{
    *serial = (struct serial){.vm = vm, .console = console, .port = port};
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
    input_start(&serial->input, console, &input_ops, serial);
    return 0;
}

void serial_detach(struct serial *serial)
{
    if (serial->vm == NULL) {
        return;
    }
    input_end(&serial->input);
    if (serial->timer_fd >= 0) {
        (void)hostvm_event_remove(serial->vm, serial->timer_fd);
        close_timer(serial);
    }
}
