/*
 * Public windows on guest memory, without a VM: where they lie, what is attached to them, and
 * access that cannot leave it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <hostvm/guest_window.h>

#include "support/envs.h"
#include "support/inject.h"
#include "support/leak.h"
#include "support/readable.h"

enum { PAGE = 4096, MIB = 1 << 20, WINDOW = 16 * MIB, MAX_CALLS = 100 };

/* What windows log goes to standard error, as nobody gave them another place. */
static int saved_stderr = -1;
static int said_fd = -1;

static int quiet(void **state)
{
    (void)state;
    said_fd = memfd_create("said", 0);
    saved_stderr = dup(STDERR_FILENO);
    return said_fd >= 0 && saved_stderr >= 0 && dup2(said_fd, STDERR_FILENO) >= 0 ? 0 : -1;
}

static int loud(void **state)
{
    (void)state;
    (void)dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(said_fd);
    return 0;
}

static bool has_said(const char *text)
{
    char said[4096] = "";

    assert_true(pread(said_fd, said, sizeof(said) - 1, 0) >= 0);
    return strstr(said, text) != NULL;
}

static hostvm_window_t *new_window(size_t size, unsigned flags)
{
    hostvm_window_t *w = NULL;

    assert_int_equal(hostvm_window_create(size, flags, &w), 0);
    assert_non_null(w);
    return w;
}

