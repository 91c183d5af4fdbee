/* Input on its way to the guest. */
#include "input.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void watch(struct input *input, bool wanted)
{
    if (!input->can_watch || input->is_watching == wanted) {
        return;
    }
    if (input->ops->watch(input->cookie, input->console->in, wanted)) {
        input->is_watching = wanted;
    }
}

static void watch_for_room(struct input *input)
{
    watch(input, !input->is_closed && input->nr_bytes < INPUT_SIZE);
}

/* False: nothing is passed on. */
static bool pass_on(struct input *input)
{
    size_t n;

    if (input->nr_bytes == 0) {
        return false;
    }
    n = input->ops->receive(input->cookie, input->bytes, input->nr_bytes);
    input->nr_bytes -= n;
    memmove(input->bytes, input->bytes + n, input->nr_bytes);
    return n > 0;
}

static void help_if_wanted(struct input *input)
{
    if (input->console->wants_help) {
        input->console->wants_help = false;
        input->ops->show(input->cookie, console_help);
    }
}

/* Takes what the terminal has, as far as there is room. */
static void take(struct input *input)
{
    size_t room = INPUT_SIZE - input->nr_bytes;
    size_t n;

    if (input->is_closed || room == 0) {
        return;
    }
    switch (console_read(input->console, input->bytes + input->nr_bytes, room, &n)) {
    case CONSOLE_DATA:
        input->nr_bytes += n;
        break;
    case CONSOLE_END:
        input->ops->end(input->cookie);
        break;
    case CONSOLE_CLOSED:
        input->is_closed = true;
        break;
    }
    help_if_wanted(input);
}

void input_ready(struct input *input)
{
    take(input);
    (void)pass_on(input); /* what it has no room for waits */
    watch_for_room(input);
}

bool input_drained(struct input *input)
{
    bool has_passed;

    if (input->nr_bytes == 0 && !input->can_watch) {
        take(input);
    }
    has_passed = pass_on(input);
    watch_for_room(input);
    return has_passed && input->nr_bytes == 0 && !input->can_watch && !input->is_closed;
}

/* The others, files and /dev/null, epoll refuses; they keep no reader waiting. */
static bool can_be_watched(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) == 0 &&
           (S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode) || isatty(fd));
}

void input_start(struct input *input, struct console *console, const struct input_ops *ops,
                 void *cookie)
{
    *input = (struct input){.console = console, .ops = ops, .cookie = cookie};
    input->can_watch = can_be_watched(console->in);
    if (input->can_watch) {
        watch(input, true);
    } else {
        (void)input_drained(input); /* the device calls when its guest is there */
    }
}

void input_end(struct input *input)
{
    if (input->is_watching) {
        watch(input, false);
    }
    input->is_closed = true;
}
