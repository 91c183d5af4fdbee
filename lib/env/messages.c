/* Messages through endpoints, and the system calls that send, receive and answer them. */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "base/reason.h"
#include "env/captable.h"
#include "env/env.h"
#include "env/ipc.h"

enum party_state {
    PARTY_WAITING,   /* in a queue, or a call that is being worked on */
    PARTY_DONE,      /* sent, received, or answered */
    PARTY_CANCELLED, /* will never be */
};

/* One end of a transfer; on the stack of its thread, which leaves once state says so. */
struct party {
    seL4_MessageInfo_t info;
    seL4_Word badge;
    seL4_Word words[seL4_MsgMaxLength];
    bool wants_reply;
    struct party *caller; /* a receiver's: who waits for its answer */
    atomic_uint state;    /* futex */
    struct party *next;
};

/* What seL4 keeps per thread: its message registers, and whom it can reply to. */
static __thread seL4_Word registers[seL4_MsgMaxLength];
static __thread struct party *unanswered;

static void append(struct party **queue, struct party *party)
{
    while (*queue != NULL) {
        queue = &(*queue)->next;
    }
    party->next = NULL;
    *queue = party;
}

static void withdraw(struct party **queue, const struct party *party)
{
    while (*queue != party) {
        queue = &(*queue)->next;
    }
    *queue = party->next;
}

static size_t nr_words(seL4_MessageInfo_t info)
{
    size_t length = seL4_MessageInfo_get_length(info);

    return length < seL4_MsgMaxLength ? length : seL4_MsgMaxLength;
}

static void copy_message(struct party *to, const struct party *from)
{
    to->info = from->info;
    memcpy(to->words, from->words, nr_words(from->info) * sizeof(from->words[0]));
}

/* The other thread may be gone as soon as it can see this; waking a dead address wakes nobody. */
static void finish(struct party *party, enum party_state state)
{
    atomic_store(&party->state, state);
    futex_wake_all(&party->state);
}

static enum party_state await(struct party *party)
{
    while (atomic_load(&party->state) == PARTY_WAITING) {
        futex_wait(&party->state, PARTY_WAITING);
    }
    return (enum party_state)atomic_load(&party->state);
}

/* Both are out of the queues, or never were in one. */
static void transfer(struct party *sender, struct party *receiver)
{
    copy_message(receiver, sender);
    receiver->badge = sender->badge;
    receiver->caller = sender->wants_reply ? sender : NULL;
    atomic_store(&receiver->state, PARTY_DONE);
    if (!sender->wants_reply) {
        finish(sender, PARTY_DONE);
    }
}

void messages_cancel(struct ntfn *endpoint)
{
    pthread_mutex_lock(&endpoint->lock);
    while (endpoint->senders != NULL) {
        struct party *sender = endpoint->senders;

        endpoint->senders = sender->next;
        finish(sender, PARTY_CANCELLED);
    }
    pthread_mutex_unlock(&endpoint->lock);
}

/* -EAGAIN when it is in the queue, or, if it may not be, when nobody receives. */
static int offer(struct ntfn *endpoint, struct party *me, bool may_wait)
{
    struct party *receiver;
    int r = -EAGAIN;

    pthread_mutex_lock(&endpoint->lock);
    receiver = endpoint->receivers;
    if (atomic_load(&endpoint->is_dead)) {
        r = -ECANCELED;
    } else if (receiver != NULL) {
        endpoint->receivers = receiver->next;
        transfer(me, receiver);
        r = 0;
    } else if (may_wait) {
        append(&endpoint->senders, me);
    }
    pthread_mutex_unlock(&endpoint->lock);
    if (r == 0) {
        ntfn_wake_waiting(endpoint);
    }
    return r;
}

/* Through a notification only the badge goes. */
static int send(seL4_CPtr dest, struct party *me, bool may_wait)
{
    struct env *env = captable_env(dest);
    struct ntfn *endpoint;
    int r;

    r = env == NULL ? -ENOENT : ntfn_get(env, dest, &endpoint, &me->badge);
    if (r < 0) {
        return r;
    }
    if (endpoint->kind == CAP_NOTIFICATION) {
        ntfn_signal(endpoint, me->badge);
        me->info = seL4_MessageInfo_new(0, 0, 0, 0);
    } else {
        r = offer(endpoint, me, may_wait);
        if (r == 0 ? me->wants_reply : r == -EAGAIN && may_wait) {
            r = await(me) == PARTY_DONE ? 0 : -ECANCELED;
        }
        if (r == -ECANCELED) {
            fail(r, "cannot send: the endpoint was deleted, or the call was never answered");
        }
    }
    ntfn_put(endpoint);
    return r;
}

static void fill_party(struct party *me, seL4_MessageInfo_t info, bool wants_reply)
{
    me->info = info;
    memcpy(me->words, registers, nr_words(info) * sizeof(registers[0]));
    me->wants_reply = wants_reply;
    atomic_init(&me->state, PARTY_WAITING);
}

