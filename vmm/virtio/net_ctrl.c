/* Commands of a network driver. */
#include "virtio/net_ctrl.h"

#include <stdbool.h>

#include <virtio/virtio_net.h>

/* virtio 1.2, 5.1.6.5: every command begins with its class and number, ends with an answer. */
enum {
    ACK_OK = 0,
    ACK_ERROR = 1,
    CLASS_RX = 0,
    RX_PROMISCUOUS = 0,
    RX_ALL_MULTICAST = 1,
    CLASS_MAC = 1,
    MAC_TABLE_SET = 0,
    MAC_ADDRESS_SET = 1,
    CLASS_PAIRS = 4,
    PAIRS_SET = 0,
    PREFIX_SIZE = 2,
};

static bool has(const struct net_ctrl *ctrl, unsigned feature)
{
    return (ctrl->features >> feature & 1) != 0;
}

/* What is asked for is a filter, at best effort (5.1.6.5.1): a guest that gets all frames that come
 * to its end of the wire has what it wants. */
static bool set_mode(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer,
                     uint8_t command)
{
    uint8_t is_on;

    return has(ctrl, VIRTIO_NET_F_CTRL_RX) &&
           (command == RX_PROMISCUOUS || command == RX_ALL_MULTICAST) &&
           hostvm_virtio_read(buffer, PREFIX_SIZE, &is_on, sizeof(is_on)) == sizeof(is_on);
}

/* Two lists of addresses, each behind its length. */
static bool set_table(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer)
{
    uint64_t end = PREFIX_SIZE;

    for (unsigned i = 0; i < 2; i++) {
        uint32_t nr;

        if (hostvm_virtio_read(buffer, end, &nr, sizeof(nr)) != sizeof(nr)) {
            return false;
        }
        end += sizeof(nr) + (uint64_t)nr * VIRTIO_NET_CONFIG_MAC_SZ;
        if (end > buffer->out_size) {
            return false;
        }
    }
    return has(ctrl, VIRTIO_NET_F_CTRL_RX);
}

static bool set_address(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer)
{
    uint8_t mac[VIRTIO_NET_CONFIG_MAC_SZ];

    if (!has(ctrl, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
        hostvm_virtio_read(buffer, PREFIX_SIZE, mac, sizeof(mac)) != sizeof(mac)) {
        return false;
    }
    ctrl->set_mac(ctrl->cookie, mac);
    return true;
}

static bool set_pairs(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer)
{
    uint16_t nr;

    return has(ctrl, VIRTIO_NET_F_MQ) &&
           hostvm_virtio_read(buffer, PREFIX_SIZE, &nr, sizeof(nr)) == sizeof(nr) && nr >= 1 &&
           nr <= ctrl->max_pairs && ctrl->set_pairs(ctrl->cookie, nr) == 0;
}

static bool carry_out(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer)
{
    uint8_t prefix[PREFIX_SIZE];

    if (hostvm_virtio_read(buffer, 0, prefix, sizeof(prefix)) != sizeof(prefix)) {
        return false;
    }
    switch (prefix[0]) {
    case CLASS_RX:
        return set_mode(ctrl, buffer, prefix[1]);
    case CLASS_MAC:
        return prefix[1] == MAC_TABLE_SET     ? set_table(ctrl, buffer)
               : prefix[1] == MAC_ADDRESS_SET ? set_address(ctrl, buffer)
                                              : false;
    case CLASS_PAIRS:
        return prefix[1] == PAIRS_SET && set_pairs(ctrl, buffer);
    default:
        return false;
    }
}

size_t net_ctrl_answer(const struct net_ctrl *ctrl, const hostvm_virtio_buffer_t *buffer)
{
    const uint8_t ack = carry_out(ctrl, buffer) ? ACK_OK : ACK_ERROR;

    return hostvm_virtio_write(buffer, 0, &ack, sizeof(ack));
}
