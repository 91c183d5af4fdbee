/* hostvm run. */
#ifndef RUN_H
#define RUN_H

#include "options/options.h"

/* Boots a guest and runs it to its end. Returns the exit status. */
int run_guest(const struct options *options);

#endif
