/*
 * Notifications: a pending word, who waits for it, and what wakes them. An endpoint is one that can
 * carry messages.
 */
#ifndef ENV_IPC_H
#define ENV_IPC_H

#include <pthread.h>
#include <sel4/sel4.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "env/caps.h"

struct party;

/*
 * Never given back to the heap before its environment is: a signal that races with the deletion of
 * the last capability finds an object, not rubble.
 */
struct ntfn {
    struct env *env;
    enum cap_type kind;        /* CAP_NOTIFICATION or CAP_ENDPOINT */
    _Atomic uint64_t badges;   /* OR of the badges signalled since the last take */
    atomic_bool has_unbadged;  /* a badge of 0 was signalled */
    atomic_uint nr_signalling; /* signals in progress */
    atomic_int fd;             /* eventfd, -1 until somebody asks for it */
    atomic_bool fd_is_full;
    void (*_Atomic wake)(void *cookie);
    void *wake_cookie;    /* written before wake is */
    atomic_uint sequence; /* futex: changes with whatever a waiter could wait for */
    atomic_uint nr_waiting;
    atomic_bool is_dead;  /* its last capability is gone */
    unsigned nr_refs;     /* capabilities, waiters, ntfn_get(); guarded by the env lock */
    unsigned nr_caps;     /* likewise */
    struct block *memory; /* untyped memory it was made from, or NULL */
    struct ntfn *next_free;
    struct ntfn *next_made;
    pthread_mutex_t lock;  /* guards the queues; nothing is called under it */
    struct party *senders; /* oldest first */
    struct party *receivers;
};

/* All the notifications an environment ever made; guarded by the env lock. */
struct ntfn_pool {
    struct ntfn *made;
    struct ntfn *free;
};

void ntfn_pool_fini(struct ntfn_pool *pool);

/* A fresh one in an empty slot. */
int ntfn_create(struct env *env, enum cap_type kind, seL4_CPtr slot);

/* The object behind a capability, counted, and the capability's badge; ret_badge may be NULL. */
int ntfn_get(struct env *env, seL4_CPtr cptr, struct ntfn **ret, seL4_Word *ret_badge);
void ntfn_put(struct ntfn *ntfn); /* NULL is fine */

/*
 * Signals, takes, waits. Any thread; signalling also from signal handlers: it takes no lock and
 * allocates nothing. Signals between two takes arrive as one, OR-ed; a badge of 0 arrives as well.
 */
void ntfn_signal(struct ntfn *ntfn, seL4_Word badge);
bool ntfn_take(struct ntfn *ntfn, seL4_Word *ret_badge);
bool ntfn_is_pending(const struct ntfn *ntfn);
int ntfn_wait(struct ntfn *ntfn,
              seL4_Word *ret_badge); /* -ECANCELED when the last capability goes */

/*
 * A descriptor, readable while something is pending; the notification's own, made at the first
 * call. -errno.
 */
int ntfn_fd(struct ntfn *ntfn);

/*
 * Has wake called at every signal, and at once if one is pending. It runs on the signalling thread,
 * perhaps in a signal handler, and must do what one may there. One watcher at a time: -EBUSY. After
 * clear returned, wake does not run any more; clear may not be called from wake.
 */
int ntfn_set_wake(struct ntfn *ntfn, void (*wake)(void *cookie), void *cookie);
void ntfn_clear_wake(struct ntfn *ntfn);

/* --- env lock held --- */

/* memory, or NULL, is what it was made of; the count on it passes to the notification. */
int ntfn_make(struct env *env, enum cap_type kind, struct block *memory, struct ntfn **ret);
void ntfn_cap_added(struct ntfn *ntfn);
void ntfn_cap_gone(struct ntfn *ntfn);

/* --- between ipc.c and messages.c --- */

/* Something changed for those who wait. */
void ntfn_wake_waiting(struct ntfn *ntfn);

/* Ends the sending of all who wait for a receiver. */
void messages_cancel(struct ntfn *endpoint);

#endif
