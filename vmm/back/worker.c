/* Event threads on epoll(7). */
#include "back/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    MAX_EVENTS = 16,        /* taken at a time */
    MAX_NAME = 16,          /* the kernel's limit, with its zero */
    STACK_SIZE = 256 << 10, /* below a huge page: the first byte must not cost a whole one */
};

/*
 * What epoll hands back for a watch: its place in the table, and a number that is another one after
 * the watch has ended. Events that were taken already when it ended are told by that.
 */
#define WAKE UINT64_MAX

struct watch {
    int fd; /* -1: the place is free */
    uint32_t generation;
    worker_fn fn;
    void *cookie;
};

struct call {
    void (*fn)(void *cookie);
    void *cookie;
    bool is_done;
    struct call *next;
};

struct worker {
    pthread_t thread;
    int epoll_fd;
    int wake_fd; /* something is in calls, or is_ending */

    /* Guards what follows; nothing is called under it. */
    pthread_mutex_t lock;
    pthread_cond_t progress; /* a callback has returned, or a call is done */
    struct watch *watches;
    uint32_t nr_watches; /* places in the table */
    int running_fd;      /* whose callback runs; -1: none */
    uint64_t nr_runs;    /* callbacks that were started */
    struct call *calls;  /* oldest first; each lies on the stack of its caller, who waits */
    bool is_ending;
};

static _Thread_local const struct worker *own_worker; /* NULL: this is nobody's event thread */

static void wake(struct worker *worker)
{
    const uint64_t one = 1;

    (void)!write(worker->wake_fd, &one, sizeof(one)); /* full: it is readable as well */
}

/* --- the thread --- */

static uint64_t handle_of(const struct worker *worker, uint32_t place)
{
    return (uint64_t)worker->watches[place].generation << 32 | place;
}

/* Lock held; NULL: the watch has ended. */
static const struct watch *find_by_handle(const struct worker *worker, uint64_t handle)
{
    uint32_t place = (uint32_t)handle;

    if (place >= worker->nr_watches || worker->watches[place].fd < 0 ||
        handle_of(worker, place) != handle) {
        return NULL;
    }
    return &worker->watches[place];
}

static void serve_watch(struct worker *worker, const struct epoll_event *event)
{
    const struct watch *found;
    struct watch watch;

    (void)pthread_mutex_lock(&worker->lock);
    found = find_by_handle(worker, event->data.u64);
    if (found == NULL) {
        (void)pthread_mutex_unlock(&worker->lock);
        return;
    }
    watch = *found;
    worker->running_fd = watch.fd;
    worker->nr_runs++;
    (void)pthread_mutex_unlock(&worker->lock);

    watch.fn(watch.cookie, event->events);

    (void)pthread_mutex_lock(&worker->lock);
    worker->running_fd = -1;
    (void)pthread_cond_broadcast(&worker->progress);
    (void)pthread_mutex_unlock(&worker->lock);
}

/* Lock held; left for each call. */
static void serve_calls(struct worker *worker)
{
    while (worker->calls != NULL) {
        struct call *call = worker->calls;

        worker->calls = call->next;
        (void)pthread_mutex_unlock(&worker->lock);
        call->fn(call->cookie);
        (void)pthread_mutex_lock(&worker->lock);
        call->is_done = true;
        (void)pthread_cond_broadcast(&worker->progress);
    }
}

/* False: it is over. */
static bool serve_wake(struct worker *worker)
{
    uint64_t count;
    bool goes_on;

    (void)!read(worker->wake_fd, &count, sizeof(count));
    (void)pthread_mutex_lock(&worker->lock);
    serve_calls(worker);
    goes_on = !worker->is_ending;
    (void)pthread_mutex_unlock(&worker->lock);
    return goes_on;
}

static bool serve(struct worker *worker, const struct epoll_event *event)
{
    if (event->data.u64 == WAKE) {
        return serve_wake(worker);
    }
    serve_watch(worker, event);
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct epoll_event events[MAX_EVENTS];
    bool goes_on = true;

    own_worker = worker;
    while (goes_on) {
        int n = epoll_wait(worker->epoll_fd, events, MAX_EVENTS, -1);

        for (int i = 0; goes_on && i < n; i++) {
            goes_on = serve(worker, &events[i]);
        }
    }
    return NULL;
}

/* --- watches --- */

/* Lock held; fd -1: a free place. nr_watches: there is none. */
static uint32_t find_by_fd(const struct worker *worker, int fd)
{
    uint32_t place = 0;

    while (place < worker->nr_watches && worker->watches[place].fd != fd) {
        place++;
    }
    return place;
}

/* Lock held; NULL: no memory. */
static struct watch *free_place(struct worker *worker)
{
    uint32_t place = find_by_fd(worker, -1);
    uint32_t wanted = worker->nr_watches == 0 ? 4 : 2 * worker->nr_watches;
    struct watch *watches;

