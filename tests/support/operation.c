/* Calls of the library in which everything that can fail does, one after the other. */
#include "support/operation.h"

#include <string.h>

#include "support/inject.h"

/* Leaves a reason that is none of the operation's. */
void operation_forget_reason(void)
{
    assert_int_equal(hostvm_vm_stop(NULL), -1);
}

void operation_check_reason(unsigned n)
{
    if (strcmp(hostvm_last_error(), "hostvm_vm_stop: no VM, or one without vm_init") == 0 ||
        hostvm_last_error()[0] == '\0') {
        fail_msg("no reason for the failure of call %u", n);
    }
}

static void call_if(void (*step)(struct scene *scene), struct scene *scene)
{
    if (step != NULL) {
        step(scene);
    }
}

/* Performs the operation while its n-th call fails. False: it does not make so many. */
static bool fail_nth(const struct operation *op, unsigned n)
{
    struct scene scene = {.t = testvm_create(), .fd = -1};
    bool has_failed;
    int r;

    op->prepare(&scene);
    operation_forget_reason();
    inject_fail_nth(n);
    r = op->perform(&scene);
    has_failed = inject_disarm();
    if (r != 0) {
        if (!has_failed) {
            fail_msg("%s", hostvm_last_error());
        }
        operation_check_reason(n);
        call_if(op->undone, &scene);
        if (op->perform(&scene) != 0) {
            fail_msg("after a failure of call %u: %s", n, hostvm_last_error());
        }
    }
    call_if(op->done, &scene);
    call_if(op->clean, &scene);
    testvm_destroy(scene.t);
    return has_failed;
}

void operation_fail_each(const struct operation *op)
{
    unsigned n = 1;

    while (fail_nth(op, n)) {
        n++;
        assert_true(n < OPERATION_MAX_CALLS);
    }
    assert_true(n > 1);
}

void operation_needs_nothing(struct scene *scene)
{
    (void)scene;
}
