/* Which virtqueues lead to which Ethernet address: the table of a small switch. */
#pragma once

#include <net/ethernet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <virtqueue.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Addresses that one table holds. */
#define VSWITCH_NUM_NODES 4

/* An address in a message: the format, and what it takes of a struct ether_addr *. */
#define PR_MAC802_ADDR "%x:%x:%x:%x:%x:%x"
#define PR_MAC802_ADDR_ARGS(addr)                                                                  \
    (addr)->ether_addr_octet[0], (addr)->ether_addr_octet[1], (addr)->ether_addr_octet[2],         \
        (addr)->ether_addr_octet[3], (addr)->ether_addr_octet[4], (addr)->ether_addr_octet[5]

typedef struct vswitch_virtqueues_ {
    virtqueue_driver_t *send_queue;
    virtqueue_device_t *recv_queue;
} vswitch_virtqueues_t;

typedef struct vswitch_node_ {
    struct ether_addr addr; /* all zeros: the entry is free */
    vswitch_virtqueues_t virtqueues;
} vswitch_node_t;

typedef struct vswitch_ {
    int n_connected;
    vswitch_node_t nodes[VSWITCH_NUM_NODES];
} vswitch_t;

/**
 * Two addresses are the same.
 */
static inline bool mac802_addr_eq(const struct ether_addr *addr0, const struct ether_addr *addr1)
{
    return memcmp(addr0, addr1, sizeof(*addr0)) == 0;
}

/**
 * The address of everybody.
 */
static inline bool mac802_addr_eq_bcast(const struct ether_addr *addr)
{
    static const struct ether_addr everybody = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

    return mac802_addr_eq(addr, &everybody);
}

/**
 * One of those that IPv6 multicasts go to (RFC 2464, 7).
 */
static inline bool mac802_addr_eq_ipv6_mcast(const struct ether_addr *addr)
{
    return addr->ether_addr_octet[0] == 0x33 && addr->ether_addr_octet[1] == 0x33;
}

/**
 * Makes a table empty.
 *
 * @return 0; -1 without a table
 */
int vswitch_init(vswitch_t *lib);

/**
 * Adds an address.
 *
 * @param guest_macaddr           copied; not all zeros, and not in the table yet
 * @param send_queue, recv_queue  kept by pointer
 * @return 0; -1 when the table is full or the address is not fit, with a reason in
 *         hostvm_last_error()
 */
int vswitch_connect(vswitch_t *lib, struct ether_addr *guest_macaddr,
                    virtqueue_driver_t *send_queue, virtqueue_device_t *recv_queue);

/**
 * Where an address is in the table; -1 when it is not there.
 */
int vswitch_get_destnode_index_by_macaddr(vswitch_t *lib, struct ether_addr *mac);

/**
 * One entry of the table, 0 to VSWITCH_NUM_NODES - 1; NULL when it is free or there is no such.
 */
vswitch_node_t *vswitch_get_destnode_by_index(vswitch_t *lib, size_t index);

/**
 * The entry of an address; NULL when there is none.
 */
static inline vswitch_node_t *vswitch_get_destnode_by_macaddr(vswitch_t *lib,
                                                              struct ether_addr *mac)
{
    int index = vswitch_get_destnode_index_by_macaddr(lib, mac);

    return index < 0 ? NULL : vswitch_get_destnode_by_index(lib, (size_t)index);
}

#ifdef __cplusplus
}
#endif