static int new_file(size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static void attach(hostvm_window_t *w, int fd, off_t off, uintptr_t gpa, size_t size)
{
    assert_int_equal(hostvm_window_attach(w, fd, off, gpa, size, seL4_AllRights), 0);
}

static char byte_of(int fd, off_t off)
{
    char byte = 0;

    assert_int_equal(pread(fd, &byte, 1, off), 1);
    return byte;
}

/* --- creating --- */

static void test_identity_window_shows_memory_at_the_guests_addresses(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
    uintptr_t first = hostvm_window_first_gpa(w);
    int fd = new_file(WINDOW);
    hostvm_window_t *second = w;

    (void)state;
    assert_true(hostvm_window_attached(w));
    assert_null(hostvm_window_base(w));
    assert_true(first >= PAGE && first <= MIB);
    attach(w, fd, 0x10000, 0x10000, WINDOW - 0x10000);
    assert_int_equal((uintptr_t)hostvm_window_ptr(w, 0x10000, 1), 0x10000);
    assert_int_equal((uintptr_t)hostvm_window_ptr(w, WINDOW - 1, 1), WINDOW - 1);
    *(volatile char *)(uintptr_t)0x12345 = 'i';
    assert_int_equal(byte_of(fd, 0x12345), 'i');
    assert_null(hostvm_window_ptr(w, 0, 1));
    assert_false(is_readable(NULL));

    assert_int_equal(hostvm_window_create(WINDOW, HOSTVM_WINDOW_IDENTITY, &second), -EEXIST);
    assert_null(second);
    assert_true(has_said("region conflict while attaching guest-physical memory"));
    assert_non_null(strstr(hostvm_last_error(),
                           "region conflict while attaching guest-physical memory: part of"));
    hostvm_window_destroy(w);
    assert_int_equal(hostvm_window_create(WINDOW, HOSTVM_WINDOW_IDENTITY, &second), 0);
    hostvm_window_destroy(second);
    close(fd);
}

static void test_identity_window_never_replaces_what_is_mapped(void **state)
{
    hostvm_window_t *w = NULL;
    char *mine = mmap((void *)0x800000, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    (void)state;
    assert_ptr_equal(mine, (void *)0x800000);
    *mine = 'm';
    assert_int_equal(hostvm_window_create(WINDOW, HOSTVM_WINDOW_IDENTITY, &w), -EEXIST);
    assert_int_equal(*mine, 'm');
    w = new_window(8 * MIB, HOSTVM_WINDOW_IDENTITY);
    assert_int_equal(*mine, 'm');
    hostvm_window_destroy(w);
    munmap(mine, PAGE);
}

static void test_a_tolerated_conflict_makes_a_window_that_is_not_visible(void **state)
{
    hostvm_window_t *visible = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
    hostvm_window_t *w =
        new_window(WINDOW, HOSTVM_WINDOW_IDENTITY | HOSTVM_WINDOW_TOLERATE_CONFLICT);
    int fd = new_file(PAGE);
    uint32_t value = 0;

    (void)state;
    assert_true(has_said("region conflict while attaching guest-physical memory"));
    assert_false(hostvm_window_attached(w));
    assert_null(hostvm_window_base(w));
    assert_int_equal(hostvm_window_size(w), WINDOW);
    attach(w, fd, 0, 0, PAGE);
    assert_null(hostvm_window_ptr(w, 0, 1));
    assert_int_equal(hostvm_window_write32(w, 8, 77), 0);
    assert_int_equal(hostvm_window_read32(w, 8, &value), 0);
    assert_int_equal(value, 77);
    assert_int_equal(pread(fd, &value, 4, 8), 4);
    assert_int_equal(value, 77);
    close(fd);
    hostvm_window_destroy(w);
    hostvm_window_destroy(visible);
}

static void test_a_window_at_any_address_mirrors_from_zero_on(void **state)
{
    hostvm_window_t *w = new_window(3 * PAGE - 1, 0);
    int fd = new_file(3 * PAGE);
    char *base = hostvm_window_base(w);

    (void)state;
    assert_true(hostvm_window_attached(w));
    assert_non_null(base);
    assert_int_equal(hostvm_window_size(w), 3 * PAGE);
    assert_int_equal(hostvm_window_first_gpa(w), 0);
    assert_false(is_readable(base));
    attach(w, fd, PAGE, 0, PAGE);
    assert_ptr_equal(hostvm_window_ptr(w, 5, 10), base + 5);
    base[5] = 'b';
    assert_int_equal(byte_of(fd, PAGE + 5), 'b');
    assert_false(is_readable(base + PAGE));
    close(fd);
    hostvm_window_destroy(w);
}

static void test_windows_that_make_no_sense_are_refused(void **state)
{
    hostvm_window_t *w = (hostvm_window_t *)(uintptr_t)1;

    (void)state;
    assert_int_equal(hostvm_window_create(0, 0, &w), -EINVAL);
    assert_null(w);
    assert_reason("cannot create a window on guest memory of 0 bytes");
    assert_int_equal(hostvm_window_create(PAGE, 4, &w), -EINVAL);
    assert_reason("hostvm_window_create: there are no flags 0x4");
    assert_int_equal(hostvm_window_create(PAGE, 0, NULL), -EINVAL);
    assert_reason("hostvm_window_create: no result given");
    assert_int_equal(hostvm_window_create(PAGE, HOSTVM_WINDOW_IDENTITY, &w), -EINVAL);
    assert_int_equal(hostvm_window_create(SIZE_MAX, 0, &w), -ENOMEM);
    assert_int_equal(hostvm_window_create((size_t)1 << 60, 0, &w), -ENOMEM);
    assert_int_equal(hostvm_window_create((size_t)1 << 60, HOSTVM_WINDOW_IDENTITY, &w), -ENOMEM);
    assert_null(w);
}

static void test_no_window_is_an_answer(void **state)
{
    uint8_t byte = 0;

    (void)state;
    hostvm_window_destroy(NULL);
    assert_null(hostvm_window_base(NULL));
    assert_false(hostvm_window_attached(NULL));
    assert_int_equal(hostvm_window_size(NULL), 0);
    assert_int_equal(hostvm_window_first_gpa(NULL), 0);
    assert_null(hostvm_window_ptr(NULL, 0, 1));
    assert_int_equal(hostvm_window_attach(NULL, 0, 0, 0, PAGE, seL4_AllRights), -EINVAL);
    assert_reason("hostvm_window_attach: no window given");
    assert_int_equal(hostvm_window_detach(NULL, 0, PAGE), -EINVAL);
    assert_reason("hostvm_window_detach: no window given");
    assert_int_equal(hostvm_window_read(NULL, 0, &byte, 1), -EINVAL);
    assert_reason("hostvm_window_read: no window or no buffer given");
    assert_int_equal(hostvm_window_write(NULL, 0, &byte, 1), -EINVAL);
    assert_reason("hostvm_window_write: no window or no buffer given");
}

/* --- attaching --- */

static void test_attachments_that_touch_are_one_range(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int first = new_file(2 * PAGE);
    int second = new_file(2 * PAGE);
    char *p;

    (void)state;
    attach(w, first, 0, 0x3000, 2 * PAGE);
    attach(w, second, PAGE, 0x5000, PAGE);
    close(first);
    close(second);
    p = hostvm_window_ptr(w, 0x3000, 3 * PAGE);
    assert_non_null(p);
    memset(p, 1, 3 * PAGE);
    assert_null(hostvm_window_ptr(w, 0x3000, 3 * PAGE + 1));
    assert_null(hostvm_window_ptr(w, 0x2fff, 2));
    assert_null(hostvm_window_ptr(w, 0x3001, SIZE_MAX));
    assert_int_equal(hostvm_window_detach(w, 0x3000, 2 * PAGE), 0);
    assert_null(hostvm_window_ptr(w, 0x4fff, 1));
    assert_false(is_readable(p));
    assert_ptr_equal(hostvm_window_ptr(w, 0x5000, PAGE), p + 2 * PAGE);
    assert_int_equal(p[2 * PAGE], 1);
    hostvm_window_destroy(w);
}

static void test_what_cannot_be_attached_is_refused_with_the_reason(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(2 * PAGE);
    int readonly = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)state;
    attach(w, fd, 0, 0x4000, PAGE);
#define REFUSED(error, fd, off, gpa, size)                                                         \
    assert_int_equal(hostvm_window_attach(w, (fd), (off), (gpa), (size), seL4_AllRights), (error))
    REFUSED(-EINVAL, fd, 0, 0x8001, PAGE);
    REFUSED(-EINVAL, fd, 0, 0x8000, PAGE + 1);
    REFUSED(-EINVAL, fd, 1, 0x8000, PAGE);
    REFUSED(-EINVAL, fd, -PAGE, 0x8000, PAGE);
    REFUSED(-EINVAL, fd, 0, 0x8000, 0);
    assert_reason("cannot attach 0x0 bytes from 0x0 of a file at guest address 0x8000: it must be "
                  "whole pages of 4 KiB");
    REFUSED(-EINVAL, fd, PAGE, 0x8000, 2 * PAGE);
    assert_reason("cannot attach 0x2000 bytes from 0x1000 of a file: it ends at 0x2000");
    REFUSED(-ERANGE, fd, 0, WINDOW, PAGE);
    assert_reason("cannot attach 0x1000 bytes at guest address 0x1000000: the window ends at "
                  "0x1000000");
    REFUSED(-ERANGE, fd, 0, WINDOW - PAGE, 2 * PAGE);
    REFUSED(-ERANGE, fd, 0, UINTPTR_MAX - PAGE + 1, PAGE);
    REFUSED(-EEXIST, fd, 0, 0x3000, 2 * PAGE);
    assert_reason("cannot attach [0x3000..0x5000): [0x4000..0x5000) is attached; detach that "
                  "first");
    REFUSED(-EBADF, -1, 0, 0x8000, PAGE);
    assert_reason("cannot map 0x1000 bytes at guest address 0x8000: Bad file descriptor");
    REFUSED(-EACCES, readonly, 0, 0x8000, PAGE);
#undef REFUSED
    assert_null(hostvm_window_ptr(w, 0x8000, 1));
    attach(w, fd, 0, 0x8000, PAGE);
    close(fd);
    close(readonly);
    hostvm_window_destroy(w);
}

static void test_only_what_was_attached_is_detached(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(2 * PAGE);

    (void)state;
    attach(w, fd, 0, 0x4000, 2 * PAGE);
    close(fd);
    assert_int_equal(hostvm_window_detach(w, 0x4000, PAGE), -ENOENT);
    assert_int_equal(hostvm_window_detach(w, 0x5000, PAGE), -ENOENT);
    assert_int_equal(hostvm_window_detach(w, 0x9000, PAGE), -ENOENT);
    assert_reason("cannot detach 0x1000 bytes at guest address 0x9000: nothing is attached exactly "
                  "there");
    assert_non_null(hostvm_window_ptr(w, 0x4000, 2 * PAGE));
    assert_int_equal(hostvm_window_detach(w, 0x4000, 2 * PAGE), 0);
    assert_int_equal(hostvm_window_detach(w, 0x4000, 2 * PAGE), -ENOENT);
    hostvm_window_destroy(w);
}

static void test_the_page_left_out_is_attached_where_no_pointer_leads(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
    uintptr_t first = hostvm_window_first_gpa(w);
    int fd = new_file(MIB);
    char text[] = "across";
    char read[sizeof(text)] = "";

    (void)state;
    attach(w, fd, 0, 0, MIB);
    assert_null(hostvm_window_ptr(w, 0, 1));
    assert_null(hostvm_window_ptr(w, first - 1, 2));
    assert_int_equal((uintptr_t)hostvm_window_ptr(w, first, MIB - first), first);
    assert_false(is_readable(NULL));
    assert_int_equal(hostvm_window_write(w, first - 3, text, sizeof(text)), 0);
    assert_int_equal(pread(fd, read, sizeof(read), (off_t)first - 3), sizeof(read));
    assert_string_equal(read, "across");
    memset(read, 0, sizeof(read));
    assert_int_equal(hostvm_window_read(w, first - 3, read, sizeof(read)), 0);
    assert_string_equal(read, "across");
    assert_int_equal(hostvm_window_read(w, 0, read, sizeof(read)), 0);
    assert_int_equal(hostvm_window_read(w, 0, read, MIB + 1), -EFAULT);
    assert_int_equal(hostvm_window_detach(w, 0, MIB), 0);
    assert_int_equal(hostvm_window_read(w, 0, read, 1), -EFAULT);
    assert_int_equal(hostvm_window_read(w, first, read, 1), -EFAULT);
    attach(w, fd, 0, 0, first);
    assert_int_equal(hostvm_window_read(w, first - 3, read, 4), -EFAULT);
    assert_int_equal(hostvm_window_read(w, first - 3, read, 3), 0);
    assert_memory_equal(read, "acr", 3);
    assert_int_equal(hostvm_window_detach(w, 0, first), 0);
    close(fd);
    hostvm_window_destroy(w);
}

static void test_memory_without_rights_is_the_vmms_alone(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(3 * PAGE);
    uint8_t byte;
    char *p;

    (void)state;
    attach(w, fd, 0, 0x4000, PAGE);
    assert_int_equal(hostvm_window_attach(w, fd, PAGE, 0x5000, PAGE, seL4_NoRights), 0);
    assert_int_equal(hostvm_window_attach(w, fd, 2 * PAGE, 0x6000, PAGE, seL4_CanRead), 0);
    close(fd);
    p = hostvm_window_ptr(w, 0x4000, 3 * PAGE);
    assert_non_null(p);
    memset(p, 5, 3 * PAGE);
    assert_ptr_equal(hostvm_window_ptr(w, 0x5000, 0), p + PAGE);
    assert_null(hostvm_window_ptr(w, 0x4000, 3 * PAGE + 1));
    assert_null(hostvm_window_ptr(w, 0x3fff, 2));
    assert_int_equal(hostvm_window_read(w, 0x4fff, &byte, 1), 0);
    assert_int_equal(hostvm_window_read(w, 0x5000, &byte, 1), -EFAULT);
    assert_reason("cannot access 0x1 bytes at guest address 0x5000: they are not all memory of the "
                  "guest in this window");
    assert_int_equal(hostvm_window_write8(w, 0x6000, 1), 0);
    assert_int_equal(hostvm_window_detach(w, 0x5000, PAGE), 0);
    assert_null(hostvm_window_ptr(w, 0x4000, 2 * PAGE));
    hostvm_window_destroy(w);
}

/* --- access --- */

static void test_copies_cross_attachments_and_stop_at_the_last(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(2 * PAGE);
    uint8_t written[PAGE + 100];
    uint8_t read[sizeof(written)];

    (void)state;
    attach(w, fd, PAGE, 0x3000, PAGE);
    attach(w, fd, 0, 0x4000, PAGE);
    for (size_t i = 0; i < sizeof(written); i++) {
        written[i] = (uint8_t)(i * 13 + i / 256);
    }
    assert_int_equal(hostvm_window_write(w, 0x3f00, written, sizeof(written)), 0);
    assert_int_equal(hostvm_window_read(w, 0x3f00, read, sizeof(read)), 0);
    assert_memory_equal(read, written, sizeof(written));
    assert_memory_equal(hostvm_window_ptr(w, 0x3f00, sizeof(read)), written, sizeof(written));
    memset(read, 7, sizeof(read));
    assert_int_equal(hostvm_window_read(w, 0x4f00, read, 0x101), -EFAULT);
    assert_int_equal(read[0], 7);
    assert_int_equal(hostvm_window_write(w, 0x2fff, written, 2), -EFAULT);
    assert_int_equal(((uint8_t *)hostvm_window_ptr(w, 0x3000, 1))[0], 0);
    assert_int_equal(hostvm_window_read(w, 0x3000, read, SIZE_MAX), -EFAULT);
    assert_int_equal(hostvm_window_read(w, UINTPTR_MAX, read, 2), -EFAULT);
    assert_int_equal(hostvm_window_read(w, 0x3000, read, 0), 0);
    assert_int_equal(hostvm_window_read(w, 0x5000, read, 0), -EFAULT);
    close(fd);
    hostvm_window_destroy(w);
}

static void test_numbers_of_every_width_at_every_alignment(void **state)
{
    static const uintptr_t addresses[] = {0x3000, 0x3ff0, 0x3ffc, 0x3ff9, 0x3ffd, 0x3ffe, 0x3fff};
    const uint64_t pattern = 0x1122334455667788;
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(2 * PAGE);
    const uint8_t *p;

    (void)state;
    attach(w, fd, 0, 0x3000, 2 * PAGE);
    p = hostvm_window_ptr(w, 0x3000, 2 * PAGE);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        uintptr_t at = addresses[i];
        uint8_t u8 = 0;
        uint16_t u16 = 0;
        uint32_t u32 = 0;
        uint64_t u64 = 0;

        assert_int_equal(hostvm_window_write64(w, at, pattern), 0);
        assert_memory_equal(p + (at - 0x3000), &pattern, 8);
        assert_int_equal(hostvm_window_read64(w, at, &u64), 0);
        assert_int_equal(u64, pattern);
        assert_int_equal(hostvm_window_write32(w, at, 0xa1a2a3a4), 0);
        assert_int_equal(hostvm_window_read32(w, at, &u32), 0);
        assert_int_equal(u32, 0xa1a2a3a4);
        assert_int_equal(hostvm_window_write16(w, at, 0xb1b2), 0);
        assert_int_equal(hostvm_window_read16(w, at, &u16), 0);
        assert_int_equal(u16, 0xb1b2);
        assert_int_equal(hostvm_window_write8(w, at, 0xc1), 0);
        assert_int_equal(hostvm_window_read8(w, at, &u8), 0);
        assert_int_equal(u8, 0xc1);
        assert_int_equal(hostvm_window_read64(w, at, &u64), 0);
        assert_int_equal(u64, 0x11223344a1a2b1c1);
    }
    close(fd);
    hostvm_window_destroy(w);
}

