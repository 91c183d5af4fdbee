/* The file system device: its queues go to virtiofsd, and come back when that ends. */
#include "virtio/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <hostvm/vm.h>

#include "back/vhost_user.h"
#include "back/virtiofsd.h"
#include "back/worker.h"

enum { QUEUE_HIPRIO, QUEUE_REQUESTS, NR_QUEUES };

enum {
    ID_FS = 26, /* virtio 1.2, 5 */
    QUEUE_SIZE = 128,
    PIECES_MAX = 256, /* of a request: 1 MiB in pages */
    REQUESTS_AT_ONCE = 64,
};

/* The part of features that a back end has a say in. */
#define FEATURES_OF_QUEUES                                                                         \
    (HOSTVM_VIRTIO_F_INDIRECT_DESC | HOSTVM_VIRTIO_F_EVENT_IDX | HOSTVM_VIRTIO_F_RING_PACKED)

/* 5.11.4 */
struct fs_space {
    char tag[FS_TAG_MAX]; /* without a zero at its end, if it is that long */
    uint32_t num_request_queues;
} __attribute__((packed));

/* Linux, include/uapi/linux/fuse.h: what requests and answers begin with. */
struct fuse_in {
    uint32_t len;
    uint32_t opcode;
    uint64_t unique;
    uint64_t nodeid;
    uint32_t uid, gid, pid;
    uint32_t padding;
};

struct fuse_out {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

struct queue {
    struct fs *fs;
    hostvm_virtqueue_t *queue;
    int call_fd;
    bool is_ready;
    struct vhost_user_ring ring;
};

struct fs {
    vm_t *vm;
    hostvm_virtio_t *device;
    struct worker *worker;
    struct virtiofsd server;
    struct vhost_user vu;
    int err_fd;
    struct queue queues[NR_QUEUES];
    char tag[FS_TAG_MAX + 1];

    /* What start finds out for the worker. */
    struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
    unsigned int nr_regions;
    uint64_t features;

    /* The worker's. */
    bool is_started;
    bool is_served; /* by virtiofsd: else by what answers EIO */
};

/* --- without virtiofsd: all fails, nothing hangs --- */

static size_t answer_eio(const hostvm_virtio_buffer_t *buffer)
{
    struct fuse_in in = {0};
    struct fuse_out out = {.len = sizeof(out), .error = -EIO};

    if (buffer->in_size < sizeof(out)) {
        return 0; /* it wants no answer */
    }
    (void)hostvm_virtio_read(buffer, 0, &in, sizeof(in)); /* what is not there stays 0 */
    out.unique = in.unique;
    return hostvm_virtio_write(buffer, 0, &out, sizeof(out));
}

static void refuse_requests(void *cookie, uint32_t events)
{
    struct queue *queue = cookie;
    struct iovec iov[PIECES_MAX];
    hostvm_virtio_buffer_t buffer = {.iov = iov, .iov_max = PIECES_MAX};
    eventfd_t count;

    (void)events;
    (void)eventfd_read(hostvm_virtqueue_fd(queue->queue), &count);
    for (int i = 0; i < REQUESTS_AT_ONCE && hostvm_virtqueue_pop(queue->queue, &buffer) > 0; i++) {
        hostvm_virtqueue_push(queue->queue, &buffer, answer_eio(&buffer));
    }
    hostvm_virtqueue_publish(queue->queue);
    if (hostvm_virtqueue_rearm(queue->queue)) {
        (void)eventfd_write(hostvm_virtqueue_fd(queue->queue), 1);
    }
}

static void serve_alone(struct fs *fs)
{
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        struct queue *queue = &fs->queues[i];
        int fd = hostvm_virtqueue_fd(queue->queue);

        if (queue->is_ready && worker_watch(fs->worker, fd, EPOLLIN, refuse_requests, queue) < 0) {
            hostvm_virtio_fail(fs->device, "the host has no room for a watch");
        }
        (void)eventfd_write(fd, 1);
    }
}

/* --- with it --- */

static void unwatch_server(struct fs *fs)
{
    worker_unwatch(fs->worker, fs->vu.fd);
    worker_unwatch(fs->worker, fs->err_fd);
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        worker_unwatch(fs->worker, fs->queues[i].call_fd);
    }
}

/* From here on there is none. why: what it did wrong, or NULL: it has ended by itself. */
static void give_up_server(struct fs *fs, const char *why)
{
    char how[64];

    unwatch_server(fs);
    virtiofsd_end(&fs->server, how, sizeof(how));
    fs->is_served = false;
    (void)fprintf(stderr,
                  "hostvm: --share: virtiofsd has ended%s%s%s%s%s: the guest's accesses to '%s' "
                  "fail from now on\n",
                  how[0] != '\0' ? " (" : "", how, how[0] != '\0' ? ")" : "",
                  why != NULL ? ": " : "", why != NULL ? why : "", fs->tag);
}

