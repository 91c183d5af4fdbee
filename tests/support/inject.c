/* The calls that can be made to fail. */
#define _GNU_SOURCE 1
#include "support/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/types.h>

static atomic_uint fail_at;
static atomic_uint nr_calls;
static atomic_bool is_armed;
static atomic_bool has_failed;
static atomic_uint fallocate_fails_at;
static atomic_uint nr_fallocates;
static atomic_ulong watched_request;
static atomic_uint nr_watched;
static atomic_uint nr_system_calls;
static atomic_long live_blocks;
static _Atomic inject_open_fn open_answer;
static _Atomic inject_ioctl_fn ioctl_answer;

void inject_fail_nth(unsigned n)
{
    atomic_store(&nr_calls, 0);
    atomic_store(&has_failed, false);
    atomic_store(&fail_at, n);
    atomic_store(&is_armed, true);
}

void inject_fail_nth_fallocate(unsigned n)
{
    atomic_store(&nr_fallocates, 0);
    atomic_store(&fallocate_fails_at, n);
}

bool inject_disarm(void)
{
    atomic_store(&is_armed, false);
    atomic_store(&fallocate_fails_at, 0);
    return atomic_load(&has_failed);
}

unsigned inject_count(void)
{
    return atomic_load(&nr_calls);
}

void inject_watch_ioctl(unsigned long request)
{
    atomic_store(&nr_watched, 0);
    atomic_store(&watched_request, request);
}

unsigned inject_watched_ioctls(void)
{
    return atomic_load(&nr_watched);
}

void inject_count_system_calls(void)
{
    atomic_store(&nr_system_calls, 0);
}

unsigned inject_system_calls(void)
{
    return atomic_load(&nr_system_calls);
}

void inject_answer_opens(inject_open_fn fn)
{
    atomic_store(&open_answer, fn);
}

void inject_answer_ioctls(inject_ioctl_fn fn)
{
    atomic_store(&ioctl_answer, fn);
}

long inject_live_blocks(void)
{
    return atomic_load(&live_blocks);
}

/* Whether this call is the one to fail; err is what it fails with. */
static bool fails(int err)
{
    if (!atomic_load(&is_armed) || atomic_fetch_add(&nr_calls, 1) + 1 != atomic_load(&fail_at)) {
        return false;
    }
    atomic_store(&has_failed, true);
    errno = err;
    return true;
}

/* The same for a call that goes to the kernel. */
static bool system_call_fails(int err)
{
    atomic_fetch_add(&nr_system_calls, 1);
    return fails(err);
}

static void *count_block(void *block)
{
    if (block != NULL) {
        atomic_fetch_add(&live_blocks, 1);
    }
    return block;
}

/* The linker gives the wrapped functions these names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t nmemb, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
int __real_posix_memalign(void **ret, size_t align, size_t size);
void __real_free(void *block);
void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t size);
int __real_mprotect(void *addr, size_t size, int prot);
int __real_ftruncate(int fd, off_t size);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_memfd_create(const char *name, unsigned flags);
int __real_eventfd(unsigned value, int flags);
int __real_epoll_create1(int flags);
int __real_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
int __real_open(const char *path, int flags, ...);
int __real_fcntl(int fd, int cmd, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nmemb, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);
void __wrap_free(void *block);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t size);
int __wrap_mprotect(void *addr, size_t size, int prot);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fcntl(int fd, int cmd, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);

void *__wrap_malloc(size_t size)
{
    return fails(ENOMEM) ? NULL : count_block(__real_malloc(size));
}

void *__wrap_calloc(size_t nmemb, size_t size)
{
    return fails(ENOMEM) ? NULL : count_block(__real_calloc(nmemb, size));
}

void *__wrap_realloc(void *block, size_t size)
{
    void *moved;

    if (fails(ENOMEM)) {
        return NULL;
    }
    moved = __real_realloc(block, size);
    return block == NULL ? count_block(moved) : moved;
}

char *__wrap_strdup(const char *text)
{
    return fails(ENOMEM) ? NULL : count_block(__real_strdup(text));
}

int __wrap_posix_memalign(void **ret, size_t align, size_t size)
{
    int err;

    if (fails(ENOMEM)) {
        return ENOMEM;
    }
    err = __real_posix_memalign(ret, align, size);
    if (err == 0) {
        (void)count_block(*ret);
    }
    return err;
}

void __wrap_free(void *block)
{
    if (block != NULL) {
        atomic_fetch_sub(&live_blocks, 1);
    }
    __real_free(block);
}

void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    return system_call_fails(ENOMEM) ? MAP_FAILED
                                     : __real_mmap(addr, size, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t size)
{
    atomic_fetch_add(&nr_system_calls, 1);
    return __real_munmap(addr, size);
}

int __wrap_mprotect(void *addr, size_t size, int prot)
{
    return system_call_fails(ENOMEM) ? -1 : __real_mprotect(addr, size, prot);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return system_call_fails(ENOSPC) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
    unsigned fail_nth = atomic_load(&fallocate_fails_at);

    atomic_fetch_add(&nr_system_calls, 1);
    if (fail_nth != 0 && atomic_fetch_add(&nr_fallocates, 1) + 1 == fail_nth) {
        errno = ENOSPC;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, size);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return system_call_fails(EMFILE) ? -1 : __real_memfd_create(name, flags);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return system_call_fails(EMFILE) ? -1 : __real_eventfd(value, flags);
}

int __wrap_epoll_create1(int flags)
{
    return system_call_fails(EMFILE) ? -1 : __real_epoll_create1(flags);
}

int __wrap_open(const char *path, int flags, ...)
{
    inject_open_fn answer = atomic_load(&open_answer);
    unsigned mode = 0;
    va_list args;
    int fd;

    if (answer != NULL && answer(path, &fd)) {
        return fd;
    }
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        va_start(args, flags);
        mode = va_arg(args, unsigned);
        va_end(args);
    }
    return __real_open(path, flags, mode);
}

/* What is watched can always be watched no longer. */
int __wrap_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    return op == EPOLL_CTL_ADD && system_call_fails(ENOSPC)
               ? -1
               : __real_epoll_ctl(epoll_fd, op, fd, event);
}

int __wrap_fcntl(int fd, int cmd, ...)
{
    va_list args;
    long arg;

    va_start(args, cmd);
    arg = va_arg(args, long);
    va_end(args);
    return system_call_fails(EMFILE) ? -1 : __real_fcntl(fd, cmd, arg);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    inject_ioctl_fn answer = atomic_load(&ioctl_answer);
    va_list args;
    void *arg;
    int result;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == atomic_load(&watched_request)) {
        atomic_fetch_add(&nr_watched, 1);
    }
    if (system_call_fails(EIO)) {
        return -1;
    }
    return answer != NULL && answer(fd, request, arg, &result) ? result
                                                               : __real_ioctl(fd, request, arg);
}

int inject_kernel_ioctl(int fd, unsigned long request, void *arg)
{
    return __real_ioctl(fd, request, arg);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg)
{
    return fails(EAGAIN) ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}