static void test_numbers_that_reach_past_the_end_are_refused_untouched(void **state)
{
    hostvm_window_t *w = new_window(WINDOW, 0);
    int fd = new_file(PAGE);
    uint16_t u16 = 9;
    uint32_t u32 = 9;
    uint64_t u64 = 9;
    uint8_t u8 = 9;

    (void)state;
    attach(w, fd, 0, WINDOW - PAGE, PAGE);
    assert_int_equal(hostvm_window_read8(w, WINDOW, &u8), -EFAULT);
    assert_int_equal(hostvm_window_read16(w, WINDOW - 1, &u16), -EFAULT);
    assert_int_equal(hostvm_window_read32(w, WINDOW - 3, &u32), -EFAULT);
    assert_int_equal(hostvm_window_read64(w, WINDOW - 7, &u64), -EFAULT);
    assert_int_equal(u8 + u16 + u32 + u64, 36);
    assert_int_equal(hostvm_window_write8(w, WINDOW, 1), -EFAULT);
    assert_int_equal(hostvm_window_write16(w, WINDOW - 1, 1), -EFAULT);
    assert_int_equal(hostvm_window_write32(w, WINDOW - 3, 1), -EFAULT);
    assert_int_equal(hostvm_window_write64(w, WINDOW - 7, 1), -EFAULT);
    assert_int_equal(hostvm_window_read64(w, UINTPTR_MAX - 3, &u64), -EFAULT);
    close(fd);
    hostvm_window_destroy(w);
}

