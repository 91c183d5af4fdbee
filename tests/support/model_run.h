/* Random calls of the memory functions, each compared with what the model says. */
#ifndef SUPPORT_MODEL_RUN_H
#define SUPPORT_MODEL_RUN_H

#include "support/fake_kvm.h"
#include "support/vm.h"

struct model_target {
    void (*go_live)(struct testvm *t); /* from here on KVM is told of every change */
    size_t (*get_slots)(struct fake_slot *ret, size_t nr_max); /* NULL: nobody can tell */
};

/*
 * Makes nr_ops calls on one VM after the other. Fails the test at the first difference and says how
 * to have it again. The environment variable HOSTVM_MODEL_SEED, a number, chooses the calls, and
 * HOSTVM_MODEL_OPS says how many.
 */
void model_run(const struct model_target *target, unsigned long nr_ops);

#endif
