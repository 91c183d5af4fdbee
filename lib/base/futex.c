/* The futex system call. */
#define _GNU_SOURCE 1
#include "base/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void futex_wait(atomic_uint *word, unsigned seen)
{
    int saved_errno = errno;

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    errno = saved_errno;
}

void futex_wake_one(atomic_uint *word)
{
    int saved_errno = errno;

    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved_errno;
}

void futex_wake_all(atomic_uint *word)
{
    int saved_errno = errno;

    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

bool futex_word_is(uintptr_t addr, uint32_t expected)
{
    int saved_errno = errno;

    /*
     * requeues nobody, after comparing; a wait without a time-out would sleep for the timer's slack
     */
    long r = syscall(SYS_futex, addr, FUTEX_CMP_REQUEUE_PRIVATE, 0, NULL, addr, expected);

    errno = saved_errno;
    return r == 0;
}