/* --- threads --- */

struct race {
    hostvm_window_t *w;
    atomic_bool is_over;
    atomic_uint nr_wrong;
    atomic_uint nr_copies;
};

/* A page that comes and goes is read whole or not at all, and never ends in a signal. */
static void *keep_reading(void *arg)
{
    struct race *race = arg;
    uint8_t page[PAGE];

    while (!atomic_load(&race->is_over)) {
        uint32_t steady = 0;
        bool is_right = hostvm_window_read32(race->w, 0x1100000, &steady) == 0 && steady == 42 &&
                        hostvm_window_ptr(race->w, 0x1100000, PAGE) != NULL;

        if (hostvm_window_read(race->w, 0x1101000, page, PAGE) == 0) {
            is_right = is_right && page[0] == 0 && page[PAGE - 1] == 0;
            atomic_fetch_add(&race->nr_copies, 1);
        }
        if (!is_right) {
            atomic_fetch_add(&race->nr_wrong, 1);
        }
    }
    return NULL;
}

static void test_memory_is_not_taken_away_under_a_copy(void **state)
{
    struct race race = {.w = new_window(32 * MIB, 0)};
    int fd = new_file(2 * PAGE);
    pthread_t threads[2];

    (void)state;
    attach(race.w, fd, 0, 0x1100000, PAGE);
    assert_int_equal(hostvm_window_write32(race.w, 0x1100000, 42), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_reading, &race), 0);
    }
    for (int i = 0; i < 2000 || atomic_load(&race.nr_copies) == 0; i++) {
        attach(race.w, fd, PAGE, 0x1101000, PAGE);
        assert_int_equal(hostvm_window_detach(race.w, 0x1101000, PAGE), 0);
    }
    atomic_store(&race.is_over, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&race.nr_wrong), 0);
    close(fd);
    hostvm_window_destroy(race.w);
}

