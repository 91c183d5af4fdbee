/* Calls of the library in which everything that can fail does, one after the other. */
#ifndef SUPPORT_OPERATION_H
#define SUPPORT_OPERATION_H

#include "support/vm.h"

enum { OPERATION_FRAMES = 4, OPERATION_MAX_CALLS = 10000 };

/* What the operations work with, fresh for each failure. */
struct scene {
    struct testvm *t;
    vm_memory_reservation_t *reservation;
    seL4_CPtr frames[OPERATION_FRAMES];
    int fd;
};

struct operation {
    void (*prepare)(struct scene *scene);
    int (*perform)(struct scene *scene); /* 0 or -1; what may fail */
    void (*undone)(struct scene *scene); /* checks after a failure; NULL: nothing to see */
    void (*done)(struct scene *scene);   /* checks after success; NULL: nothing to see */
    void (*clean)(struct scene *scene);  /* NULL: hostvm_vm_destroy does */
};

/* Performs the operation with a failure of its first call, its second, and so on until it makes no
 * more: each time it fails with a reason, and succeeds when it is performed again. */
void operation_fail_each(const struct operation *op);

/* A prepare that has nothing to do. */
void operation_needs_nothing(struct scene *scene);

/* For operations of another shape: leaves a reason that is none of theirs; fails the test if that
 * is still the last after call n has failed. */
void operation_forget_reason(void);
void operation_check_reason(unsigned n);

#endif
