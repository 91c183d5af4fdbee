/* The descriptors that a VM's event loop watches, and waiting for them. */
#include <hostvm/events.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/io.h"
#include "base/thread.h"
#include "vm/vm.h"

struct event {
    int fd;
    hostvm_event_fn fn;
    void *cookie;
    struct event *next;
};

/* More than these at a time, and the vcpu would wait too long for its turn. */
enum { MAX_DISPATCHED = 64 };

static struct event **find_event(struct event_set *set, int fd)
{
    struct event **link = &set->list;

    while (*link != NULL && (*link)->fd != fd) {
        link = &(*link)->next;
    }
    return link;
}

static int ensure_epoll(struct event_set *set)
{
    if (set->epoll_fd >= 0) {
        return 0;
    }
    set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (set->epoll_fd < 0) {
        int r = -errno;
        return fail(r, "cannot watch descriptors: %s", strerror(-r));
    }
    return 0;
}

int events_add(vm_t *vm, int fd, hostvm_event_fn fn, void *cookie)
{
    struct event_set *set = &vm->hosted->events;
    struct epoll_event watch = {.events = EPOLLIN, .data.fd = fd};
    struct event *event;
    int r = ensure_epoll(set);

    if (r < 0) {
        return r;
    }
    event = malloc(sizeof(*event));
    if (event == NULL) {
        return fail(-ENOMEM, "cannot watch descriptor %d: out of memory", fd);
    }
    if (epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, fd, &watch) < 0) {
        r = -errno;
        free(event);
        return fail(r, "cannot watch descriptor %d: %s", fd, strerror(-r));
    }
    *event = (struct event){fd, fn, cookie, set->list};
    set->list = event;
    vm_wake(vm->hosted, REQUEST_EVENTS);
    return 0;
}

int hostvm_event_add(vm_t *vm, int fd, hostvm_event_fn fn, void *cookie)
{
    int r;

    if (!vm_is_usable(vm) || fn == NULL) {
        return public_status(vm, fail(-EINVAL, "hostvm_event_add: no VM or no function given"));
    }
    vm_enter(vm);
    r = events_add(vm, fd, fn, cookie);
    vm_leave(vm);
    return public_status(vm, r);
}

static int remove_event(struct event_set *set, int fd)
{
    struct event **link = find_event(set, fd);
    struct event *event = *link;

    if (event == NULL) {
        return fail(-ENOENT, "cannot end the watch on descriptor %d: there is none", fd);
    }
    (void)epoll_ctl(set->epoll_fd, EPOLL_CTL_DEL, fd,
                    NULL); /* a descriptor closed too early is gone already */
    *link = event->next;
    free(event);
    return 0;
}

int hostvm_event_remove(vm_t *vm, int fd)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_event_remove: no VM given"));
    }
    vm_enter(vm);
    r = remove_event(&vm->hosted->events, fd);
    vm_leave(vm);
    return public_status(vm, r);
}

void events_fini(struct hosted_vm *hosted)
{
    struct event_set *set = &hosted->events;

    while (set->list != NULL) {
        struct event *event = set->list;

        set->list = event->next;
        free(event);
    }
    io_close(&set->epoll_fd);
}