static void server_event(void *cookie, uint32_t events)
{
    struct fs *fs = cookie;

    (void)events;
    /* It has nothing to say by itself: whatever comes is no answer to anything. */
    give_up_server(fs, vhost_user_is_gone(&fs->vu) ? NULL : "it sent what nobody asked for");
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        if (fs->queues[i].is_ready) {
            (void)hostvm_virtqueue_take_back(fs->queues[i].queue);
        }
    }
    serve_alone(fs);
}

static void call_event(void *cookie, uint32_t events)
{
    struct queue *queue = cookie;
    eventfd_t count;

    (void)events;
    (void)eventfd_read(queue->call_fd, &count);
    hostvm_virtqueue_interrupt(queue->queue);
}

static void err_event(void *cookie, uint32_t events)
{
    struct fs *fs = cookie;
    eventfd_t count;

    (void)events;
    (void)eventfd_read(fs->err_fd, &count);
    hostvm_virtio_fail(fs->device, "virtiofsd cannot go on with a queue of it");
}

static int watch_server(struct fs *fs)
{
    int r = worker_watch(fs->worker, fs->err_fd, EPOLLIN, err_event, fs);

    for (unsigned int i = 0; i < NR_QUEUES && r == 0; i++) {
        r = worker_watch(fs->worker, fs->queues[i].call_fd, EPOLLIN, call_event, &fs->queues[i]);
    }
    return r;
}

static int start_server(struct fs *fs)
{
    int r = vhost_user_set_features(&fs->vu, fs->features);

    if (r == 0) {
        r = vhost_user_set_memory(&fs->vu, fs->regions, fs->nr_regions);
    }
    for (unsigned int i = 0; i < NR_QUEUES && r == 0; i++) {
        if (fs->queues[i].is_ready) {
            r = vhost_user_start_ring(&fs->vu, i, &fs->queues[i].ring);
            (void)eventfd_write(fs->queues[i].ring.kick_fd, 1); /* what was there before */
        }
    }
    return r;
}

static void begin(void *cookie)
{
    struct fs *fs = cookie;
    int r = 0;

    fs->is_started = true;
    if (fs->is_served) {
        r = watch_server(fs);
        if (r < 0) {
            (void)snprintf(fs->vu.why, sizeof(fs->vu.why), "it cannot be watched: %s",
                           strerror(-r));
        } else {
            r = start_server(fs);
        }
        /* Last: answers are read by who asks. */
        if (r == 0) {
            r = worker_watch(fs->worker, fs->vu.fd, EPOLLIN, server_event, fs);
        }
    }
    if (r < 0) {
        give_up_server(fs, fs->vu.why);
    }
    if (!fs->is_served) {
        serve_alone(fs);
    }
}

static void end(void *cookie)
{
    struct fs *fs = cookie;
    int r = 0;

    fs->is_started = false;
    if (!fs->is_served) {
        for (unsigned int i = 0; i < NR_QUEUES; i++) {
            worker_unwatch(fs->worker, hostvm_virtqueue_fd(fs->queues[i].queue));
        }
        return;
    }
    unwatch_server(fs);
    for (unsigned int i = 0; i < NR_QUEUES && r == 0; i++) {
        if (fs->queues[i].is_ready) {
            r = vhost_user_stop_ring(&fs->vu, i);
        }
    }
    if (r < 0) {
        give_up_server(fs, fs->vu.why); /* so that it leaves the queues alone */
    }
}

/* --- on the vcpu's thread --- */

/* RAM, in as many pieces as files have it. */
static int find_memory(struct fs *fs)
{
    const vm_mem_t *mem = &fs->vm->mem;

    fs->nr_regions = 0;
    for (int i = 0; i < mem->num_ram_regions; i++) {
        uintptr_t gpa = mem->ram_regions[i].start;
        size_t rest = mem->ram_regions[i].size;

        while (rest > 0) {
            struct vhost_user_region *region = &fs->regions[fs->nr_regions];
            size_t size;

            if (fs->nr_regions == VHOST_USER_REGIONS_MAX) {
                (void)fprintf(stderr, "hostvm: --share: guest memory is in too many pieces\n");
                return -1;
            }
            if (hostvm_vm_memory_fd(fs->vm, gpa, rest, &region->fd, &region->offset, &size) != 0) {
                return -1; /* it was said */
            }
            region->gpa = gpa;
            region->size = size;
            fs->nr_regions++;
            gpa += size;
            rest -= size;
        }
    }
    return 0;
}