/* --- failures --- */

static void fail_create_each(unsigned flags)
{
    bool has_failed = true;

    for (unsigned n = 1; has_failed; n++) {
        struct leak_state before;
        hostvm_window_t *w;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = hostvm_window_create(WINDOW, flags, &w);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        assert_int_equal(w == NULL, has_failed);
        hostvm_window_destroy(w);
        leak_check(&before);
        assert_true(n < MAX_CALLS);
    }
}

static void test_creating_fails_whole(void **state)
{
    (void)state;
    fail_create_each(0);
    fail_create_each(HOSTVM_WINDOW_IDENTITY);
}

static void test_attaching_fails_whole(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        hostvm_window_t *w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
        int fd = new_file(MIB);
        struct leak_state before;
        uint8_t byte;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = hostvm_window_attach(w, fd, 0, 0, MIB, seL4_AllRights);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        if (has_failed) {
            assert_null(hostvm_window_ptr(w, 0x10000, 1));
            assert_int_equal(hostvm_window_read8(w, 0, &byte), -EFAULT);
            assert_false(is_readable((const void *)0x10000));
            attach(w, fd, 0, 0, MIB);
        }
        assert_int_equal(hostvm_window_read8(w, 0, &byte), 0);
        assert_non_null(hostvm_window_ptr(w, 0x10000, 1));
        close(fd);
        hostvm_window_destroy(w);
        assert_true(n < MAX_CALLS);
    }
}

