/* Taps (Linux, Documentation/networking/tuntap.rst). */
#include "back/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char device[] = "/dev/net/tun";

enum { HEADER_SIZE = 12 /* struct virtio_net_hdr_v1 */ };

struct net_tap {
    struct net_host host;
    char name[IFNAMSIZ];
    unsigned nr_active; /* descriptors that are attached to the interface */
};

/* What went wrong first is what is told. */
struct reason {
    char *text;
    size_t size;
};

static int refuse(const struct reason *why, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(const struct reason *why, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why->text, why->size, fmt, args); /* a longer line is cut */
    va_end(args);
    return code;
}

/* --- opening --- */

/* TUNSETIFF makes what is not there: not what was asked for. */
static int find_interface(const char *name, int socket_fd, struct ifreq *ifr,
                          const struct reason *why)
{
    if (strlen(name) >= sizeof(ifr->ifr_name)) {
        return refuse(why, -ENODEV, "there is no tap '%.32s': names have at most %zu characters",
                      name, sizeof(ifr->ifr_name) - 1);
    }
    *ifr = (struct ifreq){0};
    memcpy(ifr->ifr_name, name, strlen(name));
    if (ioctl(socket_fd, SIOCGIFMTU, ifr) < 0) {
        return errno == ENODEV
                   ? refuse(why, -ENODEV,
                            "there is no tap '%s'; ip tuntap add %s mode tap would make one", name,
                            name)
                   : refuse(why, -errno, "cannot ask for the MTU of '%s': %s", name,
                            strerror(errno));
    }
    return 0;
}

static int open_device(const struct reason *why)
{
    int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0) {
        return fd;
    }
    switch (errno) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return refuse(why, -errno, "cannot open %s: the kernel has no taps; modprobe tun may help",
                      device);
    case EACCES:
    case EPERM:
        return refuse(why, -errno, "cannot open %s: no permission", device);
    default:
        return refuse(why, -errno, "cannot open %s: %s", device, strerror(errno));
    }
}

static int attach_with(int fd, const char *name, short flags)
{
    struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags)};

    memcpy(ifr.ifr_name, name, strlen(name));
    return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

/* Whether a tap has one queue or several is its maker's to say: EINVAL is the kernel's word for
 * both "that one has" and "that is no tap". */
static int attach(int fd, const char *name, bool wants_several)
{
    int r = attach_with(fd, name, wants_several ? IFF_MULTI_QUEUE : 0);

    if (r != -EINVAL) {
        return r;
    }
    r = attach_with(fd, name, wants_several ? 0 : IFF_MULTI_QUEUE);
    return wants_several && r != -EINVAL ? -E2BIG : r;
}

static int refuse_tap(const struct reason *why, const char *name, int r)
{
    switch (r) {
    case -EINVAL:
        return refuse(why, r, "'%s' is not a tap", name);
    case -E2BIG:
        return refuse(
            why, r,
            "the tap '%s' has not that many queues; ip tuntap add %s mode tap multi_queue "
            "makes one with several",
            name, name);
    case -EBUSY:
        return refuse(why, r, "the tap '%s' is in use by another program", name);
    case -EPERM:
        return refuse(
            why, r,
            "no permission to use the tap '%s'; ip tuntap add %s mode tap user NAME makes "
            "one for a user",
            name, name);
    default:
        return refuse(why, r, "cannot use the tap '%s': %s", name, strerror(-r));
    }
}

static int open_queue(struct net_tap *tap, bool wants_several, const struct reason *why)
{
    int size = HEADER_SIZE;
    int fd = open_device(why);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = attach(fd, tap->name, wants_several);
    if (r < 0) {
        (void)refuse_tap(why, tap->name, r);
    } else if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) {
        r = refuse(why, -errno, "cannot set the header's size of the tap '%s': %s", tap->name,
                   strerror(errno));
    }
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    tap->host.fds[tap->host.nr_fds++] = fd;
    return 0;
}

/* --- offloads --- */

/* What the kernel hands out undone. Cutting implies the checksum. */
static unsigned flags_of(uint64_t offloads)
{
    static const struct {
        uint64_t bit;
        unsigned flag;
    } flags[] = {{NET_GUEST_TSO4, TUN_F_TSO4},
                 {NET_GUEST_TSO6, TUN_F_TSO6},
                 {NET_GUEST_ECN, TUN_F_TSO_ECN},
                 {NET_GUEST_UFO, TUN_F_UFO}};
    unsigned result = 0;

    if ((offloads & NET_GUEST_CSUM) == 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        result |= (offloads & flags[i].bit) != 0 ? flags[i].flag : 0;
    }
    if ((result & (TUN_F_TSO4 | TUN_F_TSO6)) == 0) {
        result &= ~(unsigned)TUN_F_TSO_ECN;
    }
    return result | TUN_F_CSUM;
}

