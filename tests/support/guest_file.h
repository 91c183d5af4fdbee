/* Guests of guests/, in a VM for tests. */
#ifndef SUPPORT_GUEST_FILE_H
#define SUPPORT_GUEST_FILE_H

#include "lib/contract.h"
#include "support/vm.h"

/* Gives the VM all the RAM that guests expect, loads guests/NAME and has the vcpu begin there. What
 * it prints is kept. */
void guest_file_boot(struct testvm *t, const char *name);

/* What the guest booted last has printed so far. */
const char *guest_file_printed(void);

/* Runs the guest to its end. Fails the test, and shows what the guest printed, unless all of its
 * checks passed. */
void guest_file_run(struct testvm *t);

/* More ports of the guest's, behind guest_file_boot: what it exchanges by them goes through the
 * function. */
void guest_file_take_ports(struct testvm *t, unsigned first, unsigned last, port_fn fn,
                           void *cookie);

/* The two reservations at GUEST_DEVICE_BASE, of the guest booted last: bytes that keep what is
 * stored there, and the sizes of the first accesses. */
struct guest_file_device {
    uint8_t bytes[GUEST_DEVICE_SIZE];
    uint8_t sizes[32];
    unsigned nr_accesses;
};
const struct guest_file_device *guest_file_add_device(struct testvm *t);

#endif