void seL4_Send(seL4_CPtr dest, seL4_MessageInfo_t msgInfo)
{
    struct party me;

    fill_party(&me, msgInfo, false);
    (void)send(dest, &me, true); /* the interface has no way to tell; the reason is kept */
}

void seL4_NBSend(seL4_CPtr dest, seL4_MessageInfo_t msgInfo)
{
    struct party me;

    fill_party(&me, msgInfo, false);
    (void)send(dest, &me, false);
}

seL4_MessageInfo_t seL4_Call(seL4_CPtr dest, seL4_MessageInfo_t msgInfo)
{
    struct party me;

    fill_party(&me, msgInfo, true);
    if (send(dest, &me, true) < 0) {
        return seL4_MessageInfo_new(seL4_FailedLookup, 0, 0, 0);
    }
    memcpy(registers, me.words, nr_words(me.info) * sizeof(registers[0]));
    return me.info;
}

void seL4_Reply(seL4_MessageInfo_t msgInfo)
{
    struct party *caller = unanswered;

    if (caller == NULL) {
        return;
    }
    unanswered = NULL;
    caller->info = msgInfo;
    memcpy(caller->words, registers, nr_words(msgInfo) * sizeof(registers[0]));
    finish(caller, PARTY_DONE);
}

/* Queue lock held. Signals go first: they are what cannot wait in a queue. */
static bool take_or_receive(struct ntfn *endpoint, struct party *me)
{
    struct party *sender = endpoint->senders;

    if (ntfn_take(endpoint, &me->badge)) {
        me->info = seL4_MessageInfo_new(0, 0, 0, 0);
        return true;
    }
    if (sender == NULL) {
        return false;
    }
    endpoint->senders = sender->next;
    transfer(sender, me);
    return true;
}

/*
 * Queue lock held; me is in the queue, unless a sender took it out. -EAGAIN when there is nothing
 * yet.
 */
static int look_again(struct ntfn *endpoint, struct party *me)
{
    bool is_dead = atomic_load(&endpoint->is_dead);

    if (atomic_load(&me->state) == PARTY_DONE) {
        return 0;
    }
    if (!is_dead && !take_or_receive(endpoint, me)) {
        return -EAGAIN;
    }
    withdraw(&endpoint->receivers, me);
    return is_dead ? fail(-ECANCELED, "the endpoint was deleted while it was waited for") : 0;
}

static int wait_in_queue(struct ntfn *endpoint, struct party *me)
{
    int r;

    atomic_fetch_add(&endpoint->nr_waiting, 1);
    for (;;) {
        unsigned seen = atomic_load(&endpoint->sequence);

        pthread_mutex_lock(&endpoint->lock);
        r = look_again(endpoint, me);
        pthread_mutex_unlock(&endpoint->lock);
        if (r != -EAGAIN) {
            break;
        }
        futex_wait(&endpoint->sequence, seen);
    }
    atomic_fetch_sub(&endpoint->nr_waiting, 1);
    return r;
}

static int receive(struct ntfn *endpoint, struct party *me, bool may_wait)
{
    bool has_received;

    pthread_mutex_lock(&endpoint->lock);
    has_received = take_or_receive(endpoint, me);
    if (!has_received && may_wait) {
        append(&endpoint->receivers, me);
    }
    pthread_mutex_unlock(&endpoint->lock);
    if (has_received) {
        return 0;
    }
    return may_wait ? wait_in_queue(endpoint, me) : -EAGAIN;
}

/* What came in becomes the thread's registers. Whom it did not answer before, it never will. */
static seL4_MessageInfo_t receive_into_registers(seL4_CPtr src, seL4_Word *sender, bool may_wait)
{
    struct env *env = captable_env(src);
    struct party me = {.badge = 0};
    struct ntfn *endpoint;
    int r;

    if (unanswered != NULL) {
        finish(unanswered, PARTY_CANCELLED);
        unanswered = NULL;
    }
    r = env == NULL ? -ENOENT : ntfn_get(env, src, &endpoint, NULL);
    if (r == 0) {
        r = receive(endpoint, &me, may_wait);
        ntfn_put(endpoint);
    }
    if (r == 0) {
        memcpy(registers, me.words, nr_words(me.info) * sizeof(registers[0]));
        unanswered = me.caller;
    }
    if (sender != NULL) {
        *sender = me.badge;
    }
    return me.info;
}

seL4_MessageInfo_t seL4_Recv(seL4_CPtr src, seL4_Word *sender)
{
    return receive_into_registers(src, sender, true);
}

seL4_MessageInfo_t seL4_NBRecv(seL4_CPtr src, seL4_Word *sender)
{
    return receive_into_registers(src, sender, false);
}

seL4_Word seL4_GetMR(int i)
{
    return i >= 0 && i < seL4_MsgMaxLength ? registers[i] : 0;
}

void seL4_SetMR(int i, seL4_Word mr)
{
    if (i >= 0 && i < seL4_MsgMaxLength) {
        registers[i] = mr;
    }
}
