/* The network device: features, configuration, pairs of queues as they come and go. */
#include "virtio/net.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <virtio/virtio_net.h>

#include "virtio/net_ctrl.h"
#include "virtio/net_pair.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

#define FEATURES                                                                                   \
    (FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) |  \
     FEATURE(VIRTIO_NET_F_CTRL_VQ) | FEATURE(VIRTIO_NET_F_CTRL_RX) |                               \
     FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR))

/* Large frames come only to a guest that wants them. */
#define LARGE (NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_GUEST_UFO)

enum {
    DEVICE_ID = 1,
    VIRTIO_NET_F_MTU = 3,
    CTRL_QUEUE_SIZE = 64,
    CTRL_PIECES = 2 * CTRL_QUEUE_SIZE,
    CTRL_BATCH = 16,
    MTU_DEFAULT = 1500,
    MTU_MIN = 68,         /* 5.1.4.1 */
    ETHERNET_HEADER = 18, /* with a VLAN tag */
    LARGEST_FRAME = 65535 + ETHERNET_HEADER,
};

/* virtio 1.2, 5.1.4 */
struct config_space {
    struct virtio_net_config net;
    uint16_t mtu;
} __attribute__((packed));

struct net {
    hostvm_virtio_t *device;
    struct net_host *host;
    atomic_bool is_lost; /* the host side is gone, and it was said */
    unsigned nr_pairs;
    struct net_pair *pairs;

    /* Of start and stop, and in between of the first pair's thread. */
    unsigned nr_active; /* pairs in use */
    struct net_pair_rules rules;
    struct net_ctrl ctrl;
    hostvm_virtqueue_t *ctrl_queue; /* watched; NULL: there is none */
};

/* --- the host side's end --- */

static void host_lost(void *cookie)
{
    struct net *net = cookie;
    const uint16_t status = 0;

    if (!atomic_exchange(&net->is_lost, true)) {
        net->host->lost(net->host);
        (void)hostvm_virtio_set_config(net->device, offsetof(struct config_space, net.status),
                                       &status, sizeof(status)); /* it has one */
    }
}

/* --- the control queue, on the first pair's thread --- */

static void stop_pairs(struct net *net, unsigned nr_left)
{
    while (net->nr_active > nr_left) {
        net_pair_stop(&net->pairs[--net->nr_active]);
    }
}

static int start_pairs(struct net *net, unsigned nr)
{
    for (; net->nr_active < nr; net->nr_active++) {
        if (net_pair_start(&net->pairs[net->nr_active], &net->rules) != 0) {
            return -1;
        }
    }
    return 0;
}

static int set_pairs(void *cookie, unsigned nr)
{
    struct net *net = cookie;

    stop_pairs(net, nr);
    return net->host->set_active(net->host, nr) < 0 ? -1 : start_pairs(net, nr);
}

static void set_mac(void *cookie, const uint8_t mac[6])
{
    struct net *net = cookie;

    (void)hostvm_virtio_set_config(net->device, offsetof(struct config_space, net.mac), mac,
                                   VIRTIO_NET_CONFIG_MAC_SZ); /* it has one */
}

/* However busy the driver is: some at a time, so that the end is seen. */
static void ctrl_kick(void *cookie, uint32_t events)
{
    struct net *net = cookie;
    hostvm_virtqueue_t *queue = net->ctrl_queue;
    struct iovec pieces[CTRL_PIECES];
    hostvm_virtio_buffer_t buffer = {.iov = pieces, .iov_max = CTRL_PIECES};
    unsigned budget = CTRL_BATCH;
    uint64_t count;
    int r = 1;

    (void)events;
    (void)!read(hostvm_virtqueue_fd(queue), &count, sizeof(count)); /* how often is no matter */
    while (budget-- > 0 && (r = hostvm_virtqueue_pop(queue, &buffer)) > 0) {
        hostvm_virtqueue_push(queue, &buffer, net_ctrl_answer(&net->ctrl, &buffer));
    }
    hostvm_virtqueue_publish(queue);
    if (r > 0 || (r == 0 && hostvm_virtqueue_rearm(queue))) {
        count = 1;
        (void)!write(hostvm_virtqueue_fd(queue), &count, sizeof(count)); /* full: readable anyway */
    }
}

/* Behind the pairs that the driver knows of (5.1.2). */
static int watch_ctrl(struct net *net, uint64_t features)
{
    const uint64_t one = 1;
    unsigned index = (features & FEATURE(VIRTIO_NET_F_MQ)) != 0 ? 2 * net->nr_pairs : 2;
    hostvm_virtqueue_t *queue = hostvm_virtio_queue(net->device, index);

    net->ctrl_queue = NULL;
    if ((features & FEATURE(VIRTIO_NET_F_CTRL_VQ)) == 0 || !hostvm_virtqueue_is_ready(queue)) {
        return 0;
    }
    net->ctrl_queue = queue;
    if (worker_watch(net->pairs[0].worker, hostvm_virtqueue_fd(queue), EPOLLIN, ctrl_kick, net) <
        0) {
        (void)fprintf(stderr, "hostvm: cannot watch for what the guest's network driver asks\n");
        net->ctrl_queue = NULL;
        return -1;
    }
    (void)!write(hostvm_virtqueue_fd(queue), &one, sizeof(one)); /* what is there already */
    return 0;
}

