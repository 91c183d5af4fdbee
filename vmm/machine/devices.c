/* The machine's virtio devices, made from what the user asked for. */
#include "machine/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "back/disk.h"
#include "back/net_tap.h"
#include "back/net_user.h"
#include "back/worker.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/fs.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"

/* A network device and its host side, of which one is there. */
struct nic {
    struct net *net;
    struct net_tap *tap;
    struct net_user *user;
};

struct devices {
    struct worker *worker; /* of all that have little to do; NULL: there are none */
    struct blk *disks[DEVICES_MAX_DISKS];
    unsigned nr_disks;
    struct nic nics[DEVICES_MAX_NETS];
    unsigned nr_nics;
    struct fs *shares[DEVICES_MAX_SHARES];
    unsigned nr_shares;
    struct vsock *vsock;
    struct virtio_console *console;
    struct balloon *balloon;
    struct rng *rng;
    hostvm_virtio_t *list[DEVICES_MAX]; /* in the order of their places */
    unsigned nr_devices;
};

unsigned devices_count(const struct devices_config *config)
{
    unsigned nr = config->nr_disks + config->nr_shares + config->vsock.is_given +
                  config->has_console + config->balloon.is_there + config->has_rng;

    for (unsigned i = 0; i < config->nr_nets; i++) {
        nr += config->nets[i].kind != NET_NONE;
    }
    return nr;
}

/* Below, all that can fail returns what devices_create does. */
static int enlist(struct devices *devices, hostvm_virtio_t *device)
{
    devices->list[devices->nr_devices++] = device;
    return 0;
}

/* --- disks --- */

static int status_of_open(int r)
{
    return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? -EIO : -ENOENT;
}

static int create_disk(struct devices *devices, vm_t *vm, const struct options_disk *option,
                       unsigned nr_cpus)
{
    struct blk_config config = {.serial = option->serial, .nr_queues = nr_cpus};
    int r = disk_open(option->path, option->is_readonly, &config.disk);
    struct blk *blk;

    if (r < 0) {
        return status_of_open(r);
    }
    blk = blk_create(vm, &config);
    if (blk == NULL) {
        return -EIO;
    }
    devices->disks[devices->nr_disks++] = blk;
    return enlist(devices, blk_device(blk));
}

/* --- networks --- */

static struct net_host *open_tap(struct nic *nic, const struct options_net *options, char *why,
                                 size_t size)
{
    nic->tap = net_tap_open(options->tap, options->queues, why, size);
    return nic->tap == NULL ? NULL : net_tap_host(nic->tap);
}

static struct net_host *start_user(struct nic *nic, const struct options_net *options, char *why,
                                   size_t size)
{
    const struct net_user_config config = {.forwards = options->forwards,
                                           .nr_forwards = options->nr_forwards};

    nic->user = net_user_create(&config, why, size);
    return nic->user == NULL ? NULL : net_user_host(nic->user);
}

static int create_net(struct devices *devices, vm_t *vm, const struct options_net *options)
{
    struct nic *nic = &devices->nics[devices->nr_nics++];
    char why[NET_OPTIONS_REASON] = "";
    struct net_config config;

    memcpy(config.mac, options->mac, sizeof(config.mac));
    config.host = options->kind == NET_TAP ? open_tap(nic, options, why, sizeof(why))
                                           : start_user(nic, options, why, sizeof(why));
    if (config.host == NULL) {
        (void)fprintf(stderr, "hostvm: %s\n", why);
        return -EIO;
    }
    nic->net = net_create(vm, &config);
    return nic->net == NULL ? -EIO : enlist(devices, net_device(nic->net));
}

static void destroy_nic(struct nic *nic)
{
    net_destroy(nic->net);
    net_tap_close(nic->tap);
    net_user_destroy(nic->user);
}

/* --- the others --- */

static int create_share(struct devices *devices, vm_t *vm, const struct options_share *options)
{
    const struct fs_config config = {
        .dir = options->dir, .tag = options->tag, .is_readonly = options->is_readonly};
    struct fs *fs = fs_create(vm, &config);
    struct stat st;

    if (fs == NULL) {
        return stat(options->dir, &st) == 0 && S_ISDIR(st.st_mode) ? -EIO : -ENOENT;
    }
    devices->shares[devices->nr_shares++] = fs;
    return enlist(devices, fs_device(fs));
}

