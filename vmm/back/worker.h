/* Event threads: where the work of devices is done. */
#ifndef BACK_WORKER_H
#define BACK_WORKER_H

#include <stdint.h>

struct worker;

/* On the worker's thread; events as epoll(7) has them. A watch that is not wanted any more is ended
 * with worker_unwatch, also from here. */
typedef void (*worker_fn)(void *cookie, uint32_t events);

/* Starts a thread, with all signals blocked. NULL: the host refuses, with errno; it was said. */
struct worker *worker_create(const char *name);

/* Ends it, with its watches; descriptors stay their owners'. NULL is fine. */
void worker_destroy(struct worker *worker);

/* Calls fn whenever one of events (EPOLLIN, EPOLLOUT; level triggered) is there. The same
 * descriptor again: changes its events. From any thread. 0 or -errno. */
int worker_watch(struct worker *worker, int fd, uint32_t events, worker_fn fn, void *cookie);

/* When it returns, fn is not running, unless it is the caller, and is not called again. From any
 * thread; whoever calls it holds no lock that fn wants. Nothing is watched: fine. */
void worker_unwatch(struct worker *worker, int fd);

/* Runs fn on the worker's thread, and waits for it. From any other thread, or the worker's own. */
void worker_call(struct worker *worker, void (*fn)(void *cookie), void *cookie);

#endif
