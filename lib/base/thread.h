/* Threads of our own: signals are for the program's, and stacks are small. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Below the size of a huge page, 2 MiB: the first byte on a larger stack may cost the zeroing of a
 * whole one, and its memory.
 */
enum {
    THREAD_STACK_OURS = 256 << 10,    /* for code of this library alone */
    THREAD_STACK_CALLBACKS = 1 << 20, /* for callbacks of the program, too */
};

/* 0, or a negative errno without a reason. The thread has all signals blocked; it is to be joined.
 */
int thread_start(pthread_t *thread, size_t stack_size, void *(*fn)(void *), void *arg);

#endif
