/* Event threads: who is called when, and who is not called any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "back/worker.h"
#include "support/inject.h"
#include "support/leak.h"

static void nothing(void *cookie)
{
    (void)cookie;
}

/* The thread has looked for events since: what is ready, and watched, was served. */
static void settle(struct worker *worker)
{
    for (unsigned i = 0; i < 3; i++) {
        worker_call(worker, nothing, NULL);
    }
}

static int signalled_eventfd(void)
{
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_true(fd >= 0);
    return fd;
}

/* --- watching --- */

struct probe {
    struct worker *worker;
    int fd;
    int other_fd;
    atomic_uint nr_calls;
    atomic_uint events;
};

static void note(void *cookie, uint32_t events)
{
    struct probe *probe = cookie;
    uint64_t count;

    atomic_store(&probe->events, events);
    (void)!read(probe->fd, &count, sizeof(count));
    atomic_fetch_add(&probe->nr_calls, 1);
}

static void count_only(void *cookie, uint32_t events)
{
    struct probe *probe = cookie;

    (void)events;
    atomic_fetch_add(&probe->nr_calls, 1);
}

static void test_ready_descriptor_is_served(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.worker = worker, .fd = signalled_eventfd()};

    (void)state;
    assert_non_null(worker);
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), 1);
    assert_int_equal(atomic_load(&probe.events), EPOLLIN);
    assert_int_equal(eventfd_write(probe.fd, 1), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), 2);
    worker_destroy(worker);
    (void)close(probe.fd);
}

static void test_descriptor_that_stays_ready_is_served_again(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.fd = signalled_eventfd()};

    (void)state;
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, count_only, &probe), 0);
    while (atomic_load(&probe.nr_calls) < 3) {
        sched_yield();
    }
    worker_destroy(worker);
    (void)close(probe.fd);
}

static void test_events_of_a_watch_can_be_changed(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    unsigned nr_calls;

    (void)state;
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLOUT, note, &probe), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.events), EPOLLOUT);
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), 0);
    settle(worker);
    nr_calls = atomic_load(&probe.nr_calls);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), nr_calls);
    assert_int_equal(eventfd_write(probe.fd, 1), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.events), EPOLLIN);
    worker_destroy(worker);
    (void)close(probe.fd);
}

enum { MANY = 70 };

static void test_many_descriptors_are_served(void **state)
{
    struct worker *worker = worker_create("test");
    static struct probe probes[MANY];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        probes[i] = (struct probe){.fd = signalled_eventfd()};
        assert_int_equal(worker_watch(worker, probes[i].fd, EPOLLIN, note, &probes[i]), 0);
    }
    for (unsigned i = 0; i < MANY / 8; i++) { /* as many times as it takes for some at a time */
        settle(worker);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(atomic_load(&probes[i].nr_calls), 1);
        worker_unwatch(worker, probes[i].fd);
        (void)close(probes[i].fd);
    }
    worker_destroy(worker);
}

static void test_what_cannot_be_watched_is_told(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.fd = memfd_create("file", MFD_CLOEXEC)};

    (void)state;
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), -EPERM);
    (void)close(probe.fd);
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), -EBADF);
    assert_int_equal(worker_watch(worker, -1, EPOLLIN, note, &probe), -EBADF);
    worker_unwatch(worker, probe.fd);
    worker_unwatch(worker, -1);
    worker_destroy(worker);
}

/* --- ending a watch --- */

static void end_own_watch(void *cookie, uint32_t events)
{
    struct probe *probe = cookie;

    (void)events;
    worker_unwatch(probe->worker, probe->fd);
    atomic_fetch_add(&probe->nr_calls, 1);
}

static void test_watch_can_be_ended_from_its_callback(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.worker = worker, .fd = signalled_eventfd()};

    (void)state;
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, end_own_watch, &probe), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), 1);
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, end_own_watch, &probe), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), 2);
    worker_destroy(worker);
    (void)close(probe.fd);
}

/* Both of a pair are ready at once, and the first to be served ends the other, whose cookie is gone
 * by then. */
struct pair {
    struct worker *worker;
    struct probe *probes[2];
    atomic_uint nr_calls;
};

struct end_other {
    struct pair *pair;
    unsigned self;
};

static void end_other_watch(void *cookie, uint32_t events)
{
    struct end_other *end = cookie;
    struct pair *pair = end->pair;
    struct probe **other = &pair->probes[1 - end->self];

    (void)events;
    atomic_fetch_add(&pair->nr_calls, 1);
    worker_unwatch(pair->worker, (*other)->fd);
    worker_unwatch(pair->worker, pair->probes[end->self]->fd);
}

