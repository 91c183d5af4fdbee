/* Messages of vhost-user, and their answers. */
#include "back/vhost_user.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
};

enum flags { VERSION = 1, VERSION_MASK = 3, IS_REPLY = 4, NEEDS_REPLY = 8 };

#define PROTOCOL_MQ        (1ull << 0)
#define PROTOCOL_REPLY_ACK (1ull << 3)

struct vring_state {
    uint32_t index;
    uint32_t number;
};

struct vring_address {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptors;
    uint64_t used;
    uint64_t available;
    uint64_t log;
};

struct memory_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t address; /* by which rings are named */
    uint64_t offset;
};

struct memory_table {
    uint32_t nr_regions;
    uint32_t padding;
    struct memory_region regions[VHOST_USER_REGIONS_MAX];
};

union payload {
    uint64_t number;
    struct vring_state state;
    struct vring_address address;
    struct memory_table memory;
};

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload that is there */
    union payload payload;
} __attribute__((packed));

enum { HEADER = offsetof(struct message, payload) };

static int refuse(struct vhost_user *vu, int r, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct vhost_user *vu, int r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(vu->why, sizeof(vu->why), fmt, args);
    va_end(args);
    return r;
}

/* --- sending --- */

static int send_message(struct vhost_user *vu, const struct message *message, const int *fds,
                        unsigned int nr_fds)
{
    union {
        char bytes[CMSG_SPACE(VHOST_USER_REGIONS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {(void *)(uintptr_t)message, HEADER + message->size}; /* only read */
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (nr_fds > 0) {
        struct cmsghdr *cmsg;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
    }
    /* Messages are small and answered: a socket without room is one that nobody reads. */
    n = sendmsg(vu->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        int r = -errno;

        return refuse(vu, r, "cannot send request %u: %s", message->request, strerror(-r));
    }
    return (size_t)n == iov.iov_len
               ? 0
               : refuse(vu, -EIO, "cannot send all of request %u", message->request);
}

/* --- answers --- */

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Exactly so many bytes, until a point in time. */
static int receive_all(struct vhost_user *vu, void *bytes, size_t size, int64_t deadline,
                       uint32_t request)
{
    size_t done = 0;

    while (done < size) {
        int64_t rest = deadline - now_ms();
        struct pollfd poll_fd = {.fd = vu->fd, .events = POLLIN};
        ssize_t n;

        if (rest <= 0 || poll(&poll_fd, 1, (int)rest) == 0) {
            return refuse(vu, -ETIMEDOUT, "there is no answer to request %u", request);
        }
        n = recv(vu->fd, (char *)bytes + done, size - done, MSG_DONTWAIT);
        if (n == 0) {
            return refuse(vu, -ECONNRESET, "it has ended instead of answering request %u", request);
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            int r = -errno;

            return refuse(vu, r, "cannot receive the answer to request %u: %s", request,
                          strerror(-r));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Its payload has the given size, or the answer is none. */
static int receive_answer(struct vhost_user *vu, uint32_t request, void *payload, size_t size)
{
    int64_t deadline = now_ms() + vu->patience_ms;
    struct message answer = {0};
    int r = receive_all(vu, &answer, HEADER, deadline, request);

    if (r < 0) {
        return r;
    }
    if (answer.request != request || (answer.flags & VERSION_MASK) != VERSION ||
        (answer.flags & IS_REPLY) == 0 || answer.size != size) {
        return refuse(vu, -EPROTO,
                      "the answer to request %u is none: request %u, flags 0x%x, %u bytes", request,
                      answer.request, answer.flags, answer.size);
    }
    return receive_all(vu, payload, size, deadline, request);
}

/* A request that has no answer of its own. With acknowledgements, it is known to have been done. */
static int tell(struct vhost_user *vu, struct message *message, const int *fds, unsigned int nr_fds)
{
    bool is_acknowledged = (vu->protocol & PROTOCOL_REPLY_ACK) != 0;
    uint64_t result = 0;
    int r;

    message->flags = VERSION | (is_acknowledged ? NEEDS_REPLY : 0);
    r = send_message(vu, message, fds, nr_fds);
    if (r == 0 && is_acknowledged) {
        r = receive_answer(vu, message->request, &result, sizeof(result));
    }
    if (r == 0 && result != 0) {
        return refuse(vu, -EPROTO, "it refuses request %u", message->request);
    }
    return r;
}

static int ask(struct vhost_user *vu, struct message *message, void *answer, size_t size)
{
    int r;

    message->flags = VERSION;
    r = send_message(vu, message, NULL, 0);
    return r < 0 ? r : receive_answer(vu, message->request, answer, size);
}

static int tell_number(struct vhost_user *vu, enum request request, uint64_t number)
{
    struct message message = {.request = request, .size = sizeof(number), .payload.number = number};

    return tell(vu, &message, NULL, 0);
}

static int ask_number(struct vhost_user *vu, enum request request, uint64_t *ret)
{
    struct message message = {.request = request};

    return ask(vu, &message, ret, sizeof(*ret));
}

/* --- hello --- */

/* Before it is agreed on, nothing is acknowledged. */
static int agree_on_protocol(struct vhost_user *vu)
{
    uint64_t offered = 0;
    int r = ask_number(vu, GET_PROTOCOL_FEATURES, &offered);

    if (r < 0) {
        return r;
    }
    offered &= PROTOCOL_MQ | PROTOCOL_REPLY_ACK;
    r = tell_number(vu, SET_PROTOCOL_FEATURES, offered);
    vu->protocol = offered;
    return r;
}

int vhost_user_open(struct vhost_user *vu, int fd, unsigned int nr_queues, int patience_ms)
{
    struct message owner = {.request = SET_OWNER};
    uint64_t number = nr_queues;
    int r;

    *vu = (struct vhost_user){.fd = fd, .patience_ms = patience_ms};
    r = ask_number(vu, GET_FEATURES, &vu->features);
    if (r == 0 && (vu->features & VHOST_USER_F_PROTOCOL_FEATURES) != 0) {
        r = agree_on_protocol(vu);
    }
    if (r == 0) {
        r = tell(vu, &owner, NULL, 0);
    }
    if (r == 0 && (vu->protocol & PROTOCOL_MQ) != 0) {
        r = ask_number(vu, GET_QUEUE_NUM, &number);
    }
    if (r == 0 && number < nr_queues) {
        return refuse(vu, -EPROTO, "it has %" PRIu64 " queues, not %u", number, nr_queues);
    }
    return r;
}

int vhost_user_set_features(struct vhost_user *vu, uint64_t features)
{
    if ((features & ~vu->features) != 0) {
        return refuse(vu, -EINVAL, "it does not offer features 0x%" PRIx64,
                      features & ~vu->features);
    }
    return tell_number(vu, SET_FEATURES,
                       features | (vu->features & VHOST_USER_F_PROTOCOL_FEATURES));
}

/* --- memory --- */

int vhost_user_set_memory(struct vhost_user *vu, const struct vhost_user_region *regions,
                          unsigned int nr_regions)
{
    struct message message = {.request = SET_MEM_TABLE};
    struct memory_table table = {.nr_regions = nr_regions};
    int fds[VHOST_USER_REGIONS_MAX];

    if (nr_regions == 0 || nr_regions > VHOST_USER_REGIONS_MAX) {
        return refuse(vu, -E2BIG, "guest memory is %u pieces of files: 1 to %d are possible",
                      nr_regions, VHOST_USER_REGIONS_MAX);
    }
    for (unsigned int i = 0; i < nr_regions; i++) {
        /* Rings are named by guest addresses, too: what is where in this process is its own. */
        table.regions[i] = (struct memory_region){
            .gpa = regions[i].gpa,
            .size = regions[i].size,
            .address = regions[i].gpa,
            .offset = regions[i].offset,
        };
        fds[i] = regions[i].fd;
    }
    message.size =
        (uint32_t)(offsetof(struct memory_table, regions) + nr_regions * sizeof(table.regions[0]));
    message.payload.memory = table;
    return tell(vu, &message, fds, nr_regions);
}

/* --- rings --- */

static int tell_state(struct vhost_user *vu, enum request request, uint32_t index, uint32_t number)
{
    struct message message = {
        .request = request, .size = sizeof(struct vring_state), .payload.state = {index, number}};

    return tell(vu, &message, NULL, 0);
}

static int tell_fd(struct vhost_user *vu, enum request request, uint32_t index, int fd)
{
    struct message message = {
        .request = request, .size = sizeof(uint64_t), .payload.number = index};

    return tell(vu, &message, &fd, 1);
}

static int tell_address(struct vhost_user *vu, uint32_t index, const struct vhost_user_ring *ring)
{
    struct message message = {.request = SET_VRING_ADDR,
                              .size = sizeof(struct vring_address),
                              .payload.address = {
                                  .index = index,
                                  .descriptors = ring->descriptors,
                                  .used = ring->device_area,
                                  .available = ring->driver_area,
                              }};

    return tell(vu, &message, NULL, 0);
}

int vhost_user_start_ring(struct vhost_user *vu, unsigned int index,
                          const struct vhost_user_ring *ring)
{
    int r = tell_state(vu, SET_VRING_NUM, index, ring->size);

    if (r == 0) {
        r = tell_state(vu, SET_VRING_BASE, index, 0);
    }
    if (r == 0) {
        r = tell_address(vu, index, ring);
    }
    if (r == 0) {
        r = tell_fd(vu, SET_VRING_CALL, index, ring->call_fd);
    }
    if (r == 0) {
        r = tell_fd(vu, SET_VRING_ERR, index, ring->err_fd);
    }
    if (r == 0) {
        r = tell_fd(vu, SET_VRING_KICK, index, ring->kick_fd);
    }
    if (r == 0 && (vu->features & VHOST_USER_F_PROTOCOL_FEATURES) != 0) {
        r = tell_state(vu, SET_VRING_ENABLE, index, 1);
    }
    return r;
}

int vhost_user_stop_ring(struct vhost_user *vu, unsigned int index)
{
    struct message message = {.request = GET_VRING_BASE,
                              .size = sizeof(struct vring_state),
                              .payload.state = {.index = index}};
    struct vring_state answer = {0};
    int r = ask(vu, &message, &answer, sizeof(answer));

    if (r == 0 && answer.index != index) {
        return refuse(vu, -EPROTO, "it was to stop ring %u and has stopped ring %u", index,
                      answer.index);
    }
    return r;
}

bool vhost_user_is_gone(const struct vhost_user *vu)
{
    struct pollfd poll_fd = {.fd = vu->fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0;
}
