/*
 * Windows: the span is reserved at first use, memory shows up at base + gpa, and nothing outside is
 * touched.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "env/env.h"
#include "env/window.h"
#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"
#include "support/readable.h"

static const int rw = PROT_READ | PROT_WRITE;

static struct window *new_window(hostvm_env_t *env)
{
    struct window *window;

    assert_int_equal(window_create(&env->priv->env, &window), 0);
    return window;
}

static void test_memory_shows_up_at_base_plus_gpa(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *window = new_window(&env);
    int fd = io_memfd("ram", 0x10000);
    char *hva;

    (void)state;
    assert_null(window_hva(window, 0));
    assert_int_equal(window_place(window, 0x100000, 0x2000, fd, 0x4000, rw), 0);
    hva = window_hva(window, 0x100000);
    assert_ptr_equal(hva, window->base + 0x100000);
    assert_int_equal((uintptr_t)window->base % (1 << 30), 0);
    hva[0x1000] = 'w';
    assert_int_equal(pread(fd, hva, 1, 0x5000), 1);
    assert_int_equal(hva[0], 'w');
    assert_false(is_readable(hva - 1));
    assert_false(is_readable(hva + 0x2000));
    assert_int_equal(window_empty(window, 0x101000, 0x1000), 0);
    assert_true(is_readable(hva));
    assert_false(is_readable(hva + 0x1000));
    close(fd);
    window_destroy(window);
    hostvm_env_destroy(&env);
}

static void test_no_address_is_taken_before_the_first_use(void **state)
{
    hostvm_env_t env = envs_create();
    struct leak_state before;
    struct window *window;

    (void)state;
    leak_begin(&before);
    window = new_window(&env);
    assert_false(window_covers(window, (struct range){0, 0x1000}));
    assert_null(window_hva(window, 0x1000));
    window_destroy(window);
    window_destroy(NULL);
    leak_check(&before);
    hostvm_env_destroy(&env);
}

static void test_what_lies_outside_is_refused(void **state)
{
    hostvm_env_t env = envs_create_with((hostvm_env_config_t){.window_size = 0x100001});
    struct window *window = new_window(&env);
    int fd = io_memfd("ram", 0x10000);

    (void)state;
    assert_int_equal(window_place(window, 0x100000, 0x1000, fd, 0, rw), 0);
    assert_int_equal(window_place(window, 0x101000, 0x1000, fd, 0, rw), -ERANGE);
    assert_reason("guest address 0x101000 with 0x1000 bytes is outside the window of 1 MiB; raise "
                  "window_size");
    assert_int_equal(window_place(window, UINT64_MAX - 0xfff, 0x1000, fd, 0, rw), -ERANGE);
    assert_int_equal(window_empty(window, 0x100000, 0x2000), -ERANGE);
    assert_true(window_covers(window, (struct range){0x100fff, 1}));
    assert_false(window_covers(window, (struct range){0x100fff, 2}));
    close(fd);
    window_destroy(window);
    hostvm_env_destroy(&env);
}

static void test_only_whole_pages_are_placed(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *window = new_window(&env);

    (void)state;
    assert_int_equal(window_place(window, 0x1001, 0x1000, -1, 0, rw), -EINVAL);
    assert_int_equal(window_place(window, 0x1000, 0x1001, -1, 0, rw), -EINVAL);
    assert_int_equal(window_place(window, 0x1000, 0, -1, 0, rw), -EINVAL);
    assert_reason("cannot change 0x0 bytes at guest address 0x1000 in the window: it must be whole "
                  "pages of 4 KiB");
    assert_int_equal(window_empty(window, 0x1000, 1), -EINVAL);
    assert_int_equal(window_place(window, 0x1000, 0x1000, -1, 0, rw), -EBADF);
    window_destroy(window);
    hostvm_env_destroy(&env);
}

static void test_later_windows_are_smaller(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *windows[33];

    (void)state;
    for (int i = 0; i < 33; i++) {
        windows[i] = new_window(&env);
        assert_int_equal(windows[i]->size, i < 32 ? UINT64_C(1) << 40 : UINT64_C(16) << 30);
    }
    window_destroy(windows[0]);
    windows[0] = new_window(&env);
    assert_int_equal(windows[0]->size, UINT64_C(1) << 40);
    for (int i = 0; i < 33; i++) {
        window_destroy(windows[i]);
    }
    hostvm_env_destroy(&env);
}

static void test_a_window_takes_half_where_the_whole_is_refused(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *window = new_window(&env);
    int fd = io_memfd("ram", 0x1000);

    (void)state;
    inject_fail_nth(1);
    assert_int_equal(window_place(window, 0, 0x1000, fd, 0, rw), 0);
    assert_true(inject_disarm());
    assert_int_equal(window->size, UINT64_C(1) << 39);
    close(fd);
    window_destroy(window);
    hostvm_env_destroy(&env);
}

static void test_a_configured_size_is_not_halved(void **state)
{
    hostvm_env_t env = envs_create_with((hostvm_env_config_t){.window_size = UINT64_C(1) << 35});
    struct window *window = new_window(&env);

    (void)state;
    inject_fail_nth(1);
    assert_int_equal(window_place(window, 0, 0x1000, 0, 0, rw), -ENOMEM);
    inject_disarm();
    assert_reason("cannot reserve 32768 MiB of addresses for guest memory; is there a limit "
                  "(ulimit -v), or is window_size too large?");
    window_destroy(window);
    hostvm_env_destroy(&env);
}

static void test_failing_to_place_or_empty_leaves_what_was_there(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *window = new_window(&env);
    int fd = io_memfd("ram", 0x2000);
    char *hva;

    (void)state;
    assert_int_equal(window_place(window, 0, 0x1000, fd, 0, rw), 0);
    hva = window_hva(window, 0);
    hva[0] = 'a';
    inject_fail_nth(1);
    assert_int_equal(window_place(window, 0, 0x1000, fd, 0x1000, rw), -ENOMEM);
    assert_reason("cannot map 0x1000 bytes at guest address 0x0: Cannot allocate memory; "
                  "vm.max_map_count may be too small");
    inject_fail_nth(1);
    assert_int_equal(window_empty(window, 0, 0x1000), -ENOMEM);
    inject_disarm();
    assert_int_equal(hva[0], 'a');
    inject_fail_nth(1);
    assert_int_equal(window_create(&env.priv->env, &window), -ENOMEM);
    inject_disarm();
    close(fd);
    hostvm_env_destroy(&env);
}

static seL4_CPtr tell_gpa(void *cookie, uint64_t gpa)
{
    *(uint64_t *)cookie = gpa;
    return 99;
}

static void test_the_process_asks_a_windows_owner_for_capabilities(void **state)
{
    hostvm_env_t env = envs_create();
    struct window *window = new_window(&env);
    int fd = io_memfd("ram", 0x1000);
    uint64_t gpa = 0;
    char *hva;

    (void)state;
    assert_int_equal(window_place(window, 0x7000, 0x1000, fd, 0, rw), 0);
    hva = window_hva(window, 0x7123);
    assert_int_equal(vspace_get_cap(&env.vspace, hva), seL4_CapNull);
    window_set_owner(window, tell_gpa, &gpa);
    assert_int_equal(vspace_get_cap(&env.vspace, hva), 99);
    assert_int_equal(gpa, 0x7123);
    assert_int_equal(vspace_get_cap(&env.vspace, &env), seL4_CapNull);
    close(fd);
    window_destroy(window);
    assert_int_equal(vspace_get_cap(&env.vspace, hva), seL4_CapNull);
    hostvm_env_destroy(&env);
}

static void test_an_environment_takes_its_windows_along(void **state)
{
    struct leak_state before;
    hostvm_env_t env;
    int fd = io_memfd("ram", 0x1000);

    (void)state;
    leak_begin(&before);
    env = envs_create();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(window_place(new_window(&env), 0, 0x1000, fd, 0, rw), 0);
    }
    hostvm_env_destroy(&env);
    leak_check(&before);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_shows_up_at_base_plus_gpa),
        cmocka_unit_test(test_no_address_is_taken_before_the_first_use),
        cmocka_unit_test(test_what_lies_outside_is_refused),
        cmocka_unit_test(test_only_whole_pages_are_placed),
        cmocka_unit_test(test_later_windows_are_smaller),
        cmocka_unit_test(test_a_window_takes_half_where_the_whole_is_refused),
        cmocka_unit_test(test_a_configured_size_is_not_halved),
        cmocka_unit_test(test_failing_to_place_or_empty_leaves_what_was_there),
        cmocka_unit_test(test_the_process_asks_a_windows_owner_for_capabilities),
        cmocka_unit_test(test_an_environment_takes_its_windows_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
