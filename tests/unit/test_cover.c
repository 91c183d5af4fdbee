/*
 * Sets of addresses: what was added is found, what was not is not, by the glance and by the search,
 * also while another thread changes the set.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cover.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"

enum { PAGE = COVER_GRAIN, NR_PAGES = 64 };

static void add(struct cover *cover, uint64_t start, uint64_t size)
{
    assert_int_equal(cover_reserve(cover, 1), 0);
    cover_add(cover, (struct range){start, size});
}

static void take(struct cover *cover, uint64_t start, uint64_t size)
{
    assert_int_equal(cover_reserve(cover, 1), 0);
    cover_remove(cover, (struct range){start, size});
}

static bool has(const struct cover *cover, uint64_t start, uint64_t size)
{
    return cover_has(cover, (struct range){start, size});
}

static void test_an_empty_set_has_nothing(void **state)
{
    struct cover cover = {0};
    struct range run;

    (void)state;
    assert_true(cover_is_empty(&cover));
    assert_false(has(&cover, 0, 0));
    assert_false(has(&cover, 0, 1));
    assert_false(cover_seems_to_have(&cover, 0, 0));
    assert_false(cover_find(&cover, 0, &run));
    assert_false(cover_at_or_after(&cover, 0, &run));
    cover_remove(&cover, (struct range){0, PAGE});
    cover_fini(&cover);
}

static void test_what_touches_is_one_run(void **state)
{
    struct cover cover = {0};
    struct range run;

    (void)state;
    add(&cover, 2 * PAGE, PAGE);
    add(&cover, 4 * PAGE, PAGE);
    assert_false(has(&cover, 2 * PAGE, 2 * PAGE));
    add(&cover, 3 * PAGE, PAGE);
    assert_true(has(&cover, 2 * PAGE, 3 * PAGE));
    assert_true(cover_find(&cover, 3 * PAGE + 7, &run));
    assert_int_equal(run.start, 2 * PAGE);
    assert_int_equal(run.size, 3 * PAGE);
    take(&cover, 3 * PAGE, PAGE);
    assert_true(has(&cover, 3 * PAGE - 1, 1));
    assert_false(has(&cover, 3 * PAGE - 1, 2));
    assert_false(has(&cover, 3 * PAGE, 1));
    assert_true(has(&cover, 4 * PAGE, PAGE));
    assert_false(cover_is_empty(&cover));
    take(&cover, 2 * PAGE, 3 * PAGE);
    assert_true(cover_is_empty(&cover));
    cover_fini(&cover);
}

static void test_ranges_past_the_last_address_are_not_there(void **state)
{
    struct cover cover = {0};

    (void)state;
    add(&cover, PAGE, PAGE);
    add(&cover, UINT64_MAX - 2 * PAGE + 1, PAGE);
    for (int i = 0; i < 2; i++) {
        uint64_t start = i == 0 ? PAGE : UINT64_MAX - 2 * PAGE + 1;

        assert_true(has(&cover, start, PAGE));
        assert_false(has(&cover, start, PAGE + 1));
        assert_false(has(&cover, start + 1, UINT64_MAX));
        assert_false(has(&cover, start + 1, UINT64_MAX - start));
        assert_false(cover_seems_to_have(&cover, start + 1, UINT64_MAX));
        assert_false(cover_seems_to_have(&cover, start + PAGE, 0));
        assert_false(has(&cover, start + PAGE, 0));
    }
    cover_fini(&cover);
}

static void test_the_glance_finds_runs_from_powers_of_two_on(void **state)
{
    struct cover cover = {0};

    (void)state;
    add(&cover, 0, 0xa0000);
    add(&cover, 0x100000, 0xbff00000);
    add(&cover, 0x100000000, 0x40000000);
    assert_true(cover_seems_to_have(&cover, 0, 0xa0000));
    assert_true(cover_seems_to_have(&cover, 0x9ffff, 1));
    assert_false(cover_seems_to_have(&cover, 0x9ffff, 2));
    assert_true(cover_seems_to_have(&cover, 0x100000, 0xbff00000));
    assert_true(cover_seems_to_have(&cover, 0xbfffffff, 1));
    assert_true(cover_seems_to_have(&cover, 0x13fffffff, 1));
    assert_false(cover_seems_to_have(&cover, 0xc0000000, 1));
    take(&cover, 0x40000000, PAGE);
    assert_false(cover_seems_to_have(&cover, 0x40000000, 1));
    assert_true(cover_seems_to_have(&cover, 0x3fffffff, 1));
    assert_true(cover_seems_to_have(&cover, 0x80000000, 0x40000000));
    cover_fini(&cover);
}

/* Pages from an address that lies across a power of two. */
#define MODEL_BASE (0x40000000ull - NR_PAGES / 2 * PAGE)

