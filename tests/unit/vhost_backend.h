/* A back end of vhost-user for tests: a thread at the other end of a socket, which does as the
 * protocol says, or, at one request, what it must not do. */
#ifndef UNIT_VHOST_BACKEND_H
#define UNIT_VHOST_BACKEND_H

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum misdeed {
    MISDEED_NONE,
    MISDEED_HANG_UP,      /* instead of an answer */
    MISDEED_SHORT_HEADER, /* and hang up */
    MISDEED_SHORT_BODY,   /* and hang up */
    MISDEED_SILENCE,
    MISDEED_STALL, /* in the middle of the answer */
    MISDEED_OTHER_REQUEST,
    MISDEED_NO_ANSWER_FLAG,
    MISDEED_OTHER_VERSION,
    MISDEED_SHORTER,
    MISDEED_LONGER,
    MISDEED_HUGE,
    MISDEED_REFUSAL,     /* an acknowledgement that is none */
    MISDEED_OTHER_INDEX, /* of a ring that was to be stopped */
};

enum { BACKEND_REQUESTS = 32, BACKEND_RINGS = 2, BACKEND_REGIONS = 8 };

struct backend_message {
    uint32_t request, flags, size;
    union {
        uint64_t number;
        uint32_t words[2];
        struct {
            uint32_t index, flags;
            uint64_t descriptors, used, available, log;
        } address;
        struct {
            uint32_t nr, padding;
            struct {
                uint64_t gpa, size, address, offset;
            } regions[BACKEND_REGIONS];
        } memory;
    } payload;
} __attribute__((packed));

struct backend_ring {
    uint32_t size, base;
    uint64_t descriptors, used, available;
    int kick_fd, call_fd, err_fd; /* -1: not given */
    bool is_enabled;
    uint16_t next;
};

struct backend {
    /* Set before it starts. */
    uint64_t features, protocol;
    uint64_t nr_queues;
    enum misdeed misdeed;
    uint32_t at;      /* the request of the misdeed */
    bool serves;      /* rings: an answer of 16 bytes for each buffer, with the request's number */
    unsigned nr_held; /* so many buffers are taken, and kept */

    int fd;
    pthread_t thread;
    unsigned seen[BACKEND_REQUESTS];
    uint64_t driver_features;
    struct backend_ring rings[BACKEND_RINGS];
    unsigned nr_regions;
    struct backend_message table;
    int region_fds[BACKEND_REGIONS];
    atomic_uint nr_served, nr_taken;
};

static inline void backend_drop_memory(struct backend *b)
{
    for (unsigned i = 0; i < b->nr_regions; i++) {
        (void)close(b->region_fds[i]);
    }
    b->nr_regions = 0;
}

