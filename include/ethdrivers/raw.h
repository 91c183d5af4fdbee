/* The interface between an Ethernet driver and the network stack, or virtual device, above it. */
#pragma once

#include <platsupport/io.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eth_driver;

/* Results of raw_tx. */
#define ETHIF_TX_ENQUEUED 0    /* sent later; then tx_complete is called */
#define ETHIF_TX_FAILED   (-1) /* not sent; the buffers are the caller's again */
#define ETHIF_TX_COMPLETE 1    /* sent; the buffers are the caller's again */

/* What the driver does. Called with the driver's structure. */

/**
 * Sends one packet.
 *
 * @param num     pieces of the packet
 * @param phys    num addresses, as ps_dma_pin gave them
 * @param len     num lengths
 * @param cookie  given to tx_complete
 * @return ETHIF_TX_...
 */
typedef int (*ethif_raw_tx)(struct eth_driver *driver, unsigned int num, uintptr_t *phys,
                            unsigned int *len, void *cookie);

/**
 * Handles an interrupt; which one of several, the driver defines.
 */
typedef void (*ethif_raw_handleIRQ_t)(struct eth_driver *driver, int irq);

/**
 * Handles whatever is to be done, without an interrupt.
 */
typedef void (*ethif_raw_poll)(struct eth_driver *driver);

/**
 * Prints the driver's state.
 */
typedef void (*ethif_print_state_t)(struct eth_driver *driver);

/**
 * Tells the address, 6 bytes, and the bytes of the largest packet.
 */
typedef void (*ethif_low_level_init_t)(struct eth_driver *driver, uint8_t *mac, int *mtu);

/**
 * Tells the address, 6 bytes.
 */
typedef void (*ethif_get_mac)(struct eth_driver *driver, uint8_t *mac);

/* What is above the driver does. Called with the driver's cb_cookie. */

/**
 * Gives a buffer to receive into, aligned to the driver's dma_alignment.
 *
 * @param cookie  receives what rx_complete is told about this buffer
 * @return its address for the device; 0 when there is none
 */
typedef uintptr_t (*ethif_raw_allocate_rx_buf)(void *cb_cookie, size_t buf_size, void **cookie);

/**
 * Takes a packet.
 *
 * @param num_bufs  buffers that it takes
 * @param cookies   what allocate_rx_buf said of each; valid during the call
 * @param lens      bytes in each; valid during the call
 */
typedef void (*ethif_raw_rx_complete)(void *cb_cookie, unsigned int num_bufs, void **cookies,
                                      unsigned int *lens);

/**
 * Takes the buffers of a packet back that raw_tx had enqueued.
 *
 * @param cookie  raw_tx's
 */
typedef void (*ethif_raw_tx_complete)(void *cb_cookie, void *cookie);

struct raw_iface_funcs {
    ethif_raw_tx raw_tx;
    ethif_raw_handleIRQ_t raw_handleIRQ;
    ethif_raw_poll raw_poll;
    ethif_print_state_t print_state;
    ethif_low_level_init_t low_level_init;
    ethif_get_mac get_mac;
};

struct raw_iface_callbacks {
    ethif_raw_tx_complete tx_complete;
    ethif_raw_rx_complete rx_complete;
    ethif_raw_allocate_rx_buf allocate_rx_buf;
};

/**
 * A driver: what is above it fills in i_cb and cb_cookie, its initialiser the rest.
 */
struct eth_driver {
    void *eth_data; /* the driver's own */
    struct raw_iface_funcs i_fn;
    struct raw_iface_callbacks i_cb;
    void *cb_cookie;
    ps_io_ops_t io_ops;
    int dma_alignment;
};

/**
 * Initialises a driver.
 *
 * @param config  what the driver at hand defines; the caller's
 * @return 0 when it is ready
 */
typedef int (*ethif_driver_init)(struct eth_driver *driver, ps_io_ops_t io_ops, void *config);

#ifdef __cplusplus
}
#endif