static void test_what_could_not_be_detached_is_still_attached(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        hostvm_window_t *w = new_window(WINDOW, 0);
        int fd = new_file(PAGE);
        int r;

        attach(w, fd, 0, 0x4000, PAGE);
        close(fd);
        inject_fail_nth(n);
        r = hostvm_window_detach(w, 0x4000, PAGE);
        has_failed = inject_disarm();
        assert_int_equal(r, has_failed ? -ENOMEM : 0);
        if (has_failed) {
            char *p = hostvm_window_ptr(w, 0x4000, PAGE);

            assert_non_null(p);
            *p = 1;
            assert_int_equal(hostvm_window_detach(w, 0x4000, PAGE), 0);
        }
        assert_null(hostvm_window_ptr(w, 0x4000, 1));
        hostvm_window_destroy(w);
        assert_true(n < MAX_CALLS);
    }
}

static void test_a_window_gives_back_all_it_took(void **state)
{
    struct leak_state before;
    hostvm_window_t *w;
    int fd = new_file(16 * PAGE);

    (void)state;
    leak_begin(&before);
    w = new_window(WINDOW, HOSTVM_WINDOW_IDENTITY);
    for (uintptr_t i = 0; i < 16; i++) {
        attach(w, fd, (off_t)(i * PAGE), 2 * i * PAGE, PAGE);
    }
    hostvm_window_destroy(w);
    leak_check(&before);
    close(fd);
}