static void check_model(const struct cover *cover, const bool *pages)
{
    assert_int_equal(cover_is_empty(cover), memchr(pages, true, NR_PAGES) == NULL);
    for (size_t first = 0; first < NR_PAGES; first++) {
        bool is_there = true;

        for (size_t nr = 1; first + nr <= NR_PAGES; nr++) {
            uint64_t start = MODEL_BASE + first * PAGE;

            is_there = is_there && pages[first + nr - 1];
            assert_int_equal(has(cover, start, nr * PAGE), is_there);
            if (cover_seems_to_have(cover, start, nr * PAGE)) {
                assert_true(is_there);
            }
        }
    }
}

static void test_a_thousand_changes_match_an_array(void **state)
{
    struct cover cover = {0};
    bool pages[NR_PAGES] = {false};
    unsigned seed = 1;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        size_t first = (size_t)rand_r(&seed) % NR_PAGES;
        size_t nr = 1 + (size_t)rand_r(&seed) % (NR_PAGES - first);
        bool is_added = rand_r(&seed) % 2 != 0;

        nr = nr > 8 ? 8 : nr;
        if (is_added) {
            add(&cover, MODEL_BASE + first * PAGE, nr * PAGE);
        } else {
            take(&cover, MODEL_BASE + first * PAGE, nr * PAGE);
        }
        for (size_t page = first; page < first + nr; page++) {
            pages[page] = is_added;
        }
        check_model(&cover, pages);
    }
    cover_fini(&cover);
}

static void test_room_that_cannot_be_made_changes_nothing(void **state)
{
    struct leak_state before;
    bool has_failed = true;

    (void)state;
    leak_begin(&before);
    for (unsigned n = 1; has_failed; n++) {
        struct cover cover = {0};
        int r;

        add(&cover, 0, PAGE);
        inject_fail_nth(n);
        r = cover_reserve(&cover, 100);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        if (has_failed) {
            assert_reason("cannot change guest memory: out of memory for its list");
        }
        assert_true(has(&cover, 0, PAGE));
        assert_int_equal(cover_reserve(&cover, 100), 0);
        for (uint64_t i = 0; i < 50; i++) {
            cover_add(&cover, (struct range){2 * i * PAGE, PAGE});
        }
        assert_true(has(&cover, 98 * PAGE, PAGE));
        assert_false(has(&cover, 97 * PAGE, 1));
        cover_fini(&cover);
    }
    leak_check(&before);
}

/* --- threads --- */

/* Always there; comes and goes; never there. Not at a power of two: the search has to find them. */
enum { STEADY = 0x1100000, FLICKERING = 0x1200000, ABSENT = 0x1300000, NR_CHANGES = 20000 };

struct race {
    struct cover cover;
    atomic_bool is_over;
    atomic_uint nr_wrong;
};

static void *ask(void *arg)
{
    struct race *race = arg;

    while (!atomic_load(&race->is_over)) {
        bool is_right = has(&race->cover, STEADY, PAGE) && !has(&race->cover, ABSENT, 1) &&
                        !has(&race->cover, FLICKERING + PAGE, PAGE) &&
                        has(&race->cover, 0x1000000, PAGE);

        if (!is_right) {
            atomic_fetch_add(&race->nr_wrong, 1);
        }
    }
    return NULL;
}

static void test_others_find_what_stays_while_the_rest_changes(void **state)
{
    struct race race = {.is_over = false};
    pthread_t threads[2];

    (void)state;
    add(&race.cover, 0x1000000, PAGE);
    add(&race.cover, STEADY, PAGE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &race), 0);
    }
    for (uint64_t i = 0; i < NR_CHANGES; i++) {
        add(&race.cover, FLICKERING, PAGE);
        add(&race.cover, STEADY + PAGE, PAGE);                /* joins */
        add(&race.cover, 0x800000 + i % 50 * 2 * PAGE, PAGE); /* shifts the others */
        take(&race.cover, FLICKERING, PAGE);
        take(&race.cover, STEADY + PAGE, PAGE);
        if (i % 50 == 49) {
            take(&race.cover, 0x800000, 100 * PAGE);
        }
    }
    atomic_store(&race.is_over, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&race.nr_wrong), 0);
    cover_fini(&race.cover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_set_has_nothing),
        cmocka_unit_test(test_what_touches_is_one_run),
        cmocka_unit_test(test_ranges_past_the_last_address_are_not_there),
        cmocka_unit_test(test_the_glance_finds_runs_from_powers_of_two_on),
        cmocka_unit_test(test_a_thousand_changes_match_an_array),
        cmocka_unit_test(test_room_that_cannot_be_made_changes_nothing),
        cmocka_unit_test(test_others_find_what_stays_while_the_rest_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