    if (place < worker->nr_watches) {
        return &worker->watches[place];
    }
    watches = realloc(worker->watches, wanted * sizeof(*watches));
    if (watches == NULL) {
        return NULL;
    }
    worker->watches = watches;
    while (worker->nr_watches < wanted) {
        watches[worker->nr_watches++] = (struct watch){.fd = -1};
    }
    return &watches[place];
}

static int watch_locked(struct worker *worker, int fd, uint32_t events, worker_fn fn, void *cookie)
{
    uint32_t place = find_by_fd(worker, fd);
    bool is_new = place == worker->nr_watches;
    struct watch *watch = is_new ? free_place(worker) : &worker->watches[place];
    struct epoll_event event = {.events = events};

    if (watch == NULL) {
        return -ENOMEM;
    }
    event.data.u64 = handle_of(worker, (uint32_t)(watch - worker->watches));
    if (epoll_ctl(worker->epoll_fd, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) < 0) {
        return -errno;
    }
    watch->fd = fd;
    watch->fn = fn;
    watch->cookie = cookie;
    return 0;
}

int worker_watch(struct worker *worker, int fd, uint32_t events, worker_fn fn, void *cookie)
{
    int r;

    if (fd < 0) {
        return -EBADF;
    }
    (void)pthread_mutex_lock(&worker->lock);
    r = watch_locked(worker, fd, events, fn, cookie);
    (void)pthread_mutex_unlock(&worker->lock);
    return r;
}

/* Lock held. A callback that ended its own watch may still be running: its descriptor tells, the
 * watch does not. */
static void wait_for_callback(struct worker *worker, int fd)
{
    uint64_t run = worker->nr_runs;

    while (worker->running_fd == fd && worker->nr_runs == run) {
        (void)pthread_cond_wait(&worker->progress, &worker->lock);
    }
}

void worker_unwatch(struct worker *worker, int fd)
{
    uint32_t place;

    if (fd < 0) {
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    place = find_by_fd(worker, fd);
    if (place < worker->nr_watches) {
        (void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* closed: it is out already */
        worker->watches[place].fd = -1;
        worker->watches[place].generation++;
    }
    if (own_worker != worker) {
        wait_for_callback(worker, fd);
    }
    (void)pthread_mutex_unlock(&worker->lock);
}

/* --- calls --- */

/* Lock held. */
static void append_call(struct worker *worker, struct call *call)
{
    struct call **end = &worker->calls;

    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = call;
}

void worker_call(struct worker *worker, void (*fn)(void *cookie), void *cookie)
{
    struct call call = {.fn = fn, .cookie = cookie};

    if (own_worker == worker) {
        fn(cookie);
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    append_call(worker, &call);
    wake(worker);
    while (!call.is_done) {
        (void)pthread_cond_wait(&worker->progress, &worker->lock);
    }
    (void)pthread_mutex_unlock(&worker->lock);
}

/* --- its life --- */

/* Below, 0 or -errno. */
static int open_epoll(struct worker *worker)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};

    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll_fd < 0) {
        return -errno;
    }
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake_fd < 0) {
        return -errno;
    }
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) < 0 ? -errno : 0;
}

/* Signals are for the thread that waits for them. */
static int start_thread(struct worker *worker, const char *name)
{
    char short_name[MAX_NAME];
    pthread_attr_t attr;
    sigset_t all, old;
    int r = pthread_attr_init(&attr);

    if (r != 0) {
        return -r;
    }
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE); /* refused: the usual size will do */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&worker->thread, &attr, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    if (r == 0) {
        (void)snprintf(short_name, sizeof(short_name), "%s", name);
        (void)pthread_setname_np(worker->thread, short_name); /* for people who look at threads */
    }
    return -r;
}

static void release(struct worker *worker)
{
    if (worker->wake_fd >= 0) {
        (void)close(worker->wake_fd);
    }
    if (worker->epoll_fd >= 0) {
        (void)close(worker->epoll_fd);
    }
    (void)pthread_cond_destroy(&worker->progress);
    (void)pthread_mutex_destroy(&worker->lock);
    free(worker->watches);
    free(worker);
}

static int create(const char *name, struct worker **ret_worker)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int r;

    if (worker == NULL) {
        return -ENOMEM;
    }
    worker->epoll_fd = -1;
    worker->wake_fd = -1;
    worker->running_fd = -1;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->progress, NULL);
    r = open_epoll(worker);
    if (r == 0) {
        r = start_thread(worker, name);
    }
    if (r < 0) {
        release(worker);
        return r;
    }
    *ret_worker = worker;
    return 0;
}

struct worker *worker_create(const char *name)
{
    struct worker *worker = NULL;
    int r = create(name, &worker);

    if (r < 0) {
        (void)fprintf(stderr, "hostvm: cannot start the event thread '%s': %s\n", name,
                      strerror(-r));
        errno = -r;
    }
    return worker;
}

void worker_destroy(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    worker->is_ending = true;
    (void)pthread_mutex_unlock(&worker->lock);
    wake(worker);
    (void)pthread_join(worker->thread, NULL);
    release(worker);
}
