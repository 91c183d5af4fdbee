/* The virtio console's way to the terminal. Of the worker's thread alone. */
#ifndef VIRTIO_CONSOLE_OUTPUT_H
#define VIRTIO_CONSOLE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include <hostvm/virtio.h>

#include "../console.h"

enum { CONSOLE_QUEUE_SIZE = 64 };

struct console_output {
    struct console *terminal;
    hostvm_virtqueue_t *queue;
    const char *message; /* of our own, on its way to the terminal; "": none */
    bool has_buffer;     /* the guest's that is on its way */
    hostvm_virtio_buffer_t buffer;
    struct iovec iov[CONSOLE_QUEUE_SIZE]; /* what is left of it: from next_iov on */
    unsigned next_iov;
};

void console_output_init(struct console_output *output, struct console *terminal,
                         hostvm_virtqueue_t *queue);

/* The message, then, where the driver is started, the guest's buffers: at most *left bytes, give or
 * take a write, which it counts down. */
enum console_outcome { SENT_ALL, SENT_ITS_TURN, NO_ROOM };
enum console_outcome console_output_send(struct console_output *output, bool is_started,
                                         size_t *left);

#endif