struct pair_watch {
    struct pair *pair;
    struct end_other *ends[2];
};

/* On the worker's thread, so that it finds both when it next looks. */
static void watch_pair(void *cookie)
{
    struct pair_watch *watch = cookie;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(worker_watch(watch->pair->worker, watch->pair->probes[i]->fd, EPOLLIN,
                                      end_other_watch, watch->ends[i]),
                         0);
    }
}

static void test_event_that_was_taken_already_is_dropped_with_its_watch(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe a = {.fd = signalled_eventfd()}, b = {.fd = signalled_eventfd()};
    struct pair pair = {.worker = worker, .probes = {&a, &b}};
    struct end_other ends[2] = {{.pair = &pair, .self = 0}, {.pair = &pair, .self = 1}};
    struct pair_watch watch = {.pair = &pair, .ends = {&ends[0], &ends[1]}};

    (void)state;
    worker_call(worker, watch_pair, &watch);
    settle(worker);
    assert_int_equal(atomic_load(&pair.nr_calls), 1);
    worker_destroy(worker);
    (void)close(a.fd);
    (void)close(b.fd);
}

/* The callback's place, and its descriptor's number, go to somebody else while an event waits. */
struct heir {
    struct worker *worker;
    int fds[2];
    struct probe *heir;
    atomic_uint nr_calls;
};

static void give_other_place_to_heir(void *cookie, uint32_t events)
{
    struct heir *heir = cookie;

    (void)events;
    atomic_fetch_add(&heir->nr_calls, 1);
    for (unsigned i = 0; i < 2; i++) {
        worker_unwatch(heir->worker, heir->fds[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(worker_watch(heir->worker, heir->fds[i], EPOLLPRI, count_only, heir->heir),
                         0);
    }
}

static void watch_heirs(void *cookie)
{
    struct heir *heir = cookie;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            worker_watch(heir->worker, heir->fds[i], EPOLLIN, give_other_place_to_heir, heir), 0);
    }
}

static void test_event_does_not_reach_who_has_the_place_now(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.worker = worker};
    struct heir heir = {
        .worker = worker, .fds = {signalled_eventfd(), signalled_eventfd()}, .heir = &probe};

    (void)state;
    worker_call(worker, watch_heirs, &heir);
    settle(worker);
    assert_int_equal(atomic_load(&heir.nr_calls), 1);
    assert_int_equal(atomic_load(&probe.nr_calls), 0);
    worker_destroy(worker);
    (void)close(heir.fds[0]);
    (void)close(heir.fds[1]);
}

struct slow {
    struct worker *worker;
    int fd;
    bool ends_own_watch;
    atomic_bool is_running;
    atomic_bool is_being_ended;
    bool is_finished; /* not atomic: worker_unwatch orders it */
};

static void run_slowly(void *cookie, uint32_t events)
{
    struct slow *slow = cookie;

    (void)events;
    if (slow->ends_own_watch) {
        worker_unwatch(slow->worker, slow->fd);
    }
    atomic_store(&slow->is_running, true);
    while (!atomic_load(&slow->is_being_ended)) {
        sched_yield();
    }
    for (unsigned i = 0; i < 1000; i++) {
        sched_yield();
    }
    slow->is_finished = true;
}

static void end_while_running(bool ends_own_watch)
{
    struct worker *worker = worker_create("test");
    struct slow slow = {
        .worker = worker, .fd = signalled_eventfd(), .ends_own_watch = ends_own_watch};

    assert_int_equal(worker_watch(worker, slow.fd, EPOLLIN, run_slowly, &slow), 0);
    while (!atomic_load(&slow.is_running)) {
        sched_yield();
    }
    atomic_store(&slow.is_being_ended, true);
    worker_unwatch(worker, slow.fd);
    assert_true(slow.is_finished);
    slow.is_finished = false;
    settle(worker);
    assert_false(slow.is_finished);
    worker_destroy(worker);
    (void)close(slow.fd);
}

static void test_unwatch_waits_for_the_callback(void **state)
{
    (void)state;
    end_while_running(false);
}

static void test_unwatch_waits_for_a_callback_that_has_ended_its_watch(void **state)
{
    (void)state;
    end_while_running(true);
}

enum { NR_ROUNDS = 3000 };

struct poker {
    int fd;
    atomic_bool is_over;
};

static void *poke(void *arg)
{
    struct poker *poker = arg;

    while (!atomic_load(&poker->is_over)) {
        (void)eventfd_write(poker->fd, 1);
    }
    return NULL;
}

