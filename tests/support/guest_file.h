/* Guests of guests/, in a VM for tests. */
#ifndef SUPPORT_GUEST_FILE_H
#define SUPPORT_GUEST_FILE_H

#include "support/vm.h"

/* Gives the VM all the RAM that guests expect, loads guests/NAME and has the vcpu begin there. What
 * it prints is kept. */
void guest_file_boot(struct testvm *t, const char *name);

/* What the guest booted last has printed so far. */
const char *guest_file_printed(void);

/* Runs the guest to its end. Fails the test, and shows what the guest printed, unless all of its
 * checks passed. */
void guest_file_run(struct testvm *t);

#endif
