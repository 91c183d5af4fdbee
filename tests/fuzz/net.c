/* The network device, with two sockets in the place of a tap's queues. */
#include "virtio/net.h"

#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"

enum { NR_PAIRS = 2, LARGEST = 70000 };

#define OFFLOADS                                                                                   \
    (NET_CSUM | NET_GUEST_CSUM | NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_GUEST_ECN | NET_GUEST_UFO | \
     NET_HOST_TSO4 | NET_HOST_TSO6 | NET_HOST_ECN | NET_HOST_UFO)

static struct net_host side;
static int far[NR_PAIRS]; /* -1: closed */
static unsigned nr_active;
static struct net *net;

static void set_offloads(struct net_host *host, uint64_t offloads)
{
    (void)host;
    fuzz_check((offloads & ~OFFLOADS) == 0);
}

static int set_active(struct net_host *host, unsigned nr)
{
    (void)host;
    fuzz_check(nr >= 1 && nr <= NR_PAIRS);
    nr_active = nr;
    return 0;
}

static void lost(struct net_host *host)
{
    (void)host;
}

static hostvm_virtio_t *create(vm_t *vm, struct worker *worker)
{
    const struct net_config config = {.mac = {0x52, 0x54, 0, 1, 2, 3}, .host = &side};

    (void)worker;
    side = (struct net_host){
        .nr_fds = NR_PAIRS,
        .offloads = OFFLOADS,
        .mtu = fuzz_u16(),
        .set_offloads = set_offloads,
        .set_active = set_active,
        .lost = lost,
    };
    for (unsigned i = 0; i < NR_PAIRS; i++) {
        int fds[2];

        fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        side.fds[i] = fds[0];
        far[i] = fds[1];
    }
    net = net_create(vm, &config);
    return net == NULL ? NULL : net_device(net);
}

static void close_far(unsigned i)
{
    if (far[i] >= 0) {
        (void)close(far[i]);
    }
    far[i] = -1;
}

static void destroy(void)
{
    net_destroy(net);
    for (unsigned i = 0; i < NR_PAIRS; i++) {
        close_far(i);
        (void)close(side.fds[i]);
    }
}

static void host(void)
{
    static uint8_t frame[LARGEST];
    uint8_t kind = fuzz_u8();
    unsigned i = kind & 1;

    if ((kind & 2) != 0) {
        while (recv(far[i], frame, sizeof(frame), 0) > 0) {
        }
    } else if ((kind & 0xfc) == 0xfc) {
        close_far(i);
    } else {
        (void)send(far[i], frame, (kind & 4) != 0 ? fuzz_u16() : fuzz_u8(), MSG_NOSIGNAL);
    }
}

const struct fuzz_target fuzz_target = {.create = create, .destroy = destroy, .host = host};