static inline void backend_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static inline bool backend_send(struct backend *b, const struct backend_message *answer,
                                size_t size)
{
    return send(b->fd, answer, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* False: it is over. */
static inline bool backend_misbehaves(struct backend *b, struct backend_message *answer)
{
    size_t whole = 12 + answer->size;

    switch (b->misdeed) {
    case MISDEED_NONE:
        break;
    case MISDEED_HANG_UP:
        return false;
    case MISDEED_SHORT_HEADER:
        (void)backend_send(b, answer, 7);
        return false;
    case MISDEED_SHORT_BODY:
        (void)backend_send(b, answer, whole - 1);
        return false;
    case MISDEED_SILENCE:
        return true;
    case MISDEED_STALL:
        return backend_send(b, answer, 13);
    case MISDEED_OTHER_REQUEST:
        answer->request++;
        break;
    case MISDEED_NO_ANSWER_FLAG:
        answer->flags &= ~4u;
        break;
    case MISDEED_OTHER_VERSION:
        answer->flags ^= 3;
        break;
    case MISDEED_SHORTER:
        answer->size -= 4;
        break;
    case MISDEED_LONGER:
        answer->size += 4;
        break;
    case MISDEED_HUGE:
        answer->size = 0xffffffff;
        break;
    case MISDEED_REFUSAL:
        answer->payload.number = 1;
        break;
    case MISDEED_OTHER_INDEX:
        answer->payload.words[0]++;
        break;
    }
    return backend_send(b, answer, whole);
}

static inline void backend_take_fds(struct backend *b, const struct backend_message *m,
                                    const int *fds, unsigned nr_fds)
{
    struct backend_ring *ring = &b->rings[m->payload.number % BACKEND_RINGS];

    switch (m->request) {
    case 5:
        backend_drop_memory(b);
        b->table = *m;
        b->nr_regions = nr_fds;
        memcpy(b->region_fds, fds, nr_fds * sizeof(int));
        return;
    case 12:
        backend_close(&ring->kick_fd);
        ring->kick_fd = fds[0];
        return;
    case 13:
        backend_close(&ring->call_fd);
        ring->call_fd = fds[0];
        return;
    case 14:
        backend_close(&ring->err_fd);
        ring->err_fd = fds[0];
        return;
    default:
        return;
    }
}

/* Notes what it says; true: it has an answer, which is left in *answer. */
static inline bool backend_note(struct backend *b, const struct backend_message *m,
                                struct backend_message *answer)
{
    struct backend_ring *ring = &b->rings[m->payload.words[0] % BACKEND_RINGS];

    *answer = (struct backend_message){.request = m->request, .flags = 5, .size = 8};
    switch (m->request) {
    case 1:
        answer->payload.number = b->features;
        return true;
    case 2:
        b->driver_features = m->payload.number;
        break;
    case 8:
        ring->size = m->payload.words[1];
        break;
    case 9:
        ring->descriptors = m->payload.address.descriptors;
        ring->used = m->payload.address.used;
        ring->available = m->payload.address.available;
        break;
    case 10:
        ring->base = ring->next = (uint16_t)m->payload.words[1];
        break;
    case 11:
        answer->payload.words[0] = m->payload.words[0];
        answer->payload.words[1] = ring->next;
        backend_close(&ring->kick_fd);
        backend_close(&ring->call_fd);
        backend_close(&ring->err_fd);
        return true;
    case 15:
        answer->payload.number = b->protocol;
        return true;
    case 17:
        answer->payload.number = b->nr_queues;
        return true;
    case 18:
        ring->is_enabled = m->payload.words[1] != 0;
        break;
    default:
        break;
    }
    return (m->flags & 8) != 0;
}

/* One message. False: the other end is gone, or this one is to go. */
static inline bool backend_answer(struct backend *b)
{
    union {
        char bytes[CMSG_SPACE(BACKEND_REGIONS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct backend_message m = {0}, answer;
    struct iovec iov = {&m, 12};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    const struct cmsghdr *cmsg;

    if (recvmsg(b->fd, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL) != 12 || m.size > sizeof(m) - 12 ||
        (m.flags & 3) != 1 || m.request >= BACKEND_REQUESTS ||
        (m.size > 0 && recv(b->fd, (char *)&m + 12, m.size, MSG_WAITALL) != (ssize_t)m.size)) {
        return false;
    }
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg != NULL) {
        int fds[BACKEND_REGIONS];
        unsigned nr = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));

        memcpy(fds, CMSG_DATA(cmsg), nr * sizeof(int));
        backend_take_fds(b, &m, fds, nr);
    }
    b->seen[m.request]++;
    if (!backend_note(b, &m, &answer)) {
        return b->at != m.request || b->misdeed != MISDEED_HANG_UP;
    }
    return b->at == m.request ? backend_misbehaves(b, &answer) : backend_send(b, &answer, 20);
}

/* --- rings --- */

static inline char *backend_map(struct backend *b, unsigned i)
{
    const uint64_t offset = b->table.payload.memory.regions[i].offset;
    void *p = mmap(NULL, b->table.payload.memory.regions[i].size, PROT_READ | PROT_WRITE,
                   MAP_SHARED, b->region_fds[i], (off_t)offset);

    return p == MAP_FAILED ? NULL : p;
}

struct backend_descriptor {
    uint64_t gpa;
    uint32_t size;
    uint16_t flags, next;
};

static inline void backend_serve(struct backend *b, struct backend_ring *ring)
{
    const uint64_t gpa = b->table.payload.memory.regions[0].gpa;
    char *memory = backend_map(b, 0);
    const struct backend_descriptor *descriptors;
    uint16_t *available, *used;
    uint64_t count;

    (void)!read(ring->kick_fd, &count, sizeof(count));
    if (memory == NULL) {
        return;
    }
    descriptors = (const void *)(memory + (ring->descriptors - gpa));
    available = (void *)(memory + (ring->available - gpa));
    used = (void *)(memory + (ring->used - gpa));
    while (__atomic_load_n(&available[1], __ATOMIC_ACQUIRE) != ring->next) {
        uint16_t head = available[2 + ring->next++ % ring->size];
        const struct backend_descriptor *in = &descriptors[head];
        uint32_t entry[2] = {head, 16};
        uint32_t answer[4] = {16, 0};
        const uint64_t one = 1;

        (void)atomic_fetch_add(&b->nr_taken, 1);
        if (b->nr_held > 0) {
            b->nr_held--;
            continue;
        }
        memcpy(&answer[2], memory + (in->gpa - gpa) + 8, 8); /* the request's number */
        while ((in->flags & 1) != 0) {
            in = &descriptors[in->next];
        }
        memcpy(memory + (in->gpa - gpa), answer, sizeof(answer));
        memcpy((char *)used + 4 + used[1] % ring->size * 8, entry, sizeof(entry));
        __atomic_store_n(&used[1], (uint16_t)(used[1] + 1), __ATOMIC_RELEASE);
        (void)!write(ring->call_fd, &one, sizeof(one));
        (void)atomic_fetch_add(&b->nr_served, 1);
    }
    (void)munmap(memory, b->table.payload.memory.regions[0].size);
}

static inline void *backend_run(void *cookie)
{
    struct backend *b = cookie;
    bool goes_on = true;

    while (goes_on) {
        struct pollfd fds[1 + BACKEND_RINGS] = {{.fd = b->fd, .events = POLLIN}};

        for (int i = 0; i < BACKEND_RINGS; i++) {
            fds[1 + i] =
                (struct pollfd){.fd = b->serves ? b->rings[i].kick_fd : -1, .events = POLLIN};
        }
        (void)poll(fds, 1 + BACKEND_RINGS, -1);
        for (int i = 0; i < BACKEND_RINGS; i++) {
            if ((fds[1 + i].revents & POLLIN) != 0 && b->rings[i].is_enabled) {
                backend_serve(b, &b->rings[i]);
            }
        }
        if (fds[0].revents != 0) {
            goes_on = backend_answer(b);
        }
    }
    backend_drop_memory(b);
    for (int i = 0; i < BACKEND_RINGS; i++) {
        backend_close(&b->rings[i].kick_fd);
        backend_close(&b->rings[i].call_fd);
        backend_close(&b->rings[i].err_fd);
    }
    (void)shutdown(b->fd, SHUT_RDWR);
    return NULL;
}

/* Returns the front end's socket; -1: there is no thread to be had. */
static inline int backend_begin(struct backend *b)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    b->fd = ends[1];
    for (int i = 0; i < BACKEND_RINGS; i++) {
        b->rings[i].kick_fd = b->rings[i].call_fd = b->rings[i].err_fd = -1;
    }
    if (pthread_create(&b->thread, NULL, backend_run, b) != 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return -1;
    }
    return ends[0];
}

/* What first threads take, and a process keeps: stacks, and one heap for all of them. */
enum { BACKEND_THREADS = 4 };

static inline void *backend_wait(void *cookie)
{
    (void)pthread_barrier_wait(cookie);
    return NULL;
}

static inline int backend_prepare(void **state)
{
    pthread_t threads[BACKEND_THREADS];
    pthread_barrier_t barrier;

    (void)state;
    (void)mallopt(M_ARENA_MAX, 1);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, BACKEND_THREADS), 0);
    for (int i = 0; i < BACKEND_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, backend_wait, &barrier), 0);
    }
    for (int i = 0; i < BACKEND_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    return pthread_barrier_destroy(&barrier);
}

/* Ends it from this side; the front end's socket is its owner's. */
static inline void backend_end(struct backend *b)
{
    (void)shutdown(b->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(b->thread, NULL), 0);
    (void)close(b->fd);
}

#endif
