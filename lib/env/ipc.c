/* Notifications, and the system calls that signal and wait. */
#include "env/ipc.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/futex.h"
#include "base/io.h"
#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"

static struct ntfn *make_first_time(struct env *env)
{
    struct ntfn *ntfn = calloc(1, sizeof(*ntfn));

    if (ntfn == NULL) {
        return NULL;
    }
    ntfn->env = env;
    atomic_store(&ntfn->fd, -1);
    pthread_mutex_init(&ntfn->lock, NULL);
    ntfn->next_made = env->ntfns.made;
    env->ntfns.made = ntfn;
    return ntfn;
}

int ntfn_make(struct env *env, enum cap_type kind, struct block *memory, struct ntfn **ret)
{
    struct ntfn *ntfn = env->ntfns.free;

    if (ntfn != NULL) {
        env->ntfns.free = ntfn->next_free;
    } else {
        ntfn = make_first_time(env);
    }
    if (ntfn == NULL) {
        return fail(-ENOMEM, "cannot make a notification: out of memory");
    }
    ntfn->kind = kind;
    ntfn->memory = memory;
    ntfn->nr_refs = 1;
    ntfn->nr_caps = 1;
    atomic_store(&ntfn->is_dead, false);
    *ret = ntfn;
    return 0;
}

/* A signal that was on its way when the last capability went may still be in here, for a moment. */
static void await_signals(struct ntfn *ntfn)
{
    while (atomic_load(&ntfn->nr_signalling) > 0) {
        sched_yield();
    }
}

static void close_fd(struct ntfn *ntfn)
{
    int fd = atomic_exchange(&ntfn->fd, -1);

    io_close(&fd);
    atomic_store(&ntfn->fd_is_full, false);
}

static void drop(struct ntfn *ntfn)
{
    ntfn->nr_refs--;
    if (ntfn->nr_refs > 0) {
        return;
    }
    atomic_store(&ntfn->wake, NULL);
    await_signals(ntfn);
    close_fd(ntfn);
    atomic_store(&ntfn->badges, 0);
    atomic_store(&ntfn->has_unbadged, false);
    block_drop(ntfn->memory);
    ntfn->next_free = ntfn->env->ntfns.free;
    ntfn->env->ntfns.free = ntfn;
}

void ntfn_pool_fini(struct ntfn_pool *pool)
{
    while (pool->made != NULL) {
        struct ntfn *ntfn = pool->made;

        pool->made = ntfn->next_made;
        close_fd(ntfn);
        pthread_mutex_destroy(&ntfn->lock);
        free(ntfn);
    }
    pool->free = NULL;
}

int ntfn_create(struct env *env, enum cap_type kind, seL4_CPtr slot)
{
    struct ntfn *ntfn;
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find_empty(env, slot, &cap);
    if (r == 0) {
        r = ntfn_make(env, kind, NULL, &ntfn);
    }
    if (r == 0) {
        cap_fill_ntfn(cap, ntfn);
    }
    env_unlock(env);
    return r;
}

int ntfn_get(struct env *env, seL4_CPtr cptr, struct ntfn **ret, seL4_Word *ret_badge)
{
    struct cap *cap;
    int r;

    env_lock(env);
    r = cap_find(env, cptr, CAP_NOTIFICATION, &cap);
    if (r == 0) {
        *ret = atomic_load(&cap->ntfn);
        (*ret)->nr_refs++;
        if (ret_badge != NULL) {
            *ret_badge = atomic_load(&cap->badge);
        }
    }
    env_unlock(env);
    return r;
}

void ntfn_put(struct ntfn *ntfn)
{
    struct env *env;

    if (ntfn == NULL) {
        return;
    }
    env = ntfn->env;
    env_lock(env);
    drop(ntfn);
    env_unlock(env);
}

void ntfn_cap_added(struct ntfn *ntfn)
{
    ntfn->nr_caps++;
    ntfn->nr_refs++;
}

void ntfn_cap_gone(struct ntfn *ntfn)
{
    ntfn->nr_caps--;
    if (ntfn->nr_caps == 0) {
        atomic_store(&ntfn->is_dead, true);
        messages_cancel(ntfn);
        ntfn_wake_waiting(ntfn);
    }
    drop(ntfn);
}

void ntfn_wake_waiting(struct ntfn *ntfn)
{
    atomic_fetch_add(&ntfn->sequence, 1);
    if (atomic_load(&ntfn->nr_waiting) > 0) {
        futex_wake_all(&ntfn->sequence);
    }
}

static void fill_fd(struct ntfn *ntfn)
{
    static const uint64_t one = 1;
    int fd = atomic_load(&ntfn->fd);

    if (fd >= 0) {
        ssize_t n = write(fd, &one, sizeof(one));

        (void)n; /* it fails only when it is as full as can be, which does as well */
        atomic_store(&ntfn->fd_is_full, true);
    }
}

/*
 * Everything in it is allowed in signal handlers. The word comes first: whoever wakes up finds it.
 */
static void deliver(struct ntfn *ntfn, seL4_Word badge)
{
    int saved_errno = errno;
    void (*wake)(void *cookie);

    if (badge != 0) {
        atomic_fetch_or(&ntfn->badges, badge);
    } else {
        atomic_store(&ntfn->has_unbadged, true);
    }
    ntfn_wake_waiting(ntfn);
    fill_fd(ntfn);
    wake = atomic_load(&ntfn->wake);
    if (wake != NULL) {
        wake(ntfn->wake_cookie);
    }
    errno = saved_errno;
}

void ntfn_signal(struct ntfn *ntfn, seL4_Word badge)
{
    atomic_fetch_add(&ntfn->nr_signalling, 1);
    deliver(ntfn, badge);
    atomic_fetch_sub(&ntfn->nr_signalling, 1);
}