/* What a callback uses is freed as soon as its watch has ended, and events come all the time. */
static void test_cookie_can_be_freed_after_unwatch(void **state)
{
    struct worker *worker = worker_create("test");
    struct poker poker = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    unsigned nr_calls = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, poke, &poker), 0);
    for (unsigned i = 0; i < NR_ROUNDS; i++) {
        struct probe *probe = calloc(1, sizeof(*probe));

        assert_non_null(probe);
        probe->worker = worker;
        probe->fd = poker.fd;
        assert_int_equal(
            worker_watch(worker, poker.fd, EPOLLIN, i % 3 == 0 ? end_own_watch : note, probe), 0);
        while (i % 8 == 0 && atomic_load(&probe->nr_calls) == 0) {
            sched_yield();
        }
        worker_unwatch(worker, poker.fd);
        nr_calls += atomic_load(&probe->nr_calls);
        memset(probe, 0xff, sizeof(*probe));
        free(probe);
    }
    atomic_store(&poker.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(nr_calls >= NR_ROUNDS / 8);
    worker_destroy(worker);
    (void)close(poker.fd);
}

/* --- calls --- */

struct visit {
    struct worker *worker;
    pthread_t thread;
    unsigned nr; /* not atomic: worker_call orders it */
};

static void visit_again(void *cookie)
{
    struct visit *visit = cookie;

    visit->nr++;
    visit->thread = pthread_self();
}

static void visit(void *cookie)
{
    struct visit *visit = cookie;

    worker_call(visit->worker, visit_again, visit);
}

static void test_call_is_made_on_the_thread_and_waited_for(void **state)
{
    struct worker *worker = worker_create("test");
    struct visit v = {.worker = worker, .thread = pthread_self()};

    (void)state;
    worker_call(worker, visit_again, &v);
    assert_int_equal(v.nr, 1);
    assert_false(pthread_equal(v.thread, pthread_self()));
    worker_call(worker, visit, &v);
    assert_int_equal(v.nr, 2);
    worker_destroy(worker);
}

enum { NR_CALLERS = 4, NR_CALLS = 500 };

static void *call_often(void *arg)
{
    struct visit *v = arg;

    for (unsigned i = 0; i < NR_CALLS; i++) {
        worker_call(v->worker, visit_again, v);
    }
    return NULL;
}

static void test_calls_of_many_threads_are_all_made(void **state)
{
    struct worker *worker = worker_create("test");
    struct visit v = {.worker = worker};
    pthread_t threads[NR_CALLERS];

    (void)state;
    for (unsigned i = 0; i < NR_CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &v), 0);
    }
    for (unsigned i = 0; i < NR_CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(v.nr, NR_CALLERS * NR_CALLS);
    worker_destroy(worker);
}

/* A call that ends a watch, as a device does that is stopped. */
static void end_watch(void *cookie)
{
    struct probe *probe = cookie;

    worker_unwatch(probe->worker, probe->fd);
}

static void test_watch_can_be_ended_in_a_call(void **state)
{
    struct worker *worker = worker_create("test");
    struct probe probe = {.worker = worker, .fd = signalled_eventfd()};
    unsigned nr_calls;

    (void)state;
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, count_only, &probe), 0);
    settle(worker);
    worker_call(worker, end_watch, &probe);
    nr_calls = atomic_load(&probe.nr_calls);
    assert_true(nr_calls > 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), nr_calls);
    worker_destroy(worker);
    (void)close(probe.fd);
}

/* --- the thread --- */

struct self {
    sigset_t blocked;
    char name[16];
    size_t stack_size;
};

static void look_at_self(void *cookie)
{
    struct self *self = cookie;
    pthread_attr_t attr;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &self->blocked);
    (void)prctl(PR_GET_NAME, self->name);
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstacksize(&attr, &self->stack_size);
        (void)pthread_attr_destroy(&attr);
    }
}

static void test_thread_has_a_name_a_small_stack_and_no_signals(void **state)
{
    struct worker *worker = worker_create("a name that is too long");
    struct self self = {.stack_size = 0};
    sigset_t blocked;

    (void)state;
    worker_call(worker, look_at_self, &self);
    assert_string_equal(self.name, "a name that is ");
    assert_int_equal(sigismember(&self.blocked, SIGINT), 1);
    assert_int_equal(sigismember(&self.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&self.blocked, SIGWINCH), 1);
    assert_true(self.stack_size > 0 && self.stack_size <= 1 << 20);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
    worker_destroy(worker);
}