/* They are the interface's, whichever descriptor they are said to. The kernel that has agreed when
 * asked what it can refuses only where the tap is gone, which shows elsewhere. */
static void set_offloads(struct net_host *host, uint64_t offloads)
{
    (void)ioctl(host->fds[0], TUNSETOFFLOAD, (unsigned long)flags_of(offloads));
}

static bool can(const struct net_tap *tap, unsigned long flags)
{
    return ioctl(tap->host.fds[0], TUNSETOFFLOAD, flags) == 0;
}

/* What it takes from the guest, a tap with a header always does. */
static void find_offloads(struct net_tap *tap)
{
    tap->host.offloads = NET_CSUM | NET_HOST_TSO4 | NET_HOST_TSO6 | NET_HOST_ECN;
    if (can(tap, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)) {
        tap->host.offloads |= NET_GUEST_CSUM | NET_GUEST_TSO4 | NET_GUEST_TSO6 | NET_GUEST_ECN;
    }
    if (can(tap, TUN_F_CSUM | TUN_F_UFO)) {
        tap->host.offloads |= NET_GUEST_UFO | NET_HOST_UFO;
    }
    (void)can(tap, 0); /* until the guest has said what it wants */
}

/* --- queues in use --- */

static int set_attached(const struct net_tap *tap, unsigned index, bool is_attached)
{
    struct ifreq ifr = {
        .ifr_flags = (short)(is_attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE),
    };

    return ioctl(tap->host.fds[index], TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}

static int set_active(struct net_host *host, unsigned nr_active)
{
    struct net_tap *tap = (struct net_tap *)host;
    int r = 0;

    while (r == 0 && tap->nr_active < nr_active) {
        r = set_attached(tap, tap->nr_active, true);
        tap->nr_active += r == 0;
    }
    while (r == 0 && tap->nr_active > nr_active) {
        r = set_attached(tap, tap->nr_active - 1, false);
        tap->nr_active -= r == 0;
    }
    return r;
}

static void lost(struct net_host *host)
{
    const struct net_tap *tap = (struct net_tap *)host;

    (void)fprintf(stderr, "hostvm: the tap '%s' is gone: the guest's link is down\n", tap->name);
}

/* --- all of it --- */

static int open_tap(struct net_tap *tap, const char *name, unsigned nr_fds, int socket_fd,
                    const struct reason *why)
{
    struct ifreq ifr;
    int r = find_interface(name, socket_fd, &ifr, why);

    if (r < 0) {
        return r;
    }
    memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
    tap->host.mtu = ifr.ifr_mtu > 0 && ifr.ifr_mtu <= UINT16_MAX ? (uint16_t)ifr.ifr_mtu : 0;
    while (r == 0 && tap->host.nr_fds < nr_fds) {
        r = open_queue(tap, nr_fds > 1, why);
    }
    if (r < 0) {
        return r;
    }
    find_offloads(tap);
    tap->nr_active = nr_fds;
    r = set_active(&tap->host, 1);
    return r == 0 ? 0
                  : refuse(why, r, "cannot detach a queue of the tap '%s': %s", name, strerror(-r));
}

struct net_tap *net_tap_open(const char *name, unsigned nr_fds, char *text, size_t size)
{
    const struct reason why = {text, size};
    struct net_tap *tap = calloc(1, sizeof(*tap));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = -1;

    if (tap == NULL) {
        (void)refuse(&why, -ENOMEM, "no memory for a tap");
    } else if (fd < 0) {
        (void)refuse(&why, -errno, "cannot look for the tap '%s': %s", name, strerror(errno));
    } else {
        tap->host.set_offloads = set_offloads;
        tap->host.set_active = set_active;
        tap->host.lost = lost;
        r = open_tap(tap, name, nr_fds, fd, &why);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (r < 0) {
        net_tap_close(tap);
        return NULL;
    }
    return tap;
}

struct net_host *net_tap_host(struct net_tap *tap)
{
    return &tap->host;
}

void net_tap_close(struct net_tap *tap)
{
    if (tap == NULL) {
        return;
    }
    for (unsigned i = 0; i < tap->host.nr_fds; i++) {
        (void)close(tap->host.fds[i]);
    }
    free(tap);
}
