/* What goes to the terminal: what it does not take at once stays in the guest's queue. */
#include "virtio/console_output.h"

#include <string.h>

/* Also of no size, for which no bytes are counted. */
enum { TURN_BUFFERS = 2 * CONSOLE_QUEUE_SIZE };

void console_output_init(struct console_output *output, struct console *terminal,
                         hostvm_virtqueue_t *queue)
{
    *output = (struct console_output){.terminal = terminal, .queue = queue, .message = ""};
}

static void advance(struct console_output *output, size_t done)
{
    while (output->next_iov < output->buffer.nr_out) {
        struct iovec *piece = &output->iov[output->next_iov];

        if (done < piece->iov_len) {
            piece->iov_base = (char *)piece->iov_base + done;
            piece->iov_len -= done;
            return;
        }
        done -= piece->iov_len;
        output->next_iov++;
    }
}

/* The next buffer, unless there is one on its way. */
static bool take_buffer(struct console_output *output)
{
    if (!output->has_buffer) {
        output->buffer.iov = output->iov;
        output->buffer.iov_max = CONSOLE_QUEUE_SIZE;
        output->has_buffer = hostvm_virtqueue_pop(output->queue, &output->buffer) > 0;
        output->next_iov = 0;
    }
    return output->has_buffer;
}

/* False: the terminal has no room. */
static bool send_buffer(struct console_output *output, size_t *left)
{
    advance(output, 0); /* past pieces of no size */
    while (*left > 0 && output->next_iov < output->buffer.nr_out) {
        size_t n = console_write(output->terminal, &output->iov[output->next_iov],
                                 (int)(output->buffer.nr_out - output->next_iov));

        if (n == 0) {
            return false;
        }
        advance(output, n);
        *left -= n < *left ? n : *left;
    }
    if (output->next_iov == output->buffer.nr_out) {
        hostvm_virtqueue_push(output->queue, &output->buffer, 0);
        output->has_buffer = false;
    }
    return true;
}

static bool send_message(struct console_output *output)
{
    while (*output->message != '\0') {
        struct iovec piece = {(void *)(uintptr_t)output->message, strlen(output->message)};
        size_t n = console_write(output->terminal, &piece, 1);

        if (n == 0) {
            return false;
        }
        output->message += n;
    }
    return true;
}

enum console_outcome console_output_send(struct console_output *output, bool is_started,
                                         size_t *left)
{
    if (!send_message(output)) {
        return NO_ROOM;
    }
    if (!is_started) {
        return SENT_ALL;
    }
    for (unsigned i = 0; *left > 0 && i < TURN_BUFFERS; i++) {
        if (!take_buffer(output)) {
            return SENT_ALL;
        }
        if (!send_buffer(output, left)) {
            return NO_ROOM;
        }
    }
    return SENT_ITS_TURN;
}