/* --- guest memory --- */

static void test_guest_memory_is_handed_out_until_it_is_exhausted(void **state)
{
    hostvm_guest_memory_t *m = NULL;
    hostvm_window_t *w;
    uintptr_t gpa = 99;
    uint8_t *base;

    (void)state;
    assert_int_equal(hostvm_guest_memory_create(4 * PAGE - 5, WINDOW, &m), 0);
    w = hostvm_guest_memory_window(m);
    base = hostvm_guest_memory_local_base(m);
    assert_ptr_equal(base, hostvm_window_ptr(w, hostvm_window_first_gpa(w), 4 * PAGE));
    assert_int_equal(base[4 * PAGE - 1], 0);
    assert_int_equal(hostvm_guest_memory_remaining(m), 4 * PAGE);
    assert_int_equal(hostvm_guest_memory_alloc(m, 10, 0, &gpa), 0);
    assert_int_equal(gpa, hostvm_window_first_gpa(w));
    assert_int_equal(hostvm_guest_memory_alloc(m, 1, 1, &gpa), 0);
    assert_int_equal(gpa, hostvm_window_first_gpa(w) + 10);
    assert_int_equal(hostvm_guest_memory_remaining(m), 4 * PAGE - 11);
    assert_int_equal(hostvm_guest_memory_alloc(m, PAGE, PAGE, &gpa), 0);
    assert_int_equal(gpa % PAGE, 0);
    assert_int_equal(hostvm_guest_memory_remaining(m), 2 * PAGE);
    gpa = 99;
    assert_int_equal(hostvm_guest_memory_alloc(m, 2 * PAGE + 1, 1, &gpa), -ENOSPC);
    assert_reason("cannot hand out 0x2001 bytes of guest memory: 0x2000 are left");
    assert_int_equal(hostvm_guest_memory_alloc(m, 1, (size_t)1 << 63, &gpa), -ENOSPC);
    assert_int_equal(hostvm_guest_memory_alloc(m, SIZE_MAX, 1, &gpa), -ENOSPC);
    assert_int_equal(gpa, 99);
    assert_int_equal(hostvm_guest_memory_alloc(m, 2 * PAGE, 1, &gpa), 0);
    assert_int_equal(hostvm_guest_memory_remaining(m), 0);
    assert_int_equal(hostvm_guest_memory_alloc(m, 1, 1, &gpa), -ENOSPC);
    hostvm_guest_memory_destroy(m);
}

