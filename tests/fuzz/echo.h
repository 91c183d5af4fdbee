/* A device that answers every buffer with bytes of its own: what the core and the transports are
 * tried with. */
#ifndef FUZZ_ECHO_H
#define FUZZ_ECHO_H

#include <hostvm/virtio.h>

#include "back/worker.h"

hostvm_virtio_t *echo_create(vm_t *vm, struct worker *worker);
void echo_destroy(void);
void echo_host(void);

#endif
