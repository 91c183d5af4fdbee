/* Starting threads. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>

/* A program with much thread-local data has no room for it on a small stack (EINVAL). */
static int create(pthread_t *thread, size_t stack_size, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);

    if (r != 0) {
        return r;
    }
    r = pthread_attr_setstacksize(&attr, stack_size);
    if (r == 0) {
        r = pthread_create(thread, &attr, fn, arg);
    }
    (void)pthread_attr_destroy(&attr);
    return r == EINVAL ? pthread_create(thread, NULL, fn, arg) : r;
}

int thread_start(pthread_t *thread, size_t stack_size, void *(*fn)(void *), void *arg)
{
    sigset_t all;
    sigset_t old;
    int r;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    r = create(thread, stack_size, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}