static void test_guest_memory_that_makes_no_sense_is_refused(void **state)
{
    hostvm_guest_memory_t *m = (hostvm_guest_memory_t *)(uintptr_t)1;
    uintptr_t gpa = 0;

    (void)state;
    assert_int_equal(hostvm_guest_memory_create(0, WINDOW, &m), -EINVAL);
    assert_null(m);
    assert_int_equal(hostvm_guest_memory_create(SIZE_MAX, WINDOW, &m), -EINVAL);
    assert_int_equal(hostvm_guest_memory_create(PAGE, 0, &m), -EINVAL);
    assert_int_equal(hostvm_guest_memory_create(WINDOW + 1, WINDOW, &m), -ERANGE);
    assert_int_equal(hostvm_guest_memory_create(PAGE, WINDOW, NULL), -EINVAL);
    assert_null(m);
    assert_int_equal(hostvm_guest_memory_create(PAGE, WINDOW, &m), 0);
    assert_int_equal(hostvm_guest_memory_alloc(m, 0, 1, &gpa), -EINVAL);
    assert_int_equal(hostvm_guest_memory_alloc(m, 1, 3, &gpa), -EINVAL);
    assert_int_equal(hostvm_guest_memory_alloc(m, 1, 1, NULL), -EINVAL);
    assert_int_equal(hostvm_guest_memory_alloc(NULL, 1, 1, &gpa), -EINVAL);
    hostvm_guest_memory_destroy(m);
    hostvm_guest_memory_destroy(NULL);
    assert_null(hostvm_guest_memory_local_base(NULL));
    assert_null(hostvm_guest_memory_window(NULL));
    assert_int_equal(hostvm_guest_memory_remaining(NULL), 0);
}

static void test_creating_guest_memory_fails_whole(void **state)
{
    bool has_failed = true;

    (void)state;
    for (unsigned n = 1; has_failed; n++) {
        hostvm_guest_memory_t *m;
        struct leak_state before;
        int r;

        leak_begin(&before);
        inject_fail_nth(n);
        r = hostvm_guest_memory_create(4 * PAGE, WINDOW, &m);
        has_failed = inject_disarm();
        assert_int_equal(r < 0, has_failed);
        assert_int_equal(m == NULL, has_failed);
        hostvm_guest_memory_destroy(m);
        leak_check(&before);
        assert_true(n < MAX_CALLS);
    }
}

#define window_test(f) cmocka_unit_test_setup_teardown(f, quiet, loud)

int main(void)
{
    const struct CMUnitTest tests[] = {
        window_test(test_identity_window_shows_memory_at_the_guests_addresses),
        window_test(test_identity_window_never_replaces_what_is_mapped),
        window_test(test_a_tolerated_conflict_makes_a_window_that_is_not_visible),
        window_test(test_a_window_at_any_address_mirrors_from_zero_on),
        window_test(test_windows_that_make_no_sense_are_refused),
        window_test(test_no_window_is_an_answer),
        window_test(test_attachments_that_touch_are_one_range),
        window_test(test_what_cannot_be_attached_is_refused_with_the_reason),
        window_test(test_only_what_was_attached_is_detached),
        window_test(test_the_page_left_out_is_attached_where_no_pointer_leads),
        window_test(test_memory_without_rights_is_the_vmms_alone),
        window_test(test_copies_cross_attachments_and_stop_at_the_last),
        window_test(test_numbers_of_every_width_at_every_alignment),
        window_test(test_numbers_that_reach_past_the_end_are_refused_untouched),
        window_test(test_memory_is_not_taken_away_under_a_copy),
        window_test(test_creating_fails_whole),
        window_test(test_attaching_fails_whole),
        window_test(test_what_could_not_be_detached_is_still_attached),
        window_test(test_a_window_gives_back_all_it_took),
        window_test(test_guest_memory_is_handed_out_until_it_is_exhausted),
        window_test(test_guest_memory_that_makes_no_sense_is_refused),
        window_test(test_creating_guest_memory_fails_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
