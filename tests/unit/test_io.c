/* The descriptors that are made, and asking the kernel about words. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/futex.h"
#include "base/io.h"
#include "base/reason.h"
#include "support/inject.h"
#include "support/leak.h"

static void test_duplicating_no_descriptor_fails(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(io_dup(fd), -EBADF);
    assert_string_equal(reason_last(), "cannot duplicate descriptor -1: Bad file descriptor");
    io_close(&fd);
    assert_int_equal(fd, -1);
}

static void test_every_descriptor_is_close_on_exec(void **state)
{
    int fds[3] = {io_memfd("test", 8192), io_eventfd(), -1};
    struct stat status;

    (void)state;
    fds[2] = io_dup(fds[0]);
    for (int i = 0; i < 3; i++) {
        assert_true(fds[i] >= 0);
        assert_true((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    assert_int_equal(fstat(fds[2], &status), 0);
    assert_int_equal(status.st_size, 8192);
    for (int i = 0; i < 3; i++) {
        io_close(&fds[i]);
    }
}

static void test_refused_descriptors_leave_none_behind(void **state)
{
    struct leak_state before;

    (void)state;
    leak_begin(&before);
    inject_fail_nth(1);
    assert_int_equal(io_memfd("test", 4096), -EMFILE);
    assert_string_equal(reason_last(), "cannot create the memory file test: Too many open files");
    inject_fail_nth(2);
    assert_int_equal(io_memfd("test", 4096), -ENOSPC);
    assert_string_equal(reason_last(), "cannot size the memory file test to 0x1000 bytes: "
                                       "No space left on device");
    inject_fail_nth(1);
    assert_int_equal(io_eventfd(), -EMFILE);
    assert_string_equal(reason_last(), "cannot create an eventfd: Too many open files");
    inject_disarm();
    leak_check(&before);
}

static void test_any_address_may_be_asked_for_a_word(void **state)
{
    static uint32_t word = 0x12345678;
    void *hidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(futex_word_is((uintptr_t)&word, 0x12345678));
    assert_false(futex_word_is((uintptr_t)&word, 0x12345679));
    assert_false(futex_word_is((uintptr_t)&word + 1, 0x123456));
    assert_false(futex_word_is(0, 0));
    assert_false(futex_word_is((uintptr_t)hidden, 0));
    assert_false(futex_word_is(UINT64_C(0xffff800000000000), 0));
    munmap(hidden, 4096);
    errno = 77;
    assert_false(futex_word_is((uintptr_t)hidden, 0));
    assert_int_equal(errno, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicating_no_descriptor_fails),
        cmocka_unit_test(test_every_descriptor_is_close_on_exec),
        cmocka_unit_test(test_refused_descriptors_leave_none_behind),
        cmocka_unit_test(test_any_address_may_be_asked_for_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