static void find_queue(struct fs *fs, struct queue *queue)
{
    hostvm_virtqueue_layout_t layout = {0};

    queue->is_ready = hostvm_virtqueue_is_ready(queue->queue) &&
                      hostvm_virtqueue_layout(queue->queue, &layout) == 0;
    if (!queue->is_ready) {
        return;
    }
    fs->features = layout.features;
    queue->ring = (struct vhost_user_ring){
        .descriptors = layout.descriptors,
        .driver_area = layout.driver_area,
        .device_area = layout.device_area,
        .size = layout.size,
        .kick_fd = hostvm_virtqueue_fd(queue->queue),
        .call_fd = queue->call_fd,
        .err_fd = fs->err_fd,
    };
}

static int start(void *cookie, uint64_t features)
{
    struct fs *fs = cookie;

    (void)features;
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        find_queue(fs, &fs->queues[i]);
    }
    if (find_memory(fs) != 0) {
        return -1;
    }
    worker_call(fs->worker, begin, fs);
    return 0;
}

static void stop(void *cookie)
{
    struct fs *fs = cookie;

    worker_call(fs->worker, end, fs);
}

/* --- the device's life --- */

static int open_server(struct fs *fs, const struct fs_config *config)
{
    char why[256];

    if (virtiofsd_start(&fs->server, config->dir, config->is_readonly, why, sizeof(why)) < 0) {
        (void)fprintf(stderr, "hostvm: --share '%s': %s\n", config->dir, why);
        return -1;
    }
    if (vhost_user_open(&fs->vu, fs->server.socket, NR_QUEUES, VHOST_USER_PATIENCE_MS) < 0) {
        (void)fprintf(stderr, "hostvm: --share '%s': virtiofsd does not work: %s\n", config->dir,
                      fs->vu.why);
        return -1;
    }
    fs->is_served = true;
    return 0;
}

static int open_device(struct fs *fs)
{
    static const hostvm_virtio_ops_t ops = {.start = start, .stop = stop};
    static const uint16_t sizes[NR_QUEUES] = {QUEUE_SIZE, QUEUE_SIZE};
    struct fs_space space = {.num_request_queues = 1};
    const hostvm_virtio_config_t virtio = {
        .id = ID_FS,
        /* A packed queue tells too little of what is under way to be taken back. */
        .without = (FEATURES_OF_QUEUES & ~fs->vu.features) | HOSTVM_VIRTIO_F_RING_PACKED,
        .nr_queues = NR_QUEUES,
        .queue_sizes = sizes,
        .config = &space,
        .config_size = sizeof(space),
        .ops = &ops,
        .cookie = fs,
    };

    memcpy(space.tag, fs->tag, sizeof(space.tag));
    fs->device = hostvm_virtio_create(fs->vm, &virtio);
    if (fs->device == NULL) {
        return -1;
    }
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        fs->queues[i].queue = hostvm_virtio_queue(fs->device, i);
    }
    return 0;
}

static int open_fds(struct fs *fs)
{
    bool is_whole;

    fs->err_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    is_whole = fs->err_fd >= 0;
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        fs->queues[i].fs = fs;
        fs->queues[i].call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        is_whole = is_whole && fs->queues[i].call_fd >= 0;
    }
    if (!is_whole) {
        (void)fprintf(stderr, "hostvm: --share: no descriptors for queues\n");
        return -1;
    }
    fs->worker = worker_create("share");
    return fs->worker != NULL ? 0 : -1;
}

struct fs *fs_create(vm_t *vm, const struct fs_config *config)
{
    struct fs *fs = calloc(1, sizeof(*fs));

    if (fs == NULL) {
        (void)fputs("hostvm: --share: out of memory\n", stderr);
        return NULL;
    }
    fs->vm = vm;
    fs->server.socket = -1;
    (void)snprintf(fs->tag, sizeof(fs->tag), "%s", config->tag);
    if (open_fds(fs) != 0 || open_server(fs, config) != 0 || open_device(fs) != 0) {
        fs_destroy(fs);
        return NULL;
    }
    return fs;
}

hostvm_virtio_t *fs_device(struct fs *fs)
{
    return fs->device;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

void fs_destroy(struct fs *fs)
{
    char how[64];

    if (fs == NULL) {
        return;
    }
    hostvm_virtio_destroy(fs->device); /* which stops it, if need be */
    worker_destroy(fs->worker);
    virtiofsd_end(&fs->server, how, sizeof(how));
    for (unsigned int i = 0; i < NR_QUEUES; i++) {
        close_fd(fs->queues[i].call_fd);
    }
    close_fd(fs->err_fd);
    free(fs);
}