/* One at a time: a callback may remove any of the others. */
int events_dispatch(vm_t *vm)
{
    struct event_set *set = &vm->hosted->events;
    struct epoll_event ready;

    for (int i = 0; i < MAX_DISPATCHED && set->epoll_fd >= 0; i++) {
        struct event *event;
        int r;

        if (epoll_wait(set->epoll_fd, &ready, 1, 0) != 1) {
            break;
        }
        if (ready.data.fd == vm->hosted->wake_fd) {
            io_drain(ready.data.fd); /* what it was signalled for is among the requests */
            continue;
        }
        event = *find_event(set, ready.data.fd);
        r = event == NULL ? 0 : event->fn(vm, event->fd, event->cookie);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

void events_wait(struct hosted_vm *hosted)
{
    struct pollfd fds[2] = {
        {.fd = hosted->wake_fd, .events = POLLIN},
        {.fd = hosted->events.epoll_fd, .events = POLLIN}, /* ignored while it is -1 */
    };

    atomic_store(&hosted->is_waiting, true);
    if (atomic_load(&hosted->requests) == 0) {
        vm_leave(hosted->vm);
        (void)poll(fds, 2, -1); /* interrupted: the caller looks again */
        vm_enter(hosted->vm);
    }
    atomic_store(&hosted->is_waiting, false);
    io_drain(hosted->wake_fd);
    if (fds[1].revents != 0) {
        atomic_fetch_or(&hosted->requests, REQUEST_EVENTS);
    }
}

/* --- the caller's own loop: one descriptor that is ready when a wait here would be over --- */

int events_fd(struct hosted_vm *hosted)
{
    struct event_set *set = &hosted->events;
    struct epoll_event watch = {.events = EPOLLIN, .data.fd = hosted->wake_fd};
    int r = ensure_epoll(set);

    if (r < 0 || set->has_wake_fd) {
        return r < 0 ? r : set->epoll_fd;
    }
    if (epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, hosted->wake_fd, &watch) < 0) {
        r = -errno;
        return fail(r, "cannot watch a VM's requests: %s", strerror(-r));
    }
    set->has_wake_fd = true;
    return set->epoll_fd;
}

void events_begin_step(struct hosted_vm *hosted)
{
    atomic_store(&hosted->is_waiting, false);
    io_drain(hosted->wake_fd);
}

void events_end_step(struct hosted_vm *hosted)
{
    atomic_store(&hosted->is_waiting, true);
    if (atomic_load(&hosted->requests) != 0) {
        (void)eventfd_write(hosted->wake_fd, 1);
    }
}

/* --- the poller: while the caller's thread is in the guest, this one sleeps for it --- */

static void *poll_for_vcpu(void *arg)
{
    struct hosted_vm *hosted = arg;
    struct poller *poller = &hosted->poller;
    struct pollfd fds[2] = {
        {.fd = poller->ack_fd, .events = POLLIN},
        {.fd = hosted->events.epoll_fd, .events = POLLIN},
    };

    while (!atomic_load(&poller->is_ending)) {
        (void)poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            io_drain(poller->ack_fd);
        } else if (fds[1].revents != 0) {
            vm_wake(hosted, REQUEST_EVENTS);
            (void)poll(fds, 1, -1); /* until they are served; then look again */
            io_drain(poller->ack_fd);
        }
    }
    return NULL;
}

int poller_ensure(struct hosted_vm *hosted)
{
    struct poller *poller = &hosted->poller;
    int r;

    if (hosted->events.list == NULL) {
        return 0;
    }
    if (poller->is_started) {
        (void)eventfd_write(poller->ack_fd, 1); /* what it reported has been served */
        return 0;
    }
    poller->ack_fd = io_eventfd();
    if (poller->ack_fd < 0) {
        return poller->ack_fd;
    }
    atomic_store(&poller->is_ending, false);
    r = thread_start(&poller->thread, THREAD_STACK_OURS, poll_for_vcpu, hosted);
    if (r < 0) {
        io_close(&poller->ack_fd);
        return fail(r, "cannot start the thread that watches descriptors: %s", strerror(-r));
    }
    poller->is_started = true;
    return 0;
}

void poller_end(struct hosted_vm *hosted)
{
    struct poller *poller = &hosted->poller;

    if (!poller->is_started) {
        return;
    }
    atomic_store(&poller->is_ending, true);
    (void)eventfd_write(poller->ack_fd, 1);
    vm_leave(hosted->vm);
    (void)pthread_join(poller->thread, NULL);
    vm_enter(hosted->vm);
    poller->is_started = false;
    io_close(&poller->ack_fd);
}
