/* A million random calls of the memory functions come to what plain arrays come to; no KVM needed.
 */
#include "support/model_run.h"

#include "arch/arch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { NR_OPS = 100000 };
#else
enum { NR_OPS = 1000000 };
#endif

static void go_live(struct testvm *t)
{
    assert_int_equal(kvm_slots_go_live(&t->vm.hosted->kvm), 0);
}

static void test_random_calls_come_to_what_the_model_says(void **state)
{
    static const struct model_target target = {go_live, fake_kvm_slots};

    (void)state;
    fake_kvm_begin();
    model_run(&target, NR_OPS);
    fake_kvm_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_calls_come_to_what_the_model_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
