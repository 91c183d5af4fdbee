/* The virtio console (virtio 1.2, 5.3) with the command's terminal at it: the guest's hvc0. */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include <hostvm/virtio.h>

#include "back/worker.h"

struct console;
struct virtio_console;

/*
 * One port, on the terminal, which is open and nobody else's to read or write. Its size is the
 * terminal's. Work is done on the worker: a terminal that takes no output keeps the guest's in the
 * guest, and nobody else waiting. Escape keys work whether the guest has a driver or not.
 *
 * Worker and terminal live longer. NULL: the host refuses; it was said.
 */
struct virtio_console *virtio_console_create(vm_t *vm, struct worker *worker,
                                             struct console *terminal);

/* For the machine to attach; it is the console's. */
hostvm_virtio_t *virtio_console_device(struct virtio_console *console);

/* What the guest has written goes out first, as long as somebody takes it and nothing more urgent
 * comes (console_wait). Then as hostvm_virtio_destroy. NULL is fine. */
void virtio_console_destroy(struct virtio_console *console);

#endif