static void test_nothing_stays_of_a_worker(void **state)
{
    struct probe probe = {.fd = signalled_eventfd()};
    struct leak_state held;
    struct worker *worker;

    (void)state;
    worker_destroy(NULL);
    leak_begin(&held);
    worker = worker_create("test");
    assert_non_null(worker);
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, count_only, &probe), 0);
    settle(worker);
    worker_destroy(worker);
    leak_check(&held);
    assert_true(fcntl(probe.fd, F_GETFD) >= 0);
    (void)close(probe.fd);
}

/* --- a host that refuses --- */

/* What is said on standard error until the end. */
struct said {
    int fd, saved;
    char text[256];
};

static void said_begin(struct said *said)
{
    said->fd = memfd_create("said", MFD_CLOEXEC);
    said->saved = dup(STDERR_FILENO);
    assert_true(said->fd >= 0 && said->saved >= 0);
    assert_true(dup2(said->fd, STDERR_FILENO) >= 0);
}

static void said_end(struct said *said)
{
    ssize_t n = pread(said->fd, said->text, sizeof(said->text) - 1, 0);

    said->text[n < 0 ? 0 : n] = '\0';
    (void)dup2(said->saved, STDERR_FILENO);
    (void)close(said->saved);
    (void)close(said->fd);
}

static void test_creation_that_fails_is_explained_and_leaves_nothing(void **state)
{
    static const int errors[] = {ENOMEM, EMFILE, EMFILE, ENOSPC, EAGAIN};
    const unsigned nr_errors = sizeof(errors) / sizeof(errors[0]);
    struct worker *worker = NULL;

    (void)state;
    for (unsigned n = 1; worker == NULL; n++) {
        struct leak_state held;
        struct said said;
        char expected[256];

        leak_begin(&held);
        said_begin(&said);
        inject_fail_nth(n);
        errno = 0;
        worker = worker_create("queue");
        if (!inject_disarm()) {
            said_end(&said);
            assert_string_equal(said.text, "");
            assert_int_equal(n, nr_errors + 1);
            break;
        }
        assert_null(worker);
        assert_int_equal(errno, errors[n - 1]);
        said_end(&said);
        (void)snprintf(expected, sizeof(expected),
                       "hostvm: cannot start the event thread 'queue': %s\n",
                       strerror(errors[n - 1]));
        assert_string_equal(said.text, expected);
        leak_check(&held);
    }
    assert_non_null(worker);
    worker_destroy(worker);
}

static void test_watch_that_fails_is_none(void **state)
{
    static const int errors[] = {-ENOMEM, -ENOSPC};
    struct worker *worker = worker_create("test");
    struct probe probe = {.fd = signalled_eventfd()};

    (void)state;
    for (unsigned n = 1; n <= 2; n++) {
        inject_fail_nth(n);
        assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), errors[n - 1]);
        assert_true(inject_disarm());
        settle(worker);
        assert_int_equal(atomic_load(&probe.nr_calls), 0);
    }
    assert_int_equal(worker_watch(worker, probe.fd, EPOLLIN, note, &probe), 0);
    settle(worker);
    assert_int_equal(atomic_load(&probe.nr_calls), 1);
    worker_destroy(worker);
    (void)close(probe.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_descriptor_is_served),
        cmocka_unit_test(test_descriptor_that_stays_ready_is_served_again),
        cmocka_unit_test(test_events_of_a_watch_can_be_changed),
        cmocka_unit_test(test_many_descriptors_are_served),
        cmocka_unit_test(test_what_cannot_be_watched_is_told),
        cmocka_unit_test(test_watch_can_be_ended_from_its_callback),
        cmocka_unit_test(test_event_that_was_taken_already_is_dropped_with_its_watch),
        cmocka_unit_test(test_event_does_not_reach_who_has_the_place_now),
        cmocka_unit_test(test_unwatch_waits_for_the_callback),
        cmocka_unit_test(test_unwatch_waits_for_a_callback_that_has_ended_its_watch),
        cmocka_unit_test(test_cookie_can_be_freed_after_unwatch),
        cmocka_unit_test(test_call_is_made_on_the_thread_and_waited_for),
        cmocka_unit_test(test_calls_of_many_threads_are_all_made),
        cmocka_unit_test(test_watch_can_be_ended_in_a_call),
        cmocka_unit_test(test_thread_has_a_name_a_small_stack_and_no_signals),
        cmocka_unit_test(test_nothing_stays_of_a_worker),
        cmocka_unit_test(test_creation_that_fails_is_explained_and_leaves_nothing),
        cmocka_unit_test(test_watch_that_fails_is_none),
    };

    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
