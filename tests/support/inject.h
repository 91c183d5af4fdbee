/* Makes one system or library call fail, and counts what is allocated. */
#ifndef SUPPORT_INJECT_H
#define SUPPORT_INJECT_H

#include <stdbool.h>

/*
 * Link with @tests/support/inject.flags, which leads the calls of the code under test here. Each of
 * malloc, calloc, realloc, strdup, posix_memalign, mmap, mprotect, ftruncate, memfd_create,
 * eventfd, epoll_create1, epoll_ctl (adding), fcntl, ioctl and pthread_create counts as one call.
 * fallocate has a count of its own: where it fails, giving memory back, the caller has nobody to
 * tell.
 */

/* The n-th call from now on fails, n = 1, 2, ...; those before and behind it work. */
void inject_fail_nth(unsigned n);

/* The n-th fallocate from now on fails. */
void inject_fail_nth_fallocate(unsigned n);

/* No call fails any more. True if one did since inject_fail_nth. */
bool inject_disarm(void);

/* Calls since inject_fail_nth, also after inject_disarm. */
unsigned inject_count(void);

/* Counts the ioctls with this request from now on. */
void inject_watch_ioctl(unsigned long request);
unsigned inject_watched_ioctls(void);

/* Counts what goes to the kernel from now on: mmap, munmap, mprotect, ftruncate, fallocate,
 * memfd_create, eventfd, epoll_create1, epoll_ctl, fcntl and ioctl. */
void inject_count_system_calls(void);
unsigned inject_system_calls(void);

/*
 * Asked for each open or ioctl that does not fail: true when it has answered, with the result and
 * errno, in the kernel's place. NULL: the kernel answers all. From any thread that makes the call.
 */
typedef bool (*inject_open_fn)(const char *path, int *ret_fd);
typedef bool (*inject_ioctl_fn)(int fd, unsigned long request, void *arg, int *ret_result);
void inject_answer_opens(inject_open_fn fn);
void inject_answer_ioctls(inject_ioctl_fn fn);

/* The kernel's own answer, for such a function. */
int inject_kernel_ioctl(int fd, unsigned long request, void *arg);

/* Blocks of heap that the code under test has not freed. */
long inject_live_blocks(void);

#endif
