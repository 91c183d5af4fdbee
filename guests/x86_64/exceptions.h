/* The interrupt table: exceptions end the guest, interrupts go to its handler. */
#ifndef X86_64_EXCEPTIONS_H
#define X86_64_EXCEPTIONS_H

#include <stdint.h>

enum {
    NR_EXCEPTIONS = 32,
    NR_VECTORS = 48,    /* two interrupt controllers of 8 lines behind the exceptions */
};

/* Every exception prints its vector, error code and rip, and ends with GUEST_EXIT_EXCEPTION. */
void exceptions_install(void);

/* A table without entries: the next exception is a triple fault. */
void exceptions_remove(void);

/* Called with interrupts off, for vectors from NR_EXCEPTIONS on. */
typedef void (*interrupt_fn)(unsigned vector);

void interrupts_handle(interrupt_fn handler);

#endif
