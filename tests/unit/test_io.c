/* Reading and writing in full, the descriptors that are made, and asking the kernel about words. */
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

static void test_full_reads_join_what_comes_in_pieces(void **state)
{
    char buf[8] = "";
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(io_write_full(fds[1], "abc", 3), 0);
    assert_int_equal(io_write_full(fds[1], "defgh", 5), 0);
    assert_int_equal(io_read_full(fds[0], buf, 8), 0);
    assert_memory_equal(buf, "abcdefgh", 8);
    assert_int_equal(io_write_full(fds[1], "ij", 2), 0);
    io_close(&fds[1]);
    assert_int_equal(fds[1], -1);
    assert_int_equal(io_read_full(fds[0], buf, 3), -ENODATA);
    assert_string_equal(reason_last(), "cannot read 3 bytes: the input ends after 2");
    io_close(&fds[0]);
    io_close(&fds[0]);
}

static void test_reading_and_writing_bad_descriptors_fails(void **state)
{
    char byte = 0;

    (void)state;
    assert_int_equal(io_read_full(-1, &byte, 1), -EBADF);
    assert_string_equal(reason_last(), "cannot read 1 bytes: Bad file descriptor");
    assert_int_equal(io_write_full(-1, &byte, 1), -EBADF);
    assert_string_equal(reason_last(), "cannot write 1 bytes: Bad file descriptor");
    assert_int_equal(io_dup(-1), -EBADF);
    assert_string_equal(reason_last(), "cannot duplicate descriptor -1: Bad file descriptor");
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
        cmocka_unit_test(test_full_reads_join_what_comes_in_pieces),
        cmocka_unit_test(test_reading_and_writing_bad_descriptors_fails),
        cmocka_unit_test(test_every_descriptor_is_close_on_exec),
        cmocka_unit_test(test_refused_descriptors_leave_none_behind),
        cmocka_unit_test(test_any_address_may_be_asked_for_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
