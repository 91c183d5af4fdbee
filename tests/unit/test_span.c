/* Spans: aligned, exactly as long as asked, and never half taken. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/span.h"
#include "support/inject.h"
#include "support/leak.h"

static void test_a_span_is_aligned_and_gives_all_back(void **state)
{
    static const uint64_t aligns[] = {4096, 1 << 20, 1 << 30};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct leak_state before;
        void *span;

        leak_begin(&before);
        span = span_reserve(0x5000, aligns[i]);
        assert_non_null(span);
        assert_int_equal((uintptr_t)span % aligns[i], 0);
        munmap(span, 0x5000);
        leak_check(&before);
    }
}

static void test_impossible_spans_are_none(void **state)
{
    (void)state;
    assert_null(span_reserve(UINT64_MAX - 4095, 4096));
    assert_null(span_reserve(UINT64_C(1) << 60, 4096));
    inject_fail_nth(1);
    assert_null(span_reserve(4096, 4096));
    assert_true(inject_disarm());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_span_is_aligned_and_gives_all_back),
        cmocka_unit_test(test_impossible_spans_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