static int create_vsock(struct devices *devices, vm_t *vm, const struct options_vsock *options)
{
    const struct vsock_config config = {.path = options->path, .guest_cid = options->cid};

    devices->vsock = vsock_create(vm, &config);
    return devices->vsock == NULL ? -EIO : enlist(devices, vsock_device(devices->vsock));
}

static int create_console(struct devices *devices, vm_t *vm, struct console *terminal)
{
    devices->console = virtio_console_create(vm, devices->worker, terminal);
    return devices->console == NULL ? -EIO
                                    : enlist(devices, virtio_console_device(devices->console));
}

static int create_balloon(struct devices *devices, vm_t *vm, const struct options_balloon *options)
{
    devices->balloon = balloon_create(vm, devices->worker, options->target);
    return devices->balloon == NULL ? -EIO : enlist(devices, balloon_device(devices->balloon));
}

static int create_rng(struct devices *devices, vm_t *vm)
{
    devices->rng = rng_create(vm, devices->worker);
    return devices->rng == NULL ? -EIO : enlist(devices, rng_device(devices->rng));
}

static bool wants_worker(const struct devices_config *config)
{
    return config->has_console || config->balloon.is_there || config->has_rng;
}

/* --- all of them --- */

static int create_all(struct devices *devices, vm_t *vm, const struct devices_config *config,
                      unsigned nr_cpus, struct console *terminal)
{
    int r = 0;

    if (wants_worker(config)) {
        devices->worker = worker_create("devices");
        r = devices->worker == NULL ? -EIO : 0;
    }
    for (unsigned i = 0; r == 0 && i < config->nr_disks; i++) {
        r = create_disk(devices, vm, &config->disks[i], nr_cpus);
    }
    for (unsigned i = 0; r == 0 && i < config->nr_nets; i++) {
        r = config->nets[i].kind == NET_NONE ? 0 : create_net(devices, vm, &config->nets[i]);
    }
    for (unsigned i = 0; r == 0 && i < config->nr_shares; i++) {
        r = create_share(devices, vm, &config->shares[i]);
    }
    if (r == 0 && config->vsock.is_given) {
        r = create_vsock(devices, vm, &config->vsock);
    }
    if (r == 0 && config->has_console) {
        r = create_console(devices, vm, terminal);
    }
    if (r == 0 && config->balloon.is_there) {
        r = create_balloon(devices, vm, &config->balloon);
    }
    if (r == 0 && config->has_rng) {
        r = create_rng(devices, vm);
    }
    return r;
}

int devices_create(vm_t *vm, const struct devices_config *config, unsigned nr_cpus,
                   struct console *terminal, struct devices **ret)
{
    struct devices *devices = calloc(1, sizeof(*devices));

    *ret = devices;
    if (devices == NULL) {
        (void)fprintf(stderr, "hostvm: no memory for devices: %s\n", strerror(ENOMEM));
        return -EIO;
    }
    return create_all(devices, vm, config, nr_cpus, terminal);
}

int devices_attach(struct devices *devices, const struct device_place *places)
{
    for (unsigned i = 0; i < devices->nr_devices; i++) {
        if (hostvm_virtio_attach_mmio(devices->list[i], places[i].gpa, places[i].gsi) != 0) {
            return -EIO;
        }
    }
    return 0;
}

int devices_attach_pci(struct devices *devices, hostvm_pci_bus_t *bus)
{
    for (unsigned i = 0; i < devices->nr_devices; i++) {
        if (hostvm_virtio_attach_pci(devices->list[i], bus, -1) != 0) {
            return -EIO;
        }
    }
    return 0;
}

void devices_destroy(struct devices *devices)
{
    if (devices == NULL) {
        return;
    }
    for (unsigned i = 0; i < devices->nr_disks; i++) {
        blk_destroy(devices->disks[i]);
    }
    for (unsigned i = 0; i < devices->nr_nics; i++) {
        destroy_nic(&devices->nics[i]);
    }
    for (unsigned i = 0; i < devices->nr_shares; i++) {
        fs_destroy(devices->shares[i]);
    }
    vsock_destroy(devices->vsock);
    virtio_console_destroy(devices->console);
    balloon_destroy(devices->balloon);
    rng_destroy(devices->rng);
    worker_destroy(devices->worker);
    free(devices);
}