/* --- the device --- */

static void stop(void *cookie)
{
    struct net *net = cookie;

    if (net->ctrl_queue != NULL) {
        worker_unwatch(net->pairs[0].worker, hostvm_virtqueue_fd(net->ctrl_queue));
        net->ctrl_queue = NULL;
    }
    stop_pairs(net, 0);
}

static size_t largest_frame(const struct net *net, uint64_t features)
{
    size_t mtu = net->host->mtu > MTU_DEFAULT ? net->host->mtu : MTU_DEFAULT;

    return (features & LARGE) != 0 ? LARGEST_FRAME : mtu + ETHERNET_HEADER;
}

static int start(void *cookie, uint64_t features)
{
    struct net *net = cookie;

    net->rules.is_mergeable = (features & FEATURE(VIRTIO_NET_F_MRG_RXBUF)) != 0;
    net->rules.max_frame = largest_frame(net, features);
    net->ctrl.features = features;
    net->host->set_offloads(net->host, features & net->host->offloads);
    (void)net->host->set_active(net->host, 1); /* one that refuses is gone, which is seen soon */
    if (start_pairs(net, 1) != 0 || watch_ctrl(net, features) != 0) {
        stop(net);
        return -1;
    }
    return 0;
}

static const hostvm_virtio_ops_t ops = {.start = start, .stop = stop};

/* --- making it --- */

static uint64_t features_of(const struct net_host *host)
{
    return FEATURES | host->offloads | (host->mtu >= MTU_MIN ? FEATURE(VIRTIO_NET_F_MTU) : 0) |
           (host->nr_fds > 1 ? FEATURE(VIRTIO_NET_F_MQ) : 0);
}

static int create_device(struct net *net, vm_t *vm, const struct net_config *config)
{
    uint16_t sizes[2 * NET_MAX_PAIRS + 1];
    struct config_space space = {
        .net = {.status = VIRTIO_NET_S_LINK_UP, .max_virtqueue_pairs = (uint16_t)net->nr_pairs},
        .mtu = config->host->mtu,
    };
    hostvm_virtio_config_t device = {
        .id = DEVICE_ID,
        .features = features_of(config->host),
        .nr_queues = 2 * net->nr_pairs + 1,
        .queue_sizes = sizes,
        .config = &space,
        .config_size = sizeof(space),
        .ops = &ops,
        .cookie = net,
    };

    for (unsigned i = 0; i < 2 * net->nr_pairs; i++) {
        sizes[i] = NET_QUEUE_SIZE;
    }
    sizes[2 * net->nr_pairs] = CTRL_QUEUE_SIZE;
    memcpy(space.net.mac, config->mac, sizeof(space.net.mac));
    net->device = hostvm_virtio_create(vm, &device);
    return net->device == NULL ? -1 : 0; /* the reason is in the log */
}

static int open_pair(struct net *net, unsigned index)
{
    struct net_pair *pair = &net->pairs[index];
    char name[16];

    (void)snprintf(name, sizeof(name), "net %u", index);
    pair->device = net->device;
    pair->rx = hostvm_virtio_queue(net->device, 2 * index);
    pair->tx = hostvm_virtio_queue(net->device, 2 * index + 1);
    pair->fd = net->host->fds[index];
    pair->lost = host_lost;
    pair->cookie = net;
    return net_pair_open(pair, name);
}

struct net *net_create(vm_t *vm, const struct net_config *config)
{
    struct net *net = calloc(1, sizeof(*net));
    struct net_pair *pairs = calloc(config->host->nr_fds, sizeof(*pairs));
    int r = -1;

    if (net == NULL || pairs == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for a network device\n");
        free(net);
        free(pairs);
        return NULL;
    }
    net->host = config->host;
    net->pairs = pairs;
    net->nr_pairs = config->host->nr_fds;
    net->ctrl = (struct net_ctrl){
        .max_pairs = net->nr_pairs,
        .set_pairs = set_pairs,
        .set_mac = set_mac,
        .cookie = net,
    };
    r = create_device(net, vm, config);
    for (unsigned i = 0; r == 0 && i < net->nr_pairs; i++) {
        r = open_pair(net, i);
    }
    if (r != 0) {
        net_destroy(net);
        return NULL;
    }
    return net;
}

hostvm_virtio_t *net_device(struct net *net)
{
    return net->device;
}

void net_destroy(struct net *net)
{
    if (net == NULL) {
        return;
    }
    hostvm_virtio_destroy(net->device); /* stops it */
    for (unsigned i = 0; i < net->nr_pairs; i++) {
        net_pair_close(&net->pairs[i]);
    }
    free(net->pairs);
    free(net);
}