bool ntfn_is_pending(const struct ntfn *ntfn)
{
    return atomic_load(&ntfn->badges) != 0 || atomic_load(&ntfn->has_unbadged);
}

/*
 * The descriptor is emptied before the word is taken: a signal in between fills it again, in vain
 * at worst.
 */
bool ntfn_take(struct ntfn *ntfn, seL4_Word *ret_badge)
{
    seL4_Word badge;
    bool was_unbadged;

    if (atomic_load(&ntfn->fd_is_full) && atomic_exchange(&ntfn->fd_is_full, false)) {
        uint64_t count;
        ssize_t n = read(atomic_load(&ntfn->fd), &count, sizeof(count));

        (void)n; /* somebody else may have emptied it */
    }
    if (!ntfn_is_pending(ntfn)) {
        return false;
    }
    was_unbadged = atomic_exchange(&ntfn->has_unbadged, false);
    badge = atomic_exchange(&ntfn->badges, 0);
    if (badge == 0 && !was_unbadged) {
        return false;
    }
    *ret_badge = badge;
    return true;
}

int ntfn_wait(struct ntfn *ntfn, seL4_Word *ret_badge)
{
    int r = 0;

    atomic_fetch_add(&ntfn->nr_waiting, 1);
    for (;;) {
        unsigned seen = atomic_load(&ntfn->sequence);

        if (ntfn_take(ntfn, ret_badge)) {
            break;
        }
        if (atomic_load(&ntfn->is_dead)) {
            r = fail(-ECANCELED, "the notification was deleted while it was waited for");
            break;
        }
        futex_wait(&ntfn->sequence, seen);
    }
    atomic_fetch_sub(&ntfn->nr_waiting, 1);
    return r;
}

int ntfn_fd(struct ntfn *ntfn)
{
    int fd = atomic_load(&ntfn->fd);
    int none = -1;

    if (fd >= 0) {
        return fd;
    }
    fd = io_eventfd();
    if (fd < 0) {
        return fd;
    }
    if (!atomic_compare_exchange_strong(&ntfn->fd, &none, fd)) {
        close(fd);
        return none; /* that of a thread that was faster */
    }
    if (ntfn_is_pending(ntfn)) {
        fill_fd(ntfn);
    }
    return fd;
}

int ntfn_set_wake(struct ntfn *ntfn, void (*wake)(void *cookie), void *cookie)
{
    env_lock(ntfn->env);
    if (atomic_load(&ntfn->wake) != NULL) {
        env_unlock(ntfn->env);
        return fail(-EBUSY,
                    "cannot watch the notification: somebody else does; one VM is the most");
    }
    ntfn->wake_cookie = cookie;
    atomic_store(&ntfn->wake, wake);
    env_unlock(ntfn->env);
    if (ntfn_is_pending(ntfn)) {
        wake(cookie);
    }
    return 0;
}

void ntfn_clear_wake(struct ntfn *ntfn)
{
    atomic_store(&ntfn->wake, NULL);
    await_signals(ntfn);
}

static bool cap_is_ntfn(const struct cap *cap)
{
    return cap_common_type(slot_type(cap)) == CAP_NOTIFICATION;
}

/*
 * Without a lock: counts itself into what the slot names, then asks whether it still does. If so,
 * the object cannot be recycled before it is counted out; if not, the slot has changed meanwhile
 * and is looked at again.
 */
static bool signal_slot(struct cap *cap, seL4_CPtr cptr)
{
    while (slot_has_handle(cap, cptr) && cap_is_ntfn(cap)) {
        struct ntfn *ntfn = atomic_load(&cap->ntfn);
        seL4_Word badge = atomic_load(&cap->badge);
        bool is_same;

        atomic_fetch_add(&ntfn->nr_signalling, 1);
        is_same = slot_has_handle(cap, cptr) && cap_is_ntfn(cap) &&
                  atomic_load(&cap->ntfn) == ntfn && atomic_load(&cap->badge) == badge;
        if (is_same) {
            deliver(ntfn, badge);
        }
        atomic_fetch_sub(&ntfn->nr_signalling, 1);
        if (is_same) {
            return true;
        }
    }
    return false;
}

void seL4_Signal(seL4_CPtr dest)
{
    struct cap *cap = captable_peek(dest);

    if (cap == NULL || !signal_slot(cap, dest)) {
        fail_text(-ENOENT, "cannot signal: the capability names no notification or endpoint");
    }
}

static struct ntfn *get_from_anywhere(seL4_CPtr cptr)
{
    struct env *env = captable_env(cptr);
    struct ntfn *ntfn;

    return env != NULL && ntfn_get(env, cptr, &ntfn, NULL) == 0 ? ntfn : NULL;
}

void seL4_Wait(seL4_CPtr src, seL4_Word *sender)
{
    struct ntfn *ntfn = get_from_anywhere(src);
    seL4_Word badge = 0;

    if (ntfn != NULL) {
        (void)ntfn_wait(ntfn, &badge); /* a deletion ends the wait with badge 0 */
        ntfn_put(ntfn);
    }
    if (sender != NULL) {
        *sender = badge;
    }
}

seL4_MessageInfo_t seL4_Poll(seL4_CPtr src, seL4_Word *sender)
{
    struct ntfn *ntfn = get_from_anywhere(src);
    seL4_Word badge = 0;

    if (ntfn != NULL) {
        (void)ntfn_take(ntfn, &badge);
        ntfn_put(ntfn);
    }
    if (sender != NULL) {
        *sender = badge;
    }
    return seL4_MessageInfo_new(0, 0, 0, 0);
}
