/* Random calls of the memory functions, each change of a memory slot made by a KVM. */
#include "support/model_run.h"

/* The million is tests/unit/test_model's: here each change waits for the kernel. */
enum { NR_OPS = 100000 };

static void go_live(struct testvm *t)
{
    vm_vcpu_t *vcpu = vm_create_vcpu(&t->vm, 0);

    assert_non_null(vcpu);
    assert_int_equal(vcpu_start(vcpu), 0);
}

static void test_random_calls_come_to_what_the_model_says(void **state)
{
    static const struct model_target target = {go_live, NULL};

    (void)state;
    model_run(&target, NR_OPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_calls_come_to_what_the_model_says),
    };

    return run_vm_tests(tests);
}
