/* The table of a small Ethernet switch. */
#include <errno.h>

#include <vswitch.h>

#include "base/reason.h"

static bool is_free(const vswitch_node_t *node)
{
    static const struct ether_addr nobody;

    return mac802_addr_eq(&node->addr, &nobody);
}

int vswitch_init(vswitch_t *lib)
{
    if (lib == NULL) {
        (void)fail(-EINVAL, "vswitch_init: no table given");
        return -1;
    }
    *lib = (vswitch_t){0};
    return 0;
}

int vswitch_connect(vswitch_t *lib, struct ether_addr *guest_macaddr,
                    virtqueue_driver_t *send_queue, virtqueue_device_t *recv_queue)
{
    vswitch_node_t node = {.virtqueues = {send_queue, recv_queue}};
    size_t i;

    if (lib == NULL || guest_macaddr == NULL) {
        (void)fail(-EINVAL, "vswitch_connect: no table, or no address given");
        return -1;
    }
    node.addr = *guest_macaddr;
    if (is_free(&node) || vswitch_get_destnode_index_by_macaddr(lib, guest_macaddr) >= 0) {
        (void)fail(-EEXIST, "cannot connect " PR_MAC802_ADDR ": it is nobody's, or connected",
                   PR_MAC802_ADDR_ARGS(guest_macaddr));
        return -1;
    }
    for (i = 0; i < VSWITCH_NUM_NODES; i++) {
        if (is_free(&lib->nodes[i])) {
            lib->nodes[i] = node;
            lib->n_connected++;
            return 0;
        }
    }
    (void)fail(-ENOSPC, "cannot connect " PR_MAC802_ADDR ": all %d places are taken",
               PR_MAC802_ADDR_ARGS(guest_macaddr), VSWITCH_NUM_NODES);
    return -1;
}

int vswitch_get_destnode_index_by_macaddr(vswitch_t *lib, struct ether_addr *mac)
{
    int i;

    for (i = 0; lib != NULL && mac != NULL && i < VSWITCH_NUM_NODES; i++) {
        if (!is_free(&lib->nodes[i]) && mac802_addr_eq(&lib->nodes[i].addr, mac)) {
            return i;
        }
    }
    return -1;
}

vswitch_node_t *vswitch_get_destnode_by_index(vswitch_t *lib, size_t index)
{
    if (lib == NULL || index >= VSWITCH_NUM_NODES || is_free(&lib->nodes[index])) {
        return NULL;
    }
    return &lib->nodes[index];
}
